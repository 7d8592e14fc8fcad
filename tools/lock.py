"""Write `requirements.lock` anew: every dependency group, exact versions, hashes, no host's name.

Run it after a change of pyproject.toml's dependencies: `python3 tools/lock.py`. It takes the newest
versions that fit (`--keep` keeps those of the present file where they still fit). The resolver, uv,
is installed in an environment that is thrown away; the present file stays until the new one is
whole.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"


def main() -> None:
    """Resolve and write."""
    parser = argparse.ArgumentParser(description=f"Write {LOCK.name} anew.")
    parser.add_argument("--keep", action="store_true", help="keep the versions that still fit")
    keep = parser.parse_args().keep
    with (ROOT / "pyproject.toml").open("rb") as file:
        groups = list(tomllib.load(file)["dependency-groups"])
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch, LOCK.name)
        if keep:
            shutil.copyfile(LOCK, made)
        venv.create(scratch, with_pip=True)
        python = str(Path(scratch, "Scripts" if os.name == "nt" else "bin", "python"))
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
        command = [python, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet"]
        command += ["--universal", "--python-version", "3.11", "--generate-hashes"]
        command += ["--no-emit-index-url", "--no-header", "--output-file", str(made)]
        for group in groups:
            command += ["--group", group]
        subprocess.run(command, check=True, cwd=ROOT)
        shutil.copyfile(made, LOCK)
    print(f"wrote {LOCK.name} for the groups {', '.join(groups)}")


if __name__ == "__main__":
    main()
