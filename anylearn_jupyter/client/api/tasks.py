"""Tasks, their logs and their metrics (HTTP API, section 9)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from anylearn_jupyter.client.api.base import Calls
from anylearn_jupyter.client.auth import NoAuth
from anylearn_jupyter.client.decoding import (
    an_object,
    integer,
    number,
    objects,
    only_object,
    resource,
    unexpected,
)
from anylearn_jupyter.client.forms import FORM_TYPE, Form, encode_form
from anylearn_jupyter.client.hidden import bytes_without_hidden, without_hidden
from anylearn_jupyter.client.replies import decode, error_of
from anylearn_jupyter.entities import TaskDetail
from anylearn_jupyter.errors import NotFound, UnexpectedAnswer

LOG_START = (0, -1)
"""The position before a log's first line (HTTP API, section 9.4)."""


@dataclass(frozen=True)
class LogLine:
    """One line of a task's log, as the published call gives it.

    Attributes
    ----------
    offset_ms, offset_index : int
        The position: unique and increasing within a task. The first is milliseconds since 1970,
        UTC, at which the line came.
    text : str
        Without its line end.
    """

    offset_ms: int
    offset_index: int
    text: str

    @property
    def position(self) -> tuple[int, int]:
        """What `after` of the next page is."""
        return self.offset_ms, self.offset_index


@dataclass(frozen=True)
class ReportedMetric:
    """A metric that a task reported by the published call; `reported_at` is the server's text."""

    value: float
    reported_at: str
    id: str = ""


def task_detail(data: Any, what: str) -> TaskDetail:
    """Read a task object of any endpoint, checking the keys that the client goes by."""
    found = an_object(data, what)
    integer(found, "state", what)
    exit_ = found.get("exit")
    if exit_ is not None and not isinstance(exit_, dict):
        raise unexpected(f"{what}, key 'exit',", "an object", exit_)
    return TaskDetail.from_json(resource(found, what))


class TaskCalls(Calls):
    """Endpoints of tasks."""

    _log_path = "train_task/logs"

    def add_task(
        self,
        fields: Form,
        key: str,
        *,
        doubtful: bool = False,
        replied: dict[str, TaskDetail] | None = None,
    ) -> str:
        """Create a task, which starts as soon as the server has room for it.

        Parameters
        ----------
        fields : Mapping
            The form of HTTP API, section 9.1. Objects and lists are sent as JSON text; None
            leaves a field out.
        key : str
            See `Calls.create`, as for `doubtful`.
        replied : dict, optional
            Gets the task under its id where the reply holds it (docs/protocol.md,
            ``task_in_reply``).

        Returns
        -------
        str
            Its id.
        """

        def look(reply: Any) -> None:
            task = reply.get("task") if isinstance(reply, dict) else None
            if replied is not None and task is not None:
                detail = task_detail(task, "POST train_task/add")
                replied[detail.id] = detail

        form = {
            name: json.dumps(value, ensure_ascii=False)
            if isinstance(value, Mapping | list)
            else value
            for name, value in fields.items()
        }
        return self.create(
            "train_task/add",
            form,
            key=key,
            found_in="train_task/list",
            params={"project_id": form.get("project_id")},
            doubtful=doubtful,
            on_reply=look,
        )

    def task(self, task_id: str) -> TaskDetail:
        """Read one task by its id."""
        what = "GET train_task/query"
        found = self.http.get("train_task/query", {"id": task_id})
        return task_detail(only_object(found, what, f"task {task_id}"), what)

    def tasks(self, task_ids: Iterable[str]) -> dict[str, TaskDetail]:
        """Read many tasks; one that does not exist is left out.

        Notes
        -----
        Source: docs/protocol.md, ``task_batch``; one query each where the server has it not.
        """
        wanted = list(dict.fromkeys(task_ids))
        if not wanted:
            return {}
        if "task_batch" in self.features:
            what = "POST train_task/batch"
            found = self.http.post("train_task/batch", {"ids": json.dumps(wanted)}, repeatable=True)
            details = [task_detail(item, what) for item in objects(found, what)]
            return {detail.id: detail for detail in details}
        answers = {}
        for task_id in wanted:
            try:
                answers[task_id] = self.task(task_id)
            except NotFound:
                continue
        return answers

    def project_tasks(self, project_id: str) -> list[TaskDetail]:
        """List a project's tasks; fewer keys are filled in than by `task`."""
        what = "GET train_task/list"
        found = self.http.get("train_task/list", {"project_id": project_id})
        return [task_detail(item, what) for item in objects(found, what)]

    def stop_task(self, task_id: str, *, force: bool = False) -> None:
        """Stop an unfinished task; its record, log and results stay on our engine.

        Notes
        -----
        Source: HTTP API, section 9.3; architecture, "Task states".
        """
        self.http.delete("train_task/delete", {"id": task_id, "force": force})

    def task_status(self, task_id: str, secret_key: str) -> dict[str, Any]:
        """Read what the server says of a task's progress; no key is certain to be there.

        Notes
        -----
        Source: HTTP API, section 9.5.
        """
        found = self.http.get("train_task/status", {"id": task_id, "secret_key": secret_key})
        return an_object(found, "GET train_task/status")

    def log_page(
        self,
        task_id: str,
        *,
        direction: str = "back",
        limit: int = 100,
        after: tuple[int, int] = LOG_START,
    ) -> list[LogLine]:
        """Read some lines of a log by the published call.

        Parameters
        ----------
        direction : str
            ``back``: up to `limit` lines strictly after the position `after`, oldest first.
            ``init``: the last `limit` lines, newest first.

        Returns
        -------
        list of LogLine
            Empty where there is nothing (more).

        Notes
        -----
        Source: HTTP API, section 9.4, whose oldest servers call it ``train_task/log``.
        """
        params = {
            "id": task_id,
            "limit": limit,
            "direction": direction,
            "index": after[0],
            "offset_index": after[1],
        }
        path = self._log_path
        try:
            found = self.http.get(path, params)
        except NotFound:
            if path != "train_task/logs":
                raise
            path = "train_task/log"
            found = self.http.get(path, params)
            self._log_path = path
        what = f"GET {path}"
        lines = []
        for item in objects(found, what):
            words = item.get("text")
            if not isinstance(words, str):
                raise unexpected(f"{what}, key 'text',", "a text", words)
            place = integer(item, "offset", what), integer(item, "offset_index", what)
            lines.append(LogLine(*place, without_hidden(words)))
        return lines

    def log_bytes(self, task_id: str, start: int, end: int | None = None) -> tuple[bytes, int]:
        """Read bytes of a log; only with the feature ``log_bytes``.

        Returns
        -------
        tuple
            The bytes ``[start, end)``, at most what the server gives at once, and the log's size
            so far.

        Notes
        -----
        Source: docs/protocol.md, ``log_bytes``.
        """
        path = "train_task/log_bytes"
        reply = self.http.exchange("GET", path, params={"id": task_id, "from": start, "to": end})
        if not 200 <= reply.status < 300:
            raise error_of(reply)
        size = reply.headers.get("X-Log-Size", "")
        if not size.isascii() or not size.isdigit():
            raise UnexpectedAnswer(f"The answer to GET {path} does not tell the log's size.")
        return bytes_without_hidden(reply.body), int(size)

    def intermediate_metrics(self, task_id: str, since: str | None = None) -> list[ReportedMetric]:
        """Read the metrics that a task reported, in order; `since` as the server wrote it."""
        what = "GET train_task/intermediate_metric"
        found = self.http.get(
            "train_task/intermediate_metric", {"id": task_id, "last_timestamp": since}
        )
        return [
            ReportedMetric(
                number(item, "metric", what),
                str(item.get("reported_at") or ""),
                str(item.get("id") or ""),
            )
            for item in objects(found, what)
        ]

    def final_metric(self, task_id: str) -> float | None:
        """Read the final metric that a task reported; None before that."""
        what = "GET train_task/final_metric"
        found = an_object(self.http.get("train_task/final_metric", {"id": task_id}), what)
        if found.get("final_metric") is None:
            return None
        return number(found, "final_metric", what)

    def report_metric(
        self, kind: str, task_id: str, secret_key: str, value: float
    ) -> dict[str, Any]:
        """Report a metric as the task itself does, with its key instead of a login.

        Parameters
        ----------
        kind : str
            ``final_metric`` or ``intermediate_metric``.
        """
        reply = self.http.exchange(
            "POST",
            f"train_task/{kind}",
            data=encode_form({"id": task_id, "metric": repr(float(value))}),
            headers={"Content-Type": FORM_TYPE, "Secret-Key": secret_key},
            auth=NoAuth(),
        )
        return an_object(decode(reply), f"POST train_task/{kind}")
