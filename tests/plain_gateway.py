"""The client's own tests, once more against a server that offers nothing but the published API.

The modules named here run their tests twice: with the embedded engine, and with an engine that
plays a plain gateway (docs/engine.md), to which the client logs in as to any remote server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_home import EngineHome

USER, PASSWORD = "gateway-user", "correct horse / battery"

BOTH_SERVERS = {
    "test_attach",
    "test_code_cells",
    "test_compare",
    "test_exact",
    "test_inputs",
    "test_objects",
    "test_pipeline",
    "test_plan",
    "test_published_task",
    "test_python_call",
    "test_same_request",
    "test_submitted_at_once",
    "test_sweep",
    "test_task",
}
"""Modules whose tests run with both, those that ask a server."""

ONLY_ONE_SERVER = {
    "test_a_call_trains_plans_sweeps_and_raises": "an exit code is not in the published API",
    "test_a_failure_says_how_and_shows_the_last_lines": "an exit code is not in the published API",
    "test_each_difference_is_listed_and_nothing_else": "an exit code is not in the published API",
    "test_what_failed_is_tried_again_in_its_place": "an exit code is not in the published API",
    "test_the_record_tells_what_was_sent": "how long it ran is not in the published API",
    "test_the_results_are_a_frame_that_pandas_works_with": "nor are its seconds",
    "test_the_time_is_known_from_earlier_runs": "how long they ran is not in the published API",
    "test_the_queue_is_what_the_engine_says": "who waits is not in the published API",
    "test_a_plain_gateway_leaves_the_queue_unknown_and_the_rest_not": "it has its own gateway",
    "test_so_many_run_at_once_and_no_kernel_need_live": "a plain gateway keeps no such limit",
    "test_a_limit_holds_for_a_task_of_which_no_record_was_written": "and so here",
    "test_a_server_that_keeps_no_limit_is_said_before_anything_is_sent": "it makes one itself",
    "test_a_mistake_is_one_sentence_and_nobody_was_asked": "no engine is started",
    "test_a_server_that_is_not_there_is_said_and_nothing_is_lost": "the server is another one",
    "test_an_engine_that_cannot_start_is_said_with_its_own_words": "the engine cannot start",
    "test_nothing_is_lost_when_the_engine_cannot_be_reached": "the engine cannot start",
    "test_the_attributes_are_those_of_the_server": "a plain gateway keeps a mark in descriptions",
    "test_lines_are_followed_without_reports": "published logs have no blank lines",
    "test_results_come_as_an_archive": "it is about a task in the phase running",
    "test_cancelling_stops_the_waiting_and_not_the_task": "it is about a task in the phase running",
    "test_objects_stay_with_their_server": "it is about two servers",
    "test_what_is_created_is_in_the_ledger_before_it_is_sent": "no server is asked twice",
    "test_outcomes_in_words": "no server is asked",
    "test_readable_lines_collapse_bars_and_keep_the_indent": "no server is asked",
    "test_default_names_follow_the_resolved_place": "no server is asked",
    "test_values_are_shown_without_the_quotes_of_one_word": "no server is asked",
    "test_archives_that_cannot_be_sent": "no server is asked",
}
"""Tests of these modules that run once, and why."""

# Fixtures of the modules that close the connections of the test before.
_BEFORE = ("nothing_left", "connected", "of_the_engine")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of some modules with a plain gateway too."""
    module = metafunc.module
    if module.__name__ in BOTH_SERVERS:
        asks = not hasattr(module, "of_the_engine") or "of_the_engine" in metafunc.fixturenames
        once = not asks or metafunc.definition.originalname in ONLY_ONE_SERVER
        modes = ["engine"] if once else ["engine", "plain"]
        metafunc.parametrize("server_mode", modes, indirect=True)


@pytest.fixture(scope="module")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHome]:
    """A plain gateway for all tests of a module, with a user who can log in."""
    made = EngineHome(tmp_path_factory.mktemp("gateway") / "anylearn-home")
    made.start("--plain-gateway")
    made.add_user(USER, PASSWORD)
    yield made
    made.stop("--tasks")
    made.wait_gone()


@pytest.fixture(autouse=True)
def server_mode(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log in to a plain gateway where the test is to run with one.

    A module whose engine is shared gets a shared gateway; one that ends its engine after each test,
    in the test's home, gets one there.
    """
    if getattr(request, "param", "engine") == "engine":
        return
    from anylearn_jupyter.client import follow
    from anylearn_jupyter.client.connection import connect

    for name in _BEFORE:
        if name in request.fixturenames:
            request.getfixturevalue(name)
    if "shared_engine" in request.fixturenames:
        address = request.getfixturevalue("shared_gateway").address
    else:
        address = _start(home)
    # For programs that a test starts, which find the kept login; this process has the password too.
    monkeypatch.setenv("ANYLEARN_HOST", address)
    # What a server gets asked every 2 s, a test has no time to wait for.
    monkeypatch.setattr(follow, "POLL_S", 0.1)
    connect(address, username=USER, password=PASSWORD)


def _start(root: Path) -> str:
    """Start a plain gateway in a test's own home, as the test ends it; gives its address."""
    from anylearn_jupyter.engine.database import Database
    from anylearn_jupyter.engine.users import add_user
    from anylearn_jupyter.home import Endpoint, Home
    from conftest import engine_command

    engine_command("start", "--plain-gateway")
    endpoint = Endpoint.read(Home(root))
    assert endpoint is not None
    # As `anylearn-engine user add` does, without a process of its own for each test.
    database = Database(Home(root).engine / "store.sqlite3")
    add_user(database, USER, PASSWORD, replace=False)
    database.close()
    return endpoint.address
