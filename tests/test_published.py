"""The published names: importable, lazily, and `quick_train`'s options as the spec lists them."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import anylearn_jupyter
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.published import quick_train


def test_every_public_name_is_there_and_in_dir() -> None:
    for name in anylearn_jupyter.__all__:
        assert getattr(anylearn_jupyter, name) is not None
        assert name in dir(anylearn_jupyter)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = anylearn_jupyter.nonsense


def test_the_lazy_names_are_those_that_a_type_checker_sees() -> None:
    code = "import sys, anylearn_jupyter; print('requests' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
    assert set(anylearn_jupyter._HOMES) < set(anylearn_jupyter.__all__)


def test_quick_train_has_the_published_options_and_defaults() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(quick_train).parameters.items()
    }
    renamed = defaults.pop("renamed")
    assert renamed is inspect.Parameter.empty
    # Of the quick_train spec. Its `hyperparams` is {}, which is None here so that nobody changes
    # it; `task_name` and `envs` are newer than that.
    assert defaults == {
        "algorithm_id": None, "algorithm_name": None, "algorithm_dir": None,
        "algorithm_git_ref": None, "algorithm_force_update": False,
        "dataset_hyperparam_name": "dataset", "dataset_id": None, "dataset_dir": None,
        "dataset_archive": None, "model_hyperparam_name": "model", "model_id": None,
        "model_dir": None, "model_archive": None, "pretrain_hyperparam_name": "pretrain",
        "pretrain_task_id": None, "project_id": None, "project_name": None, "entrypoint": None,
        "output": None, "mirror_name": "QUICKSTART", "resource_uploader": None,
        "resource_polling": 5, "hyperparams": None, "hyperparams_prefix": "--",
        "hyperparams_delimeter": " ", "resource_request": None, "quota_group_name": None,
        "quota_group_request": None, "task_name": None, "task_description": None, "envs": None,
        "num_nodes": 1, "nproc_per_node": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algorithm_dir": "missing"}, "algorithm_dir='missing' does not exist"),
        ({"algorithm_dir": __file__}, "is no directory"),
        ({}, "Neither algorithm_dir nor algorithm_id"),
        ({"algorithm_dir": ".", "hyperparams": [1]}, "hyperparams is a list"),
        ({"algorithm_dir": ".", "hyperparams": {"a b": 1}}, "the name 'a b'"),
        ({"algorithm_dir": ".", "envs": {"1x": "y"}}, "variable '1x'"),
        ({"algorithm_dir": ".", "envs": {"x": 1}}, "variable x is a int"),
        ({"algorithm_dir": ".", "resource_polling": 0}, "resource_polling=0"),
        ({"algorithm_dir": ".", "entrypoint": 5}, "entrypoint=5"),
        ({"algorithm_dir": ".", "dataset_id": [1]}, "dataset_id has 1"),
        ({"algorithm_dir": ".", "dataset_id": "D", "dataset_hyperparam_name": "-x"}, "'-x' cannot"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        quick_train(**options)
    assert words in str(caught.value)


def test_the_callers_own_objects_are_neither_kept_nor_changed(tmp_path: Path) -> None:
    from anylearn_jupyter.submit.published import checked_hyperparams

    given: dict[str, Any] = {"lr": 0.1, "sizes": [1, 2]}
    taken = checked_hyperparams(given)
    given["sizes"].append(3)
    given["late"] = 1
    assert taken == (("lr", 0.1), ("sizes", [1, 2]))
