"""The command `anylearn-engine`: start, look at and end the embedded engine, and add users."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from anylearn_jupyter._version import __version__
from anylearn_jupyter.errors import AnylearnError, EngineError
from anylearn_jupyter.home import Home

if TYPE_CHECKING:
    from anylearn_jupyter.engine.database import Database

_FOLLOW_S = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 0, 1 for a failure, 2 for a wrong command."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(Home(), options))
    except AnylearnError as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain about it once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _start(home: Home, options: argparse.Namespace) -> int:
    from anylearn_jupyter.engine import control

    endpoint, is_new = control.start(
        home, idle_minutes=options.idle_minutes, plain_gateway=options.plain_gateway
    )
    words = "engine runs" if is_new else "engine runs already"
    print(f"{words} at {endpoint.address} (process {endpoint.pid})")
    return 0


def _serve(home: Home, options: argparse.Namespace) -> int:
    from anylearn_jupyter.engine.lifecycle import serve
    from anylearn_jupyter.engine.plain_gateway import VARIABLE

    serve(
        home,
        idle_minutes=_idle_minutes(options.idle_minutes),
        plain_gateway=options.plain_gateway or os.environ.get(VARIABLE) == "1",
    )
    return 0


def _status(home: Home, options: argparse.Namespace) -> int:
    from anylearn_jupyter.engine import control

    try:
        running = control.Control(home)
    except control.NotRunning:
        if options.json:
            print(json.dumps({"running": False}))
            return 1
        raise
    try:
        status = running.ask("GET", "/api/engine/status")
    finally:
        running.close()
    if options.json:
        print(json.dumps({"running": True, **status}))
        return 0
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status["started_ms"] / 1000))
    tasks = ", ".join(f"{count} {phase}" for phase, count in sorted(status["tasks"].items()))
    rows: dict[str, Any] = {
        "address": status["address"],
        "pid": status["pid"],
        "version": status["version"],
        "home": status["home"],
        "started": started,
        "tasks": tasks or "none",
    }
    for name, value in rows.items():
        print(f"{name:8} {value}")
    return 0


def _stop(home: Home, options: argparse.Namespace) -> int:
    from anylearn_jupyter.engine import control

    print(control.stop(home, tasks=options.tasks))
    return 0


def _logs(home: Home, options: argparse.Namespace) -> int:
    from anylearn_jupyter.engine.engine_log import last_lines

    if not home.engine_log.exists():
        raise EngineError(f"There is no log yet: no engine has run for {home.root}.")
    place = home.engine_log.stat()
    for line in last_lines(home.engine_log, options.lines):
        print(line)
    position = place.st_size
    while options.follow:
        sys.stdout.flush()
        time.sleep(_FOLLOW_S)
        now = home.engine_log.stat()
        if now.st_ino != place.st_ino or now.st_size < position:
            place, position = now, 0  # it was renamed, and this is the new one
        with home.engine_log.open("rb") as file:
            file.seek(position)
            data = file.read()
        position += len(data)
        sys.stdout.write(data.decode("utf-8", "replace"))
    return 0


def _user_add(home: Home, options: argparse.Namespace) -> int:
    from anylearn_jupyter.engine.users import add_user

    password = sys.stdin.readline().rstrip("\r\n")
    with _users_of(home) as database:
        is_new = add_user(database, options.name, password, replace=options.replace)
    print(f"user {options.name} {'added' if is_new else 'has a new password'}")
    return 0


def _user_list(home: Home, _options: argparse.Namespace) -> int:
    from anylearn_jupyter.engine.users import user_names

    with _users_of(home) as database:
        for name, can_log_in in user_names(database):
            print(name if can_log_in else f"{name} (no password)")
    return 0


@contextmanager
def _users_of(home: Home) -> Iterator[Database]:
    """Open the store beside the engine that may run, with the local user in it."""
    from anylearn_jupyter.engine.database import Database
    from anylearn_jupyter.engine.users import Users
    from anylearn_jupyter.home import engine_token

    os.umask(0o077)
    token = engine_token(home)
    database = Database(home.engine / "store.sqlite3")
    try:
        Users(database, token)
        yield database
    finally:
        database.close()


def _idle_minutes(given: float | None) -> float:
    from anylearn_jupyter.engine.lifecycle import DEFAULT_IDLE_MINUTES

    if given is not None:
        return given
    text = os.environ.get("ANYLEARN_ENGINE_IDLE_MINUTES", "")
    try:
        return float(text) if text else DEFAULT_IDLE_MINUTES
    except ValueError as error:
        raise EngineError(
            f"ANYLEARN_ENGINE_IDLE_MINUTES is {text!r}; it is a number of minutes."
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anylearn-engine",
        description="The embedded engine: it runs trainings on this machine, for notebooks of "
        "this user. ANYLEARN_HOME moves everything that it keeps.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    for name, run, text in (
        ("start", _start, "Start the engine in the background, unless it runs."),
        ("serve", _serve, "Be the engine, in the foreground."),
    ):
        one = command(name, run, text)
        one.add_argument(
            "--idle-minutes",
            type=float,
            metavar="N",
            help="end after so many minutes without need (default: 60)",
        )
        one.add_argument(
            "--plain-gateway",
            action="store_true",
            help="for testing clients: nothing beyond the published API, with its quirks",
        )
    command("status", _status, "Show whether and where the engine runs.").add_argument(
        "--json", action="store_true", help="as one JSON object"
    )
    command("stop", _stop, "End the engine; its tasks go on.").add_argument(
        "--tasks", action="store_true", help="stop the tasks too, and wait for that"
    )
    logs = command("logs", _logs, "Show the engine's own log.")
    logs.add_argument("-n", dest="lines", type=int, default=50, metavar="N", help="last N lines")
    logs.add_argument("--follow", action="store_true", help="go on with what comes")
    user = commands.add_parser("user", help="Users that log in with a name and a password.")
    verbs = user.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add = verbs.add_parser("add", help="Add a user.")
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "--password-stdin",
        action="store_true",
        required=True,
        help="read the password from the first line of standard input",
    )
    add.add_argument("--replace", action="store_true", help="replace a password that is there")
    add.set_defaults(run=_user_add)
    verbs.add_parser("list", help="List the users.").set_defaults(run=_user_list)
    return parser


if __name__ == "__main__":
    sys.exit(main())
