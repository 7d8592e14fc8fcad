r"""Metrics and progress that a training's log tells, in the styles of docs/metrics.md.

The reader takes raw log text, cut anywhere. A *look* is what stands between two line ends or
carriage returns: a bar that rewrites its line gives many looks of one line. Of those, at most a
hundred of each bar become points, so that a bar is a curve and not a flood.

A number in the text of a sentence is no metric: a look counts only if all of it has the form of
one of the styles. Memory is bounded whatever comes: a look longer than `MAX_LOOK` is passed over,
and at most `MAX_SERIES` series are known.
"""

from __future__ import annotations

import json
import math
import re
from typing import NamedTuple

METRIC_MARK = "[anylearn-metric] "
"""A line that begins with this is a report of the task's, which views hide."""

MAX_LOOK = 16_384
"""Characters of one look that are read; a longer one is passed over."""

MAX_SERIES = 64
"""Series of one task; more of them are passed over."""

MAX_NAME = 80
"""Characters of a series' name; a longer one is cut."""

LOOKS_A_BAR = 100
"""How many of a bar's looks become points, at most, beside its last one."""

_STEP_NAMES = ("step", "global_step", "iteration", "iter", "epoch")
_NO_METRICS = frozenset({*_STEP_NAMES, "v_num"})  # v_num: Lightning's number of a version
_MAX_PAIRS = 100
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}

_MAY_TELL = re.compile(r"[=/{]")  # no style does without one of these
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_BETWEEN_PAIRS = re.compile(r"[\s,;|]+")
_PAIR = re.compile(r"([A-Za-z_][\w./-]*)=(\S+)")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_FRACTION = re.compile(r"(\d{1,9})/(\d{1,9})")
_TQDM = re.compile(
    r"\d{1,3}%\|[^|]*\|\s*(\d+\.?\d*)([kMGTP]?)/(\d+\.?\d*)([kMGTP]?)[A-Za-z]*\s*\[([^\]]*)\]"
)
_TQDM_LEFT = re.compile(r"<(?:(\d{1,6}):)?(\d\d):(\d\d)")
_BAR_EPOCH = re.compile(r"\bepoch\s*[:#]?\s*(\d{1,9})(?:/(\d{1,9}))?", re.IGNORECASE)
_KERAS_EPOCH = re.compile(r"Epoch (\d{1,9})/(\d{1,9})")
_COUNTED = re.compile(
    r"\[?(?:epoch|step|iteration|iter)\b\s*[:#]?\s*\[?(\d{1,9})/(\d{1,9})\b", re.IGNORECASE
)
_KERAS_BAR = re.compile(
    r"(\d{1,12})/(\d{1,12})(?:\s+\[[=>.]*\]|\s+[━╸╺][━╸╺ ]*|(?= - \d))\s*(?:- )?(.*)"
)
_KERAS_PAIR = re.compile(r"([A-Za-z_][\w./-]*): (\S+)")


class MetricPoint(NamedTuple):
    """One value of one series.

    Attributes
    ----------
    series : str
        Its name, as the script wrote it: text from a stranger.
    step : float
        The horizontal place: the step or epoch where the log tells one, else a count from 1.
    value : float
        Finite.
    """

    series: str
    step: float
    value: float


class Progress(NamedTuple):
    """How far a task is, by its own log.

    Attributes
    ----------
    done, total : float
        In the log's own unit; `total` is more than 0.
    left_s : float or None
        The log's own estimate of the seconds left; None where it gives none.
    """

    done: float
    total: float
    left_s: float | None = None


class _Bar(NamedTuple):
    """One look of a progress bar."""

    done: float
    total: float
    pairs: list[tuple[str, str]]
    left_s: float | None = None
    epoch: tuple[int, int] | None = None  # its number and of how many; 0 where nobody knows

    @property
    def fraction(self) -> float:
        return min(self.done / self.total, 1.0)


class MetricReader:
    """Reads metrics and progress out of a log.

    Attributes
    ----------
    progress : Progress or None
        The last that was told; None until then.

    Notes
    -----
    Source: docs/metrics.md; architecture, "Logs"; faults F1, F9.
    """

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self._open = ""
        self._too_long = False
        self._counts: dict[str, int] = {}
        self._keras_epoch: tuple[int, int] | None = None  # written on a line of its own
        self._first_epoch = 1  # 0 once a bar has said "Epoch 0"
        self._bars_before = 0.0  # how far the bars went that ended before this one
        self._last_bar: _Bar | None = None
        self._taken_at = 0.0  # the fraction of this bar whose look became points last
        self._pending: list[MetricPoint] = []  # points of a bar's look that was not final

    def feed(self, text: str) -> list[MetricPoint]:
        """Take the next piece of the log and return the points that it completed, in order."""
        if not _MAY_TELL.search(text):
            # Only what is open can tell something yet, with the rest of its line.
            first, ended, rest = text.partition("\n")
            if not ended:
                return self._feed(text)
            points = self._feed(first + ended)
            self._hold(rest[max(rest.rfind("\n"), rest.rfind("\r")) + 1 :])
            return points
        return self._feed(text)

    def _feed(self, text: str) -> list[MetricPoint]:
        points: list[MetricPoint] = []
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        lines = text.split("\n")
        for line in lines[:-1]:
            *rewritten, last = line.split("\r")
            for look in rewritten:
                points += self._read(self._take(look), final=False)
            points += self._read(self._take(last), final=True)
        *rewritten, last = lines[-1].split("\r")
        for look in rewritten:
            points += self._read(self._take(look), final=False)
        self._hold(last)
        return points

    def close(self) -> list[MetricPoint]:
        """Read the last line as a whole one: the log has ended."""
        return self._read(self._take(""), final=True)

    def _hold(self, text: str) -> None:
        if len(self._open) + len(text) > MAX_LOOK:
            self._open, self._too_long = "", True
        elif not self._too_long:
            self._open += text

    def _take(self, end: str) -> str:
        """Complete the look that was begun; empty for one that is too long."""
        if self._open or self._too_long or len(end) > MAX_LOOK:
            self._hold(end)
            end, self._open, self._too_long = self._open, "", False
        return end

    def _read(self, look: str, *, final: bool) -> list[MetricPoint]:
        """Read one look; `final` for what its line showed in the end."""
        if not _MAY_TELL.search(look):
            return self._take_pending() if final else []
        if "\x1b" in look:
            look = _ESCAPES.sub("", look)
        look = look.strip("\b").strip()
        if look.startswith(METRIC_MARK):
            return self._of_json(look[len(METRIC_MARK) :], reported=True)
        if look.startswith("{"):
            return self._of_json(look, reported=False)
        bar = _tqdm_bar(look) or _keras_bar(look, self._keras_epoch)
        if bar is not None:
            return self._of_bar(bar, final=final)
        counted = _COUNTED.match(look)
        if counted is not None:
            self._count(look, int(counted[1]), int(counted[2]))
            return []
        return self._of_pairs(look)

    def _count(self, look: str, number: int, total: int) -> None:
        """Take the progress of a line such as ``epoch 3/15  loss 0.4``."""
        if _KERAS_EPOCH.fullmatch(look):
            self._keras_epoch = number, total
            number -= 1  # it stands above what it announces
        if total > 0:
            self.progress = Progress(float(max(number, 0)), float(total))

    def _take_pending(self) -> list[MetricPoint]:
        points, self._pending = self._pending, []
        return points

    def _of_json(self, words: str, *, reported: bool) -> list[MetricPoint]:
        """Read an object; one that nobody reported counts if it can be nothing but metrics."""
        try:
            found = json.loads(words)
        except (ValueError, RecursionError):
            return []
        if not isinstance(found, dict):
            return []
        numbers = {
            name: value
            for name, value in found.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        has_step = any(name in numbers for name in _STEP_NAMES)
        if not (reported or has_step or len(numbers) == len(found)):
            return []
        return self._points([(name, str(value)) for name, value in numbers.items()])

    def _of_pairs(self, look: str) -> list[MetricPoint]:
        """Read ``key=value`` words, if the line has no others."""
        words = _BETWEEN_PAIRS.split(look.strip(",;|"), _MAX_PAIRS)
        found = [_PAIR.fullmatch(word) for word in words if word]
        pairs = [(match[1], match[2]) for match in found if match is not None]
        if not pairs or len(pairs) < len(found) or len(pairs) > _MAX_PAIRS:
            return []
        for name, value in pairs:
            fraction = _FRACTION.fullmatch(value) if name in _STEP_NAMES else None
            if fraction is not None and int(fraction[2]) > 0:
                self.progress = Progress(float(fraction[1]), float(fraction[2]))
        return self._points(pairs)

    def _of_bar(self, bar: _Bar, *, final: bool) -> list[MetricPoint]:
        """Take a look's progress, and its points if it is the last one or a hundredth on."""
        last = self._last_bar
        if last is None or bar.done < last.done or bar.total != last.total:
            if last is not None:
                self._bars_before += last.done
            self._taken_at = 0.0
        self._last_bar = bar
        step, self.progress = self._bar_place(bar)
        # Keras shows means of the epoch so far: only the last of them is the epoch's own.
        often = bar.fraction < 1 and (bar.epoch is None or bar.epoch[1] < 2)
        self._pending = []
        if final or (often and bar.fraction - self._taken_at >= 1 / LOOKS_A_BAR):
            self._taken_at = bar.fraction
            return self._points(bar.pairs, step)
        self._pending = self._points(bar.pairs, step)
        return []

    def _bar_place(self, bar: _Bar) -> tuple[float, Progress]:
        """Give a look's step, and the progress of the whole as far as the bar knows the whole."""
        if bar.epoch is None:
            return self._bars_before + bar.done, Progress(bar.done, bar.total, bar.left_s)
        number, epochs = bar.epoch
        self._first_epoch = min(self._first_epoch, number)
        step = number - self._first_epoch + bar.fraction
        if epochs > 0:
            # Who counts from 0 also names the last number instead of how many there are.
            return step, Progress(step, max(float(epochs + 1 - self._first_epoch), step))
        return step, Progress(bar.done, bar.total, bar.left_s)

    def _points(self, pairs: list[tuple[str, str]], step: float | None = None) -> list[MetricPoint]:
        """Make points of names and values; a value that is no finite number is left out."""
        if step is None:
            by_name = dict(pairs)
            steps = (_finite(by_name[name].partition("/")[0]) for name in _STEP_NAMES
                     if name in by_name)  # fmt: skip
            step = next((found for found in steps if found is not None), None)
        points = []
        for name, words in pairs:
            value = _finite(words)
            name = name[:MAX_NAME]
            if value is None or name in _NO_METRICS or not self._known(name):
                continue
            self._counts[name] += 1
            points.append(MetricPoint(name, self._counts[name] if step is None else step, value))
        return points

    def _known(self, name: str) -> bool:
        if name not in self._counts:
            if len(self._counts) >= MAX_SERIES:
                return False
            self._counts[name] = 0
        return True


def _tqdm_bar(look: str) -> _Bar | None:
    """Read a bar of tqdm's, as Lightning has it too."""
    match = _TQDM.search(look) if "%|" in look else None
    if match is None:
        return None
    done, total = float(match[1]) * _UNITS[match[2]], float(match[3]) * _UNITS[match[4]]
    if total <= 0:
        return None
    words = (word.strip() for word in match[5].split(",", _MAX_PAIRS))
    found = [_PAIR.fullmatch(word) for word in words]
    left = _TQDM_LEFT.search(match[5])
    epoch = _BAR_EPOCH.search(look[: match.start()])
    return _Bar(
        done=done,
        total=total,
        pairs=[(pair[1], pair[2]) for pair in found if pair is not None],
        left_s=int(left[1] or 0) * 3600.0 + int(left[2]) * 60 + int(left[3]) if left else None,
        epoch=(int(epoch[1]), int(epoch[2] or 0)) if epoch else None,
    )


def _keras_bar(look: str, epoch: tuple[int, int] | None) -> _Bar | None:
    """Read a bar of Keras'."""
    match = _KERAS_BAR.fullmatch(look)
    if match is None or int(match[2]) == 0:
        return None
    words = match[3].split(" - ", _MAX_PAIRS)
    found = [_KERAS_PAIR.fullmatch(word.strip()) for word in words]
    return _Bar(
        done=float(match[1]),
        total=float(match[2]),
        pairs=[(pair[1], pair[2]) for pair in found if pair is not None],
        epoch=epoch,
    )


def _finite(words: str) -> float | None:
    """Read a number; None for what is none, or is not finite."""
    if len(words) > 40 or _NUMBER.fullmatch(words) is None:
        return None
    value = float(words)
    return value if math.isfinite(value) else None
