"""The packing list: what a plan says of rules, repositories, imports, uploads, queue and time."""

from __future__ import annotations

import html
import json
import os
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from anylearn_jupyter.client.connection import connect, disconnect
from anylearn_jupyter.errors import Denied, OptionError
from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook.plan_html import plan_html
from anylearn_jupyter.notebook.plan_view import plan_text
from anylearn_jupyter.submit.code_cell import CodeCell
from anylearn_jupyter.submit.ignore_rules import with_ignore_rules
from anylearn_jupyter.submit.local_imports import LeftBehind, imports_left_behind
from anylearn_jupyter.submit.packing import packing_list
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.planning import Plan, if_told, plan
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from engine_home import EngineHome, of_the_engine, shared_engine
from plain_gateway import PASSWORD, USER
from repository_states import a_repository, git, write

__all__ = ["of_the_engine", "shared_engine"]

CPUS = len(os.sched_getaffinity(0))
POISON = "<img src=x onerror=alert(1)>"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    write(directory / "train.py", f"print({tmp_path.name!r})\n")
    write(directory / "lib" / "model.py", "x = 1\n" * 2000)
    # Each test's own data, as a server keeps it: 1,000 bytes.
    write(directory / "numbers" / "a.txt", (tmp_path.name * 500)[:1000])
    return directory


def request_of(project: Path, **more: object) -> TrainRequest:
    plain = TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=project,
        data=(DataInput("data", path=project / "numbers"),),
        project_name=project.parent.name,
        working_dir=project,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


# Rules.


def rules_of(directory: Path) -> dict[str, str]:
    home = Home()
    found = with_ignore_rules(packing_list(directory, home=home), home)
    return {one.path: one.reason for one in found}


def test_what_git_ignores_names_its_rule(tmp_path: Path, home: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    git(code, "init", "-q")
    write(code / ".gitignore", "# heavy things\n*.log\n/data/\n")
    write(code / "deep" / ".gitignore", "*.bin\n")
    for name in ("a.log", "deep/b.log", "deep/c.bin", "data/d", "train.py", ".env"):
        write(code / name, "x")
    assert rules_of(code) == {
        ".env": ".env file, which may hold secrets",
        "a.log": "ignored by git: *.log (.gitignore line 2)",
        "data/": "ignored by git: /data/ (.gitignore line 3)",
        "deep/b.log": "ignored by git: *.log (.gitignore line 2)",
        "deep/c.bin": "ignored by git: *.bin (deep/.gitignore line 1)",
    }


def test_rules_are_named_without_a_repository_and_in_nested_ones(
    tmp_path: Path, home: Path
) -> None:
    code = tmp_path / "code"
    write(code / ".gitignore", "*.log\n")
    write(code / "a.log", "x")
    write(code / "sub" / ".gitignore", "*.tmp\n")
    git(code / "sub", "init", "-q")
    write(code / "sub" / "b.tmp", "x")
    write(code / "sub" / "c.py", "x")
    told = rules_of(code)
    assert told["a.log"] == "ignored by git: *.log (.gitignore line 1)"
    assert told["sub/b.tmp"] == "ignored by git: *.tmp (.gitignore line 1)"
    found = packing_list(code, home=Home())
    assert found.nested == ("sub",)
    assert found.folder("sub") == ("sub", 2, 7)


def test_many_ignored_files_of_a_folder_have_one_rule(tmp_path: Path, home: Path) -> None:
    made = a_repository(tmp_path / "code")
    write(made / ".gitignore", "runs/*.pt\n")
    write(made / "runs" / "keep.py", "x")
    for number in range(15):
        write(made / "runs" / f"{number}.pt", "x")
    found = with_ignore_rules(packing_list(made, home=Home()), Home())
    (one,) = [one for one in found if one.path.startswith("runs")]
    assert (one.path, one.files) == ("runs/*", 15)
    assert one.reason.startswith("ignored by git")


# Imports.


def left_behind(code: Path, entrypoint: str = "python train.py") -> list[LeftBehind]:
    return list(imports_left_behind(entrypoint, packing_list(code, home=Home())))


def test_imports_that_stay_behind_are_found_through_modules(tmp_path: Path, home: Path) -> None:
    code = tmp_path / "code"
    write(code / ".gitignore", "generated.py\nlocal/\n")
    write(code / "train.py", "import os, lib.model\nfrom lib import other\n")
    write(code / "lib" / "__init__.py", "")
    write(code / "lib" / "other.py", "x = 1")
    write(
        code / "lib" / "model.py",
        "from . import other\nfrom .parts import piece\n\n"
        "def late():\n    import generated\n    import importlib\n"
        "    importlib.import_module('local.settings')\n",
    )
    write(code / "lib" / "parts.py", "from ..nothing import x")
    for name in ("generated.py", "local/__init__.py", "local/settings.py"):
        write(code / name, "x = 1")
    assert left_behind(code) == [
        LeftBehind("generated", "generated.py", "ignored by git", "lib/model.py"),
        LeftBehind("local", "local/__init__.py", "ignored by git", "lib/model.py"),
    ]
    assert left_behind(code, "python -m lib.model") == left_behind(code)
    assert left_behind(code, "torchrun train.py") == []


def test_imports_that_are_no_matter(tmp_path: Path, home: Path) -> None:
    code = tmp_path / "code"
    write(code / ".gitignore", "json.py\ntyped.py\n")
    write(
        code / "sub" / "train.py",
        "import json, numpy, not_there_at_all\nfrom typing import TYPE_CHECKING\n"
        "import side, shared\nif TYPE_CHECKING:\n    import typed\n"
        "try:\n    import quick\nexcept ImportError:\n    quick = None\n",
    )
    write(code / "sub" / "side.py", "import side")
    write(code / "shared.py", "this is no Python")
    write(code / "json.py", "shadowed by the standard library")
    write(code / "typed.py", "x = 1")
    assert left_behind(code, "python sub/train.py") == []


def test_a_module_elsewhere_on_this_machine_is_told(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, other = tmp_path / "code", tmp_path / "other"
    write(code / "train.py", "def late():\n    import my_tools\n")
    write(other / "my_tools" / "__init__.py", "raise SystemExit('this must never run')")
    monkeypatch.syspath_prepend(str(other))
    assert left_behind(code) == [
        LeftBehind("my_tools", str(other / "my_tools"), "outside the code directory", "train.py")
    ]


def test_what_is_installed_from_a_folder_is_found_by_the_same_python(
    tmp_path: Path, home: Path
) -> None:
    code = tmp_path / "code"
    write(code / "train.py", "import anylearn_jupyter")
    packing = packing_list(code, home=Home())
    assert imports_left_behind("python train.py", packing, same_python=True) == ()
    other = imports_left_behind("python train.py", packing)
    assert [one.module for one in other] in ([], ["anylearn_jupyter"])  # as it is installed here


def test_a_cell_that_is_the_script_is_looked_at_too(tmp_path: Path, home: Path) -> None:
    code = tmp_path / "code"
    write(code / "helper.py", "x = 1")
    request = TrainRequest(
        entrypoint="python anylearn_cell.py",
        algorithm_dir=code,
        exclude=("helper.py",),
        code_cell=CodeCell("import helper\n", 1, assigned=True),
        server="https://127.0.0.1:9",
    )
    told = plan(request)
    assert [one.module for one in told.left_behind] == ["helper"]
    assert "bring it along with --include helper.py" in plan_text(told)


def test_a_notebooks_cells_are_looked_at(tmp_path: Path, home: Path) -> None:
    code = tmp_path / "code"
    write(code / ".gitignore", "helper.py\nother.py\n")
    write(code / "helper.py", "x = 1")
    write(code / "other.py", "x = 1")
    cells: list[dict[str, object]] = [
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!ls\n", "import helper\n"]},
        {"cell_type": "code", "source": "%%bash\nthis is no Python"},
        {"cell_type": "markdown", "source": "import other"},
    ]
    write(code / "train.ipynb", json.dumps({"cells": cells, "nbformat": 4}))
    packing = packing_list(code, home=Home())
    found = imports_left_behind("python x.py", packing, notebook="train.ipynb")
    assert [(one.module, one.importer) for one in found] == [("helper", "train.ipynb")]
    write(code / "broken.ipynb", "{")
    assert imports_left_behind("python x.py", packing, notebook="broken.ipynb") == ()


# The server's side.


@pytest.mark.usefixtures("of_the_engine")
def test_the_upload_is_what_the_server_lacks(project: Path) -> None:
    before = plan(request_of(project))
    assert before.upload_bytes == 1000
    assert before.code_upload_bytes is not None
    assert 200 < before.code_upload_bytes < 12_000, "packed, 12 kB of repetition are little"
    submit(request_of(project))
    same = plan(request_of(project))
    assert (same.upload_bytes, same.code_upload_bytes) == (0, 0)
    assert "nothing, all of it is there" in plan_text(same)
    write(project / "train.py", "print('another')\n")
    edited = plan(request_of(project))
    assert edited.code_upload_bytes is not None
    assert 0 < edited.code_upload_bytes < before.code_upload_bytes


@pytest.mark.usefixtures("of_the_engine")
def test_the_time_is_known_from_earlier_runs(project: Path) -> None:
    assert plan(request_of(project)).run_times is None
    assert "unknown, as no earlier run of this entry" in plan_text(plan(request_of(project)))
    values = (("lr", "1"),)
    (project / "train.py").write_text("import sys, time; time.sleep(0.2)")
    submit(request_of(project, hyperparams=values)).task.wait(60)
    told = plan(request_of(project))
    assert told.run_times is not None
    assert (told.run_times.runs, told.run_times.same_values) == (1, False)
    assert 0.1 < told.run_times.median_s < 30
    assert "as the earlier run with other values took" in plan_text(told)
    submit(request_of(project)).task.wait(60)
    same = plan(request_of(project)).run_times
    assert same is not None
    assert (same.runs, same.same_values) == (1, True)
    (project / "other.py").write_text("")
    assert plan(request_of(project, entrypoint="python other.py")).run_times is None
    (project / "train.py").write_text("raise SystemExit(3)")
    failing = submit(request_of(project, hyperparams=(("lr", "2"),))).task
    failing.wait(60)
    after = plan(request_of(project, hyperparams=(("lr", "2"),))).run_times
    assert after is not None
    assert (after.runs, after.same_values) == (2, False), "a failed run says nothing of time"


@pytest.mark.usefixtures("of_the_engine")
def test_the_queue_is_what_the_engine_says(project: Path) -> None:
    free = plan(request_of(project, quota_request=(("cpu", 1),)))
    assert free.place is not None
    assert free.place.wanted == (("CPU", 1.0),)
    assert free.place.starts_at_once is True
    assert "starts at once" in plan_html(free)
    write(project / "wait.py", "import time; time.sleep(600)")
    busy = request_of(project, entrypoint="exec python wait.py", quota_request=(("CPU", CPUS),))
    first, second = submit(busy).task, submit(busy).task
    try:
        told = plan(request_of(project))
        assert told.place is not None
        assert told.place.starts_at_once is False
        assert told.place.group.queue_length in (1, 2)
        assert "before it" in plan_text(told)
    finally:
        second.stop()
        first.stop()
    much = plan(request_of(project, quota_request=(("CPU", 10_000),)))
    assert f"10000 CPU are more than the {CPUS} of the group" in plan_text(much)
    with pytest.raises(OptionError, match="did you mean 'CPU'"):
        plan(request_of(project, quota_request=(("CPUU", 1),)))


def test_a_server_that_does_not_answer_leaves_it_unknown(project: Path, home: Path) -> None:
    told = plan(request_of(project, server="https://127.0.0.1:9"))
    assert (told.upload_bytes, told.code_upload_bytes, told.place) == (None, None, None)
    text = plan_text(told)
    assert text.count("unknown, as the server could not be asked") == 3
    assert "What the server already has is unknown" in text


def test_a_plain_gateway_leaves_the_queue_unknown_and_the_rest_not(
    shared_gateway: EngineHome, project: Path, home: Path
) -> None:
    connect(shared_gateway.address, username=USER, password=PASSWORD)
    try:
        told = plan(request_of(project))
    finally:
        disconnect()
    assert told.place is not None
    assert told.place.group.queue_length is None
    assert "how many tasks wait is unknown" in plan_text(told)
    assert told.upload_bytes == 1000
    assert told.code_upload_bytes


def test_what_a_task_does_not_depend_on_may_be_refused() -> None:
    def denied() -> str:
        raise Denied("You may not list the groups.")

    assert if_told(denied)() is None
    assert if_told(lambda: "told")() == "told"


# Names of resources.


def test_the_same_resources_in_another_case_are_the_same_request(tmp_path: Path) -> None:
    def digest(group: str | None, *amounts: tuple[str, int]) -> str:
        request = TrainRequest(
            entrypoint="x", algorithm_dir=tmp_path, quota_group=group, quota_request=amounts
        )
        return request.digest("code", {})

    assert digest("Lab", ("cpu", 2), ("Memory", 4)) == digest("lab", ("memory", 4), ("CPU", 2))
    assert digest(None, ("cpu", 2)) != digest(None, ("cpu", 3))


# The HTML.


class Tags(HTMLParser):
    """Gathers the tags of a page, and checks that they close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open.append(tag)
        assert {name for name, _ in attrs} <= {"class", "style"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def poisoned(project: Path) -> Plan:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    write(project / f"{POISON}.py", "x")
    write(project / ".gitignore", f"*.{POISON}\nhelper.py\n")
    write(project / f"a.{POISON}", "x")
    write(project / "helper.py", "x")
    write(project / "train.py", "import helper")
    return plan(
        request_of(
            project,
            server="https://127.0.0.1:9",
            env=(("A", POISON),),
            hyperparams=(("x", f"'{POISON}'"),),
        )
    )


def test_no_name_becomes_markup(project: Path, home: Path) -> None:
    told = poisoned(project)
    page = plan_html(told, [POISON])
    assert "<img" not in page
    assert page.count(html.escape(POISON)) >= 5
    found = Tags(page)
    assert found.open == []
    assert found.tags <= {"div", "b", "span", "pre", "details", "summary"}
    assert plan_text(told, [POISON]).count(POISON) >= 5
