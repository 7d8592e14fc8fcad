"""The modules of a project, found and parsed as the script's imports need them."""

from __future__ import annotations

import ast
import sys
import tokenize
import warnings
from pathlib import Path

MAX_SOURCE_BYTES = 2_000_000
"""A file above that is not read."""

MAX_MODULES = 200
"""So many modules are read for one script."""


class UnreadableError(Exception):
    """A file cannot be read; the message is a clause that goes on from its name."""


class Project:
    """Where a script finds its modules.

    Parameters
    ----------
    root : Path
        The code directory. Nothing outside is read, links included.
    start : Path
        Where Python looks first: the script's folder.
    """

    def __init__(self, root: Path, start: Path) -> None:
        self.root = root.resolve()
        self._places = list(dict.fromkeys([start, root, root / "src"]))
        self._read = 0

    def find(self, name: str) -> Path | None:
        """Find a module's file by its dotted name; a folder where it has no ``__init__``."""
        for place in self._places:
            if place is not self._places[0] and name.partition(".")[0] in sys.stdlib_module_names:
                break  # only the script's own folder comes before the standard library
            path = place.joinpath(*name.split("."))
            for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
                if self.holds(file) and file.is_file():
                    return file
            if self.holds(path) and path.is_dir() and not (path / "__init__.py").exists():
                return path
        return None

    def holds(self, path: Path) -> bool:
        """Whether a path is in the project, links followed."""
        try:
            return path.resolve().is_relative_to(self.root)
        except (OSError, RuntimeError, ValueError):
            return False

    def parse(self, path: Path) -> tuple[ast.Module, str]:
        """Read a file as Python; give its tree and its text.

        Raises
        ------
        UnreadableError
            It cannot be read.
        """
        self._read += 1
        if self._read > MAX_MODULES:
            raise UnreadableError(f"is not read, as {MAX_MODULES} modules were read before it")
        return parsed(path)


def parsed(path: Path) -> tuple[ast.Module, str]:
    """Read a file as Python; give its tree and its text.

    Raises
    ------
    UnreadableError
        It is missing, too large, or no Python.
    """
    try:
        size = path.stat().st_size
        if size > MAX_SOURCE_BYTES:
            raise UnreadableError(
                f"has {size} bytes, more than the {MAX_SOURCE_BYTES} that are read"
            )
        with tokenize.open(path) as file:
            return parsed_text(file.read())
    except SyntaxError as error:  # in the line that names its encoding
        raise UnreadableError(f"is no Python: {error.msg}") from error
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UnreadableError(f"is no Python: {error}") from error


def parsed_text(source: str) -> tuple[ast.Module, str]:
    """Read text as Python; give its tree and the text.

    Raises
    ------
    UnreadableError
        It is no Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the script's own, of no use here
            return ast.parse(source), source
    except SyntaxError as error:
        place = f" in line {error.lineno}" if error.lineno else ""
        raise UnreadableError(f"is no Python: {error.msg}{place}") from error
    except (RecursionError, MemoryError) as error:
        raise UnreadableError("is nested too deeply to be read") from error
    except ValueError as error:
        raise UnreadableError(f"is no Python: {error}") from error
