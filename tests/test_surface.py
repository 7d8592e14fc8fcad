"""One surface: cell, Python and docs have the same options under the same names, or this fails.

What one of them has and the others have not stands here by name, with the reason.
"""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from anylearn_jupyter import quick_train, train
from anylearn_jupyter.notebook.arguments import option_strings
from anylearn_jupyter.notebook.form_draft import OWN_BUTTONS
from anylearn_jupyter.notebook.form_magic import LABELS, PICKED, folded
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.python_call import NOT_HERE
from anylearn_jupyter.submit.request import TrainRequest
from conftest import ROOT

TRAIN = parser_of(AnylearnMagics.anylearn_train)
OPTIONS = {action.dest: action for action in TRAIN._actions}
MAGICS = sorted(name for name in vars(AnylearnMagics) if name.startswith("anylearn_"))

CALL_ONLY = {"search": "lines `NAME in values` of the body"}
"""Arguments of `train` that are no option of the cell, and what says it there."""

PUBLISHED = {"task_name": "name", "envs": "env"}
"""Options that `quick_train` has under another name, as published."""

REQUEST = {
    "algorithm_fullname": "published objects only: code of another user by its full name",
    "raw_arguments": "a line `-- words` of the body",
    "quota_group": "quota_group_name",
    "quota_request": "quota_group_request",
    "task_name": "name",
    "working_dir": "where the cell runs",
    "code_cell": "code",
    "polling_s": "resource_polling",
    "uploader": "resource_uploader",
    "timeout_s": "timeout",
    "retries": "retry",
    "secrets": "secret",
    "notebook": "an ENTRY that is a notebook",
}
"""Fields of a request whose option has another name, or is none."""

PYTHON = {
    "anylearn_train": "anylearn_jupyter.train",
    "anylearn_form": "anylearn_jupyter.form",
    "anylearn_resume": "anylearn_jupyter.resume_unfinished_local_train_tasks",
    "anylearn_tasks": "anylearn_jupyter.recent_tasks",
    "anylearn_logs": "anylearn_jupyter.TrainTask.logs",
    "anylearn_stop": "anylearn_jupyter.TrainTask.stop",
    "anylearn_retry": "anylearn_jupyter.TrainTask.retry",
    "anylearn_show": "anylearn_jupyter.TrainTask.compare",
    "anylearn_results": "anylearn_jupyter.TrainTask.results",
    "anylearn_resources": "anylearn_jupyter.capacity",
    "anylearn_config": "anylearn_jupyter.config.SavedDefaults",
    "anylearn_login": "anylearn_jupyter.connect",
    "anylearn_logout": "anylearn_jupyter.disconnect",
}
"""The one call that means the same."""


def test_the_cell_and_the_call_have_the_same_options() -> None:
    arguments = set(inspect.signature(train).parameters)
    assert arguments - set(CALL_ONLY) == set(OPTIONS) - NOT_HERE


def test_every_published_option_is_an_option_of_the_cell_and_the_call() -> None:
    for name in set(inspect.signature(quick_train).parameters) - {"renamed"}:
        assert f"--{name.replace('_', '-')}" in option_strings(TRAIN)
        assert PUBLISHED.get(name, name) in inspect.signature(train).parameters


def test_the_form_has_every_option_of_the_cell() -> None:
    group = [dest for dests in folded(TRAIN).values() for dest in dests]
    assert sorted([*LABELS, *PICKED, *OWN_BUTTONS, *group]) == sorted(OPTIONS)


def test_every_option_is_in_the_docs_told_and_listed() -> None:
    for page in ("magics", "reference"):
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        for string in option_strings(TRAIN):
            assert re.search(rf"(?<![\w-]){re.escape(string)}(?![\w-])", text), (page, string)


def test_every_field_of_a_request_has_its_option() -> None:
    for field in fields(TrainRequest):
        said = REQUEST.get(field.name, field.name)
        assert said in OPTIONS or " " in said, f"no option says {field.name}"
    assert all(name.isidentifier() for name in REQUEST)


@pytest.mark.parametrize("name", MAGICS)
def test_every_magic_has_its_call_in_python(name: str) -> None:
    module, _, path = PYTHON[name].partition(".")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    assert callable(found)


@pytest.mark.parametrize("name", MAGICS)
def test_every_option_explains_itself(name: str) -> None:
    magic = getattr(AnylearnMagics, name)
    parser = parser_of(magic)
    assert parser.description
    for action in parser._actions:
        assert action.help, f"{action.dest} of %{name}"
        assert str(action.help)[0].islower(), "help goes on from the option's name"
        for string in action.option_strings:
            assert string in magic.__doc__, f"%{name}? does not show {string}"


def test_the_reference_is_what_the_declarations_say() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "reference.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_reference_has_every_option_and_error() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    for name in MAGICS:
        (section,) = re.findall(rf"^## %+{name}\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
        for string in option_strings(parser_of(getattr(AnylearnMagics, name))):
            assert f"`{string}" in section
    assert "`TaskFailed` (AnylearnError)" in text
