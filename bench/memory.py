"""What an upload holds in memory, at 1 GB and at 5 GB, on both sides.

Highest resident sizes as the system counts them (``VmHWM``): the client's above what it holds when
it is idle and connected, the engine's in all. The files are random every 64 MiB and holes between,
so that they are large and quick to make; the holes are read, hashed and cut like anything else.
Rival: the published client reads the file whole.

``--gb N`` measures only that size, and may be given more than once. Both ways are measured: as it
is, where the engine of this machine reads the file itself, and with every byte sent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from corpora import SMALL
from side_by_side import Goals, own_home

CLIENT = """
import json, sys
from pathlib import Path

from anylearn_jupyter.client.api import Api

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.submit import pipeline
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.local_data import LocalData
from anylearn_jupyter.submit.preparation import look_at_data
from anylearn_jupyter.submit.progress import SilentProgress
from anylearn_jupyter.submit.request import InputKind


def status(pid, name):
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


if sys.argv[2] == "sent":
    limits = Api.delta.fget
    Api.delta = property(lambda api: limits(api)._replace(reads_files=0))
with Ledger() as ledger:
    connection = current_connection()
    connection.api.datasets()
    place = Destination(connection, ledger, SilentProgress(), 0.2)
    idle = status("self", "VmRSS")
    content = look_at_data(Path(sys.argv[1]), SilentProgress())
    found = LocalData(content, InputKind.DATASET, place).provide()
    engine = status(connection.engine.pid, "VmHWM")
    print(json.dumps([status("self", "VmHWM") - idle, engine, found.sent]))
"""
SIZES = (50_000_000, 100_000_000) if SMALL else (1_000_000_000, 5_000_000_000)


def main() -> int:
    """Print the measurements and whether the goals are met."""
    if sys.platform != "linux":
        print("only Linux tells the highest resident size of another process")
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", action="append", type=float)
    chosen = parser.parse_args().gb
    goals = Goals()
    for size in [int(gb * 1e9) for gb in chosen] if chosen else SIZES:
        with own_home() as scratch:
            folder = scratch / "data"
            folder.mkdir()
            with (folder / "file.bin").open("wb") as file:
                file.truncate(size)
                for start in range(0, size - (4 << 20), 64 << 20):
                    file.seek(start)
                    file.write(os.urandom(4 << 20))
            for way in ("read here", "sent"):
                os.environ["ANYLEARN_HOME"] = str(scratch / f"home {way}")
                measure(folder, size, way, goals)
    return goals.end()


def measure(folder: Path, size: int, way: str, goals: Goals) -> None:
    """Measure one upload."""
    try:
        grown, engine, sent = sent_by_itself(folder, way)
    finally:
        stop = [sys.executable, "-m", "anylearn_jupyter.engine", "stop"]
        subprocess.run(stop, check=False, stdout=subprocess.DEVNULL)
    print(f"{size / 1e9:g} GB, of which {sent / 1e6:,.0f} MB had to be {way}: ", end="")
    print(f"client +{grown / 1e6:.1f} MB, engine {engine / 1e6:.1f} MB")
    goals.at_most(f"{size / 1e9:g} GB {way}, client's MB of 40", grown / 40e6, 1.0)
    goals.at_most(f"{size / 1e9:g} GB {way}, engine's MB of 60", engine / 60e6, 1.0)


def sent_by_itself(folder: Path, way: str) -> tuple[int, int, int]:
    """Send a folder in a process of its own; gives what that grew by, the engine, what was sent."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(folder), way], capture_output=True, text=True, check=True
    )
    grown, engine, sent = json.loads(done.stdout)
    return grown, engine, sent


if __name__ == "__main__":
    sys.exit(main())
