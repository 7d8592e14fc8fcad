"""A task's published methods: for scripts that were written for the published SDK."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from anylearn_jupyter.client.api import Api, LogLine
from anylearn_jupyter.client.api.tasks import LOG_START
from anylearn_jupyter.errors import NotFound, OptionError
from anylearn_jupyter.submit.ledger import Ledger, now_ms
from anylearn_jupyter.submit.objects.file import File
from anylearn_jupyter.submit.objects.known_task import KnownTask, record_on
from anylearn_jupyter.submit.objects.log_lines import LogLines, shown
from anylearn_jupyter.submit.objects.model import Model
from anylearn_jupyter.submit.objects.saving import created, destination, needed
from anylearn_jupyter.submit.objects.train_profile import TrainProfile
from anylearn_jupyter.submit.objects.transfers import (
    AsyncResourceDownloader,
    ResourceDownloader,
    SyncResourceDownloader,
)
from anylearn_jupyter.submit.task_form import submitter

PAGE_LINES = 1_000
EPOCH = "1970-01-01 00:00:00"


class PublishedTask(KnownTask):
    """A task with the published methods (HTTP API, section 9)."""

    # Making and ending.

    @classmethod
    def get_list(cls) -> list[Self]:
        """Give the tasks that were submitted from this machine, newest first, as last seen.

        Servers list tasks by project only: `Project.get_train_tasks`.
        """
        with Ledger() as ledger:
            return [cls(record) for record in ledger.tasks()]

    def save(self) -> bool:
        """Create the task that the attributes describe; False where it is on the server already.

        Raises
        ------
        OptionError
            It has no name, project or algorithm.
        ServerError, ServerUnreachable
            As the server says. Saving again makes nothing twice.
        """
        if self.id:
            return False
        detail = self._detail
        form = {
            "name": needed(self.name, "TrainTask.name"),
            "description": detail.description,
            "project_id": needed(detail.project_id, "TrainTask.project_id"),
            "algorithm_id": needed(detail.algorithm_id, "TrainTask.algorithm_id"),
            "algorithm_git_ref": detail.algorithm_git_ref or None,
            "train_params": detail.train_params or "{}",
            "train_params_prefix": detail.train_params_prefix,
            "train_params_delimeter": detail.train_params_delimeter,
            "envs": detail.envs or None,
            "files": detail.files or None,
            "resources": detail.resource_request or None,
            "num_nodes": detail.num_nodes,
            "nproc_per_node": detail.nproc_per_node,
            "entrypoint": detail.entrypoint or None,
            "output": detail.output or None,
            "mirror_id": detail.mirror_id or None,
        }
        self.id = created(
            self.server,
            "task",
            self.name,
            lambda api, key, doubtful: api.add_task(
                {**form, **submitter(api)}, key, doubtful=doubtful
            ),
        )
        self._detail = self.connection().api.task(self.id)
        now = now_ms()
        self.record = replace(
            record_on(self.connection(), self._detail),
            working_dir=str(Path.cwd()),
            submitted_ms=now,
            seen_ms=now,
        )
        with Ledger() as ledger:
            ledger.record_task(self.record)
        return True

    def delete(self, force: bool = False) -> bool:
        """Delete it, which stops it; gives True. The embedded engine keeps its record and log."""
        self.connection().api.stop_task(self._id(), force=force)
        return True

    # Log.

    def get_log(
        self, limit: int = 100, direction: str = "init", offset: int = 0, offset_index: int = -1
    ) -> list[dict[str, Any]]:
        """Read a page of the log.

        Parameters
        ----------
        direction : str
            ``init``: the last `limit` lines, newest first. ``back``: up to `limit` lines after the
            position (`offset`, `offset_index`), oldest first.

        Returns
        -------
        list of dict
            Each line's ``offset`` (milliseconds since 1970, UTC), ``offset_index`` and ``text``.
        """
        if direction not in ("init", "back"):
            raise OptionError(f"direction={direction!r} is neither 'init' nor 'back'.")
        page = self.connection().api.log_page(
            self._id(), direction=direction, limit=limit, after=(offset, offset_index)
        )
        return [
            {"offset": line.offset_ms, "offset_index": line.offset_index, "text": line.text}
            for line in page
        ]

    def get_full_log(self, debug: bool = False) -> LogLines:
        """Read the log so far, as lines ``[local time] text``; `log_text` is the log as it is.

        Parameters
        ----------
        debug : bool, default False
            The platform's own lines too.

        Returns
        -------
        LogLines
            A list; ``"text" in`` it looks within the lines. Lines of white space are left out.
        """
        return shown(self._lines_after(LOG_START), debug=debug)

    def get_last_log(self, limit: int = 100, debug: bool = False) -> LogLines:
        """Read the last lines of the log, oldest first; see `get_full_log`.

        Parameters
        ----------
        limit : int, default 100
            How many, at most; the platform's own count too.
        """
        return shown(self._last_lines(limit), debug=debug)

    def stream_log(
        self, init_limit: int = 100, polling: float = 2, debug: bool = False
    ) -> Iterator[str]:
        """Give the last lines of the log and then each new one, until the task has ended.

        Parameters
        ----------
        init_limit : int, default 100
            How many lines there are to begin with, at most.
        polling : float, default 2
            Seconds between two questions.
        debug : bool, default False
            The platform's own lines too.

        Yields
        ------
        str
            ``[local time] text``. `logs` with `follow` waits for lines instead of asking.
        """
        lines = self._last_lines(init_limit)
        after = lines[-1].position if lines else LOG_START
        yield from shown(lines, debug=debug)
        ended = False
        while not ended:
            # All lines are readable before the state turns final, so one more look is the last.
            ended = self.finished()
            for line in self._lines_after(after):
                after = line.position
                yield from shown([line], debug=debug)
            if not ended:
                time.sleep(polling)

    def _last_lines(self, limit: int) -> list[LogLine]:
        page = self.connection().api.log_page(self._id(), direction="init", limit=limit)
        return page[::-1]

    def _lines_after(self, after: tuple[int, int]) -> Iterator[LogLine]:
        return lines_after(self.connection().api, self._id(), after)

    # Status and metrics.

    def get_status(self) -> dict[str, Any]:
        """Read what the server says of its progress; no key is certain to be there."""
        return self.connection().api.task_status(self._id(), self._key())

    def get_final_metric(self) -> dict[str, Any]:
        """Read the final metric that it reported: ``id``, ``name``, ``final_metric`` (or None)."""
        value = self.connection().api.final_metric(self._id())
        return {"id": self.id, "name": self.name, "final_metric": value}

    def get_intermediate_metric(self, last_timestamp: str = EPOCH) -> list[dict[str, Any]]:
        """Read the metrics that it reported, in order.

        Parameters
        ----------
        last_timestamp : str
            Only later ones; ``YYYY-MM-DD HH:MM:SS`` as in ``reported_at``.

        Returns
        -------
        list of dict
            ``id``, ``metric``, ``train_task_id``, ``reported_at``; empty where there is none.
        """
        found = self.connection().api.intermediate_metrics(self._id(), last_timestamp)
        return [
            {
                "id": one.id,
                "metric": one.value,
                "train_task_id": self.id,
                "reported_at": one.reported_at,
            }
            for one in found
        ]

    def report_final_metric(self, metric: float) -> dict[str, Any]:
        """Report its final metric from outside; inside a task use the function of that name."""
        return self.connection().api.report_metric("final_metric", self._id(), self._key(), metric)

    def report_intermediate_metric(self, metric: float) -> dict[str, Any]:
        """Report a metric from outside; inside a task use the function of that name."""
        return self.connection().api.report_metric(
            "intermediate_metric", self._id(), self._key(), metric
        )

    # What it leaves.

    def get_results_file(self) -> File:
        """Give the file on the server that its results are in, complete or not."""
        return File(id=self._results_id(), load_detail=True, server=self.server)

    def download_results(
        self,
        save_path: str | Path,
        async_download: bool = True,
        downloader: ResourceDownloader | None = None,
        polling: float = 5,
    ) -> Any:
        """Fetch the archive of its results into a directory; `results` gives the files instead.

        Parameters
        ----------
        save_path : path
            The directory.
        async_download : bool, default True
            True gives the archive's name in a list, False the name, as published.
        downloader : ResourceDownloader, optional
            The caller's own strategy.
        polling : float
            Most seconds between two questions whether the archive is made.

        Raises
        ------
        NotFound
            It has not ended, so its results are not there yet.
        """
        if not self.finished():
            raise NotFound(
                f"The results of {self.name} ({self.id}) are not there yet, it is {self.phase}; "
                "wait() comes first."
            )
        chosen = AsyncResourceDownloader if async_download else SyncResourceDownloader
        strategy = downloader or chosen(self.server)
        return strategy.run(
            resource_id=self._results_id(), polling=polling, save_path=str(save_path)
        )

    def transform_model(
        self,
        file_path: str,
        name: str,
        description: str | None = None,
        is_zipfile: bool = False,
        public: bool = False,
        polling: float = 5,
    ) -> Model:
        """Make a model of its results, and wait until the server has it.

        Parameters
        ----------
        file_path : str
            What of the results, relative to their root; ``.`` for all.
        name : str
            The model's.
        is_zipfile : bool, default False
            `file_path` is an archive whose content is the model.
        polling : float
            Most seconds between two questions whether it is there.

        Notes
        -----
        Source: HTTP API, section 9.7.
        """
        fields = {
            "file_id": self._results_id(),
            "file_path": file_path,
            "name": name,
            "description": description,
            "algorithm_id": self.algorithm_id or self.get_detail().algorithm_id,
            "is_zipfile": is_zipfile,
            "public": public,
        }
        model_id = created(
            self.server,
            "model",
            f"{name} of {self.id}",
            lambda api, key, doubtful: api.transform_model(fields, key, doubtful=doubtful),
        )
        with destination(self.server, polling) as place:
            found = place.wait_ready(place.api.model, model_id, f"the model {name}")
        return Model.of(found, self.server)

    def get_train_profile(self) -> TrainProfile | None:
        """Give what it was submitted with; None for a task that was submitted elsewhere."""
        return TrainProfile.of(
            self.record,
            self.facts,
            algorithm_id=self.algorithm_id,
            train_params=self.train_params,
        )

    # Inside.

    def _id(self) -> str:
        return needed(self.id, "TrainTask.id")

    def _key(self) -> str:
        return self.secret_key or self.get_detail().secret_key

    def _results_id(self) -> str:
        return self.results_id or self.get_detail().results_id


def lines_after(api: Api, task_id: str, after: tuple[int, int]) -> Iterator[LogLine]:
    """Give the lines of a log from a position on, until there is none (more)."""
    while page := api.log_page(task_id, limit=PAGE_LINES, after=after):
        yield from page
        if page[-1].position <= after:
            return  # a server whose cursor includes the line itself would go on for ever
        after = page[-1].position
