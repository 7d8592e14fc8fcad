"""A training that was submitted: its state, log, metrics and results, and stopping it.

A `TrainTask` holds no connection. It knows its server by name and asks for a live connection each
time, so that an engine which was started again on another port is found.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.api.tasks import LOG_START
from anylearn_jupyter.client.connection import Connection, current_connection
from anylearn_jupyter.client.download import download_resource
from anylearn_jupyter.client.follow import START, Cursor, Event, follow
from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.entities import Exit, TaskDetail, TaskPhase, TaskState
from anylearn_jupyter.errors import NotFound, ServerUnreachable, TaskFailed, WaitEnded
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.facts import Facts
from anylearn_jupyter.submit.globs import Glob
from anylearn_jupyter.submit.ledger import Ledger, TaskRecord
from anylearn_jupyter.submit.metric_lines import METRIC_MARK, MetricPoint, MetricReader
from anylearn_jupyter.submit.outcome import outcome_text

_TAIL_BYTES = 65_536
_PAGE_LINES = 1_000
_PLATFORM_LINE = "[Anylearn]"
_SHOWN_LINES = 15
_NEVER = threading.Event()
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")


class TrainTask:
    """A training on a server.

    Parameters
    ----------
    record : TaskRecord
        What the ledger knows of it.
    detail : TaskDetail, optional
        What its server last said; default: what the record tells.

    Attributes
    ----------
    id, name : str
        As the server knows it.
    server : str
        ``local`` or an address.
    record : TaskRecord
        As given.
    trouble : str
        Why its server could not be asked when it was last tried; empty when it answered.

    Examples
    --------
    >>> task.wait().phase  # doctest: +SKIP
    'succeeded'
    """

    def __init__(self, record: TaskRecord, detail: TaskDetail | None = None) -> None:
        self.record = record
        self.id = record.id
        self.server = record.server
        self.trouble = ""
        self._detail = detail if detail is not None else _detail_of(record)

    def __repr__(self) -> str:
        """Say on one line what it is, as last seen."""
        return f"<TrainTask {self.name!r} {self.phase}, id {self.id}, on {self.server}>"

    # What is known without a request.

    @property
    def name(self) -> str:
        """The task's name."""
        return self._detail.name or self.record.name

    @property
    def detail(self) -> TaskDetail:
        """What the server last said."""
        return self._detail

    @property
    def state(self) -> int:
        """The published number, as last seen (HTTP API, section 2)."""
        return self._detail.state

    @property
    def phase(self) -> str:
        """The word for where it is in its life, as last seen."""
        return self._detail.phase

    @property
    def facts(self) -> Facts | None:
        """What was sent; None for a task that was submitted elsewhere."""
        found = self.record.profile.get("facts")
        return Facts.from_json(found) if isinstance(found, dict) else None

    # State.

    def connection(self) -> Connection:
        """Give a live connection to its server.

        Raises
        ------
        ServerUnreachable, LoginRequired, EngineError
            The server does not answer, or wants another login.
        """
        return current_connection(self.server)

    def get_detail(self) -> TaskDetail:
        """Ask the server about the task, and keep the answer in the ledger.

        Raises
        ------
        NotFound
            The server has no such task any more.
        ServerUnreachable, LoginRequired, EngineError
            It could not be asked; what is known stays.
        """
        self.saw(self.connection().api.task(self.id))
        return self._detail

    def saw(self, detail: TaskDetail) -> None:
        """Take what somebody else heard of the task, and keep it in the ledger."""
        changed = (detail.state, detail.phase) != (self.record.state, self.record.phase)
        self._detail = detail
        self.trouble = ""
        if changed:
            with Ledger() as ledger:
                ledger.record_state(detail)
                self.record = ledger.task(self.id) or self.record

    def finished(self) -> bool:
        """Whether it has ended, in whatever way; asks the server unless that is known."""
        return self._detail.finished or self.get_detail().finished

    def wait(self, timeout_s: float | None = None) -> TaskDetail:
        """Wait until it has ended, in whatever way; interrupting stops the waiting, not the task.

        Parameters
        ----------
        timeout_s : float, optional
            Seconds; None waits as long as it takes.

        Returns
        -------
        TaskDetail
            How it ended: a failed task is no error here (`raise_if_failed`).

        Raises
        ------
        WaitEnded
            The time was up; the task goes on.
        NotFound
            The server has no such task any more.
        """
        if self._detail.finished:
            return self._detail
        stop = threading.Event()
        timer = threading.Timer(timeout_s, stop.set) if timeout_s is not None else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            self._wait_for_end(stop)
        finally:
            stop.set()
            if timer is not None:
                timer.cancel()
        return self._detail

    def _wait_for_end(self, stop: threading.Event) -> None:
        for event in follow(self.connection, {self.id: self._end_of_log()}, stop=stop):
            if event.kind == "trouble":
                self.trouble = event.text
            elif event.kind == "gone":
                raise NotFound(f"The task {self.id} is not on {self.server} any more.")
            elif event.detail is not None:
                self.saw(event.detail)
                if event.detail.finished:
                    return
        raise WaitEnded(
            f"The task {self.name} ({self.id}) is still {self.phase} at the end of the time "
            "allowed; it goes on, and wait() can be called again."
        )

    def _end_of_log(self) -> Cursor:
        """Give where the log ends now, so that waiting need not read what is there already."""
        try:
            api = self.connection().api
            if "log_bytes" in api.features and "events" in api.features:
                return api.log_bytes(self.id, 0, 0)[1]
            last = api.log_page(self.id, direction="init", limit=1)
        except ServerUnreachable as error:
            self.trouble = str(error)  # following goes on trying
            return START
        return list(last[0].position) if last else START

    def raise_if_failed(self) -> None:
        """Raise unless it has succeeded or has not ended yet.

        Raises
        ------
        TaskFailed
            It failed, was stopped or is lost; the message has how, and the last lines of the log.
        """
        detail = self._detail
        if not detail.finished or detail.phase == TaskPhase.SUCCEEDED:
            return
        lines = readable_lines(self.get_last_log(_SHOWN_LINES * 4))[-_SHOWN_LINES:]
        shown = "".join(f"\n    {line}" for line in lines)
        code = detail.exit.number if detail.exit and detail.exit.kind == "exit" else None
        raise TaskFailed(
            f"The training {self.name} ({self.id}) {_has_ended(detail)}. `%anylearn_logs {self.id}`"
            f" shows its log{', which ends with:' if shown else '.'}{shown}",
            task_id=self.id,
            exit_code=code,
        )

    # Log and metrics.

    def follow(self, cursor: Cursor = START, *, stop: threading.Event = _NEVER) -> Iterator[Event]:
        """Give its news from a place in its log on, until it has ended; see `client.follow`."""
        return follow(self.connection, {self.id: cursor}, stop=stop)

    def get_full_log(self) -> str:
        """Read the whole log so far: standard output and error in the order in which they came.

        Reports of metrics are lines of it. Bytes that are no UTF-8 are replaced.
        """
        api = self.connection().api
        if "log_bytes" not in api.features:
            return _published_log(api, self.id)
        data = bytearray()
        while True:
            piece, size = api.log_bytes(self.id, len(data))
            data += piece
            if not piece or len(data) >= size:
                return data.decode("utf-8", errors="replace")

    def get_last_log(self, limit: int = 100) -> str:
        """Read the last lines of the log.

        Parameters
        ----------
        limit : int, default 100
            How many lines, at most.
        """
        api = self.connection().api
        if "log_bytes" not in api.features:
            page = api.log_page(self.id, direction="init", limit=limit)
            lines = [line.text for line in reversed(page)]
            return "".join(f"{line}\n" for line in lines if not line.startswith(_PLATFORM_LINE))
        size = api.log_bytes(self.id, 0, 0)[1]
        data = b""
        start = size
        while start > 0 and data.count(b"\n") <= limit:
            end, start = start, max(0, start - _TAIL_BYTES)
            data = api.log_bytes(self.id, start, end)[0] + data
        return "".join(data.decode("utf-8", errors="replace").splitlines(keepends=True)[-limit:])

    def metrics(self) -> list[MetricPoint]:
        """Read every point that its log tells so far, in order."""
        return MetricReader().feed(self.get_full_log())

    # Ending, and what it leaves.

    def stop(self) -> None:
        """Stop it, if it has not ended; its record, log and results stay.

        Raises
        ------
        ServerUnreachable, ServerError
            The server did not take it.
        """
        if self.finished():
            return
        api = self.connection().api
        api.stop_task(self.id)
        try:
            self.saw(api.task(self.id))
        except NotFound:
            # A published server forgets a task that is deleted.
            self.saw(_gone(self._detail))

    def results(
        self,
        pattern: str | None = None,
        to: Path | str | None = None,
        *,
        wait: bool = True,
    ) -> Path:
        """Fetch what it wrote into its output folder.

        Parameters
        ----------
        pattern : str, optional
            Which files, such as ``*.pt`` or ``checkpoints/**``; None for all.
        to : Path or str, optional
            The directory that they are put into. None: ``results/<task id>`` under
            ``ANYLEARN_HOME``.
        wait : bool, default True
            Wait for its end, and raise if it failed. False fetches what is there now.

        Returns
        -------
        Path
            The directory.

        Raises
        ------
        TaskFailed
            It ended, and not well.
        NotFound
            There are no results, or none that the pattern fits.

        Notes
        -----
        Source: notebook spec, "Results".
        """
        if wait:
            self.wait()
            self.raise_if_failed()
        target = Path(to).expanduser() if to is not None else Home().results / self.id
        results_id = self._detail.results_id or self.get_detail().results_id
        chosen = _Chosen(pattern)
        api = self.connection().api
        folder = download_resource(api, results_id, target, select=chosen if pattern else None)
        if pattern and not chosen.taken:
            raise NotFound(
                f"The results of {self.name} ({self.id}) hold no file that fits {pattern!r}; "
                f"{chosen.what_there_is()}."
            )
        return folder


class _Chosen:
    """Which files of the results are wanted, and which there were."""

    def __init__(self, pattern: str | None) -> None:
        self._glob = Glob(pattern) if pattern else None
        self._seen: list[str] = []
        self.taken = 0

    def __call__(self, path: PurePosixPath) -> bool:
        """Whether a file, or a directory above it, fits."""
        self._seen.append(str(path))
        fits = self._glob is None or any(
            self._glob.fits(str(one), is_directory=one != path)
            for one in (path, *path.parents)
            if one.parts
        )
        self.taken += fits
        return fits

    def what_there_is(self) -> str:
        """Name the first files, for an error's sentence."""
        if not self._seen:
            return "there is no file at all"
        more = f" and {len(self._seen) - 5} more" if len(self._seen) > 5 else ""
        return f"there are {', '.join(sorted(self._seen)[:5])}{more}"


def readable_lines(text: str) -> list[str]:
    """Give a log's lines as plain text: bars collapsed, control characters and metrics left out."""
    lines = []
    for line in text.split("\n"):
        if line.startswith(METRIC_MARK):
            continue
        last = _ESCAPES.sub("", line.rstrip("\r").rpartition("\r")[2])
        plain = one_line(last, 500)
        if plain:
            lines.append(" " * (len(last) - len(last.lstrip(" "))) + plain)
    return lines


def _published_log(api: Api, task_id: str) -> str:
    lines = []
    after = LOG_START
    while page := api.log_page(task_id, limit=_PAGE_LINES, after=after):
        lines += [line.text for line in page if not line.text.startswith(_PLATFORM_LINE)]
        if page[-1].position <= after:
            break
        after = page[-1].position
    return "".join(f"{line}\n" for line in lines)


def _detail_of(record: TaskRecord) -> TaskDetail:
    return TaskDetail(
        id=record.id,
        name=record.name,
        state=record.state,
        phase=record.phase,
        project_id=record.project_id,
        secret_key=record.secret_key,
        created_ms=record.submitted_ms or None,
    )


def _gone(detail: TaskDetail) -> TaskDetail:
    return TaskDetail(
        id=detail.id,
        name=detail.name,
        state=int(TaskState.DELETED),
        phase="deleted",
        exit=Exit(kind="unknown", message="the server has no such task any more"),
    )


def _has_ended(detail: TaskDetail) -> str:
    said = outcome_text(detail)
    if said.startswith(("failed", "could not")):
        return said
    return f"is {said}" if said.startswith("lost") else f"was {said}"
