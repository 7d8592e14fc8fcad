"""F6: what a notebook, its widgets, its history and its kernel keep has no credential in it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import engine_command
from faulty_server import Request, faulty_server, reply
from kernel_fixtures import RealKernel, kernels
from waiting import wait_until

__all__ = ["kernels"]

PASSWORD = "correct-horse-battery-staple"
FAILING = "print('epoch 1/2')\nprint('step=1 loss=2')\nraise SystemExit(3)\n"


@pytest.fixture
def work(home: Path, tmp_path: Path) -> Iterator[Path]:
    """Give a directory with a script that fails; the engine ends with the test."""
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "fail.py").write_text(FAILING, encoding="utf-8")
    yield directory
    engine_command("stop", "--tasks", check=False)


def refuse(request: Request, wire: socket.socket) -> None:
    """Refuse every login, with what was sent in the refusal."""
    wire.sendall(reply({"msg": f"no: {request.body.decode()}"}, 401))


def logged_in(kernel: RealKernel, address: str, put_out: list[dict[str, Any]]) -> None:
    """Type a name and a password where the magic asks for them."""
    words = iter(["ada", PASSWORD, ""])
    kernel.client.execute_interactive(
        f"%anylearn_login {address}",
        allow_stdin=True,
        timeout=60,
        output_hook=put_out.append,
        stdin_hook=lambda message: kernel.client.input(next(words)),
    )


def test_neither_notebook_nor_history_nor_kernel_has_a_credential(
    work: Path, home: Path, tmp_path: Path, kernels: Callable[[Path], RealKernel]
) -> None:
    kernel = kernels(work)
    put_out: list[dict[str, Any]] = []

    def run(code: str) -> None:
        kernel.client.execute_interactive(
            code, allow_stdin=True, timeout=60, output_hook=put_out.append
        )

    run("%load_ext anylearn_jupyter")
    run("%%anylearn_train fail.py -o task")
    run("task")
    run("task.wait(60)")
    run("%anylearn_results last")
    wait_until(lambda: run("task") or "failed" in str(put_out), 30, "the failure in a view")
    with faulty_server(refuse) as server:
        logged_in(kernel, server.address, put_out)
        assert PASSWORD.encode() in server.received, "it was typed, and sent"
    errors = [one["content"] for one in put_out if one["msg_type"] == "error"]
    assert [one["ename"] for one in errors] == ["TaskFailed", "LoginRequired"]
    token = (home / "engine" / "token").read_text(encoding="ascii").strip()
    (tmp_path / "secrets.json").write_text(json.dumps([token, PASSWORD]), encoding="utf-8")

    # What the widgets' state, the outputs and the texts are made of has gone over the wire.
    assert any(one["msg_type"] == "comm_open" for one in put_out)
    for secret in (token, PASSWORD):
        assert secret not in json.dumps([one["content"] for one in put_out])
    found = kernel.text(
        "import json as _json\n"
        f"_secrets = _json.load(open({str(tmp_path / 'secrets.json')!r}))\n"
        "_kept = [repr(value) for name, value in list(globals().items()) if name != '_secrets']\n"
        "print([any(secret in text for text in _kept) for secret in _secrets], len(_kept) > 20)"
    )
    assert found == "[False, False] True\n"
    kernel.shut_down()
    (history,) = (tmp_path / "ipython").rglob("history.sqlite")
    kept = b"".join(path.read_bytes() for path in history.parent.rglob("*") if path.is_file())
    assert b"anylearn_login" in kept
    assert token.encode() not in kept
    assert PASSWORD.encode() not in kept
