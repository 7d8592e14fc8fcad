"""What a submission tells while it works: named steps, bytes on their way, and notes.

The steps know this protocol and no progress bar, so that a card, a terminal and a test can each
listen in their own way.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from tqdm import tqdm


_DELAY_S = 0.3  # what is done sooner needs no bar


class Progress(Protocol):
    """Who listens to a submission. All calls come from the thread that submits."""

    def step(self, name: str, detail: str = "") -> None:
        """Begin a step, such as ``Sending the code``; the one before it has ended."""

    def bytes(self, label: str, sent: int, total: int) -> None:
        """So many bytes of this have been confirmed, or read; `total` is 0 where nobody knows."""

    def note(self, text: str) -> None:
        """Something that the user should know and that stops nothing: one sentence."""


@runtime_checkable
class FileProgress(Protocol):
    """What a listener may have beside `Progress`: it hears of files, too."""

    def files(self, label: str, done: int, total: int) -> None:
        """So many of the files whose bytes are told of under this label are done."""


def tell_files(progress: Progress, label: str, done: int, total: int) -> None:
    """Tell a listener of files, if it listens for them."""
    if isinstance(progress, FileProgress):
        progress.files(label, done, total)


class SilentProgress:
    """Listens to nothing."""

    def step(self, name: str, detail: str = "") -> None:
        """Say nothing."""

    def bytes(self, label: str, sent: int, total: int) -> None:
        """Say nothing."""

    def files(self, label: str, done: int, total: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


class ToldProgress:
    """Passes on what a submission tells, and keeps its notes.

    Notes of other threads, in which the server is asked, wait for the next call of the thread that
    submits, as `Progress` promises to its listeners.

    Parameters
    ----------
    progress : Progress
        Who listens.

    Attributes
    ----------
    at : str
        The step that was begun last.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._thread = threading.get_ident()
        self._notes: list[str] = []
        self._passed_on = 0
        self.at = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Every note so far."""
        return tuple(self._notes)

    def step(self, name: str, detail: str = "") -> None:
        """Pass a step on."""
        self.at = name
        self._pass_on()
        self._progress.step(name, detail)

    def bytes(self, label: str, sent: int, total: int) -> None:
        """Pass bytes on."""
        self._progress.bytes(label, sent, total)

    def files(self, label: str, done: int, total: int) -> None:
        """Pass files on, to who listens for them: listeners of before know bytes alone."""
        tell_files(self._progress, label, done, total)

    def note(self, text: str) -> None:
        """Keep a note, and pass it on from the thread that submits."""
        self._notes.append(text)
        if threading.get_ident() == self._thread:
            self._pass_on()

    def _pass_on(self) -> None:
        waiting = self._notes[self._passed_on :]
        self._passed_on += len(waiting)
        for text in waiting:
            self._progress.note(text)


class TqdmProgress:
    """Shows bytes as tqdm bars on the standard error, and notes as lines: the default in Python.

    Parameters
    ----------
    disable : bool or None, default False
        As tqdm's own: None shows bars on a terminal only.
    """

    def __init__(self, *, disable: bool | None = False) -> None:
        self._disable = disable
        self._bar: tqdm[Any] | None = None
        self._label = ""

    def __enter__(self) -> Self:
        """Give itself; the block's end closes the last bar."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the last bar."""
        self.close()

    def step(self, name: str, detail: str = "") -> None:
        """Close the bar of the step before."""
        self.close()

    def bytes(self, label: str, sent: int, total: int) -> None:
        """Move the bar of this label."""
        if self._bar is None or label != self._label:
            self.close()
            from tqdm.auto import tqdm

            self._label = label
            self._bar = tqdm(
                total=total or None,
                desc=label,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
                mininterval=0.1,
                delay=_DELAY_S,
                disable=self._disable,
            )
        self._bar.update(sent - self._bar.n)

    def files(self, label: str, done: int, total: int) -> None:
        """Say beside the bar of this label how many files are done."""
        if self._bar is not None and label == self._label and total > 1:
            self._bar.set_postfix_str(f"{done:,} of {total:,} files", refresh=False)

    def note(self, text: str) -> None:
        """Write a line that leaves the bar whole."""
        import sys

        from tqdm import tqdm

        bar = self._bar
        if bar is None or bar.disable or bar.last_print_t < bar.start_t + _DELAY_S:
            # `tqdm.write` would show a bar that is too young to be shown, and leave its line open.
            sys.stderr.write(f"note: {text}\n")
        else:
            tqdm.write(f"note: {text}", file=sys.stderr)

    def close(self) -> None:
        """Close the bar, if there is one."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()
