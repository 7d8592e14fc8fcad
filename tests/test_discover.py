"""What a script's parser is known to take, read from its text alone; what it would refuse."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.discover import discover
from anylearn_jupyter.notebook.refusals import check_names, check_words
from anylearn_jupyter.notebook.script_parser import UNKNOWN, ScriptOption, ScriptParser

HEAD = "import argparse\nfrom pathlib import Path\nparser = argparse.ArgumentParser()\n"
TAIL = "\noptions = parser.parse_args()\n"


@pytest.fixture
def read(tmp_path: Path):
    """Return a function that writes a script and reads its parser."""

    def of(text: str) -> ScriptParser | None:
        path = tmp_path / "train.py"
        path.write_text(text, encoding="utf-8")
        return discover(path, "train.py")

    return of


def only(parser: ScriptParser | None) -> ScriptOption:
    """Give the only option beside --help."""
    assert parser is not None
    (found,) = [one for one in parser.options if one.action != "help"]
    return found


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("'--lr', type=float, default=0.1", {"type": "float", "default": 0.1, "nargs": None}),
        ("'-e', '--epochs', type=int", {"names": ("-e", "--epochs"), "type": "int"}),
        ("'--amp', action='store_true'", {"action": "store_true", "flag": True}),
        ("'--no-x', dest='x', action='store_false'", {"flag": True, "dest": "x"}),
        ("'--x', action=argparse.BooleanOptionalAction", {"action": "boolean_optional"}),
        ("'--b', nargs=2, type=float", {"nargs": 2}),
        ("'--b', nargs=argparse.REMAINDER", {"nargs": "..."}),
        ("'--b', nargs='+'", {"nargs": "+"}),
        ("'--t', action='append'", {"appends": True, "flag": False}),
        ("'--m', choices=['a', 'b'], required=True", {"choices": ("a", "b"), "required": True}),
        ("'--n', type=int, choices=range(1, 4)", {"choices": (1, 2, 3)}),
        ("'--d', type=Path", {"type": "Path"}),
        ("'data', help='where'", {"positional": True, "help": "where"}),
        # Not written out, so not known.
        ("'--m', choices=CHOICES", {"choices": UNKNOWN}),
        ("'--m', type=lambda x: x", {"type": UNKNOWN}),
        ("'--m', type=argparse.FileType('r')", {"type": UNKNOWN}),
        ("'--m', nargs=N", {"nargs": UNKNOWN}),
        ("'--m', action=Mine", {"action": UNKNOWN, "flag": False}),
        ("'--m', required=bool(N)", {"required": UNKNOWN}),
        ("'--m', default=N, help=f'{N}'", {"default": UNKNOWN, "help": UNKNOWN}),
    ],
)
def test_one_argument(read, argument: str, expected: dict[str, object]) -> None:
    option = only(read(f"{HEAD}parser.add_argument({argument}){TAIL}"))
    assert {name: getattr(option, name) for name in expected} == expected


GET_PARSER = """
from argparse import ArgumentParser as AP
def get_parser(kind):
    p = AP(add_help=False)
    p.add_argument("--lr")
    return p
def main():
    args = get_parser(1).parse_args()
if __name__ == "__main__":
    main()
"""

IN_A_CLASS = """
import argparse
class Trainer:
    def __init__(self):
        self.parser = argparse.ArgumentParser()
        group = self.parser.add_argument_group("training")
        group.add_argument("--lr")
        self.args = self.parser.parse_args()
"""

EXCLUSIVE = """
import argparse, sys
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("--lr")
    parser.parse_args(sys.argv[1:])
"""


@pytest.mark.parametrize("script", [GET_PARSER, IN_A_CLASS, EXCLUSIVE])
def test_a_parser_is_found_wherever_it_is_made(read, script: str) -> None:
    parser = read(script)
    assert only(parser).names == ("--lr",)
    assert parser.complete


@pytest.mark.parametrize(
    "script",
    [
        HEAD + "add_more(parser)" + TAIL,
        HEAD + "parser.add_argument(*names)" + TAIL,
        HEAD + "for n in names():\n    parser.add_argument(f'--{n}')" + TAIL,
        HEAD + "parser.add_argument('--x', **more)" + TAIL,
        HEAD + "sub = parser.add_subparsers(dest=name)\nsub.add_parser(name())" + TAIL,
        HEAD + "options, rest = parser.parse_known_args()",
        HEAD + "options = parser.parse_args([])",
        HEAD + "parser = other(parser)" + TAIL,
        HEAD,
        "import argparse\nparser = argparse.ArgumentParser(parents=[base])" + TAIL,
        "import argparse\nparser = argparse.ArgumentParser(fromfile_prefix_chars='@')" + TAIL,
    ],
)
def test_others_may_know_more_options(read, script: str) -> None:
    parser = read(script)
    assert parser is not None
    assert not parser.complete
    check_names(parser, {"--whatever": "whatever = 1"})


@pytest.mark.parametrize(
    "script",
    [
        "",
        "print('no parser')",
        "import click\n@click.command()\ndef main(): pass",
        HEAD + "second = argparse.ArgumentParser()\nsecond.parse_known_args()" + TAIL,
        "def broken(:",
        "\0",
        "ArgumentParser().parse_args()",
    ],
)
def test_nothing_is_readable(read, script: str) -> None:
    assert read(script) is None


def test_no_file_and_no_directory_are_nothing(tmp_path: Path) -> None:
    assert discover(tmp_path / "missing.py") is None
    assert discover(tmp_path) is None


def test_the_script_is_not_run(read, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    read(f"open({str(mark)!r}, 'w')\n{HEAD}{TAIL}")
    assert not mark.exists()


def test_what_is_added_under_a_condition_is_not_required(read) -> None:
    parser = read(f"{HEAD}if flag:\n    parser.add_argument('--x', required=True){TAIL}")
    assert only(parser).required is UNKNOWN
    check_words(parser, [], {})


FULL = (
    HEAD
    + """
parser.add_argument("input")
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--epochs", type=int, default=3, help="passes (default: %(default)s)")
parser.add_argument("--lr", type=float)
parser.add_argument("--mode", choices=["fast", "good"])
parser.add_argument("--betas", type=float, nargs=2)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--tag", action="append")
parser.add_argument("--pin", action=argparse.BooleanOptionalAction)
parser.add_argument("-v", "--verbose", action="count")
either = parser.add_mutually_exclusive_group()
either.add_argument("--cpu", action="store_true")
either.add_argument("--gpu", type=int)
"""
    + TAIL
    + "print('accepted')\n"
)

LINES = [
    "x --data d",
    "x --data d --epochs 5 --lr 1e-3 --mode fast --betas 0.1 0.2 --amp --tag a --tag b",
    "x --data d --no-pin -vv --cpu",
    "x --data d --epoch 5",
    "--data d",
    "x",
    "x --data d --epochs 1.5",
    "x --data d --lr abc",
    "x --data d --mode slow",
    "x --data d --betas 0.1",
    "x --data d --betas 0.1 0.2 0.3",
    "x --data d --amp 5",
    "x --data d --unknown 1",
    "x --data d --cpu --gpu 1",
    "x --data d --lr -1.5",
    "x --data",
    "x --data d --e 5",
]


@pytest.mark.parametrize("line", LINES)
def test_it_refuses_exactly_what_the_script_refuses(read, tmp_path: Path, line: str) -> None:
    """The script itself is the judge."""
    parser = read(FULL)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "train.py"), *shlex.split(line)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        check_words(parser, shlex.split(line), {})
        return
    with pytest.raises(OptionError) as caught:
        check_words(parser, shlex.split(line), {})
    said = done.stderr.rstrip().rpartition("error: ")[2]
    assert said in str(caught.value)


def test_a_refusal_names_the_line_and_has_the_parsers_help(read) -> None:
    with pytest.raises(OptionError) as caught:
        check_words(
            read(FULL), ["x", "--data", "d", "--epochs", "ten"], {"--epochs": "epochs = ten"}
        )
    message = str(caught.value)
    assert message.startswith(
        "train.py would refuse `epochs = ten`: argument --epochs: invalid int"
    )
    assert "--epochs EPOCHS  passes (default: 3)" in message


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("--epocs", "did you mean 'epochs'"),
        ("--input", "by its place"),
        ("--zzz", "Its options: --data, --epochs"),
    ],
)
def test_an_unknown_name_shows_what_there_is(read, word: str, shown: str) -> None:
    with pytest.raises(OptionError, match="the line") as caught:
        check_names(read(FULL), {word: "the line"})
    assert shown in str(caught.value)


def test_what_argparse_itself_cannot_take_is_left_to_the_run(read) -> None:
    twice = f"{HEAD}parser.add_argument('--x')\nparser.add_argument('--x'){TAIL}"
    check_words(read(twice), ["--x", "1"], {})


def test_bad_help_texts_do_no_harm(read) -> None:
    parser = read(f"{HEAD}parser.add_argument('--x', type=int, help='50% of it %(nope)s'){TAIL}")
    with pytest.raises((OptionError, argparse.ArgumentError), match="invalid int"):
        check_words(parser, ["--x", "a"], {})
