"""Metrics from a training script: one file of the standard library, which may be copied.

Where an environment has no anylearn-jupyter, copy this file beside the script and write
``from tracking import report``. A report is one line of the script's standard output, beginning
with ``[anylearn-metric] ``: every server carries it in the log, and every view hides it.

Inside a task the published calls also go to the server (HTTP API, section 9.6), in a thread of
their own and never for longer than a few seconds: a server that does not answer costs a training
nothing.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

METRIC_MARK = "[anylearn-metric] "
"""What a report's line begins with."""

_TASK_ID, _SECRET_KEY, _HOST = "task_id", "secret_key", "ANYLEARN_HOST"  # HTTP API, section 12
_POST_TIMEOUT_S = 5.0
_LAST_REPORTS_S = 10.0


def report(step: float | None = None, **values: float) -> None:
    """Report named numbers, which views draw as a curve each.

    Parameters
    ----------
    step : float, optional
        Where on the horizontal axis: an epoch, a batch. None: the points are numbered.
    **values : float
        Name and value; anything that `float` takes, such as a tensor of one element.

    Raises
    ------
    TypeError, ValueError
        A value is no number.

    Examples
    --------
    >>> report(step=1, loss=0.5)
    [anylearn-metric] {"step": 1, "loss": 0.5}
    """
    content: dict[str, Any] = {} if step is None else {"step": _number("step", step)}
    content.update((name, _number(name, value)) for name, value in values.items())
    _write(content)


def report_intermediate_metric(metric: float) -> None:
    """Report the metric that a training is judged by, while it runs: the published name.

    Raises
    ------
    TypeError, ValueError
        It is no number.
    """
    value = _number("metric", metric)
    _write({"intermediate": value})
    _sender.send("intermediate_metric", value)


def report_final_metric(metric: float) -> None:
    """Report the metric that a training ended with: the published name.

    Raises
    ------
    TypeError, ValueError
        It is no number.
    """
    value = _number("metric", metric)
    _write({"final": value})
    _sender.send("final_metric", value)


def _number(name: str, value: Any) -> float:
    """Take a number as it is, and the number out of a tensor or an array of one element."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"report: {name}={value!r:.80} is no number") from error


def _write(content: dict[str, Any]) -> None:
    """Write one line, whole, between what else the script prints."""
    sys.stdout.write(f"{METRIC_MARK}{json.dumps(content)}\n")
    sys.stdout.flush()


class _Sender:
    """Sends the published calls of this process in order, in a thread that starts with the first.

    Outside of a task, or where no server is named, it does nothing.
    """

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[str, float] | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._told = False

    def send(self, call: str, value: float) -> None:
        if self._address() is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="anylearn-tracking", daemon=True
            )
            self._thread.start()
            atexit.register(self._end)
        self._waiting.put((call, value))

    def _address(self) -> str | None:
        if not all(os.environ.get(name) for name in (_TASK_ID, _SECRET_KEY, _HOST)):
            return None
        return os.environ[_HOST].rstrip("/")

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            self._post(*waiting)

    def _post(self, call: str, value: float) -> None:
        form = urllib.parse.urlencode({"id": os.environ[_TASK_ID], "metric": repr(value)})
        request = urllib.request.Request(
            f"{self._address()}/api/train_task/{call}",
            data=form.encode(),
            headers={"Secret-Key": os.environ[_SECRET_KEY]},
            method="POST",
        )
        try:
            with _opener().open(request, timeout=_POST_TIMEOUT_S) as answer:
                answer.read()
        except (OSError, urllib.error.URLError, ValueError) as error:
            self._say_once(error)

    def _say_once(self, error: Exception) -> None:
        """Say that reports do not arrive; they are in the log all the same."""
        if not self._told:
            self._told = True
            reason = getattr(error, "reason", None) or error
            sys.stderr.write(f"anylearn: a metric did not reach the server ({reason})\n")

    def _end(self) -> None:
        """Give the last reports a moment before the script ends."""
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(_LAST_REPORTS_S)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the task's key is for one server."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    """Make an opener that asks this machine's own server directly, whatever the proxy is."""
    host = urllib.parse.urlsplit(os.environ.get(_HOST, "")).hostname
    direct = [urllib.request.ProxyHandler({})] if host in ("127.0.0.1", "localhost", "::1") else []
    return urllib.request.build_opener(_NoRedirect(), *direct)


def _after_fork() -> None:
    """Let a child begin with a thread of its own: the parent's does not live in it."""
    global _sender  # the one value of this module that a fork has to replace
    _sender = _Sender()


_sender = _Sender()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
