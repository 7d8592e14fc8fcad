"""An upload with its fingerprint in one pass, to the engine.

Floor: the same files sent over loopback to a bare `recv_into` loop that writes them to one file, as
fast as Python can; nothing is hashed there and nothing looked up. Rival: the published client's
loop (the file read whole, BLAKE2b, a `requests.post` for each 2,048,000 bytes) with the Python and
the `requests` of the published 0.18.3, against the same engine.

Ours is timed as it is, where the engine of this machine reads the files itself, and with every byte
sent through the socket, as to a server elsewhere; the goals are for the former.

Each round has an engine and a home of its own. Its files are emptied after the round, so that their
bytes are not written to the disk during the next, and removed at the end of all: before it makes a
file, ext4 looks at every inode that was freed within the last minute, which would be measured
instead. So wait a minute after other work that has removed many files.

``--corpus NAME`` measures only that one (may be given twice), ``--rounds N`` so many, and
``--no-rival`` leaves the published client out.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from corpora import ROOT, corpus
from side_by_side import Goals, files_below, ms, own_home, ratio, read_all, timed

SINK = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
view = memoryview(bytearray(1 << 20))
while True:
    wire, _ = listener.accept()
    with wire, open(sys.argv[1], "wb", buffering=0) as file:
        while read := wire.recv_into(view):
            file.write(view[:read])
        wire.sendall(b"k")
    os.unlink(sys.argv[1])
"""
PUBLISHED = """
import hashlib, json, sys, time
import requests
address, token = sys.argv[1:3]
begun = time.perf_counter()
for number, path in enumerate(sys.argv[3:]):
    headers = {"Authorization": "Bearer " + token}
    made = requests.post(address + "/api/dataset/add", headers=headers, data={
        "name": "published", "description": "", "public": 0, "filename": "data.bin"}).json()["data"]
    with open(path, "rb") as file:
        whole = file.read()
    hashlib.blake2b(whole).hexdigest()
    chunks = [whole[at:at + 2048000] for at in range(0, len(whole), 2048000)]
    for index, chunk in enumerate(chunks):
        requests.post(address + "/api/resource/upload", headers=headers, files={"file": chunk},
                      data={"file_id": made, "chunk": str(index)}).raise_for_status()
print(time.perf_counter() - begun)
"""
ROUNDS = 3
CORPORA = ("big", "mixed")


def to_sink(port: int, top: Path) -> None:
    """Send every file to the bare loop."""
    view = memoryview(bytearray(1 << 20))
    with socket.create_connection(("127.0.0.1", port)) as wire:
        for path in files_below(top):
            handle = os.open(path, os.O_RDONLY)
            while read := os.readv(handle, (view,)):
                wire.sendall(view[:read])
            os.close(handle)
        wire.shutdown(socket.SHUT_WR)
        wire.recv(1)


class ToEngine:
    """Sends a corpus to an engine that has nothing yet."""

    def __init__(self) -> None:
        from anylearn_jupyter.client.connection import current_connection

        self.connection = current_connection()

    def send(self, top: Path, *, reads_files: bool) -> None:
        """Send it until all is confirmed and its fingerprint known."""
        from anylearn_jupyter.submit.delta_upload import DeltaUpload
        from anylearn_jupyter.submit.fingerprint import DataReading, look

        api = self.connection.api
        assert api.delta is not None
        limits = api.delta if reads_files else api.delta._replace(reads_files=0)
        with DeltaUpload(api, limits, "0" * 32) as upload:
            reading = DataReading(look(top))
            reading.read_all(upload)
            upload.flush()
            reading.result()
            self._last = upload, reading

    def finish(self) -> float:
        """Make a dataset of it, and give the seconds until it is ready."""
        api, (upload, reading) = self.connection.api, self._last
        key = os.urandom(8).hex()
        made = api.add_dataset("bench", description="", filename="bench.zip", key=key)

        def ready() -> None:
            api.delta_finish(upload.name, made, upload.manifest(reading))
            while api.dataset(made).state == 2:
                pass

        return timed(ready)


@contextmanager
def fresh_engine(scratch: Path) -> Iterator[ToEngine]:
    """Give an engine with a home of its own; its files stay until the end, without a byte."""
    from anylearn_jupyter.client.connection import disconnect

    home = scratch / os.urandom(4).hex()
    os.environ["ANYLEARN_HOME"] = str(home)
    disconnect()
    engine = ToEngine()
    try:
        yield engine
    finally:
        disconnect()
        stop = [sys.executable, "-m", "anylearn_jupyter.engine", "stop"]
        subprocess.run(stop, check=True, stdout=subprocess.DEVNULL)
        for path in files_below(home):
            with suppress(FileNotFoundError):
                os.truncate(path, 0)


def published_s(python: str, top: Path, scratch: Path) -> float:
    """Give the seconds of the published client's loop."""
    with fresh_engine(scratch) as engine:
        connection = engine.connection
        assert connection.engine is not None
        words = [python, "-c", PUBLISHED, connection.address, connection.engine.token]
        found = subprocess.run(
            [*words, *files_below(top)], capture_output=True, text=True, check=True
        )
    return float(found.stdout)


def measure(
    name: str, top: Path, scratch: Path, port: int, python: str | None, rounds: int, goals: Goals
) -> None:
    """Measure one corpus."""
    total = read_all(top)
    floor, here, wire, ready = [], [], [], []
    for _ in range(rounds):
        with fresh_engine(scratch) as engine:
            floor.append(timed(lambda: to_sink(port, top)))
            here.append(timed(lambda: engine.send(top, reads_files=True)))
            ready.append(engine.finish())
        with fresh_engine(scratch) as engine:
            wire.append(timed(lambda: engine.send(top, reads_files=False)))
    own = sorted(here)[rounds // 2]
    print(f"{name}: sink {ms(floor)}, ours {ms(here)} ({total / own / 1e6:,.0f} MB/s), ", end="")
    print(
        f"ready {sorted(ready)[rounds // 2]:.2f} s later; all through the socket {ms(wire)}, ",
        end="",
    )
    print(f"{ratio(floor, wire):,.3g} of the sink's rate")
    goals.at_least(f"{name}, rate against the sink", ratio(floor, here), 0.5)
    if python is not None:
        published = published_s(python, top, scratch)
        print(
            f"  published {published:.1f} s, {published / sorted(wire)[rounds // 2]:.3g} x ", end=""
        )
        print("what ours takes through the socket")
        goals.at_least(f"{name} against the published loop", published / own, 4)


def main() -> int:
    """Print the measurements and whether the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", action="append", choices=CORPORA)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--no-rival", action="store_true")
    options = parser.parse_args()
    goals, python = Goals(), None
    if not options.no_rival:
        made = [sys.executable, str(ROOT / "tools" / "published_client.py"), "0.18.3"]
        python = subprocess.run(made, capture_output=True, text=True, check=True).stdout.strip()
    with own_home() as scratch:
        sink = subprocess.Popen(
            [sys.executable, "-c", SINK, str(scratch / "sink")], stdout=subprocess.PIPE
        )
        assert sink.stdout is not None
        port = int(sink.stdout.readline())
        try:
            for name in options.corpus or CORPORA:
                measure(name, corpus(name), scratch, port, python, options.rounds, goals)
        finally:
            sink.kill()
            sink.wait()
    return goals.end()


if __name__ == "__main__":
    sys.exit(main())
