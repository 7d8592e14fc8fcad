"""``%anylearn_login`` and ``%anylearn_logout``: a session with a server, asked for at the keyboard.

The password is asked for with the echo off, used once, and kept nowhere. There is no option for it,
since the source of a cell is saved.
"""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from anylearn_jupyter.client import credentials
from anylearn_jupyter.client.addresses import checked_address
from anylearn_jupyter.client.connection import (
    check_reachable,
    chosen_server,
    connect,
    disconnect,
)
from anylearn_jupyter.config import (
    LOCAL,
    Settings,
    normal_host,
    save_default_host,
    saved_default_host,
)
from anylearn_jupyter.errors import ConfigError, OptionError
from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook.headless import is_headless
from anylearn_jupyter.notebook.printing import say
from anylearn_jupyter.submit.choices import learn_choices

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_NO_KEYBOARD = (
    "There is no keyboard here to ask for a name and a password; set ANYLEARN_HOST and "
    "ANYLEARN_AUTH_TOKEN, or call init_sdk(host, username, password)."
)


def log_in(shell: InteractiveShell, host: str | None, *, configured_server: str = "") -> None:
    """Ask for a name and a password, open a session, and ask whether it shall be the default.

    Raises
    ------
    LoginRequired
        The server refuses them.
    ServerUnreachable
        It does not answer, which is found out before anything is asked.
    ConfigError
        Nobody can be asked.
    """
    server = current_server(host, configured_server)
    if server == LOCAL:
        raise OptionError(
            "The engine on this machine needs no login; name a server, as in "
            "`%anylearn_login https://anylearn.example.org`."
        )
    checked_address(server)
    if getattr(shell, "kernel", None) is not None and is_headless(shell):
        raise ConfigError(_NO_KEYBOARD)
    check_reachable(server)
    username = _ask(f"Name at {server}: ")
    if not username:
        raise OptionError("No name was given, so nothing was done.")
    connection = connect(server, username=username, password=_ask_secret("Password: "))
    say(f"Logged in to {server} as {connection.username}; it is this kernel's server now.")
    learn_choices(connection)
    if saved_default_host(Home()) == server:
        return
    answer = _ask(f"Make {server} the default for new kernels, too? [y/N] ")
    if answer.lower() in ("y", "yes"):
        save_default_host(Home(), server)
        say("It is the default now; `%anylearn_logout` forgets that, too.")


def log_out(host: str | None, *, configured_server: str = "") -> None:
    """Forget the session with a server, and that it is the default."""
    server = current_server(host, configured_server)
    if server == LOCAL:
        say("The engine on this machine has no login.")
        return
    home = Home()
    known = credentials.forget(home, server)
    if saved_default_host(home) == server:
        save_default_host(home, None)
    if chosen_server() == server:
        disconnect()
    said = f"The session with {server} is forgotten" if known else f"There was no login to {server}"
    say(f"{said}; new cells go to {current_server(None, configured_server)}.")


def show_status(host: str | None, *, configured_server: str = "") -> None:
    """Say which server a cell would use, and as whom; no token is shown and nobody is asked."""
    server = current_server(host, configured_server)
    if server == LOCAL:
        say("Cells train on this machine (local), in the embedded engine; it needs no login.")
        return
    login = credentials.load(Home(), server)
    if login is not None:
        say(f"Cells go to {server}, as {login.username}.")
    elif Settings.read().auth_token is not None and Settings.read().host == server:
        say(f"Cells go to {server}, with the session in ANYLEARN_AUTH_TOKEN.")
    else:
        say(f"Cells go to {server}, and there is no login to it: run `%anylearn_login {server}`.")


def current_server(host: str | None, configured_server: str) -> str:
    """Name the server that is meant: the given one, else the one that a cell would use."""
    if host is not None:
        return normal_host(host)
    chosen = chosen_server()
    if chosen is not None:
        return chosen
    return normal_host(configured_server) if configured_server else Settings.read().host


def _ask(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except (EOFError, RuntimeError, NotImplementedError) as error:
        raise ConfigError(_NO_KEYBOARD) from error


def _ask_secret(prompt: str) -> str:
    try:
        return getpass.getpass(prompt)
    except (EOFError, RuntimeError, NotImplementedError) as error:
        raise ConfigError(_NO_KEYBOARD) from error
