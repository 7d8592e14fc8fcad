"""What a submission found out, and its way through the ledger; what it tells while it works."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest

from anylearn_jupyter.submit import progress as module
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.progress import Progress, SilentProgress, ToldProgress, TqdmProgress

FULL = Facts(
    server="local",
    address="http://127.0.0.1:1",
    username="me",
    snapshot_id="a" * 40,
    files=3,
    size_bytes=500,
    head="b" * 40,
    dirty=True,
    code_sent=True,
    data=(
        DataFact(
            name="data",
            path=Path("/a dir/é"),
            id="DSET1",
            fingerprint="fp1:1",
            size_bytes=5,
            files=2,
            uploaded_bytes=7,
        ),
        DataFact(name="extra", id="DSET2"),
    ),
    params=(("lr", "0.1"), ("name", "'a b'")),
    command="python train.py --lr 0.1",
    entrypoint="python train.py",
    output="out",
    mirror_name="QUICKSTART",
    digest="d" * 64,
    notes=("One thing.", "Another."),
)


@pytest.mark.parametrize("facts", [FULL, Facts(server="local", address="", username="")])
def test_facts_come_back_from_json_as_they_were(facts: Facts) -> None:
    text = json.dumps(facts.to_json())

    assert Facts.from_json(json.loads(text)) == facts
    assert json.dumps(Facts.from_json(json.loads(text)).to_json()) == text


def test_what_a_newer_program_wrote_is_read() -> None:
    kept = {**FULL.to_json(), "of the future": 1}
    kept["data"] = [{**one, "of the future": 1} for one in kept["data"]]

    assert Facts.from_json(kept) == FULL


def test_what_an_older_program_wrote_has_defaults() -> None:
    kept = {name: FULL.to_json()[name] for name in ("server", "address", "username")}

    assert Facts.from_json(kept) == Facts(server="local", address=FULL.address, username="me")


def test_reused_is_what_needed_no_sending() -> None:
    assert [one.reused for one in FULL.data] == [False, True]


# Progress.


def tell(progress: Progress) -> None:
    progress.step("Reading the data", "/data")
    progress.bytes("reading data", 512, 1024)
    progress.bytes("reading data", 1024, 1024)
    progress.note("Something that you should know.")
    progress.step("Sending the data")
    progress.bytes("sending data", 10, 0)
    progress.bytes("sending data", 5, 0)


def test_silence_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    tell(SilentProgress())

    assert capsys.readouterr() == ("", "")


class Listener(SilentProgress):
    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def step(self, name: str, detail: str = "") -> None:
        self.heard.append((name, threading.get_ident()))

    def note(self, text: str) -> None:
        self.heard.append((text, threading.get_ident()))


def test_notes_of_other_threads_come_from_the_thread_that_submits() -> None:
    listener = Listener()
    told = ToldProgress(listener)
    told.note("one")
    other = threading.Thread(target=told.note, args=("two",))
    other.start()
    other.join()
    assert [text for text, _ in listener.heard] == ["one"]

    told.step("a step")

    assert [text for text, _ in listener.heard] == ["one", "two", "a step"]
    assert {thread for _, thread in listener.heard} == {threading.get_ident()}
    assert told.notes == ("one", "two")


def test_bars_and_notes_go_to_the_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DELAY_S", 0)
    with TqdmProgress() as progress:
        tell(progress)

    out, err = capsys.readouterr()
    assert out == ""
    assert "reading data: 100%" in err
    assert "1.00k/1.00k" in err
    assert "note: Something that you should know.\n" in err
    assert "sending data: " in err
    assert err.endswith("\n")


def test_what_is_quick_shows_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with TqdmProgress() as progress:
        tell(progress)

    assert capsys.readouterr().err == "note: Something that you should know.\n"


def test_bars_can_be_for_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with TqdmProgress(disable=None) as progress:
        progress.bytes("reading data", 512, 1024)

    assert capsys.readouterr() == ("", "")


def test_closing_twice_is_no_matter() -> None:
    progress = TqdmProgress(disable=True)
    progress.bytes("reading data", 1, 2)
    progress.close()
    progress.close()
