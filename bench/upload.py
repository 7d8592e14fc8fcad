"""An upload with its fingerprint in one pass, to the engine.

Floor: the same files sent over loopback to a bare `recv_into` loop that writes them to one file, as
fast as Python can; nothing is hashed there and nothing looked up. Rival: the published client's
loop (the file read whole, BLAKE2b, a `requests.post` for each 2,048,000 bytes) with the Python and
the `requests` of the published 0.18.3, against the same engine.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from corpora import ROOT, corpus
from side_by_side import Goals, files_below, in_turns, ms, own_home, ratio, read_all, timed

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
    """Sends a corpus to the engine, again and again as if for the first time."""

    def __init__(self) -> None:
        from anylearn_jupyter.client.connection import current_connection

        self.connection = current_connection()
        self.made: list[str] = []
        self.ready_s: list[float] = []

    def send(self, top: Path) -> None:
        """Send it until all is confirmed and its fingerprint known."""
        from anylearn_jupyter.submit.delta_upload import DeltaUpload
        from anylearn_jupyter.submit.fingerprint import DataReading, look

        api = self.connection.api
        assert api.delta is not None
        with DeltaUpload(api, api.delta, "0" * 32) as upload:
            reading = DataReading(look(top))
            reading.read_all(upload)
            upload.flush()
            reading.result()
            self._last = upload, reading

    def finish(self) -> float:
        """Make a dataset of it, and give the seconds until it is ready; then remove it."""
        api, (upload, reading) = self.connection.api, self._last
        key = os.urandom(8).hex()
        made = api.add_dataset("bench", description="", filename="bench.zip", key=key)

        def ready() -> None:
            api.delta_finish(upload.name, made, upload.manifest(reading))
            while api.dataset(made).state == 2:
                pass

        taken = timed(ready)
        api.http.delete("dataset/delete", {"id": made})
        return taken


def measure(name: str, top: Path, engine: ToEngine, port: int, python: str, goals: Goals) -> None:
    """Measure one corpus."""
    total = read_all(top)
    floor, ours = [], []
    for _ in range(ROUNDS):
        (raw,), (own,) = in_turns(1, lambda: to_sink(port, top), lambda: engine.send(top))
        floor.append(raw)
        ours.append(own)
        engine.ready_s.append(engine.finish())
    connection = engine.connection
    assert connection.engine is not None
    words = [python, "-c", PUBLISHED, connection.address, connection.engine.token]
    found = subprocess.run([*words, *files_below(top)], capture_output=True, text=True, check=True)
    published = float(found.stdout)
    for one in connection.api.datasets():
        connection.api.http.delete("dataset/delete", {"id": one.id})
    own = sorted(ours)[ROUNDS // 2]
    print(f"{name}: sink {ms(floor)}, ours {ms(ours)} ({total / own / 1e6:,.0f} MB/s), ", end="")
    print(f"ready {sorted(engine.ready_s)[ROUNDS // 2]:.2f} s later, published {published:.1f} s")
    goals.at_least(f"{name}, rate against the sink", ratio(floor, ours), 0.5)
    goals.at_least(f"{name} against the published loop", published / own, 4)


def main() -> int:
    """Print the measurements and whether the goals are met."""
    goals = Goals()
    made = [sys.executable, str(ROOT / "tools" / "published_client.py"), "0.18.3"]
    python = subprocess.run(made, capture_output=True, text=True, check=True).stdout.strip()
    with own_home() as scratch:
        sink = subprocess.Popen(
            [sys.executable, "-c", SINK, str(scratch / "sink")], stdout=subprocess.PIPE
        )
        assert sink.stdout is not None
        port = int(sink.stdout.readline())
        try:
            for name in ("big", "mixed"):
                engine = ToEngine()
                measure(name, corpus(name), engine, port, python, goals)
        finally:
            sink.kill()
            sink.wait()
            stop = [sys.executable, "-m", "anylearn_jupyter.engine", "stop"]
            subprocess.run(stop, check=False, stdout=subprocess.DEVNULL)
    return goals.end()


if __name__ == "__main__":
    sys.exit(main())
