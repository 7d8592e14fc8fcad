"""Scripts of every style: their reading as expected, and as the parser itself says when it is run.

To write the expected readings anew after a change that is meant: ``WRITE_READINGS=1``, and read the
difference.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from anylearn_jupyter.notebook.discover import Reading, read_script
from anylearn_jupyter.notebook.script_parser import UNKNOWN, ScriptParser, Style
from parser_readings import (
    CORPUS,
    UNKNOWN_TEXT,
    comparable,
    is_group,
    reading,
    script_of,
    scripts,
    written,
)

NAMES = scripts()
TRUTH = Path(__file__).with_name("parser_truth.py")
NEEDED = re.compile(
    r"^\s*(?:from|import) (click|typer|hydra|transformers|simple_parsing|tyro|absl|fire)\b", re.M
)


def read(name: str) -> Reading:
    """Read a script of the corpus."""
    path = script_of(name)
    return read_script(path, path.name)


def test_the_corpus_is_large_enough() -> None:
    assert len(NAMES) >= 40
    styles = {found.style for name in NAMES if (found := read(name).parser) is not None}
    assert styles == set(Style)


@pytest.mark.parametrize("name", NAMES)
def test_the_reading_is_as_expected(name: str) -> None:
    found = read(name)
    text = written(reading(found.parser, found.reasons))
    expected = CORPUS / f"{name}.json"
    if os.environ.get("WRITE_READINGS"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


# What the parser says itself.


def executed(name: str) -> str:
    """Execute a script, up to where it reads its command line; give what its parser says."""
    script = script_of(name)
    sources = [path.read_text(encoding="utf-8") for path in
               ([script] if script.parent == CORPUS else script.parent.rglob("*.py"))]  # fmt: skip
    for package in {found for source in sources for found in NEEDED.findall(source)}:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed, so its parser cannot be asked")
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-B", str(TRUTH), str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
        cwd=script.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def normal(value: object) -> object:
    """Make alike what means the same: no value, a flag that is not given, an empty list."""
    if isinstance(value, dict) and "otherwise" in value:
        value = value["otherwise"]
    return None if value in (None, False, 0, "", [], {}) and value != "" else value


def differences(mine: dict[str, object], truth: dict[str, object]) -> list[str]:
    """Name what is said otherwise; what is unknown is no claim."""
    found = []
    for key, value in mine.items():
        if key not in truth or value == UNKNOWN_TEXT:
            continue
        other = truth[key]
        if key == "default":
            same = normal(value) == normal(other) or str(normal(value)) == str(normal(other))
        elif key == "choices":
            same = value == other or list(map(str, value or [])) == list(map(str, other or []))
        elif key == "help":
            same = " ".join((value or "").split()) == " ".join((other or "").split())
        elif key == "type":
            same = value == other or truth.get("flag") or truth.get("choices")
        else:
            same = value == other
        if not same:
            found.append(f"{mine['names']}: {key} is read as {value!r} and is {other!r}")
    return found


def compare(parser: ScriptParser, truth: dict[str, object]) -> list[str]:
    """Compare a reading with what a parser says."""
    problems: list[str] = []
    rest = list(truth["options"])
    own = [one for one in parser.options if parser.style is not Style.ABSL or not one.hidden]
    for option in own:
        if option.action in ("help", "version") or option.names == ("arguments",):
            rest = [one for one in rest if one["names"] != sorted(option.names)]
            continue
        mine = comparable(option)
        match = next((one for one in rest if set(one["names"]) & set(option.names)), None)
        if match is None:
            if option.required is not UNKNOWN:  # then it is there under a condition only
                problems.append(f"{option.names} is read and is not there")
            continue
        rest.remove(match)
        if set(match["names"]) <= set(option.names):
            mine["names"] = match["names"]
        if parser.style in (Style.TYRO, Style.SIMPLE_PARSING):
            mine["negations"] = [one for one in mine["negations"] if one in match["negations"]]
        problems += differences(mine, match)
    if parser.complete:
        problems += [f"{one['names']} is there and is not read" for one in rest]
    commands = truth["commands"]
    if parser.complete or parser.commands:
        assert set(commands) <= {name for name, _ in parser.commands}
    for name, inner in parser.commands:
        if name in commands:
            problems += compare(inner, commands[name])
    if parser.commands and parser.command_required is True:
        assert truth["command_required"] is True
    return problems


@pytest.mark.parametrize("name", [one for one in NAMES if not one.startswith("hydra")])
def test_the_parser_itself_says_the_same(name: str) -> None:
    parser = read(name).parser
    truth = json.loads(executed(name).splitlines()[-1]) if name not in UNASKED else None
    if parser is None or truth is None:
        assert truth is None or truth["options"] is None
        return
    assert compare(parser, truth) == []


UNASKED = ("hf_training", "fire_class", "none_at_all")
"""They need a library that is not installed, or have no parser that could be asked."""


@pytest.mark.parametrize("name", [one for one in NAMES if one.startswith("hydra")])
def test_hydra_composes_the_same(name: str) -> None:
    yaml = pytest.importorskip("yaml")
    parser = read(name).parser
    assert parser is not None
    assert parser.complete
    composed = dict(leaves(yaml.safe_load(executed(name)), ""))
    mine = {one.name: one for one in parser.options if not is_group(one)}
    assert set(mine) == set(composed)
    for key, value in composed.items():
        option = mine[key]
        if value == "???":
            assert option.required is True
        elif not isinstance(value, str) or not value[:1].isdigit():
            assert comparable(option)["default"] == value, key


def leaves(value: object, name: str):
    """Give each key with its value, dotted."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from leaves(one, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
