"""Asking for the value of a secret that the kernel's environment does not have."""

from __future__ import annotations

import getpass
from collections.abc import Iterable

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.secrets import enter_secret, missing_secrets


def ask_for_secrets(names: Iterable[str]) -> None:
    """Ask for each value that is not here, with the echo off; it is kept in this kernel alone.

    Raises
    ------
    OptionError
        Nobody can be asked, or nothing was entered.
    """
    for name in missing_secrets(names):
        try:
            value = getpass.getpass(f"Value of the secret {name} (kept in this kernel only): ")
        except (EOFError, RuntimeError, NotImplementedError) as error:
            raise OptionError(
                f"--secret {name}: there is no variable {name} in this kernel's environment, and "
                "no keyboard to ask for it; set it where the kernel is started."
            ) from error
        if not value:
            raise OptionError(f"--secret {name}: nothing was entered, so nothing was sent.")
        enter_secret(name, value)
