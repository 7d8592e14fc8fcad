"""The tools of the Makefile say what is wrong in one sentence, and find what they look for."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"


def run(tool: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOLS / tool), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def test_a_missing_browser_is_one_sentence_with_package_and_variable(tmp_path: Path) -> None:
    done = run("find_browser.py", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    assert "package chromium" in sentence
    assert "ANYLEARN_CHROMIUM" in sentence


def test_a_named_browser_that_is_none_is_not_passed_over() -> None:
    done = run("find_browser.py", ANYLEARN_CHROMIUM="/no/such/browser")
    assert done.returncode == 1
    assert "/no/such/browser" in done.stderr


def test_a_named_browser_is_taken(tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    assert run("find_browser.py", ANYLEARN_CHROMIUM=str(browser)).stdout == f"{browser}\n"


def test_an_old_python_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(TOOLS / "make_venv.py"), run_name="__main__")
    assert "Python 3.11 or newer is needed" in str(ended.value)


def test_asking_for_help_writes_nothing() -> None:
    lock = TOOLS.parent / "requirements.lock"
    before = lock.stat()
    done = run("lock.py", "--help")
    assert done.returncode == 0
    assert "--keep" in done.stdout
    assert lock.stat().st_mtime_ns == before.st_mtime_ns


def test_duplicates_are_found_and_small_repeats_are_not() -> None:
    tool = runpy.run_path(str(TOOLS / "duplicates.py"))
    six = "\n".join(f"value_{n} = compute({n})" for n in range(6))
    five = "\n".join(f"value_{n} = compute({n})" for n in range(5))
    spaced = six.replace(" = ", "   =  ").replace("\n", "  # why\n\n")

    def repeats(one: str, other: str) -> list[tuple[str, str, int]]:
        found: list[tuple[str, str, int]] = tool["repeated"](
            {"one.py": tool["normalised"](one), "other.py": tool["normalised"](other)}
        )
        return found

    assert repeats(f"import os\n{six}", spaced) == [("one.py:2", "other.py:1", 6)]
    assert repeats(five, five) == []
