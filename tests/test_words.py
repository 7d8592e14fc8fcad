"""The line of a magic comes apart as people expect, and no value changes on its way to a script."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
import warnings
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.expressions import Names, escaped
from anylearn_jupyter.notebook.grammar import Parameter, read_body, read_setting
from anylearn_jupyter.notebook.placing import place
from anylearn_jupyter.notebook.words import split_words
from anylearn_jupyter.submit.command import command_text, train_command

NOBODY = Names({})

# What a file of JSON, a process argument and a pipe can hold, and what lines are made of.
TEXT = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40
)  # fmt: skip
LINE_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="\0"),
    max_size=40,
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("train.py", ["train.py"]),
        ("  train.py   -b ", ["train.py", "-b"]),
        ("-n 'a b' -n \"c d\"", ["-n", "a b", "-n", "c d"]),
        ("--x='a b'", ["--x=a b"]),
        ("train.py # a comment", ["train.py"]),
        ("# nothing", []),
        ("--env URL=http://x#y", ["--env", "URL=http://x#y"]),
        ('{cfg["lr"]} {p / "x"}', ['{cfg["lr"]}', '{p / "x"}']),
        ("d={a or 'b c'}/x y", ["d={a or 'b c'}/x", "y"]),
        ("{ {1: 2}[1] } x", ["{ {1: 2}[1] }", "x"]),
        ("{'}'} x", ["{'}'}", "x"]),
        ("'{as it is}' x", ["{{as it is}}", "x"]),
        ('"{n} and {{" x', ["{n} and {{", "x"]),
        (r"a\ b \# c\"d", ["a b", "#", 'c"d']),
        (r'"a\"b\\c\d"', [r"a\"b\c\d".replace('\\"', '"')]),
        ("''", [""]),
        ("a''b", ["ab"]),
        ("$HOME `x`", ["$HOME", "`x`"]),
        ("{{x}} y", ["{{x}}", "y"]),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert split_words(line) == words


@pytest.mark.parametrize("line", ["-n 'a b", '-n "a b', "-d x={a", "{a['b}"])
def test_what_is_never_closed_is_an_error_that_quotes_the_line(line: str) -> None:
    with pytest.raises(OptionError, match="never closed") as caught:
        split_words(line)
    assert line in str(caught.value)


@given(st.lists(TEXT.map(lambda text: text.replace("\r", " ")), max_size=5))
@example(["{x}", "a'b", '"', "#", "", "\\", "a #b"])
def test_what_a_shell_would_quote_comes_back(texts: list[str]) -> None:
    """`shlex.quote` is how people quote; what it quotes is text, braces included."""
    words = split_words(" ".join(shlex.quote(text) for text in texts))
    # Only what shlex leaves bare could have braces that are live, and it leaves none bare.
    assert [NOBODY.text(word) for word in words] == texts


@given(TEXT)
def test_escaped_text_is_itself(text: str) -> None:
    assert NOBODY.text(escaped(text)) == text


ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"


def what_a_script_gets(values: list[tuple[str, object]]) -> list[str]:
    """Put values on a command line, and let a real shell run a real script with it."""
    placed = place([Parameter(name, value, name) for name, value in values], [], None)
    entrypoint, params = train_command("", placed.hyperparams, {}, placed.raw_arguments)
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(ECHO)} {entrypoint}" + command_text(
        "", params
    )
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    got: list[str] = json.loads(done.stdout)
    return got


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=8))
@example(["", " ", "'", '"', "$HOME", "`id`", "a\nb", "*", "~", "\\n", "!x", "-x", "é\u2028"])
def test_a_value_reaches_the_script_exactly(texts: list[str]) -> None:
    values = [(f"v{number}", text) for number, text in enumerate(texts)]
    words = what_a_script_gets([*values, ("all", texts), ("flag", True)])
    pairs = [word for number, text in enumerate(texts) for word in (f"--v{number}", text)]
    assert words == [*pairs, "--all", *texts, "--flag"]


@settings(deadline=None)
@given(LINE_TEXT.map(str.strip).filter(bool))
@example("1e-3")
@example("1_000")
@example("True")
@example("a # b")
@example("it's")
def test_a_quoted_value_of_a_body_is_the_string_inside(text: str) -> None:
    """`repr` is how Python quotes."""
    (parameter,) = read_body(f"x = {text!r}   # a comment", NOBODY).parameters
    assert parameter.value == text


UNQUOTED = LINE_TEXT.map(str.strip).filter(
    lambda text: (
        bool(text)
        and text[0] not in "=:[({'\"#"
        and not set(text) & set("{}")
        and " #" not in text
        and text not in ("true", "false", "null")
        and not text.lower().startswith(("f'", 'f"', "r'", 'r"', "b'", 'b"', "u'", 'u"'))
        and not text.lower().startswith(("rb'", 'rb"', "br'", 'br"', "fr'", 'fr"', "rf'", 'rf"'))
        and not any(char.isspace() and after == "#" for char, after in pairwise(text))
    )
)


@given(UNQUOTED)
@example("1e-3")
@example("1.10")
@example("1_000")
@example("True")
@example("http://x#y")
@example("a $HOME b")
@example("it's")
@example("C:\\data\\x")
def test_an_unquoted_value_is_what_was_typed(text: str) -> None:
    (parameter,) = read_body(f"x = {text}", NOBODY).parameters
    assert parameter.value == text
    assert read_setting(f"x={text}", "--set", NOBODY).value == text


PIECES = [*"ab1 =:#'\"{}[]()\\-$!,.\n\tr", "in ", "true", "x = ", "{n}", "f'"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=18).map("".join))
def test_whatever_is_typed_is_understood_or_an_error_of_ours(text: str) -> None:
    for read in (split_words, lambda body: read_body(body, Names({"n": 1}))):
        with contextlib.suppress(OptionError), warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # `{1 (1)}`, as in a cell
            read(text)
