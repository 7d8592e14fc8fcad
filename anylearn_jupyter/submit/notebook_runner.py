"""Executes a notebook as a training: values in, the executed notebook out, its prints into the log.

``python anylearn_notebook.py NOTEBOOK RESULT PATHS [--NAME VALUE ...]``. This file travels with the
code and runs in the task's own environment, so it imports nothing of ours: the standard library,
and what executes notebooks everywhere, nbclient. PATHS names the values that are paths, with commas
(``-`` for none); any other VALUE is Python, or text where it is none.

The result is written when the execution begins, after each cell, and at the end, however that
comes: an exception stands in the cell that raised it. The notebook runs in its own folder, with the
interpreter that runs this, whatever kernel it was saved with; one of another language has the
kernel that it names.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, TextIO

NEEDED = ("nbclient", "nbformat", "ipykernel")
"""What the environment of the task has to have."""

START_LIMIT_S = 120
"""Seconds that a kernel has to start."""

_TAG, _INJECTED = "parameters", "injected-parameters"
_KERNEL = "anylearn-task"
_SHOWN_CHARACTERS = 70


def main(words: list[str]) -> int:
    """Execute the notebook that the words name; 0 where each cell has succeeded."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        sys.stderr.write(
            f"{words[0]} cannot be executed: {sys.executable} has no {names}. Install what is "
            "missing in the environment that the task runs in: pip install nbclient ipykernel\n"
        )
        return 1
    source, result = Path(words[0]).absolute(), Path(words[1]).absolute()
    values = read_values(words[3:], words[2].split(","))
    return _execute(source, result, values)


def read_values(words: list[str], paths: list[str]) -> dict[str, str]:
    """Give each value as Python source, by its name."""
    given: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--") and word[2:].isidentifier():
            name = word[2:]
            given[name] = []
        else:
            given[name].append(word)
    found = {}
    for name, texts in given.items():
        if name in paths:
            found[name] = repr(texts if len(texts) > 1 else texts[0])
        else:
            found[name] = _python(" ".join(texts))
    return found


def inject(notebook: Any, values: dict[str, str], new_cell: Any) -> None:
    """Put a cell with the values after the one tagged ``parameters``, else on top, as papermill."""
    cells = notebook.cells
    notebook.cells = [one for one in cells if _INJECTED not in one.metadata.get("tags", [])]
    if not values:
        return
    lines = ["# Parameters", *(f"{name} = {source}" for name, source in values.items())]
    cell = new_cell("\n".join(lines), metadata={"tags": [_INJECTED]})
    tagged = (n for n, one in enumerate(notebook.cells) if _TAG in one.metadata.get("tags", []))
    notebook.cells.insert(next(tagged, -1) + 1, cell)


def _execute(source: Path, result: Path, values: dict[str, str]) -> int:
    import nbformat
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    notebook = nbformat.read(source, as_version=4)
    inject(notebook, values, nbformat.v4.new_code_cell)
    os.environ.setdefault("ANYLEARN_TASK_OUTPUT_PATH", str(result.parent))
    result.parent.mkdir(parents=True, exist_ok=True)

    def save() -> None:
        temporary = result.with_name(f".{result.name}.new")
        temporary.write_text(nbformat.writes(notebook), encoding="utf-8")
        temporary.replace(result)

    def on_stop(*_: object) -> None:
        save()
        os._exit(128 + signal.SIGTERM)  # what stops us ends the kernel as well

    save()
    signal.signal(signal.SIGTERM, on_stop)
    with tempfile.TemporaryDirectory() as kernels:
        client = _client(notebook, _kernel_name(notebook, Path(kernels)), source.parent, save)
        try:
            client.execute()
        except CellExecutionError:
            return 1  # its traceback is in the log already, and in the cell
        except DeadKernelError:
            sys.stderr.write("The notebook's kernel died, perhaps because memory ran out.\n")
            return 1
        finally:
            save()
    return 0


def _client(notebook: Any, kernel_name: str, folder: Path, save: Any) -> Any:
    """Make what executes: it tells each cell, passes prints on, and saves after each cell."""
    from nbclient import NotebookClient

    total = sum(one.cell_type == "code" and bool(one.source.strip()) for one in notebook.cells)
    begun = 0

    def on_start(cell: Any, cell_index: int) -> None:
        nonlocal begun
        if cell.cell_type == "code" and cell.source.strip():
            begun += 1
            _write(sys.stdout, f"[cell {begun} of {total}] {_first_line(cell.source)}\n")

    def on_executed(**_: Any) -> None:
        save()

    client: Any = NotebookClient(
        notebook,
        kernel_name=kernel_name,
        timeout=None,
        startup_timeout=START_LIMIT_S,
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=on_start,
        on_cell_executed=on_executed,
    )
    process: Any = client.process_message

    def process_message(msg: Any, cell: Any, cell_index: int) -> Any:
        _pass_on(msg["msg_type"], msg["content"])
        return process(msg, cell, cell_index)

    client.process_message = process_message
    return client


def _pass_on(kind: str, content: dict[str, Any]) -> None:
    """Write what a cell says where a script would have written it."""
    if kind == "stream":
        _write(sys.stderr if content["name"] == "stderr" else sys.stdout, content["text"])
    elif kind in ("display_data", "execute_result"):
        text = content["data"].get("text/plain", "")
        _write(sys.stdout, f"{text if isinstance(text, str) else ''.join(text)}\n")
    elif kind == "error":
        _write(sys.stderr, "\n".join(content["traceback"]) + "\n")


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()


def _kernel_name(notebook: Any, folder: Path) -> str:
    """Give the kernel: for Python this interpreter's own, so that the environment is the task's."""
    metadata = notebook.metadata
    language = metadata.get("kernelspec", {}).get("language") or metadata.get(
        "language_info", {}
    ).get("name", "python")
    if language != "python":
        return str(metadata["kernelspec"]["name"])
    place = folder / "kernels" / _KERNEL
    place.mkdir(parents=True)
    launcher = ["-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}"]
    spec = {
        "argv": [sys.executable, *launcher],
        "display_name": "Python of the task",
        "language": "python",
    }
    (place / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    known = os.environ.get("JUPYTER_PATH")
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(folder), *([known] if known else [])])
    return _KERNEL


def _python(text: str) -> str:
    try:
        ast.parse(text, mode="eval")
        literal = text.startswith('float("') or ast.literal_eval(text) is not Ellipsis
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return repr(text)
    return text if literal else repr(text)


def _first_line(source: str) -> str:
    lines = (line.strip() for line in source.splitlines())
    line = next((one for one in lines if one and not one.startswith("#")), "")
    return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
