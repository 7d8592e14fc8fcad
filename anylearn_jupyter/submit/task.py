"""A training that was submitted: its state, log, metrics and results, and stopping it.

What is known of a task is in `objects.known_task`, and its published methods are in
`objects.published_task`; here is the rest, which waits instead of asking again and again.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.api.tasks import LOG_START
from anylearn_jupyter.client.download import download_resource
from anylearn_jupyter.client.follow import START, Cursor, Event, follow
from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.entities import TaskDetail, TaskPhase
from anylearn_jupyter.errors import (
    Interrupted,
    NotFound,
    ServerUnreachable,
    TaskFailed,
    WaitEnded,
)
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.compare import Comparison, compare
from anylearn_jupyter.submit.globs import Glob
from anylearn_jupyter.submit.metric_lines import METRIC_MARK, MetricPoint, MetricReader
from anylearn_jupyter.submit.objects.log_lines import PLATFORM_LINE
from anylearn_jupyter.submit.objects.published_task import PublishedTask
from anylearn_jupyter.submit.outcome import outcome_text
from anylearn_jupyter.submit.time_limit import time_limit

_TAIL_BYTES = 65_536
_SHOWN_LINES = 15
_NEVER = threading.Event()
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")


class TrainTask(PublishedTask):
    """A training on a server: the published methods, and these beside them.

    Parameters
    ----------
    record : TaskRecord or str, optional
        What the ledger knows of it, or its id.
    detail : TaskDetail, optional
        What its server last said; default: what the record tells.
    load_detail : bool, default False
        Ask the server at once.
    **published
        The published keywords (`known_task.TaskFields`), for a task that is made by hand and saved.

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
    note : str
        How this kernel came to it, where that is worth a sentence in its views; else empty.
    description, project_id, algorithm_id, algorithm_git_ref, results_id, secret_key, creator_id, \
train_params, train_params_prefix, train_params_delimeter, files, envs, entrypoint, output, \
mirror_id, create_time, finish_time, final_metric, resource_request, num_nodes, nproc_per_node
        As last seen; empty where nobody has asked. `repr` never shows the secret key.

    Examples
    --------
    >>> task.wait().phase  # doctest: +SKIP
    'succeeded'
    """

    # Waiting.

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
        Interrupted
            By the user; the task goes on.
        """
        if self._detail.finished:
            return self._detail
        with time_limit(timeout_s) as up, self.outliving_interrupts():
            self._wait_for_end(up)
        return self._detail

    @contextmanager
    def outliving_interrupts(self) -> Iterator[None]:
        """Say, where the user interrupts the block, that the task goes on.

        Raises
        ------
        Interrupted
            Instead of KeyboardInterrupt.
        """
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(
                f"the task {one_line(self.name)} ({self.id}) goes on. `%anylearn_resume {self.id}` "
                f"shows it, `%anylearn_stop {self.id}` stops it."
            ) from None

    def _wait_for_end(self, stop: threading.Event) -> None:
        for event in follow(self.connection, {self.id: self._end_of_log()}, stop=stop):
            self._heard(event)
            if event.detail is not None and event.detail.finished:
                return
        raise WaitEnded(
            f"The task {self.name} ({self.id}) is still {self.phase} at the end of the time "
            "allowed; it goes on, and wait() can be called again."
        )

    def _heard(self, event: Event) -> None:
        """Take what following the task has told."""
        if event.kind == "trouble":
            self.trouble = event.text
        elif event.kind == "gone":
            self.saw_gone()
            raise NotFound(f"The task {self.id} is not on {self.server} any more.")
        elif event.detail is not None:
            self.saw(event.detail)

    def __await__(self) -> Generator[Any, None, TaskDetail]:
        """Wait until it has ended, while the event loop goes on: ``await task`` in a cell.

        Cancelling stops the waiting, not the task.

        Returns
        -------
        TaskDetail
            How it ended, as from `wait`.
        """
        return self._awaited().__await__()

    async def _awaited(self) -> TaskDetail:
        if not self._detail.finished:
            stop = threading.Event()
            try:
                await asyncio.to_thread(self._wait_for_end, stop)
            finally:
                stop.set()
        return self._detail

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
        except NotFound:
            return START  # following tells whether it is the log or the task that is not there
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
        lines = readable_lines(self.log_text(_SHOWN_LINES * 4))[-_SHOWN_LINES:]
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

    def log_text(self, last: int | None = None) -> str:
        """Read the log as it is: standard output and error in the order in which they came.

        Reports of metrics are lines of it. Bytes that are no UTF-8 are replaced.

        Parameters
        ----------
        last : int, optional
            Only so many lines, at most.
        """
        api = self.connection().api
        if "log_bytes" not in api.features:
            lines = self._last_lines(last) if last is not None else self._lines_after(LOG_START)
            return "".join(
                f"{line.text}\n" for line in lines if not line.text.startswith(PLATFORM_LINE)
            )
        return _whole_text(api, self.id) if last is None else _last_text(api, self.id, last)

    def logs(self, follow: bool = False) -> Iterator[str]:
        """Give the lines of the log, without line ends and without reports of metrics.

        Parameters
        ----------
        follow : bool, default False
            Wait for more until the task has ended; interrupting stops the waiting, not the task.

        Raises
        ------
        NotFound
            The server has no such task any more.

        Examples
        --------
        >>> for line in task.logs(follow=True):  # doctest: +SKIP
        ...     print(line)
        """
        rest = ""
        for piece in self._followed() if follow else [self.log_text()]:
            *lines, rest = (rest + piece).split("\n")
            yield from (line for line in lines if not line.startswith(METRIC_MARK))
        if rest and not rest.startswith(METRIC_MARK):
            yield rest

    def _followed(self) -> Iterator[str]:
        """Give the text of the log from its beginning, as it comes."""
        stop = threading.Event()
        try:
            for event in self.follow(stop=stop):
                self._heard(event)
                yield event.text if event.kind == "log" else ""
        finally:
            stop.set()

    def metrics(self) -> list[MetricPoint]:
        """Read every point that its log tells so far, in order."""
        reader = MetricReader()
        return [*reader.feed(self.log_text()), *reader.close()]

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
            self.saw_gone()

    def retry(self, *, exact: bool = False, **changes: Any) -> TrainTask:
        """Submit it again, with what is in its directories now.

        Parameters
        ----------
        exact : bool, default False
            With the code, data, values and environment of then instead, proved by equal digests;
            what is gone is an error.
        **changes
            Hyperparameters to change or to add, each a plain value that reaches the script exactly;
            None leaves one out. ``retry(**{"opt.lr": 0.1})`` for a name with other characters.

        Returns
        -------
        TrainTask
            The new task.

        Raises
        ------
        NotFound
            It was not submitted from this machine, so what to repeat is not known.
        SnapshotError, DataError
            With `exact`: the code or data of then is neither here nor on the server any more.
        As `quick_train`.
        """
        # Submitting makes tasks, so it stands above this module.
        from anylearn_jupyter.submit.again import submit_again

        return submit_again(self.record, changes, exact=exact)

    def compare(self, other: TrainTask) -> Comparison:
        """Find what differs between this task and another one, as last seen: that, and only that.

        Raises
        ------
        NotFound
            One was not submitted from this machine, so what was sent is not known.

        Examples
        --------
        >>> [one.name for one in task.compare(other).differences]  # doctest: +SKIP
        ['lr', 'outcome']
        """
        return compare(self, other)

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
            The directory that they are put into. None: `Home.results_of` the task, under
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
        target = Path(to).expanduser() if to is not None else Home().results_of(self.id)
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


def _whole_text(api: Api, task_id: str) -> str:
    """Read a log by its bytes."""
    data = bytearray()
    while True:
        piece, size = api.log_bytes(task_id, len(data))
        data += piece
        if not piece or len(data) >= size:
            return data.decode("utf-8", errors="replace")


def _last_text(api: Api, task_id: str, limit: int) -> str:
    """Read the last lines of a log by its bytes, from the end."""
    start = api.log_bytes(task_id, 0, 0)[1]
    data = b""
    while start > 0 and data.count(b"\n") <= limit:
        end, start = start, max(0, start - _TAIL_BYTES)
        data = api.log_bytes(task_id, start, end)[0] + data
    return "".join(data.decode("utf-8", errors="replace").splitlines(keepends=True)[-limit:])


def _has_ended(detail: TaskDetail) -> str:
    said = outcome_text(detail)
    if said.startswith(("failed", "could not")):
        return said
    return f"is {said}" if said.startswith("lost") else f"was {said}"
