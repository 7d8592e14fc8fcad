"""The bare repositories of algorithms: making them, and making a commit of an archive.

On-disk layout: ``ANYLEARN_HOME/engine/git/<user>/<name>.git``, each with a configuration that is
written here and that nobody can push to: no hooks (``core.hooksPath`` names an empty directory),
objects are checked, nothing can be deleted, a pack has a largest size. Git runs with no other
configuration and no variable of ours (faults E7, G5, G6).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from anylearn_jupyter.engine.checkout import CheckoutFailed, resolve
from anylearn_jupyter.home import make_private_directory, sync_directory

MAX_PUSH_BYTES = 2 << 30
"""Largest pack that one push may bring."""

ARCHIVE_BRANCH = "archive"
"""The branch on which commits of archives are."""

_TIMEOUT_S = 600
_NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (
        ("NAME", "anylearn"),
        ("EMAIL", "anylearn@localhost"),
        ("DATE", "1000000000 +0000"),
    )
}
# Bytes in, bytes out, whatever the tree's own .gitattributes says.
_ATTRIBUTES = "* -text -eol -crlf -ident -filter -working-tree-encoding\n"


class GitFailed(Exception):
    """Git refused or could not be run; one sentence."""


class Repositories:
    """All repositories of this engine.

    Parameters
    ----------
    root : Path
        ``git/`` of the engine.
    """

    def __init__(self, root: Path) -> None:
        self.root = make_private_directory(root)
        self._no_hooks = make_private_directory(root / ".no-hooks")

    def path(self, user: str, name: str) -> Path:
        """Give where an algorithm's repository is; user and algorithm names are safe in a path."""
        return self.root / user / f"{name}.git"

    def create(self, user: str, name: str) -> Path:
        """Make an empty repository, in place of whatever a deleted algorithm left; for a thread.

        Raises
        ------
        GitFailed
            There is no git, or it could not write.
        """
        path = self.path(user, name)
        make_private_directory(path.parent)
        self.delete(user, name)
        new = path.with_name(f".{path.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        words = ["init", "--bare", "--quiet", "--template=", "--initial-branch=main", str(new)]
        run_git(words, {})
        (new / "info").mkdir(exist_ok=True)
        (new / "info" / "attributes").write_text(_ATTRIBUTES, encoding="ascii")
        (new / "config").write_text(self._configuration(), encoding="utf-8")
        # Its row says that it is there, also after a power cut (faults B1).
        _sync_tree(new)
        new.rename(path)
        sync_directory(path.parent)
        return path

    def delete(self, user: str, name: str) -> None:
        """Remove a repository, if it is there."""
        path = self.path(user, name)
        if path.exists():
            gone = path.with_name(f".{path.name}.gone")
            shutil.rmtree(gone, ignore_errors=True)
            path.rename(gone)
            shutil.rmtree(gone)

    def commit(self, repository: Path, tree: Path) -> str:
        """Make a parentless commit of a directory, as the repository's `HEAD`; for a thread.

        The same files give the same commit.

        Raises
        ------
        GitFailed
            Git refused a file.
        """
        index = repository / "archive.index"
        index.unlink(missing_ok=True)
        variables = {
            "GIT_DIR": str(repository),
            "GIT_WORK_TREE": str(tree),
            "GIT_INDEX_FILE": str(index),
            **_NOBODY,
        }
        try:
            run_git(["-c", "core.bare=false", "add", "--all", "--force", "."], variables, cwd=tree)
            found = run_git(["write-tree"], variables).strip()
        finally:
            index.unlink(missing_ok=True)
        commit = run_git(["commit-tree", found, "-m", "archive"], variables).strip()
        reference = f"refs/heads/{ARCHIVE_BRANCH}"
        run_git(["update-ref", reference, commit], variables)
        run_git(["symbolic-ref", "HEAD", reference], variables)
        return commit

    def files_at(self, repository: Path, commit: str) -> list[str]:
        """Give the paths of a commit's files; for a thread."""
        variables = {"GIT_DIR": str(repository)}
        listed = run_git(["ls-tree", "-r", "-z", "--name-only", commit], variables)
        return [path for path in listed.split("\0") if path]

    def has(self, repository: Path, ref: str) -> str | None:
        """Give the commit that a commit's id, a branch or a tag names, or None; for a thread."""
        try:
            return resolve(repository, ref)
        except CheckoutFailed:
            return None

    def _configuration(self) -> str:
        return (
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
            f'\thooksPath = "{_quoted(self._no_hooks)}"\n\tfsmonitor = false\n'
            "\tfsync = committed,loose-object,reference\n"
            "\tprotectHFS = true\n\tprotectNTFS = true\n"
            "[http]\n\treceivepack = true\n\tuploadpack = true\n\tgetanyfile = false\n"
            "[receive]\n\tfsckObjects = true\n\tdenyDeletes = true\n\tautogc = false\n"
            f"\tmaxInputSize = {MAX_PUSH_BYTES}\n\tdenyNonFastForwards = false\n"
            "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
        )


def git_environment() -> dict[str, str]:
    """Name all that git may know: a path to programs, and no configuration but a repository's."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def _sync_tree(path: Path) -> None:
    """Make a directory durable, with the few files below it."""
    for directory, _, names in os.walk(path):
        for name in names:
            handle = os.open(Path(directory) / name, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_directory(Path(directory))


def run_git(words: list[str], variables: dict[str, str], *, cwd: Path | None = None) -> str:
    """Run git and give what it printed.

    Raises
    ------
    GitFailed
        It failed; the text is git's own.
    """
    try:
        answer = subprocess.run(
            ["git", *words],
            env=git_environment() | variables,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise GitFailed("The engine needs git, and there is none in its PATH.") from error
    except subprocess.TimeoutExpired as error:
        raise GitFailed(f"git {words[0]} took longer than {_TIMEOUT_S} s.") from error
    if answer.returncode != 0:
        raise GitFailed(f"git {words[0]}: {' '.join(answer.stderr.split())[:500]}")
    return answer.stdout


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
