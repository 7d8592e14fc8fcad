"""Every error that this package raises on purpose.

The tree, by who can act on it::

    AnylearnError
      OptionError            the caller's options: which one, its value, what is allowed
      ConfigError            settings missing, unreadable or contradictory
        LoginRequired        no login for that server, or it was refused
      SnapshotError          the code directory cannot be captured
      DataError              a dataset directory cannot be read, or changed while it was read
      ServerError            the server answered, and the answer is no
        NotFound             there is no such thing (the only error that means absent)
        Denied               this user may not
        Conflict             it contradicts what the server has
        UnexpectedAnswer     not an answer that an Anylearn server gives
      ServerUnreachable      no answer: it may or may not have been carried out
      TaskFailed             the training ended, and not well
      WaitEnded              the time that the caller allowed is up; the task goes on
      EngineError            the embedded engine: cannot start, does not answer, is not ours

An interrupt (■, Ctrl-C) becomes `Interrupted`, which is a KeyboardInterrupt and none of these.

A message is one sentence that names the input and the way out. Every error here is an ordinary
exception: it can be caught by class, and uncaught it stops Run All. In IPython the traceback of
these errors is left out (``_render_traceback_``), as it would describe our code, not the mistake.
"""

from __future__ import annotations


class AnylearnError(Exception):
    """The root of every expected error of this package."""

    def __str__(self) -> str:
        """Return the sentence that was given."""
        return str(self.args[0]) if self.args else type(self).__name__

    def _render_traceback_(self) -> list[str]:
        """Give IPython the short text that a cell shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class OptionError(AnylearnError):
    """An option, a body line or an argument that cannot be used; nothing has been sent."""


class ConfigError(AnylearnError):
    """A setting that is missing, unreadable or contradictory; nothing has been sent."""


class LoginRequired(ConfigError):
    """The server wants a login that is not there, is wrong or has ended."""


class SnapshotError(AnylearnError):
    """The code directory cannot be captured as it is; nothing has been sent."""


class DataError(AnylearnError):
    """A dataset directory cannot be read, or changed while it was being read."""


class ServerError(AnylearnError):
    """The server answered, and the answer is no.

    Parameters
    ----------
    message : str
        The sentence to show.
    status : int, optional
        The HTTP status; None where the answer was unusable whatever its status.

    Notes
    -----
    Source: HTTP API, section 1 "Transport", errors.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message, status)
        self.status = status


class NotFound(ServerError):
    """There is no such thing on the server. No other error means absent."""


class Denied(ServerError):
    """The server knows this user, who may not do that."""


class Conflict(ServerError):
    """The request contradicts what the server has."""


class UnexpectedAnswer(ServerError):
    """An answer that no Anylearn server gives: a proxy's login page, a wrong type, too much."""


class ServerUnreachable(AnylearnError):
    """No usable answer within the time allowed.

    Parameters
    ----------
    message : str
        The sentence to show.
    may_have_happened : bool, default False
        True when the request may have reached the server, so that its outcome is unknown.
    """

    def __init__(self, message: str, may_have_happened: bool = False) -> None:
        super().__init__(message, may_have_happened)
        self.may_have_happened = may_have_happened


class TaskFailed(AnylearnError):
    """The training ended in another way than success.

    Parameters
    ----------
    message : str
        The sentence to show; it ends with the last lines of the log.
    task_id : str
        Which task.
    exit_code : int, optional
        What the process returned; None where it was ended by a signal, or where nobody knows.
    """

    def __init__(self, message: str, task_id: str = "", exit_code: int | None = None) -> None:
        super().__init__(message, task_id, exit_code)
        self.task_id = task_id
        self.exit_code = exit_code


class WaitEnded(AnylearnError, TimeoutError):
    """The time that the caller allowed for waiting is up; the task goes on."""


class EngineError(AnylearnError):
    """The embedded engine cannot start, does not answer, or is not this user's."""


class Interrupted(KeyboardInterrupt):
    """The user interrupted a call of ours; the message says what goes on without it.

    No AnylearnError: who catches these means to go on after a failure, not after an interrupt.
    """

    def _render_traceback_(self) -> list[str]:
        """Give IPython the sentence instead of where in our code the interrupt came."""
        return [f"{type(self).__name__}: {self}"]
