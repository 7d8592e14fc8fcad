"""The part of YAML that is read, compared with a whole YAML library; the rest is refused."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from anylearn_jupyter.notebook.parsers.yaml_subset import YamlError, read_yaml

KEYS = st.text("abcXYZ_-09.", min_size=1, max_size=8)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20),
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)


def alike(mine: object, other: object) -> bool:
    """Whether values are equal; OmegaConf, as we, reads `1e3` as a number, and PyYAML as a text."""
    if isinstance(mine, dict) and isinstance(other, dict):
        pairs = zip(mine.items(), other.items(), strict=True)
        return all(alike(a, c) and alike(b, d) for (a, b), (c, d) in pairs)
    if isinstance(mine, list) and isinstance(other, list):
        return len(mine) == len(other) and all(map(alike, mine, other))
    if isinstance(mine, float) and isinstance(other, str):
        return mine == float(other.replace("_", ""))
    return type(mine) is type(other) and mine == other


@given(DOCUMENTS, st.sampled_from([None, False, True]))
def test_what_a_library_writes_is_read_the_same_or_refused(
    value: object, flow: bool | None
) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, sort_keys=False, allow_unicode=True)
    try:
        found = read_yaml(text)
    except YamlError:
        return
    assert alike(found, yaml.safe_load(text))


@given(st.text("ab:-#'\"[]{},\n |>&*!?%@`0.~", max_size=40))
def test_any_text_is_read_the_same_or_refused(text: str) -> None:
    try:
        found, expected = read_yaml(text), yaml.safe_load(text)
    except (YamlError, yaml.YAMLError):
        return  # what is no YAML is not loaded by the script either
    assert alike(found, expected)


ALIKE = [
    "",
    "# only a comment\n",
    "---\na: 1\n",
    "a: 1 # one\nb: 'x # y'\nc: x#y\n",
    "a:\n  b:\n    c: [1, 2, {d: e}]\n  f: g h\n",
    "a:\n- 1\n- b: 2\n  c: 3\n-\n  d: 4\n- - 5\n  - 6\n",
    "a: [1,\n    2,\n  3]\nb: {x: 1,\n  y: 2}\n",
    "a: |\n  one\n    two\n\n  three\nb: >-\n  one\n  two\nc: |-\n  x\n",
    "a: text that\n  goes on\nb: 2\n",
    "a: yes\nb: No\nc: on\nd: null\ne: ~\nf:\ng: .5\nh: 1_000\ni: -3.\nj: 'yes'\n",
    "a: http://x.y/z\nb: C:\\dir\nc: a-b\nd: -x\ne: '-'\n",
    "'a b': 1\n\"c\": 2\n3: x\ntrue: y\n",
    "a: ${b.c}\nb: {c: '${d}', e: x}\n",
    "a: ???\nb:\n  - ???\n",
    "a: ''\nb: \"\"\nc: 'it''s'\nd: \"a\\nb\\t\\\"\"\n",
    "defaults:\n  - _self_\n  - model: small\n  - override hydra/launcher: x\n",
]


@pytest.mark.parametrize("text", ALIKE)
def test_files_as_people_write_them(text: str) -> None:
    assert alike(read_yaml(text), yaml.safe_load(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1e5", 100000.0),
        ("-2E3", -2000.0),
        ("[1e-3]", [0.001]),
        (".inf", math.inf),
    ],
)
def test_numbers_are_those_of_omegaconf(text: str, value: object) -> None:
    assert read_yaml(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x\n",
        "a: !!python/object:os.system 1\n",
        "<<: {a: 1}\n",
        "? a\n: b\n",
        "a: 1\n---\nb: 2\n",
        "a: 2020-01-01\n",
        "a: 0o17\nb: 017\nc: 0x1f\nd: 1:30\n",
        "a: 1\na: 2\n",
        "a: [1, 2\n",
        "a: 'x\n",
        "a: {b: 1\n",
        "\ta: 1\n",
        "a: b: c\n",
        "a: 1\n  b: 2\n",
        "a: [" + "[" * 200 + "]" * 200 + "]\n",
        "x" * 600_000,
    ],
)
def test_what_goes_beyond_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(YamlError):
        read_yaml(text)
