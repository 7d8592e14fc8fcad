"""Make an environment with a published Anylearn client: an independent witness of the protocol.

`python tools/published_client.py 0.18.3` makes it under `build/published/` unless it is there, and
prints the path of its Python. The client is proprietary: it is only ever run, in an environment and
a process of its own, against our engine.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("0.18.3", "0.20.7")


def python_of(version: str) -> Path:
    """Give the Python of a published client's environment, made on first use."""
    locked = ROOT / "tests" / "published_clients" / f"{version}.txt"
    place = ROOT / "build" / "published" / version
    python, stamp = place / "bin" / "python", place / "made-from"
    wanted = hashlib.sha256(locked.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted and python.exists():
        return python
    print(f"installing the published client {version}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
    install = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    install += ["--quiet", "--require-hashes", "--no-deps", "-r", str(locked)]
    subprocess.run(install, check=True, stdout=sys.stderr)
    stamp.write_text(wanted, encoding="ascii")
    return python


if __name__ == "__main__":
    for wanted_version in sys.argv[1:] or VERSIONS:
        print(python_of(wanted_version))
