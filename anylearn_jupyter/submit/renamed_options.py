"""The names that releases from 0.17 on gave to options of `quick_train`, read as the older ones."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from anylearn_jupyter.errors import OptionError

RENAMED = {
    "algorithm_cloud_name": "algorithm_fullname",
    "algorithm_local_dir": "algorithm_dir",
    "algorithm_entrypoint": "entrypoint",
    "algorithm_output": "output",
    "algorithm_hyperparams": "hyperparams",
    "algorithm_hyperparams_prefix": "hyperparams_prefix",
    "algorithm_hyperparams_delimeter": "hyperparams_delimeter",
    "algorithm_envs": "envs",
    "image_name": "mirror_name",
    "dataset_cloud_names": "dataset_cloud_names",
    "model_cloud_names": "model_cloud_names",
    "_uploader": "resource_uploader",
    "_polling": "resource_polling",
}
"""Newer name to the name that is used here."""


def with_renamed(
    given: Mapping[str, Any], renamed: Mapping[str, Any], function: Callable[..., Any]
) -> dict[str, Any]:
    """Put options of newer names beside those of the older ones.

    Parameters
    ----------
    given : Mapping
        Every option of the function, with its value.
    renamed : Mapping
        What else the caller gave.

    Returns
    -------
    dict
        Every option by the name that is used here.

    Raises
    ------
    OptionError
        An option that does not exist (with one that is near), or both names of one.
    """
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
    }
    options = {"algorithm_fullname": None, **given}
    for name, value in renamed.items():
        if name not in RENAMED:
            near = difflib.get_close_matches(name, [*given, *RENAMED], n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise OptionError(f"quick_train has no option {name}{hint}")
        if value is None:
            continue
        ours = RENAMED[name]
        if ours in given and given[ours] not in (None, defaults[ours], value):
            raise OptionError(f"{name} and {ours} are two names of one option; leave one out.")
        options[ours] = value
    return options
