"""Working directories in every state that a user's may be in, and every byte of them.

`STATES` names how to make each one; `every_byte` is what must be equal before and after. A trap is
a program of the user's repository that tells when it is run: it makes the file `Made.tell_tale`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HOOKS = (
    *("applypatch-msg", "commit-msg", "fsmonitor-watchman", "post-checkout", "post-commit"),
    *("post-index-change", "post-merge", "post-rewrite", "pre-auto-gc", "pre-commit", "pre-push"),
    *("pre-receive", "pre-rebase", "prepare-commit-msg", "push-to-checkout", "post-update"),
    *("reference-transaction", "sendemail-validate", "update", "proc-receive", "post-receive"),
)


@dataclass(frozen=True)
class Made:
    """A working directory in some state.

    Attributes
    ----------
    top : Path
        What must not change, byte by byte.
    code : Path
        The code directory within it.
    tell_tale : Path
        Exists when a program of the repository was run.
    """

    top: Path
    code: Path
    tell_tale: Path


def git(where: Path, *words: str, check: bool = True) -> str:
    """Run git as the user would, with a name and a time of its own."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(where),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "A User",
        "GIT_AUTHOR_EMAIL": "user@example.org",
        "GIT_COMMITTER_NAME": "A User",
        "GIT_COMMITTER_EMAIL": "user@example.org",
        "GIT_EDITOR": "true",
        "LC_ALL": "C",
    }
    options = ("-c", "protocol.file.allow=always", "-c", "safe.directory=*")
    answer = subprocess.run(
        ["git", *options, *words],
        cwd=where,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if check and answer.returncode != 0:
        raise AssertionError(f"git {words}: {answer.stderr}")
    return answer.stdout


def write(path: Path, text: str) -> Path:
    """Write a file and the directories to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def every_byte(top: Path) -> dict[str, tuple[object, ...]]:
    """Give mode, owner, times, inode and content of all below a directory, ``.git`` included.

    The time of a directory changes when a name in it comes or goes, so that a lock which was taken
    and given back would show; the change time shows what was set and put back. Access times are
    left out: reading is what moves them, and this function reads.
    """
    found: dict[str, tuple[object, ...]] = {}
    for directory, names, files in os.walk(top):
        for name in (".", *names, *files):
            path = Path(directory) / name
            seen = path.lstat()
            if stat.S_ISLNK(seen.st_mode):
                content = f"-> {path.readlink()}"
            elif stat.S_ISREG(seen.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                content = ""
            owner = (seen.st_uid, seen.st_gid, seen.st_nlink)
            times = (seen.st_mtime_ns, seen.st_ctime_ns)
            found[str(path.relative_to(top))] = (seen.st_mode, seen.st_ino, *owner, *times, content)
    return found


def a_repository(top: Path) -> Path:
    """Make a repository with two commits, a stash, a branch and a tag."""
    top.mkdir(parents=True)
    git(top, "init", "-q", "-b", "main")
    write(top / "train.py", "print('first')\n")
    write(top / "package" / "model.py", "WIDTH = 1\n")
    write(top / ".gitignore", "secret.txt\noutput/\n*.ckpt\n")
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "first")
    git(top, "branch", "side")
    write(top / "train.py", "print('second')\n")
    git(top, "commit", "-q", "-a", "-m", "second")
    git(top, "tag", "v1")
    write(top / "package" / "model.py", "WIDTH = 2\n")
    git(top, "stash", "push", "-q")
    write(top / "secret.txt", "do not send me\n")
    write(top / "output" / "left.txt", "an old result\n")
    return top


def clean(top: Path) -> Path:
    return a_repository(top)


def dirty(top: Path) -> Path:
    a_repository(top)
    write(top / "train.py", "print('edited')\n")
    (top / "package" / "model.py").unlink()
    return top


def staged(top: Path) -> Path:
    a_repository(top)
    write(top / "train.py", "print('staged')\n")
    write(top / "new.py", "print('new')\n")
    git(top, "add", ".")
    write(top / "train.py", "print('and edited again')\n")
    return top


def untracked(top: Path) -> Path:
    a_repository(top)
    write(top / "new.py", "print('untracked')\n")
    return top


def detached(top: Path) -> Path:
    a_repository(top)
    git(top, "checkout", "-q", "HEAD~1")
    return top


def unborn(top: Path) -> Path:
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    write(top / "train.py", "print('never committed')\n")
    git(top, "add", "train.py")
    return top


def a_conflict(top: Path, verb: str) -> Path:
    a_repository(top)
    git(top, "stash", "drop", "-q")
    git(top, "checkout", "-q", "side")
    write(top / "train.py", "print('of the side')\n")
    git(top, "commit", "-q", "-a", "-m", "side")
    git(top, verb, "main", check=False)
    assert "<<<<<<<" in (top / "train.py").read_text(encoding="utf-8")
    return top


def rebasing(top: Path) -> Path:
    return a_conflict(top, "rebase")


def merging(top: Path) -> Path:
    return a_conflict(top, "merge")


def bisecting(top: Path) -> Path:
    a_repository(top)
    git(top, "bisect", "start", "HEAD", "HEAD~1")
    return top


def subdirectory(top: Path) -> Path:
    a_repository(top)
    write(top / "package" / "model.py", "WIDTH = 3\n")
    return top / "package"


def locked(top: Path) -> Path:
    a_repository(top)
    write(top / "train.py", "print('while another git works')\n")
    write(top / ".git" / "index.lock", "")
    write(top / ".git" / "HEAD.lock", "")
    return top


def worktree(top: Path) -> Path:
    a_repository(top / "main")
    git(top / "main", "worktree", "add", "-q", str(top / "second"), "side")
    write(top / "second" / "new.py", "print('in the worktree')\n")
    return top / "second"


def nested(top: Path) -> Path:
    a_repository(top / "library")
    a_repository(top / "code")
    code = top / "code"
    git(code, "submodule", "add", "-q", str(top / "library"), "library")
    git(code, "commit", "-q", "-m", "with a submodule")
    write(code / "library" / "new.py", "print('in the submodule')\n")
    a_repository(code / "beside")
    (code / "fresh").mkdir()
    git(code / "fresh", "init", "-q")
    write(code / "fresh" / "no_commit.py", "print('no commit')\n")
    return code


def no_repository(top: Path) -> Path:
    write(top / "train.py", "print('just files')\n")
    write(top / ".gitignore", "secret.txt\n")
    write(top / "secret.txt", "do not send me\n")
    return top


def bare(top: Path) -> Path:
    top.mkdir()
    git(top, "init", "-q", "--bare")
    write(top / "train.py", "print('in a bare repository')\n")
    return top


def old_times(top: Path) -> Path:
    """A state in which `git status` would rewrite the index, as every time in it is wrong."""
    a_repository(top)
    for path in (top / "train.py", top / "package" / "model.py"):
        os.utime(path, ns=(10**18, 10**18))
    return top


def hostile(top: Path) -> Path:
    """A repository, and one nested in it, in which every program that git may run is a trap."""
    a_repository(top)
    a_repository(top / "nested")
    for repository in (top, top / "nested"):
        set_traps(repository, top.parent / f"{top.name}.tell-tale")
    write(top / "train.py", "print('edited')\n")
    return top


def set_traps(repository: Path, tell_tale: Path) -> None:
    """Make every program that a repository can name one that tells."""
    trap = write(repository / ".git" / "trap", f"#!/bin/sh\necho $0 $@ >> '{tell_tale}'\ncat\n")
    trap.chmod(0o755)
    for name in HOOKS:
        hook = write(repository / ".git" / "hooks" / name, trap.read_text(encoding="utf-8"))
        hook.chmod(0o755)
    write(repository / ".gitattributes", "* filter=evil diff=evil merge=evil\n")
    for key in (
        *("filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "diff.evil.textconv"),
        *("diff.evil.command", "merge.evil.driver", "core.fsmonitor", "core.pager", "core.editor"),
        *("core.sshCommand", "core.askPass", "credential.helper", "gpg.program", "diff.external"),
        *("uploadpack.packObjectsHook", "core.gitProxy", "core.alternateRefsCommand"),
        *("pager.ls-files", "pager.status", "filter.a=b.clean"),
    ):
        git(repository, "config", key, str(trap))
    git(repository, "config", "core.hooksPath", str(repository / ".git" / "hooks"))
    git(repository, "config", "filter.evil.required", "true")
    git(repository, "config", "status.submoduleSummary", "true")
    git(repository, "config", "commit.gpgSign", "true")


STATES: dict[str, Callable[[Path], Path]] = {
    state.__name__: state
    for state in (
        *(clean, dirty, staged, untracked, detached, unborn, rebasing, merging, bisecting),
        *(subdirectory, locked, worktree, nested, no_repository, bare, old_times, hostile),
    )
}
"""For each state what makes it at a path that is not there yet, and gives the code directory."""


def make(state: str, where: Path) -> Made:
    """Make a working directory in a state, below a directory that exists."""
    top = where / state
    code = STATES[state](top)
    tell_tale = where / f"{state}.tell-tale"
    tell_tale.unlink(missing_ok=True)
    return Made(top, code, tell_tale)
