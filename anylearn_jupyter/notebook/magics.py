"""The magics: from a line or a cell to its options, one call, and what is shown.

This module is light: what needs more than the standard library and IPython is imported when a
magic is first used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument
from traitlets import TraitError, Unicode, validate

from anylearn_jupyter.errors import ConfigError, OptionError
from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.guard import said
from anylearn_jupyter.notebook.options import TRAIN_ARGUMENTS, declared, parser_of

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from anylearn_jupyter.submit.sweep import Sweep
    from anylearn_jupyter.submit.task import TrainTask

F = TypeVar("F", bound=Callable[..., object])

_ID_HELP = "an id or its unique beginning, a name, last, or a variable that holds a task"


def _line(function: F) -> F:
    """Register a method as ``%name``; IPython's decorator hides its type."""
    line_magic(function)
    return said(function)


def _line_or_cell(function: F) -> F:
    """Register a method as both ``%name`` and ``%%name``."""
    line_cell_magic(function)
    return said(function)


@magics_class
class AnylearnMagics(Magics):
    """Train models from this notebook, and come back to them."""

    server = Unicode(
        "",
        help="The server that cells go to: an address with https://, or local for the engine on "
        "this machine. Empty: ANYLEARN_HOST, the saved default, local.",
    ).tag(config=True)

    @validate("server")
    def _check_server(self, proposal: dict[str, Any]) -> str:
        from anylearn_jupyter.config import normal_host

        server = str(proposal["value"]).strip()
        try:
            return normal_host(server) if server else ""
        except ConfigError as error:
            raise TraitError(str(error)) from error

    @property
    def _running(self) -> InteractiveShell:
        if self.shell is None:
            raise OptionError("These magics belong to no IPython shell; load the extension in one.")
        return self.shell

    @no_var_expand
    @declared(*TRAIN_ARGUMENTS)
    @_line_or_cell
    def anylearn_train(self, line: str, cell: str | None = None) -> TrainTask | Sweep | None:
        """Train a script: each line below is one of its hyperparameters.

        ::

            %%anylearn_train train.py -d data=./images -o task
            epochs = 15
            lr = 1e-3

        runs `python train.py --data <where the images are> --epochs 15 --lr 1e-3` on the server, or
        on this machine where none is named. The directory travels as it is and is not changed.
        With one % it returns the task; `-o VAR` keeps it in a variable.
        """
        given = parse_line(parser_of(self.anylearn_train), line, body=True)
        from anylearn_jupyter.notebook.running import train

        task = train(self._running, given, cell or "", configured_server=self.server)
        return task if cell is None else None

    @no_var_expand
    @declared(
        argument("entry", nargs="?", metavar="ENTRY", help="the script; default: none yet"),
    )
    @_line
    def anylearn_form(self, line: str) -> None:
        """Fill in a training cell in a form: what the script takes, what the server has free.

        Its button submits; the cell that does the same stands below, to copy.
        `%%anylearn_train --form` opens a cell that is begun already.
        """
        given = parse_line(parser_of(self.anylearn_form), line)
        from anylearn_jupyter.notebook.forms import show_form

        cell = parse_line(parser_of(self.anylearn_train), "")
        cell.entry = [given.entry] if given.entry else []
        show_form(self._running, cell, configured_server=self.server)

    @no_var_expand
    @declared(
        argument("ids", nargs="*", metavar="ID", help=f"which tasks, finished or not: {_ID_HELP}"),
        argument(
            "--all", action="store_true", help="every unfinished task, not only this directory's"
        ),
        argument("-o", "--out", metavar="VAR", help="keep the tasks in this variable, as a list"),
    )
    @_line
    def anylearn_resume(self, line: str) -> None:
        """Show tasks again, live: by default every unfinished one of this directory."""
        given = parse_line(parser_of(self.anylearn_resume), line)
        from anylearn_jupyter.notebook.resuming import resume
        from anylearn_jupyter.notebook.training import check_variable

        variable = check_variable(given.out)
        resume(self._running, given.ids, everything=given.all, variable=variable)

    @no_var_expand
    @declared(
        argument("--all", action="store_true", help="all of them; default: the newest 20"),
        argument("--here", action="store_true", help="only those of this directory"),
        argument("--unfinished", action="store_true", help="only those that have not ended"),
    )
    @_line
    def anylearn_tasks(self, line: str) -> None:
        """List the tasks that were submitted from this machine, newest first; a sweep is a row."""
        given = parse_line(parser_of(self.anylearn_tasks), line)
        from anylearn_jupyter.notebook.task_list import list_tasks

        list_tasks(
            self._running, everything=given.all, here=given.here, unfinished=given.unfinished
        )

    @no_var_expand
    @declared(
        argument("id", metavar="ID", help=_ID_HELP),
        argument("--tail", metavar="N", help="only the last N lines"),
        argument("--grep", metavar="RE", help="only lines that this regular expression fits"),
        argument("--follow", action="store_true", help="go on until the task ends"),
    )
    @_line
    def anylearn_logs(self, line: str) -> None:
        """Print a task's log."""
        given = parse_line(parser_of(self.anylearn_logs), line)
        from anylearn_jupyter.notebook.companions import print_log

        print_log(self._running, given.id, tail=given.tail, pattern=given.grep, follow=given.follow)

    @no_var_expand
    @declared(
        argument("ids", nargs="+", metavar="ID", help=_ID_HELP),
    )
    @_line
    def anylearn_stop(self, line: str) -> None:
        """Stop tasks or whole sweeps; what they wrote so far stays."""
        given = parse_line(parser_of(self.anylearn_stop), line)
        from anylearn_jupyter.notebook.companions import stop

        stop(self._running, given.ids)

    @no_var_expand
    @declared(
        argument("id", metavar="ID", help=_ID_HELP),
        argument(
            "--set",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="another value for a hyperparameter, as in a training cell; null for none",
        ),
        argument(
            "--exact",
            action="store_true",
            help="with the code, data and values of then; default: what is there now",
        ),
        argument("-o", "--out", metavar="VAR", help="keep the new task in this variable"),
    )
    @_line
    def anylearn_retry(self, line: str) -> None:
        """Submit a task again and show it: with other values, or exactly as it was."""
        given = parse_line(parser_of(self.anylearn_retry), line)
        from anylearn_jupyter.notebook.retrying import retry
        from anylearn_jupyter.notebook.training import check_variable

        variable = check_variable(given.out)
        retry(self._running, given.id, settings=given.set, exact=given.exact, variable=variable)

    @no_var_expand
    @declared(
        argument("ids", nargs="+", metavar="ID", help=f"one task, or two to compare: {_ID_HELP}"),
    )
    @_line
    def anylearn_show(self, line: str) -> None:
        """Show the record of a task; of two, exactly what differs."""
        given = parse_line(parser_of(self.anylearn_show), line)
        from anylearn_jupyter.notebook.record_view import show

        show(self._running, given.ids)

    @no_var_expand
    @declared(
        argument("id", metavar="ID", help=_ID_HELP),
        argument(
            "pattern", nargs="?", metavar="GLOB", help="which files, such as *.pt; default: all"
        ),
        argument(
            "--to",
            metavar="DIR",
            help="where they go; default: our own directory, by the task's id",
        ),
        argument(
            "--no-wait",
            action="store_true",
            help="fetch what is there now; default: wait for the end",
        ),
    )
    @_line
    def anylearn_results(self, line: str) -> Path:
        """Fetch what a task wrote, once it has succeeded; returns the folder."""
        given = parse_line(parser_of(self.anylearn_results), line)
        from anylearn_jupyter.notebook.companions import results

        return results(self._running, given.id, given.pattern, to=given.to, wait=not given.no_wait)

    @no_var_expand
    @declared(
        argument(
            "host",
            nargs="?",
            metavar="HOST",
            help="an address, or local; default: the server that cells go to",
        ),
    )
    @_line
    def anylearn_resources(self, line: str) -> None:
        """Show a server's groups of resources: what is free now, and how many tasks wait.

        Their names are what `-r` of `%%anylearn_train` takes, as in `-r CPU=2`.
        """
        given = parse_line(parser_of(self.anylearn_resources), line)
        from anylearn_jupyter.notebook.resources_view import show_resources

        show_resources(self._running, given.host, configured_server=self.server)

    @no_var_expand
    @declared(
        argument(
            "settings",
            nargs="*",
            metavar="NAME=VALUE",
            help="server, project, resources or block; NAME= forgets it. Default: show them",
        ),
    )
    @_line
    def anylearn_config(self, line: str) -> None:
        """Show or change the defaults that are kept for all your notebooks; no secret is one.

        ::

            %anylearn_config project=digits "resources=CPU=2 Memory=8" block=yes

        A cell's own options win. They stand in your own directory, not in the project's.
        """
        given = parse_line(parser_of(self.anylearn_config), line)
        from anylearn_jupyter.notebook.saved_defaults import configure

        configure(self._running, given.settings, configured_server=self.server)

    @no_var_expand
    @declared(
        argument("host", nargs="?", metavar="HOST", help="an address with https://"),
        argument(
            "--status", action="store_true", help="only say which server cells go to, as whom"
        ),
    )
    @_line
    def anylearn_login(self, line: str) -> None:
        """Log in to a server: asks for the name and the password, which is never kept."""
        given = parse_line(parser_of(self.anylearn_login), line)
        from anylearn_jupyter.notebook import login

        if given.status:
            login.show_status(given.host, configured_server=self.server)
        else:
            login.log_in(self._running, given.host, configured_server=self.server)

    @no_var_expand
    @declared(
        argument("host", nargs="?", metavar="HOST", help="an address; default: the one in use"),
        argument(
            "--status", action="store_true", help="only say which server cells go to, as whom"
        ),
    )
    @_line
    def anylearn_logout(self, line: str) -> None:
        """Forget the session with a server, and that it is the default."""
        given = parse_line(parser_of(self.anylearn_logout), line)
        from anylearn_jupyter.notebook import login

        if given.status:
            login.show_status(given.host, configured_server=self.server)
        else:
            login.log_out(given.host, configured_server=self.server)
