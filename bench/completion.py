"""What Tab costs in a fresh kernel: the first press, and the next ones, with a full ledger.

The limit of a press is 50 ms (issue 4, part 1). Nothing goes over the network.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

LIMIT_MS = 50.0
TASKS = 2_000
PRESSES = 20
CELLS = (
    "%%anylearn_train ",
    "%%anylearn_train train.py --pr",
    "%%anylearn_train train.py -p be",
    "%%anylearn_train train.py --set ",
    "%%anylearn_train train.py -d options=",
    "%%anylearn_train train.py\nopt",
    "%anylearn_logs ",
    "%anylearn_stop ",
)


def script_of(options: int) -> str:
    """Write an argparse script with so many options."""
    lines = [f'parser.add_argument("--option{n}", type=float, default=0.1)' for n in range(options)]
    return "\n".join(
        ["import argparse", "parser = argparse.ArgumentParser()", *lines, "parser.parse_args()", ""]
    )


def fill_ledger() -> None:
    """Put tasks into the ledger, as submissions leave them."""
    from anylearn_jupyter.submit.ledger import Ledger
    from anylearn_jupyter.submit.request import TrainRequest
    from anylearn_jupyter.submit.task_record import TaskRecord

    request = TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=Path.cwd(),
        hyperparams=tuple((f"option{n}", "0.1") for n in range(20)),
        project_name="bench",
    )
    with Ledger() as ledger:
        for number in range(TASKS):
            ledger.record_task(
                TaskRecord(
                    id=f"TRAI{number:028x}",
                    name=f"task{number}",
                    server="local",
                    profile={"request": request.to_json(), "facts": {"data": []}},
                    submitted_ms=number,
                )
            )


def press_ms(shell: InteractiveShell, cell: str) -> tuple[float, float]:
    """Press Tab at the end of a cell; give the milliseconds by the clock, and of the processor."""
    start, busy = time.perf_counter(), time.process_time()
    with provisionalcompleter():
        found = list(shell.Completer.completions(cell, len(cell)))
    took = time.perf_counter() - start, time.process_time() - busy
    assert found, cell
    return 1000 * took[0], 1000 * took[1]


def main() -> None:
    """Measure and print a table."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as directory:
        os.environ["ANYLEARN_HOME"] = f"{directory}/home"
        os.environ["IPYTHONDIR"] = f"{directory}/ipython"
        os.chdir(directory)
        Path("folder").mkdir()
        Path("train.py").write_text(script_of(300), encoding="utf-8")
        fill_ledger()
        config = Config()
        config.HistoryManager.enabled = False
        shell = InteractiveShell.instance(config=config)
        shell.run_line_magic("load_ext", "anylearn_jupyter")
        with provisionalcompleter():
            list(shell.Completer.completions("os.pa", 5))  # IPython's own first press
        print(f"limit {LIMIT_MS:g} ms; by the clock (of the processor)")
        print(f"{'Tab after':44} {'first':>15} {'next, p50':>15}")
        for cell in CELLS:
            first = press_ms(shell, cell)
            times = [press_ms(shell, cell) for _ in range(PRESSES)]
            p50 = [statistics.median(column) for column in zip(*times, strict=True)]
            columns = " ".join(f"{wall:7.1f} ({cpu:5.1f})" for wall, cpu in (first, p50))
            print(f"{cell!r:44} {columns}")
        os.chdir("/")  # before the directory goes


if __name__ == "__main__":
    main()
