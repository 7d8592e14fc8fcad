"""Running git: the one place of the submission that starts it.

Every call has a fixed list of arguments, never a shell, and an environment built from nothing: no
variable ``GIT_*`` of the caller gets through (a kernel that was started by a hook has
``GIT_INDEX_FILE`` set), git asks nobody for anything, and no lock is taken that can be left out.

There are two ways to run it. `own_git` works in a repository of ours and reads no configuration but
that repository's own. `reading_git` looks at a repository of the user's: their configuration and
ignore rules count, but nothing in it that names a program is run, whatever it says (file monitor,
hooks, filters, helpers, fetching of objects that are left out).

Notes
-----
Source: faults E5, E6, E7, E8, E9. Measured: a configuration that comes through ``GIT_CONFIG_COUNT``
wins over every file, and takes any name, also one with ``=`` in it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

from anylearn_jupyter.errors import SnapshotError

OLDEST_GIT = (2, 32)
"""The oldest git that is used: the first that knows ``GIT_CONFIG_GLOBAL``."""

_PASSED_ON = ("HOME", "XDG_CONFIG_HOME", "TMPDIR", "SYSTEMROOT", "USERPROFILE", "TEMP", "TMP")
_BLOCK_BYTES = 1 << 16
_TIMEOUT_S = 1800.0

_NO_PROGRAMS = (
    ("core.fsmonitor", "false"),
    ("core.hooksPath", os.devnull),
    ("core.pager", "cat"),
    ("safe.directory", "*"),
    ("submodule.recurse", "false"),
    ("status.submoduleSummary", "false"),
)


class GitFailed(Exception):
    """Git ended with another code than expected.

    Parameters
    ----------
    words : str
        Which git command.
    code : int
        What it ended with.
    said : str
        Its standard error, in English.
    """

    def __init__(self, words: str, code: int, said: str) -> None:
        super().__init__(words, code, said)
        self.words = words
        self.code = code
        self.said = said

    def __str__(self) -> str:
        """Quote git, on one line."""
        return f"git {self.words} ended with {self.code}: {' '.join(self.said.split())[:400]}"


class Setting(NamedTuple):
    """One setting of git's.

    Attributes
    ----------
    key : str
        As git writes it: section and name in small letters, what is between them as it is.
    value : str or None
        None where there is only the key, which counts as true.
    origin : str
        Where it is from: ``file:`` and a path, or ``command line:``.
    """

    key: str
    value: str | None
    origin: str


Settings = tuple[Setting, ...]
"""A configuration, in git's order: of two with one key the later one counts."""


def settings_of(listed: bytes) -> Settings:
    """Read what `list_settings` gives."""
    words = os.fsdecode(listed).split("\0")
    found = []
    for origin, text in zip(words[::2], words[1::2], strict=False):
        key, has_value, value = text.partition("\n")
        found.append(Setting(key, value if has_value else None, origin))
    return tuple(found)


class RunningGit:
    """One process of git's, from `Git.start`."""

    def __init__(
        self, process: subprocess.Popen[bytes], words: str, cwd: Path, stdin: bytes
    ) -> None:
        self._process = process
        self._words = words
        self._cwd = cwd
        self._stdin = stdin

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, unless it has ended."""
        if self._process.poll() is None:
            self._process.kill()
        with self._process:
            return

    def finish(self, allow: Iterable[int] = (0,)) -> tuple[bytes, str]:
        """Wait for its end, and give its standard output and its standard error.

        Raises
        ------
        GitFailed
            Another exit code than those that are allowed.
        SnapshotError
            It took longer than half an hour.
        """
        try:
            output, errors = self._process.communicate(self._stdin or None, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise SnapshotError(
                f"git {self._words} did not end within {_TIMEOUT_S:g} s in {self._cwd}; leave "
                "large folders out with --exclude."
            ) from error
        said = errors.decode("utf-8", "replace")
        code = self._process.returncode
        if code not in allow:
            raise GitFailed(self._words, code, said)
        return output, said


@dataclass(frozen=True)
class Git:
    """Git with one environment and one working directory; makes no process until asked.

    Attributes
    ----------
    environment : Mapping
        Everything that git is told.
    cwd : Path
        Where it runs.
    """

    environment: Mapping[str, str]
    cwd: Path

    def run(self, *words: str, stdin: bytes = b"", allow: Iterable[int] = (0,)) -> bytes:
        """Run git to its end and give its standard output.

        Parameters
        ----------
        *words : str
            The command and its arguments.
        stdin : bytes
            What it reads.
        allow : iterable of int
            The exit codes that are no failure.

        Raises
        ------
        GitFailed
            Another exit code.
        SnapshotError
            There is no usable git, or it took longer than half an hour.
        """
        return self.run_with_words(*words, stdin=stdin, allow=allow)[0]

    def run_with_words(
        self, *words: str, stdin: bytes = b"", allow: Iterable[int] = (0,)
    ) -> tuple[bytes, str]:
        """Run git as `run` does, and give its standard output and its standard error."""
        with self.start(*words, stdin=stdin) as running:
            return running.finish(allow)

    def start(self, *words: str, stdin: bytes = b"") -> RunningGit:
        """Start git, so that it works while its caller does something else.

        Returns
        -------
        RunningGit
            For a ``with`` block, which ends it if it has not been waited for.
        """
        try:
            process = subprocess.Popen(
                [git_program(), *words],
                env=dict(self.environment),
                cwd=self.cwd,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise self._not_started(error) from error
        return RunningGit(process, words[0], self.cwd, stdin)

    def stream(self, *words: str, stdin: bytes = b"") -> Iterator[bytes]:
        """Run git and give its standard output piece by piece; ends it when nobody reads on.

        Raises
        ------
        GitFailed
            It failed; what came until then is not whole.
        SnapshotError
            There is no usable git, or it cannot be run here.
        """
        # What it reads and what it says goes through files, so that neither side ever waits.
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as said:
            source.write(stdin)
            source.seek(0)
            try:
                process = subprocess.Popen(
                    [git_program(), *words],
                    env=dict(self.environment),
                    cwd=self.cwd,
                    stdin=source,
                    stdout=subprocess.PIPE,
                    stderr=said,
                )
            except OSError as error:
                raise self._not_started(error) from error
            try:
                if process.stdout is not None:
                    with process.stdout as output:
                        while piece := output.read(_BLOCK_BYTES):
                            yield piece
                code = process.wait()
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            if code != 0:
                said.seek(0)
                raise GitFailed(words[0], code, said.read().decode("utf-8", "replace"))

    def _not_started(self, error: OSError) -> SnapshotError:
        return SnapshotError(f"git cannot be run in {self.cwd}: {error.strerror}.")


def own_git(
    git_dir: Path, work_tree: Path | None = None, variables: Mapping[str, str] | None = None
) -> Git:
    """Give git for a repository of ours: no configuration but the repository's own.

    Parameters
    ----------
    git_dir : Path
        The repository, with its index in it.
    work_tree : Path, optional
        The directory whose files are read, and where git then runs.
    variables : Mapping, optional
        More of its environment.
    """
    named = {"GIT_DIR": str(git_dir)}
    if work_tree is not None:
        named["GIT_WORK_TREE"] = str(work_tree)
    return Git(
        _base()
        | {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
        }
        | named
        | dict(variables or {}),
        work_tree or git_dir,
    )


def reading_git(
    git_dir: Path, work_tree: Path, cwd: Path, *, settings: Iterable[tuple[str, str]] = ()
) -> Git:
    """Give git for looking at the user's files by the user's own rules, running none of their code.

    The repository is named, never searched for, so that git has no reason to doubt its owner.

    Parameters
    ----------
    git_dir, work_tree : Path
        The repository and the directory that it belongs to.
    cwd : Path
        Where git runs: within `work_tree`.
    settings : iterable of (str, str)
        More configuration that wins over the user's.
    """
    chosen = [*_NO_PROGRAMS, *settings]
    variables = {
        "GIT_DIR": str(git_dir),
        "GIT_WORK_TREE": str(work_tree),
        "GIT_CONFIG_COUNT": str(len(chosen)),
        # A partial clone would fetch what it lacks, by a program that its configuration names.
        "GIT_ALLOW_PROTOCOL": "",
        "GIT_NO_LAZY_FETCH": "1",
    }
    for number, (key, value) in enumerate(chosen):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return Git(_base() | variables, cwd)


def list_settings(git: Git) -> RunningGit:
    """Start git to give its whole configuration, with the file of each setting (`Settings`)."""
    return git.start("config", "-z", "--list", "--show-origin")


def filters_off(settings: Settings) -> list[tuple[str, str]]:
    """Give the settings that empty every filter that a configuration defines.

    Notes
    -----
    Source: faults E5: filters do run by default; emptied clean, smudge and process stop them.
    """
    names = {key.rpartition(".")[0] for key, _, _ in settings if key.startswith("filter.")}
    return [
        (f"{name}.{part}", value)
        for name in sorted(names)
        for part, value in (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
    ]


def git_program() -> str:
    """Give the path of a usable git.

    Raises
    ------
    SnapshotError
        There is none in the PATH, or it is too old.
    """
    return _checked_program(_absolute_path())


@lru_cache(maxsize=8)
def _checked_program(path: str) -> str:
    wanted = f"git {OLDEST_GIT[0]}.{OLDEST_GIT[1]} or newer"
    program = shutil.which("git", path=path)
    if program is None:
        raise SnapshotError(
            f"The code directory is captured with git, and there is none in PATH; install {wanted}."
        )
    try:
        answer = subprocess.run(
            [program, "--version"], env=_base(), capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SnapshotError(f"{program} cannot be run ({error}); install {wanted}.") from error
    said = answer.stdout.decode("utf-8", "replace").strip()
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GIT:
        raise SnapshotError(f"{program} is too old ({said or 'no version'}); install {wanted}.")
    return program


def _base() -> dict[str, str]:
    variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if sys.platform == "win32":
        variables["SYSTEMDRIVE"] = os.environ.get("SYSTEMDRIVE", "C:")
    return variables | {
        "PATH": _absolute_path(),
        "LC_ALL": "C",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        # A trace that the user's configuration asks for would name our files in theirs.
        "GIT_TRACE2": "0",
        "GIT_TRACE2_EVENT": "0",
        "GIT_TRACE2_PERF": "0",
    }


def _absolute_path() -> str:
    """Give PATH without relative entries: git must not be a program of the user's directory."""
    return _absolute_entries(os.environ.get("PATH", os.defpath))


@lru_cache(maxsize=8)
def _absolute_entries(path: str) -> str:
    return os.pathsep.join(one for one in path.split(os.pathsep) if Path(one).is_absolute())
