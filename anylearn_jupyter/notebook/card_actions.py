"""What the buttons of a card do: stop, fetch the results, submit again.

Each is done in a thread of its own, as a server may take its time, and ends with a sentence in the
card. What the page sent is not trusted further than that it names changes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import AnylearnError
from anylearn_jupyter.notebook.descriptions import name_of
from anylearn_jupyter.notebook.monitor import monitor
from anylearn_jupyter.notebook.retrying import check_changes
from anylearn_jupyter.notebook.task_view import TaskView
from anylearn_jupyter.submit.again import request_again, submit_again
from anylearn_jupyter.submit.task import TrainTask

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.widget import TaskCard

_logger = logging.getLogger(__name__)


class CardActions:
    """The actions of one card.

    Parameters
    ----------
    card : TaskCard
        Where they are asked for, and which tells how they went.
    task : TrainTask
        What it shows.
    view : TaskView
        What is known of it.
    """

    def __init__(self, card: TaskCard, task: TrainTask, view: TaskView) -> None:
        self._card = card
        self._task = task
        self._view = view

    def stop(self) -> None:
        """Stop the task."""
        monitor().ask(lambda: self._card.send({"k": "stopping"}))
        self._begin("stopped", self._stop)

    def fetch_results(self) -> None:
        """Fetch what the task wrote, as `TrainTask.results` does."""
        self._begin("fetched", self._fetch)

    def retry(self, changes: object) -> None:
        """Submit the task again.

        Parameters
        ----------
        changes : object
            Of the page: names and their new values, as text.
        """
        if not isinstance(changes, dict):
            return
        plain = {str(name): str(value) for name, value in changes.items()}
        self._begin("submitted again", lambda: self._retry(plain))

    def _begin(self, done: str, work: Callable[[], str]) -> None:
        name = "anylearn-card"
        threading.Thread(target=self._do, args=(done, work), name=name, daemon=True).start()

    def _do(self, done: str, work: Callable[[], str]) -> None:
        """Do one thing, and say how it went; the top of a thread."""
        good = False
        try:
            said = work()
            good = True
        except AnylearnError as error:
            said = f"It could not be {done}: {one_line(str(error))}"
        except Exception as error:
            _logger.exception("%s could not be %s", self._task.id, done)
            said = f"It could not be {done}: {type(error).__name__}"
        if said:
            monitor().ask(lambda: self._card.send({"k": "notice", "text": said, "good": good}))

    def _stop(self) -> str:
        self._task.stop()
        self._view.learned(self._task.detail)
        monitor().ask(lambda: None)
        return ""

    def _fetch(self) -> str:
        return f"The results are in {one_line(str(self._task.results(wait=False)))}"

    def _retry(self, changes: dict[str, str]) -> str:
        if changes:
            check_changes(request_again(self._task.record, changes), changes)
        # Not `TrainTask.retry`, in which a parameter named `exact` would be another thing.
        task = submit_again(self._task.record, changes, exact=False)
        view = monitor().follow(task)
        monitor().ask(lambda: self._card.show_later(task, view))
        return (
            f"Submitted again as {name_of(task.detail)} ({task.id}), which is below. In another "
            f"cell, %anylearn_resume {task.id} shows it."
        )
