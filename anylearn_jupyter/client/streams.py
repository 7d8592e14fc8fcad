"""A reply that is read as it arrives: by blocks or by lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from anylearn_jupyter.client.failures import FAILURES, disarmed
from anylearn_jupyter.errors import UnexpectedAnswer

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of one line of a stream; a longer one is no answer of an Anylearn server."""

_READ_BYTES = 65_536


class Stream:
    """The body of a reply, once and in order.

    Parameters
    ----------
    body : urllib3 response
        What `requests` calls ``raw``.
    headers : Mapping
        Names compare without regard to case.
    lost : callable
        ``lost(error)`` gives the error to raise for a broken connection.
    """

    def __init__(
        self, body: Any, headers: Mapping[str, str], lost: Callable[[Exception], Exception]
    ) -> None:
        self.headers = headers
        self._body = body
        self._lost = lost

    def blocks(self) -> Iterator[bytes]:
        """Give the body in pieces, each as soon as it is here.

        Raises
        ------
        ServerUnreachable
            The reply was cut, or nothing came for too long.
        """
        while True:
            try:
                block = self._body.read1(_READ_BYTES, decode_content=True)
            except FAILURES as error:
                raise self._lost(error) from disarmed(error)
            if not block:
                return
            yield block

    def lines(self, limit: int = LINE_LIMIT) -> Iterator[bytes]:
        """Give the body by lines, without their ends.

        Raises
        ------
        UnexpectedAnswer
            A line is longer than the limit.
        """
        held: list[bytes] = []
        size = 0
        for block in self.blocks():
            first, *others = block.split(b"\n")
            held.append(first)
            size += len(first)
            for other in others:
                yield b"".join(held)
                held, size = [other], len(other)
            if size > limit:
                raise UnexpectedAnswer(
                    f"The stream has a line of more than {limit} bytes; check that the address "
                    "is that of an Anylearn server."
                )
        if size:
            yield b"".join(held)
