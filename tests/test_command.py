"""From values to a command line and back: what a script gets is what was meant, to the byte."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.command import (
    command_text,
    entry_command,
    entry_module,
    entry_script,
    quote_value,
    shell_text,
    train_command,
)

SAY = "import json, os, sys; sys.stdout.buffer.write(json.dumps(sys.argv[1:]).encode())"
"""A script that tells the words that it got."""


def words_of(command: str, **variables: str) -> list[str]:
    """Give the words that a script gets when a real shell runs the command."""
    answer = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", **variables},
        capture_output=True,
        check=True,
        timeout=60,
        cwd="/",
    )
    found: list[str] = json.loads(answer.stdout)
    return found


def say(
    hyperparams: Sequence[tuple[str, Any]],
    mounts: Mapping[str, Sequence[str]] | None = None,
    raw: str = "",
    prefix: str = "--",
    delimiter: str = " ",
    **variables: str,
) -> list[str]:
    """Run the script the way that a server does: parameters through JSON, then a shell."""
    entrypoint, params = train_command(
        f"{sys.executable} -c '{SAY}'", hyperparams, mounts or {}, raw
    )
    params = json.loads(json.dumps(params))
    return words_of(command_text(entrypoint, params, prefix, delimiter), **variables)


ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
HARD_TEXT = st.text(st.sampled_from(" \t\n'\"\\$`!*?[]{}()<>|&;#~=-%^é☃😀\r\x1b\x7f"), max_size=20)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,9}", fullmatch=True)

shell = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@shell
@given(st.lists(ANY_TEXT | HARD_TEXT, min_size=1, max_size=20))
@example(["", " ", "-n", "--", "$HOME", "`id`", "$(id)", "a\nb\n", "'", '"', "\\", "!", "#x", "~"])
@example(
    ["*", "?", "[a-z]", "{a,b}", "a=b", "\r\n", "\t", "\x1b[0m", "\u202e", "e\u0301", "\ufeff"]
)
def test_a_quoted_value_is_one_word_and_the_same(values: list[str]) -> None:
    """`train(params=…)`, the magic and the form quote: each value reaches the script exactly."""
    command = " ".join(quote_value(value) for value in values)

    assert words_of(f"{sys.executable} -c '{SAY}' {command}") == values


@shell
@given(
    st.lists(
        st.tuples(
            NAMES,
            (ANY_TEXT | HARD_TEXT).filter(bool)
            | st.integers()
            | st.floats(allow_nan=True, allow_infinity=True)
            | st.booleans()
            | st.none()
            | st.lists(ANY_TEXT | HARD_TEXT | st.integers(), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda pair: pair[0],
    )
)
def test_every_value_reaches_the_script(pairs: list[tuple[str, Any]]) -> None:
    """Through `train_params` as JSON and the server's own way of writing the command."""
    given_pairs = [
        (name, quote_value(value) if isinstance(value, str) else value) for name, value in pairs
    ]
    expected: list[str] = []
    for name, value in pairs:
        items = value if isinstance(value, list) else [value]
        expected += [f"--{name}", *(str(item) for item in items)]

    assert say(given_pairs) == expected


@pytest.mark.parametrize(
    ("prefix", "delimiter", "expected"),
    [
        ("--", " ", ["--lr", "0.1", "--name", "a b", "--many", "1", "2", "--flag"]),
        ("--", "=", ["--lr=0.1", "--name=a b", "--many=1", "2", "--flag"]),
        ("", "=", ["lr=0.1", "name=a b", "many=1", "2", "flag"]),
        ("+", "=", ["+lr=0.1", "+name=a b", "+many=1", "2", "+flag"]),
        ("++", "=", ["++lr=0.1", "++name=a b", "++many=1", "2", "++flag"]),
        ("-", " ", ["-lr", "0.1", "-name", "a b", "-many", "1", "2", "-flag"]),
    ],
)
def test_argparse_and_hydra_forms(prefix: str, delimiter: str, expected: list[str]) -> None:
    pairs = [("lr", 0.1), ("name", quote_value("a b")), ("many", [1, 2]), ("flag", "")]

    assert say(pairs, prefix=prefix, delimiter=delimiter) == expected


def test_a_string_is_shell_text_as_published(tmp_path: Path) -> None:
    pairs = [("ids", "1 2 3"), ("home", '"$WHERE"/x'), ("quoted", "'a b'")]

    assert say(pairs, WHERE="a dir") == [
        *("--ids", "1", "2", "3", "--home", "a dir/x", "--quoted", "a b"),
    ]


def test_an_empty_value_is_a_bare_flag() -> None:
    assert say([("fast", ""), ("lr", 1)]) == ["--fast", "--lr", "1"]
    assert say([("name", quote_value(""))]) == ["--name", ""]


@pytest.mark.parametrize("values", [[], ()])
def test_an_empty_list_is_a_bare_name(values: Any) -> None:
    assert say([("many", values), ("lr", 1)]) == ["--many", "--lr", "1"]


def test_mounts_expand_to_one_word_each() -> None:
    """The placeholder carries its own quotes, so that a path may hold anything."""
    pairs = [("lr", 0.1)]
    mounts = {"data": ["DSET1"], "model": ["MODE1", "MODE2"]}
    paths = {"DSET1": "/a path/with 'quotes' and $HOME\n", "MODE1": "/m1", "MODE2": "/m 2"}

    assert say(pairs, mounts, **paths) == [
        *("--data", paths["DSET1"], "--model", "/m1", "/m 2", "--lr", "0.1"),
    ]
    _, params = train_command("python train.py", pairs, mounts)
    assert params == {"data": ['"$DSET1"'], "model": ['"$MODE1"', '"$MODE2"'], "lr": 0.1}


@pytest.mark.parametrize(
    ("pairs", "mounts"),
    [
        ([], {}),
        ([("lr", 0.1)], {}),
        ([("lr", 0.1), ("name", "'a b'")], {}),
        ([("lr", 0.1), ("fast", "")], {}),
        ([("many", [1, 2])], {}),
        ([("on", True)], {}),
        ([], {"data": ["DSET1"]}),
        ([], {"data": ["DSET1", "DSET2"]}),
        ([("lr", 0.1)], {"data": ["DSET1"]}),
    ],
)
def test_raw_arguments_come_last_as_they_are(
    pairs: list[tuple[str, Any]], mounts: dict[str, list[str]]
) -> None:
    raw = "--raw 'one word' $VALUE +x=1"
    variables = {"VALUE": "two words", "DSET1": "/d 1", "DSET2": "/d 2"}

    with_raw = say(pairs, mounts, raw, **variables)

    assert with_raw == [
        *say(pairs, mounts, **variables),
        *("--raw", "one word", "two", "words", "+x=1"),
    ]


def test_nothing_of_the_callers_is_changed() -> None:
    """A mount of one call leaked into the next in the reference (spec, "Mistakes")."""
    values: list[Any] = [1, "two"]
    pairs: list[tuple[str, Any]] = [("many", values), ("lr", 0.1)]
    mounts = {"data": ["DSET1"]}
    before = copy.deepcopy((pairs, mounts))

    _, first = train_command("python train.py", pairs, mounts, "--raw")
    first["data"].append("more")
    first["lr"] = 5
    _, second = train_command("python train.py", pairs, {})

    assert (pairs, mounts) == before
    assert second == {"many": "1 two", "lr": 0.1}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-3, "0.001"),
        (1e22, "1e+22"),
        (True, "True"),
        (None, "None"),
        (math.inf, "inf"),
        (Path("/a b"), "'/a b'"),
        (PurePosixPath("x"), "x"),
        ({"a": [1, "é"]}, """'{"a": [1, "é"]}'"""),
        ([1, "a b", True], "1 'a b' True"),
        (("x",), "x"),
        ([["a b"], 1], "'a b' 1"),
        ("", "''"),
        (b"caf\xc3\xa9 x", "'café x'"),
    ],
)
def test_plain_values_as_text(value: object, text: str) -> None:
    assert quote_value(value) == text
    if not isinstance(value, str):
        assert shell_text(value) == text


def test_numpy_numbers_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    pairs = [
        ("a", numpy.float32(0.5)),
        ("b", numpy.int64(3)),
        ("c", numpy.bool_(True)),
        ("d", numpy.array([7])),
        ("e", [numpy.int64(1), numpy.float64(2.5)]),
    ]

    _, params = train_command("python train.py", pairs, {})

    assert json.loads(json.dumps(params)) == {
        **{"a": 0.5, "b": 3, "c": "True", "d": 7, "e": "1 2.5"},
    }


@pytest.mark.parametrize("value", [object(), {1, 2}, lambda: 1, 1j])
def test_what_has_no_form_on_a_command_line_is_refused(value: object) -> None:
    with pytest.raises(OptionError, match="has no form on a command line"):
        quote_value(value)


@pytest.mark.parametrize("value", ["a\0b", ["x", "\0"], Path("b\0"), {"a": Path("b\0")}, b"\0"])
def test_a_zero_byte_is_refused(value: object) -> None:
    with pytest.raises(OptionError, match="zero byte"):
        quote_value(value)


# The entry.


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("train.py", ["train.py"]),
        (" my dir/my train.py ", ["my dir/my train.py"]),
        ("it's $HOME.py", ["it's $HOME.py"]),
        ("-m pkg.train", ["-m", "pkg.train"]),
        ("-mpkg", ["-m", "pkg"]),
    ],
)
def test_an_entry_makes_a_command(entry: str, words: list[str]) -> None:
    command = entry_command(entry)

    assert command.startswith("python ")
    assert words_of(f"{sys.executable} -c '{SAY}' {command.removeprefix('python ')}") == words


@pytest.mark.parametrize(
    "entry", ["", "train", "train.sh", "-m", "-m a b", "-m a/b", "-c x", "x.py y"]
)
def test_no_entry_is_refused_with_the_way_out(entry: str) -> None:
    with pytest.raises(OptionError, match=r"--entrypoint|-m package\.module"):
        entry_command(entry)


@pytest.mark.parametrize(
    ("entrypoint", "script"),
    [
        ("python train.py", "train.py"),
        ("python3 -u train.py --fast x.py", "train.py"),
        ("/usr/bin/python3.12 'my train.py'", "my train.py"),
        ("python -W ignore -X dev train.py", "train.py"),
        ("python -m pkg.train", None),
        ("python -c 'train.py'", None),
        ("python - train.py", None),
        ("python", None),
        ("python $SCRIPT.py", None),
        ("python a*.py", None),
        ("torchrun train.py", None),
        ("bash run.sh", None),
        ("python 'unclosed.py", None),
        ("", None),
        ("cd x && python train.py", None),
    ],
)
def test_the_script_of_an_entrypoint_is_found(entrypoint: str, script: str | None) -> None:
    assert entry_script(entrypoint) == script


@pytest.mark.parametrize(
    ("entrypoint", "module"),
    [
        ("python -m pkg.train", "pkg.train"),
        ("python3 -m pkg --x", "pkg"),
        ("python train.py", None),
        ("python -m", None),
        ("python -m 'x", None),
        ("torchrun -m pkg", None),
    ],
)
def test_the_module_of_an_entrypoint_is_found(entrypoint: str, module: str | None) -> None:
    assert entry_module(entrypoint) == module
