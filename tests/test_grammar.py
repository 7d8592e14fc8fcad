"""The body of a training cell: every form, and every mistake with its correction."""

from __future__ import annotations

from pathlib import Path

import pytest

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.grammar import Body, Truth, read_body

VARIABLES = {
    "cfg": {"lr": 0.1, "name": "a b"},
    "n": 3,
    "folder": Path("/data/x y"),
    "flag": True,
    "learning_rate": 1e-4,
}


def body(text: str) -> Body:
    return read_body(text, Names(dict(VARIABLES)))


def value(text: str) -> object:
    (parameter,) = body(text).parameters
    return parameter.value


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = 1e-3", "1e-3"),
        ("x: 1.10", "1.10"),
        ("x=True", "True"),
        ("x = None", "None"),
        ("x = a b  # c", "a b"),
        ("x = a#b", "a#b"),
        ("x = http://host/#part", "http://host/#part"),
        ("x = it's fine # yes", "it's fine"),
        ("x = say 'a # b' # c", "say 'a # b'"),
        ("x = $HOME/{n}", "$HOME/3"),
        ("x = {{literal}}", "{literal}"),
        ("x = run-{n:03d}-{cfg['name']!r}", "run-003-'a b'"),
        ("x = 'a # b'", "a # b"),
        ('x = "1e-3"', "1e-3"),
        (r"x = 'a\tb'", "a\tb"),
        (r"x = r'\d+'", r"\d+"),
        ("x = ''", ""),
        ("x = [1, 2.5, 'a']", [1, 2.5, "a"]),
        ("x = (1, 2)", (1, 2)),
        ("x = {'a': 1}", {"a": 1}),
        ("x = {}", {}),
        ("x = {n}", 3),
        ("x = {cfg['lr']}", 0.1),
        ("x = {flag}", True),
        ("x = {[n, n + 1]}", [3, 4]),
        ("x = {[i for i in range(n)]}", [0, 1, 2]),
        ("x = {folder}", Path("/data/x y")),
        ("x = {folder}/sub", "/data/x y/sub"),
        ("x = {cfg['lr']:.3f}", "0.100"),
        ("x = {'}'}", "}"),
        ("x = true", Truth.YES),
        ("x = false", Truth.NO),
        ("x = null", Truth.NULL),
        ("x", Truth.YES),
        ("  x   # a flag", Truth.YES),
        ("some.deep-name_1 = y", "y"),
    ],
)
def test_values(line: str, expected: object) -> None:
    found = value(line)
    assert found == expected
    assert type(found) is type(expected)


def test_a_body_keeps_its_order_and_skips_comments() -> None:
    found = body("\n# first\n  b = 1\n\na = 2 # last\n-- data.csv 'x y'\n--lr 0.1 --n={n}\n")
    assert [one.name for one in found.parameters] == ["b", "a"]
    assert found.raw == ("data.csv", "x y", "--lr", "0.1", "--n=3")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("epochs 5", "`epochs = 5`"),
        ("my lr = 3", "`my_lr = 3`"),
        ("epochs -> 5", "`epochs = 5`"),
        ("-e 5", "`-- -e 5`"),
        ("x =", "`x = ''`"),
        ("x == 5", "`x = 5`"),
        ("x = [1, 2", "`x = '[1, 2'`"),
        ("x = [n]", "in braces"),
        ("x = 'abc", "quotes do not go around"),
        ("x = 'a' and b", "quotes do not go around"),
        ('x = f"run-{n}"', "`x = run-{n}`"),
        ("x = {n", "never closed"),
        ("x = n}", "closes nothing"),
        ("x = {n +}", "no Python expression"),
        ("x = {learning_rat}", "did you mean 'learning_rate'?"),
        ("x = {cfg['z']}", "KeyError"),
        ("x = 1\nx = 2", "given twice"),
        ("x = 1\n--x 2", "given twice"),
        ("--x=2\nx", "given twice"),
        ("lr in []", "one value at least"),
        ("lr in 0.1, 0.2", "`lr in [0.1, 0.2]`"),
        ("opt in [sgd, adam]", "`opt in ['sgd', 'adam']`"),
        ("lr in log(0, 1)", "more than 0"),
        ("lr in log(1)", "log(low, high, how many)"),
        ("lr in uniform(1, 2, 3)", "uniform(low, high)"),
        ("lr in range(0, 1, 0.1)", "whole numbers"),
        ("lr in range(1, 2, 0)", "leads nowhere"),
        ("lr in range(2000)", "2,000 values"),
        ("lr in {12}", "is a int"),
        ("lr in {{}}", "give a list"),
        ("lr in [1]\nlr = 2", "given twice"),
        ("---", "%%anylearn_train --code"),
        ("--x 'a", "never closed"),
    ],
)
def test_a_mistake_is_quoted_and_corrected(text: str, shown: str) -> None:
    with pytest.raises(OptionError) as caught:
        body(text)
    message = str(caught.value)
    assert text.split("\n")[-1].strip() in message
    assert shown.replace("in braces", "go into braces") in message
    assert len(message) < 300


def test_an_expression_sees_the_users_variables_and_leaves_them() -> None:
    variables = {"n": 3, "__builtins__": __builtins__}
    before = dict(variables)
    read_body("x = {sum(i for i in range(n))}", Names(variables))
    assert variables == before
