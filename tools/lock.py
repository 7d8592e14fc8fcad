"""Write `requirements.lock` anew: every dependency group, exact versions, hashes, no host's name.

Run it after a change of pyproject.toml's dependencies: `python3 tools/lock.py`. It takes the newest
versions that fit (`--keep` keeps those of the present file where they still fit). The resolver, uv,
is installed in an environment that is thrown away.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"


def main() -> None:
    """Resolve and write."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        groups = list(tomllib.load(file)["dependency-groups"])
    if "--keep" not in sys.argv[1:]:
        LOCK.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(scratch, with_pip=True)
        python = str(Path(scratch, "Scripts" if os.name == "nt" else "bin", "python"))
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
        command = [python, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet"]
        command += ["--universal", "--python-version", "3.11", "--generate-hashes"]
        command += ["--no-emit-index-url", "--no-header", "--output-file", LOCK.name]
        for group in groups:
            command += ["--group", group]
        subprocess.run(command, check=True, cwd=ROOT)
    print(f"wrote {LOCK.name} for the groups {', '.join(groups)}")


if __name__ == "__main__":
    main()
