"""The rules of ours that say what never travels as code, and the user's that say otherwise.

For a path, from the code directory down to it: our own directory and ``--exclude`` are final;
``--include`` that fits the very path brings it back; what is in a directory that stays, stays; else
our own rules look at its name. So a directory that was brought back still leaves its caches behind.

Notes
-----
Source: quick-train specification, "What travels".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.globs import Glob, literal, parents

IGNORED = "ignored by git"
CACHE = "cache"
VERSION_CONTROL = "version control's own files"
ENVIRONMENT = "virtual environment"
SECRETS = ".env file, which may hold secrets"
MOUNTED = "data folder that this task mounts"
RESULTS = "results folder"
OURS = "anylearn's own directory"

_CACHES = frozenset(
    (
        *("__pycache__", ".cache", ".eggs", ".hypothesis", ".ipynb_checkpoints", ".mypy_cache"),
        *(".nox", ".pyre", ".pytest_cache", ".pytype", ".ruff_cache", ".tox", ".virtual_documents"),
    )
)
_CACHED_FILES = (".pyc", ".pyo")
_VERSION_CONTROL = frozenset((".git", ".hg", ".svn", ".jj", ".bzr"))
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")


@dataclass(frozen=True, kw_only=True)
class PackingRules:
    """What one task adds to the rules.

    Attributes
    ----------
    include, exclude : tuple of str
        Patterns as `globs` describes them.
    mounted : tuple of Path
        Data folders that the task mounts; those inside the code directory do not travel as code.
    output : str or None
        The results folder, relative to the code directory.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    mounted: tuple[Path, ...] = ()
    output: str | None = None


class Reason(NamedTuple):
    """Why something stays: the outermost path that the rule names, and the words for it."""

    top: str
    why: str


class Rulebook:
    """All rules for one code directory. Paths are relative to it, with ``/``."""

    def __init__(self, root: Path, rules: PackingRules, named: dict[str, str]) -> None:
        self._root = root
        self._include = tuple(Glob(text) for text in rules.include)
        self._exclude = tuple(Glob(text) for text in rules.exclude)
        self._named = named
        self._known: dict[str, Reason | None] = {"": None}

    @classmethod
    def of(cls, root: Path, rules: PackingRules, home: Home) -> Rulebook:
        """Make the rules for a resolved directory.

        Raises
        ------
        OptionError
            A pattern cannot be used.
        """
        named = {}
        if rules.output:
            named[Path(rules.output).as_posix()] = RESULTS
        for folder in rules.mounted:
            below = _below(root, folder)
            if below:
                named[below] = MOUNTED
        ours = _below(root, home.root)
        if ours:
            named[ours] = OURS
        return cls(root, rules, named)

    @property
    def has_includes(self) -> bool:
        """Whether anything at all may be brought back."""
        return bool(self._include)

    def reason(self, path: str, *, is_directory: bool) -> Reason | None:
        """Say why a path stays; None where no rule but git's own can keep it."""
        if is_directory:
            if path not in self._known:
                self._known[path] = self._look(path, is_directory=True)
            return self._known[path]
        return self._look(path, is_directory=False)

    def includes(self, path: str, *, is_directory: bool) -> bool:
        """Whether an ``--include`` fits this very path."""
        return bool(self._include) and any(
            glob.fits(path, is_directory=is_directory) for glob in self._include
        )

    def brings_back(self, path: str, *, is_directory: bool) -> bool:
        """Whether an ``--include`` fits a path that git ignores, or a directory that it is in."""
        if not self._include or self.reason(path, is_directory=is_directory) is not None:
            return False
        above = any(self.includes(parent, is_directory=True) for parent in parents(path))
        return above or self.includes(path, is_directory=is_directory)

    def leave_out(self, prefix: str) -> list[str]:
        """Give ignore patterns for one listing, so that git does not walk what stays anyway.

        Parameters
        ----------
        prefix : str
            The directory that is listed; empty for the code directory.
        """
        patterns = [f"{name}/" for name in sorted(_CACHES)]
        inside = f"{prefix}/" if prefix else ""
        for path, why in self._named.items():
            if path.startswith(inside) and why != RESULTS:
                patterns.append(f"{literal(path.removeprefix(inside))}/")
        for name in self._environments(prefix):
            patterns.append(f"{literal(name)}/")
        return patterns

    def _environments(self, prefix: str) -> Iterator[str]:
        """Name the virtual environments directly below a directory, where they nearly all are."""
        try:
            with os.scandir(self._root / prefix) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False) and _is_environment(entry.path):
                        yield entry.name
        except OSError:
            return  # listing it will say so

    def _look(self, path: str, *, is_directory: bool) -> Reason | None:
        if self._named.get(path) == OURS:
            return Reason(path, OURS)
        parent = self.reason(path.rpartition("/")[0], is_directory=True)
        if parent is not None and (parent.why == OURS or parent.why.startswith("--exclude")):
            return parent
        for glob in self._exclude:
            if glob.fits(path, is_directory=is_directory):
                return Reason(path, f"--exclude {glob.text}")
        name = path.rpartition("/")[2]
        if name == ".git":
            return Reason(path, VERSION_CONTROL)
        if self.includes(path, is_directory=is_directory):
            return None
        if parent is not None:
            return parent
        why = self._named.get(path) or self._why(path, name, is_directory=is_directory)
        return None if why is None else Reason(path, why)

    def _why(self, path: str, name: str, *, is_directory: bool) -> str | None:
        if name.startswith(".env"):
            return ENVIRONMENT if self._is_environment(path, is_directory) else SECRETS
        if name in _CACHES if is_directory else name.endswith(_CACHED_FILES):
            return CACHE
        if is_directory and name in _VERSION_CONTROL:
            return VERSION_CONTROL
        if name == "site-packages" or self._is_environment(path, is_directory):
            return ENVIRONMENT
        return None

    def _is_environment(self, path: str, is_directory: bool) -> bool:
        return is_directory and _is_environment(f"{self._root}/{path}")


def _is_environment(directory: str) -> bool:
    # As text, which is done for each directory.
    return any(os.path.lexists(f"{directory}/{mark}") for mark in _ENVIRONMENT_MARKS)


def _below(root: Path, path: Path) -> str | None:
    """Give a path relative to the directory; None where it is not inside, or is the directory."""
    try:
        below = path.expanduser().resolve().relative_to(root).as_posix()
    except (OSError, RuntimeError, ValueError):
        return None
    return None if below == "." else below
