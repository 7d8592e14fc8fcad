"""docs/compatibility.md names every call of the engine, every option, and tests that exist."""

from __future__ import annotations

import ast
import inspect
import re

from anylearn_jupyter.engine.routes import ROUTES
from anylearn_jupyter.submit.published import quick_train
from anylearn_jupyter.submit.renamed_options import RENAMED
from conftest import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([^`]+)` \|.*? \| `(tests/[^`]+)` \|$", PAGE, re.MULTILINE)
CALL = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (\S+)")


def test_every_call_is_in_the_table_once() -> None:
    listed = [first for first, _ in ROWS if CALL.fullmatch(first)]

    assert len(set(listed)) == len(listed)
    assert set(listed) == {f"{route.method} {route.path.removeprefix('/api/')}" for route in ROUTES}


def test_every_option_is_in_the_table_once() -> None:
    listed = [first for first, _ in ROWS if not CALL.fullmatch(first)]

    assert listed == list(inspect.signature(quick_train).parameters)
    assert not [name for name in RENAMED if f"`{name}`" not in PAGE]


def test_every_test_that_is_named_exists() -> None:
    assert len(ROWS) == len(re.findall(r"^\| `", PAGE, re.MULTILINE))
    for place in re.findall(r"`(tests/\w+\.py(?:::\w+)?)`", PAGE):
        path, _, name = place.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert not name or name in functions, place
