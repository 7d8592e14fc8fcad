"""Scripts for the published SDK, on ours and on the published client: the same words come out.

The scripts are our own, in the style of 0.17 and 0.18; only their imports differ from what the
published client runs. Each prints what it learns on lines that begin with ``>``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import SCRUBBED_PREFIXES
from engine_home import EngineHome, shared_engine

__all__ = ["shared_engine"]

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "tests" / "published_scripts").glob("*.py"))
PUBLISHED = ROOT / "build" / "published" / "0.18.3" / "bin" / "python"
IMPORT = re.compile(r"^from anylearn_jupyter import (?:\((?P<many>[^)]*)\)|(?P<few>.*))$", re.M)
PUBLISHED_HOMES = {
    "init_sdk": "anylearn",
    "quick_train": "anylearn.applications.quickstart",
    "resume_unfinished_local_train_tasks": "anylearn.applications.quickstart",
    "SyncResourceDownloader": "anylearn.interfaces.resource",
}
CODE = """
import argparse, os, pathlib, sys

known, rest = argparse.ArgumentParser(), []
known.add_argument("--data", nargs="*", default=[])
known.add_argument("--epochs", type=int, default=1)
options, rest = known.parse_known_args()
for path in options.data:
    print("data", sorted(os.listdir(path)))
for epoch in range(options.epochs):
    print("epoch", epoch)
print()
print("rest", [word for word in rest if "/" not in word], os.environ.get("COLOUR"))
for word in rest:
    if word.startswith("++start="):
        print("start", sorted(os.listdir(word.partition("=")[2])))
output = pathlib.Path("output")
(output / "deep").mkdir(parents=True)
(output / "model.txt").write_text("weights")
(output / "deep" / "curve.csv").write_text("1,2")
"""


def run(
    script: str, python: Path, place: Path, engine: EngineHome, user: str
) -> subprocess.CompletedProcess[str]:
    """Run a script beside its directories, as a user of its own who logs in."""
    (place / "home").mkdir(parents=True)
    (place / "code").mkdir()
    (place / "code" / "train.py").write_text(CODE, encoding="utf-8")
    (place / "code" / "requirements.txt").touch()
    (place / "data" / "deep").mkdir(parents=True)
    (place / "data" / "a.txt").write_text("A", encoding="utf-8")
    (place / "data" / "deep" / "b.txt").write_text("B", encoding="utf-8")
    (place / "script.py").write_text(script, encoding="utf-8")
    engine.add_user(user, "word of a test")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(SCRUBBED_PREFIXES)
    }
    return subprocess.run(
        [str(python), "script.py"],
        cwd=place,
        env={
            **kept,
            "HOME": str(place / "home"),
            "ANYLEARN_HOME": str(place / "anylearn-home"),
            "CLUSTER": engine.address,
            "CLUSTER_USER": user,
            "CLUSTER_PASSWORD": "word of a test",
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(">")]


def as_published(script: str) -> str:
    """Change a script's imports, and nothing else."""

    def published(found: re.Match[str]) -> str:
        names = [name.strip() for name in (found["many"] or found["few"]).split(",")]
        return "\n".join(
            f"from {PUBLISHED_HOMES.get(name, 'anylearn.interfaces')} import {name}"
            for name in filter(None, names)
        )

    changed, count = IMPORT.subn(published, script)
    assert count == 1
    assert "anylearn_jupyter" not in changed
    return changed


@pytest.fixture(scope="module")
def plain_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHome]:
    """A server that offers nothing but the published API."""
    made = EngineHome(tmp_path_factory.mktemp("gateway") / "anylearn-home")
    made.start("--plain-gateway")
    yield made
    made.stop("--tasks")
    made.wait_gone()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_runs_on_ours_as_on_the_published_client(
    path: Path, shared_engine: EngineHome, plain_gateway: EngineHome, tmp_path: Path
) -> None:
    script, ours = path.read_text(encoding="utf-8"), Path(sys.executable)
    here = told(run(script, ours, tmp_path / "here", shared_engine, f"here-{path.stem}"))
    assert len(here) > 10
    plain = told(run(script, ours, tmp_path / "plain", plain_gateway, path.stem))
    assert plain == here
    if not PUBLISHED.exists():
        pytest.skip("the published client is not there: run `python tools/published_client.py`")
    theirs = told(
        run(as_published(script), PUBLISHED, tmp_path / "theirs", shared_engine, f"pub-{path.stem}")
    )
    assert here == theirs
