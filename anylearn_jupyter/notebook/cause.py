"""Why a task failed, in a few words: from how it ended and the last lines of its log.

The words of a log are a stranger's. They are only picked here, never read as anything else.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.entities import TaskDetail, TaskPhase
from anylearn_jupyter.notebook.ansi import plain
from anylearn_jupyter.submit.outcome import outcome_text

CAUSE_LINES = 400
"""Lines at a log's end that are looked through."""

MAX_SUMMARY = 300
"""Characters of a summary, and of a place."""

_SHOWN_LINES = 12
_LAST_LINES = 5
# The engine's own directory for a task's code says nothing to its author.
_CODE_DIRECTORY = re.compile(r"/[^\s\"'│]*/tasks/TRAI[0-9a-f]{28}/code/")
# What stands before it (a rank, a group's bars) stands before the lines that belong to it, too.
_HEADER = re.compile(r"(.{0,60}?)Traceback \(most recent call last\)")
_FRAME = re.compile(r'File "([^"]+)", line (\d+)(?:,? in (.+))?$')
_BOXED_FRAME = re.compile(r"│ (\S+):(\d+) in (\S+)")
_CRASH = re.compile(r"(?:Current t|T)hread .*\(most recent call first\)")
_ERROR = re.compile(
    r"\b(?:error|errno|exception|fatal|cannot|can't|not found|denied)\b", re.IGNORECASE
)
_LIBRARIES = ("site-packages/", "dist-packages/", "/lib/python", "<frozen ", "/bin/")
_DEVICE_MEMORY = re.compile(
    r"(?:CUDA|HIP|MPS backend|XPU) out of memory|CUDA error: out of memory|OutOfMemoryError"
    r"|CU(?:DNN|BLAS)_STATUS_ALLOC_FAILED|RESOURCE_EXHAUSTED: Out of memory|OOM when allocating"
)
_SYNTAX = re.compile(r"(?:Syntax|Indentation|Tab)Error\b")
_MEMORY = re.compile(
    r"^MemoryError\b|_ArrayMemoryError|std::bad_alloc|Cannot allocate memory|oom-kill"
    r"|DefaultCPUAllocator: .*memory|Out of memory: Killed process|java\.lang\.OutOfMemoryError"
)
_MAYBE_MEMORY = "worker (pid"  # a DataLoader tells no more than that its worker was killed


@dataclass(frozen=True)
class Cause:
    """Why a task failed, as its views say it before anything else.

    Attributes
    ----------
    summary : str
        One line: the exception, or how it ended in words.
    place : str
        Where in the user's code, and what stands there; empty where that is not known.
    lines : tuple of str
        The lines of the log that tell more, without colours; may be empty.
    """

    summary: str
    place: str = ""
    lines: tuple[str, ...] = ()

    @property
    def text(self) -> tuple[str, ...]:
        """All of it, line by line."""
        return tuple(line for line in (self.summary, self.place, *self.lines) if line)


def cause_of(detail: TaskDetail, lines: Sequence[str]) -> Cause | None:
    """Find out why a task failed.

    Parameters
    ----------
    detail : TaskDetail
        How it ended.
    lines : sequence of str
        The last lines of its log, colour sequences and all.

    Returns
    -------
    Cause or None
        None where nothing failed: it has not ended, succeeded, or was stopped on request. Memory
        is named as the cause only where the log says so; a signal 9 alone makes it a 'maybe'.

    Notes
    -----
    Source: issue 4, part 6; notebook spec, "The views".
    """
    if detail.phase == TaskPhase.LOST:
        return Cause(_sentence(outcome_text(detail)))
    if detail.phase != TaskPhase.FAILED:
        return None
    words = [_CODE_DIRECTORY.sub("", plain(line)) for line in lines]
    while words and not words[-1].strip():
        words.pop()
    ended = _ending(detail)
    if detail.exit is not None and detail.exit.kind in ("timeout", "start"):
        return Cause(ended, lines=tuple(words[-_LAST_LINES:]))
    trace = _last_trace(words)
    if trace is None:
        return _without_trace(ended, words)
    exception = _exception(trace)
    # Another code than Python's own for an exception was chosen by the script, later.
    summary = exception if exception and _raised(detail) else ended
    summary = _memory(exception, words) or summary
    return Cause(_cut(summary), _cut(_place(trace)), _shortened(trace))


def _ending(detail: TaskDetail) -> str:
    """Say how it ended, and no more than is known of a signal 9."""
    ended = detail.exit
    killed = ended is not None and (
        (ended.kind == "signal" and ended.number == signal.SIGKILL)
        or (ended.kind == "exit" and ended.number == 128 + signal.SIGKILL)
    )
    if killed:
        return (
            "Maybe out of memory: something ended it by signal 9 (SIGKILL), as the system does "
            "when memory runs out; nothing tells for sure"
        )
    if ended is not None and ended.kind == "timeout" and ended.message:
        return _sentence(one_line(ended.message))
    return _sentence(outcome_text(detail))


def _raised(detail: TaskDetail) -> bool:
    return detail.exit is None or (detail.exit.kind == "exit" and detail.exit.number == 1)


def _without_trace(ended: str, words: list[str]) -> Cause:
    last = [line for line in words[-4 * _LAST_LINES :] if line.strip()][-_LAST_LINES:]
    crash = next((at for at, line in enumerate(words) if _CRASH.search(line)), None)
    if crash is not None:
        last = words[max(crash - 1, 0) : crash + _SHOWN_LINES]
        frame = next((one for line in last if (one := _frame(line)) is not None), None)
        return Cause(_cut(ended), "" if frame is None else _cut(_said(*frame)), tuple(last))
    error = next((line.strip() for line in reversed(last) if _ERROR.search(line)), "")
    memory = _memory("", words)
    if memory or (error and not ended.startswith(("Maybe", "Ended"))):
        return Cause(_cut(memory or f"{ended}: {error}"), lines=tuple(last))
    return Cause(_cut(ended), lines=tuple(last))


def _memory(exception: str, words: Sequence[str]) -> str:
    """Say that memory ran out where the exception, or the log's end, says so."""
    said = [exception] if exception else list(words[-20:])
    for line in said:
        if _DEVICE_MEMORY.search(line) and "java." not in line:
            return f"Out of memory on the device: {line.strip()}"
        if _MEMORY.search(line.strip()):
            return f"Out of memory: {line.strip()}"
        if _MAYBE_MEMORY in line and "killed by signal" in line:
            return f"Maybe out of memory: {line.strip()}"
    return ""


def _last_trace(words: Sequence[str]) -> list[str] | None:
    """Give the last traceback that leads through the user's code; else the last one."""
    traces = [
        _trace_at(words, at, header[1])
        for at, line in enumerate(words)
        if (header := _HEADER.match(line)) is not None
    ]
    traces = traces or _of_syntax(words)
    own = [trace for trace in traces if any(_is_own(*one) for one in _frames(trace))]
    found = own or traces
    return found[-1] if found else None


def _of_syntax(words: Sequence[str]) -> list[list[str]]:
    """Give the lines about a script that is no Python: they have no header."""
    last = list(words[-6:])
    starts = [at for at, line in enumerate(last) if _frame(line) is not None]
    is_error = bool(last) and _SYNTAX.match(last[-1]) is not None
    return [last[starts[0] :]] if starts and is_error else []


def _trace_at(words: Sequence[str], at: int, prefix: str) -> list[str]:
    """Give one traceback, up to its exception and what that says, without what stands before."""
    prefix = "" if prefix.startswith("╭") else prefix.replace("+ Exception Group ", "| ")
    trace = [words[at].removeprefix(prefix)]
    seen_exception = False
    for line in words[at + 1 :]:
        inner = line.removeprefix(prefix)
        if _HEADER.match(line) or (prefix and inner == line):
            break
        if seen_exception and not inner.strip():
            break
        trace.append(inner)
        seen_exception = seen_exception or bool(inner[:1].strip() and inner[0] not in "│╭╰")
    return trace


def _exception(trace: Sequence[str]) -> str:
    """Give the line that names the exception: the first one after the frames."""
    return next(
        (line.strip() for line in trace[1:] if line[:1].strip() and line[0] not in "│╭╰"), ""
    )


def _frames(trace: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Give file, line, function and source text of each frame."""
    found = []
    for at, line in enumerate(trace):
        frame = _frame(line)
        if frame is None:
            continue
        after = trace[at + 1].strip() if at + 1 < len(trace) else ""
        is_source = after and trace[at + 1][:1] == " " and _frame(after) is None
        found.append((*frame, after if is_source else ""))
    return found


def _frame(line: str) -> tuple[str, str, str] | None:
    match = _FRAME.search(line.rstrip()) or _BOXED_FRAME.search(line)
    return None if match is None else (match[1], match[2], match[3] or "")


def _is_own(file: str, *rest: str) -> bool:
    return not any(part in file for part in _LIBRARIES)


def _place(trace: Sequence[str]) -> str:
    """Say where in the user's code it was raised, or called what raised it."""
    own = [one for one in _frames(trace) if _is_own(*one)]
    return _said(*own[-1]) if own else ""


def _said(file: str, line: str, function: str, source: str = "") -> str:
    where = f"{file}, line {line}"
    if function and function != "<module>":
        where += f", in {function}"
    return f"{where}: {source}" if source else where


def _shortened(trace: list[str]) -> tuple[str, ...]:
    if len(trace) > _SHOWN_LINES:
        return (trace[0], "  …", *trace[2 - _SHOWN_LINES :])
    return tuple(trace)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cut(text: str) -> str:
    return one_line(text, MAX_SUMMARY)
