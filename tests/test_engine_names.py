"""Ids and names never lead out of their place, on any route (faults E17)."""

from __future__ import annotations

import io
import re
import string
import zipfile
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from anylearn_jupyter.engine.auth import Credential
from anylearn_jupyter.engine.routes import ROUTES, Route
from engine_home import EngineHome, shared_engine
from published import PublishedClient, check_error

__all__ = ["shared_engine"]

CANARY = "canary-outside-of-the-engine"
# Every field, in query or form, in which an id or a name goes.
FIELDS = (
    "id", "file_id", "algorithm_id", "project_id", "compression_id", "mirror_id", "name",
    "fullname", "username", "files", "datasets", "filename", "subpath", "algorithm_git_ref",
    "output", "ids", "cursors", "tags", "entrypoint", "checkout_sha",
)  # fmt: skip
PREFIXES = ("ALGO", "DSET", "FILE", "MODE", "PROJ", "TRAI", "COMP", "MIRR", "TTAG", "USER")
# Ends the engine, or waits for what never comes.
LEFT_OUT = {"/api/engine/stop", "/api/events"}
TRIED = [
    route for route in ROUTES if route.path not in LEFT_OUT and route.credential is Credential.USER
]

hostile = st.one_of(
    st.sampled_from(
        [
            "..", ".", "/", "../..", "../../token", "%2e%2e%2f", "..%00", "con", "nul", "~", "-rf",
            "--upload-pack=x", "a" * 5000, "a/" * 500, "\0", "a\0b", "..\\..", "/etc/passwd",
            "${HOME}", "$(id)", "`id`", "';--", "{}", "[]", "null", "0", "-1", "True", "é" * 300,
            "\u202e", "\ufeff", "DSET", "TRAI" + "0" * 27 + "/", "TRAI" + "A" * 28,
            "trai" + "0" * 28, "TRAI" + "0" * 28 + "\n", "TRAI" + "\u0660" * 28,
        ]
    ),
    st.text(max_size=40),
    st.text(alphabet=string.ascii_letters + "./\\%~$:*?\"'<>| \n", max_size=60),
    st.builds(
        lambda prefix, rest: prefix + rest,
        st.sampled_from(PREFIXES),
        st.text(alphabet=string.hexdigits + "./", min_size=26, max_size=30),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("ada", "lovelace")
    # What a path that leads out of the engine's directories would come to.
    for place in (shared_engine.home.root, shared_engine.home.root.parent):
        (place / "canary").write_text(CANARY)
    return PublishedClient.login(shared_engine.address, "ada", "lovelace")


@pytest.fixture(scope="module")
def session(ada: PublishedClient) -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    made.headers["Authorization"] = f"Bearer {ada.token}"
    return made


def outside(engine: EngineHome) -> dict[str, int]:
    """What is in the home and beside it, but for what requests make in their own places."""
    own = {"blobs", "git", "tasks"}
    return {
        str(path): path.stat().st_size
        for path in engine.home.root.parent.rglob("*")
        if not own & set(path.relative_to(engine.home.root.parent).parts)
        and not path.name.startswith(("store.sqlite3", "engine.log"))
    }


@pytest.mark.parametrize("route", TRIED, ids=lambda route: f"{route.method} {route.path}")
def test_no_field_of_any_route_leads_out(
    shared_engine: EngineHome, session: requests.Session, route: Route
) -> None:
    before = outside(shared_engine)
    token = shared_engine.token

    @settings(
        max_examples=20, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.dictionaries(st.sampled_from(FIELDS), hostile, min_size=1, max_size=len(FIELDS)))
    @example(dict.fromkeys(FIELDS, ".."))
    @example(dict.fromkeys(FIELDS, "../../token"))
    @example(dict.fromkeys(FIELDS, "\0"))
    @example(dict.fromkeys(FIELDS, "TRAI" + "0" * 28))
    def attempt(fields: dict[str, str]) -> None:
        encoded = {name: value.encode("utf-8", "surrogatepass") for name, value in fields.items()}
        where = {"params" if route.method in ("GET", "DELETE") else "data": encoded}
        if route.multipart:
            where["files"] = {"file": ("file", b"x")}
        answer = session.request(
            route.method, shared_engine.address + route.path, **where, timeout=20
        )
        assert answer.status_code < 500, (fields, answer.text)
        assert CANARY not in answer.text
        assert token not in answer.text
        if not answer.ok:
            check_error(answer, 400, 403, 404, 405, 409, 413, 415)

    attempt()
    assert outside(shared_engine) == before
    engine = shared_engine.home.engine
    names = {path.name for part in ("blobs", "tasks") for path in (engine / part).iterdir()}
    # The index of chunks and what is coming in are the engine's own names; no field makes one.
    own = re.compile(r"[A-Za-z0-9]+|chunks\.sqlite3(-wal|-shm)?|incoming-[A-Za-z0-9]+")
    assert all(own.fullmatch(name) for name in names), names


@pytest.mark.parametrize("verb", ["GET", "POST", "DELETE"])
def test_a_path_that_is_not_a_routes_own_is_not_found(
    shared_engine: EngineHome, session: requests.Session, verb: str
) -> None:
    before = outside(shared_engine)

    @settings(
        max_examples=40, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(
        st.sampled_from(["/api/", "/api/dataset/", "/git/", "/git/ada/", "/", "/static/"]),
        hostile,
    )
    @example("/api/", "../api/mirror/list")
    @example("/api/", "mirror//list")
    @example("/api/", "mirror/list/")
    @example("/api/", "MIRROR/list")
    @example("/", "../../../../etc/passwd")
    @example("/git/ada/", "code.git/../../../../token")
    @example("/git/ada/", "code.git/HEAD")
    @example("/git/ada/", "code.git/config")
    @example("/git/ada/", "code.git/objects/info/packs")
    def attempt(start: str, rest: str) -> None:
        path = start + quote(rest.encode("utf-8", "surrogatepass"), safe="/.")
        request = requests.Request(verb, f"{shared_engine.address}/").prepare()
        request.url = f"{shared_engine.address}{path}"
        request.headers["Authorization"] = str(session.headers["Authorization"])
        answer = session.send(request, timeout=20)
        check_error(answer, 400, 403, 404, 405)
        assert CANARY not in answer.text

    attempt()
    assert outside(shared_engine) == before


@pytest.mark.parametrize("kind", ["dataset", "model", "file"])
def test_a_things_name_is_never_a_path(
    shared_engine: EngineHome, ada: PublishedClient, kind: str, tmp_path: Path
) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("a", "1")
    before = outside(shared_engine)
    for name in (
        "../../evil",
        "/etc/evil",
        "..",
        ".",
        "con",
        "a\\..\\evil",
        "\u202eevil",
        "x" * 255,
    ):
        thing = ada.change("POST", f"{kind}/add", name=name, filename=name)
        ada.upload(thing, written.getvalue())
        found = ada.wait_ready(kind, thing)
        assert (found["name"], found["state"]) == (name, 3)
        listed = ada.call("GET", "resource/listdir", file_id=thing)
        assert len(listed) == 1
        assert "/" not in next(iter(listed))
        assert (shared_engine.home.engine / "blobs" / thing).is_dir()
    assert outside(shared_engine) == before
