"""A line to the engine that adds a delay to each round trip: what benchmarks put in between.

Not a benchmark itself. A proxy on loopback holds every piece of data for half the delay in each
direction, without slowing the pieces behind it. It also writes its own port for the engine's and
back, as the engine answers only to its own name.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HOLD_BYTES = 65_536


class _Line:
    """One proxy: where it listens, where it leads, and how many requests it saw."""

    def __init__(self, target_port: int, delay_s: float) -> None:
        self.target_port = target_port
        self.half_s = delay_s / 2
        self.port = 0
        self.requests = 0

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        # Ports of the same number of digits, so that no length changes on the way.
        while True:
            server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            if len(str(self.port)) == len(str(self.target_port)):
                break
            server.close()
        ready.set()
        async with server:
            await stop.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        ours, theirs = f"127.0.0.1:{self.port}".encode(), f"127.0.0.1:{self.target_port}".encode()
        await asyncio.gather(
            self._pass_on(reader, far_writer, ours, theirs, counts=True),
            self._pass_on(far_reader, writer, theirs, ours, counts=False),
        )

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        old: bytes,
        new: bytes,
        *,
        counts: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def write() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()

        writing = asyncio.create_task(write())
        try:
            while data := await reader.read(HOLD_BYTES):
                self.requests += counts and data.count(b" HTTP/1.1\r\n")
                queue.put_nowait((loop.time() + self.half_s, data.replace(old, new)))
        except ConnectionError:
            data = b""
        queue.put_nowait((loop.time() + self.half_s, b""))
        try:
            await writing
        except ConnectionError:
            writer.close()


@contextmanager
def slow_line(address: str, delay_s: float) -> Iterator[_Line]:
    """Give a proxy to an address; `port` is where it listens."""
    line = _Line(int(address.rpartition(":")[2]), delay_s)
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(line.serve(ready, stop))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield line
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
