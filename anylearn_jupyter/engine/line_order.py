"""Two pipes into one log, so that no line is broken by what came through the other one.

A program without buffers writes a line in parts, and its end on its own. Which of two pipes was
written first nobody can tell, but who has begun to write to the one has ended the line in the other
before. So the other pipe is looked at before a part of a line is written down, and what ends a part
before anything else is written.

The shim imports this module, once a task, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable

from anylearn_jupyter.engine.log_writer import STDERR, STDOUT, LogWriter

# A program that writes to both without a pause is left for signals and deadlines after so many.
_ROUNDS = 256


class LineOrder:
    """Writes what two pipes give, by whole lines as far as they come.

    Parameters
    ----------
    log : LogWriter
        Where it goes.
    more : callable
        Gives what the pipe of a stream holds at this moment; nothing where it is empty or closed.
    """

    def __init__(self, log: LogWriter, more: Callable[[int], bytes]) -> None:
        self._log = log
        self._more = more

    def take(self, data: bytes, stream: int) -> None:
        """Write what was read, now: nothing is held back for a later call."""
        if data.endswith(b"\n") and self._log.open_stream in (None, stream):
            self._log.append(data, stream)
            return
        waiting = {STDOUT: b"", STDERR: b"", stream: data}
        for _ in range(_ROUNDS):
            self._append_lines(waiting)
            if not any(waiting.values()):
                return
            now = self._log.open_stream
            asked = [now] if now in waiting else self._without_tail(waiting)
            news = {one: self._more(one) for one in asked}
            if not any(news.values()):
                break
            for one, text in news.items():
                waiting[one] += text
        for one, text in waiting.items():
            self._log.append(text, one)

    def _append_lines(self, waiting: dict[int, bytes]) -> None:
        """Write the end of the line that is open, and then whole lines."""
        now = self._log.open_stream
        if now in waiting:
            end = waiting[now].find(b"\n") + 1 or len(waiting[now])
            self._log.append(waiting[now][:end], now)
            waiting[now] = waiting[now][end:]
            if self._log.open_stream is not None:
                return
        for one, text in waiting.items():
            end = text.rfind(b"\n") + 1
            self._log.append(text[:end], one)
            waiting[one] = text[end:]

    def _without_tail(self, waiting: dict[int, bytes]) -> list[int]:
        """Name the streams that may have been written to before a part of a line in another one."""
        silent = [one for one, text in waiting.items() if not text]
        return silent or list(waiting)
