"""Our own repository for the snapshots of one code directory.

On-disk layout, below ``ANYLEARN_HOME``::

    snapshots/
      <digest of the directory's path>/     a bare repository, mode 0700
        index             kept between calls, so that unchanged files are not read again
        anylearn.json     format number, the directory, its last snapshots, its notebooks
        info/attributes   bytes travel as they are, whatever the tree's own attributes say
        refs/heads/       one branch for each of the last `KEPT_SNAPSHOTS` snapshots
      <digest>.lock       held while a kernel works there

It is a cache: whatever cannot be used is thrown away and made again, and a power cut may damage it
(nothing is synced). Its bound: the last `KEPT_SNAPSHOTS` snapshots of the directory. Older ones are
let go at the next new one, and git removes what nothing names any more when it packs, which it does
when some thousand loose objects or fifty packs have gathered.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.home import Home, make_private_directory
from anylearn_jupyter.submit.git import Git, GitFailed, own_git

STORE_FORMAT = 1
"""The format number of ``anylearn.json``; a store of another one is made again."""

KEPT_SNAPSHOTS = 16
"""How many snapshots of one directory are kept."""

_RECORD = "anylearn.json"
_LOCK_TIMEOUT_S = 600.0
_LOCK_POLL_S = 0.05
_CONFIG = f"""[core]
\trepositoryformatversion = 0
\tbare = true
\tfilemode = true
\tsymlinks = true
\tignorecase = false
\tprecomposeunicode = false
\tautocrlf = false
\thooksPath = {os.devnull}
\tfsmonitor = false
\tfsync = none
\tlogAllRefUpdates = false
\tlooseCompression = 1
[gc]
\tautoDetach = false
\tpruneExpire = now
[maintenance]
\tauto = false
"""
_ATTRIBUTES = (
    "* -text -eol -crlf -ident -filter -working-tree-encoding -export-ignore -export-subst\n"
)


@dataclass
class StoreRecord:
    """What ``anylearn.json`` holds beside its format.

    Attributes
    ----------
    recent : list of (str, str)
        Tree and commit of the last snapshots, newest last.
    notebooks : dict
        For each notebook's path what its file looked like, and how many bytes it has without
        outputs; see `snapshot`.
    """

    recent: list[tuple[str, str]] = field(default_factory=list)
    notebooks: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class SnapshotStore:
    """The repository for one directory.

    Attributes
    ----------
    root : Path
        The code directory, resolved.
    git_dir : Path
        Where the repository is.
    """

    root: Path
    git_dir: Path

    @classmethod
    def of(cls, root: Path, home: Home) -> SnapshotStore:
        """Name the store of a resolved directory; nothing is made."""
        digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:40]
        return cls(root, home.snapshots / digest)

    @property
    def git(self) -> Git:
        """Git for the store alone."""
        return own_git(self.git_dir)

    @property
    def git_with_files(self) -> Git:
        """Git for the store, with the code directory as its files."""
        return own_git(self.git_dir, self.root)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other kernels out.

        Raises
        ------
        SnapshotError
            Another one is at it for ten minutes.
        """
        make_private_directory(self.git_dir.parent.parent)
        make_private_directory(self.git_dir.parent)
        name = self.git_dir.with_suffix(".lock")
        with name.open("a+b") as file:
            deadline = time.monotonic() + _LOCK_TIMEOUT_S
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    raise SnapshotError(
                        f"Another kernel has been capturing {str(self.root)!r} for "
                        f"{_LOCK_TIMEOUT_S:g} s; try again when it is done."
                    )
                time.sleep(_LOCK_POLL_S)
            yield

    def open(self) -> StoreRecord:
        """Make the store unless it is there, and read its record; only with the lock held.

        Raises
        ------
        SnapshotError
            It cannot be made.
        """
        record = self._read()
        if record is None:
            self._make()
            record = StoreRecord()
        # Whoever held this lock of git's own was killed: ours is held by us.
        (self.git_dir / "index.lock").unlink(missing_ok=True)
        return record

    def discard(self) -> None:
        """Have the store made again at the next call."""
        (self.git_dir / _RECORD).unlink(missing_ok=True)

    def write(self, record: StoreRecord) -> None:
        """Replace the record; only with the lock held."""
        new = self.git_dir / f".{_RECORD}.new"
        content = {
            "format": STORE_FORMAT,
            "directory": str(self.root),
            "recent": record.recent,
            "notebooks": record.notebooks,
        }
        new.write_text(json.dumps(content), encoding="ascii")
        new.replace(self.git_dir / _RECORD)

    def keep(self, record: StoreRecord, tree: str, commit: str) -> None:
        """Make a commit the newest of the record, and let the oldest go; only with the lock held.

        Raises
        ------
        GitFailed
            Git could not write.
        """
        known = (tree, commit) in record.recent
        record.recent = [pair for pair in record.recent if pair != (tree, commit)]
        record.recent = [*record.recent, (tree, commit)][-KEPT_SNAPSHOTS:]
        if known:
            return
        git = self.git
        changes = [f"update refs/heads/{branch_of(commit)} {commit}\n"]
        kept = {branch_of(commit) for _, commit in record.recent}
        listed = git.run("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/")
        changes += [
            f"delete refs/heads/{name}\n"
            for name in listed.decode("ascii").split()
            if name not in kept
        ]
        git.run("update-ref", "--stdin", stdin="".join(changes).encode("ascii"))
        # Tidying that did not work is done by a later one.
        git.run("gc", "--auto", "--quiet", allow=range(256))

    def _read(self) -> StoreRecord | None:
        try:
            content: Any = json.loads((self.git_dir / _RECORD).read_bytes())
            if content["format"] != STORE_FORMAT:
                return None
            return StoreRecord(
                recent=[(str(tree), str(commit)) for tree, commit in content["recent"]],
                notebooks={
                    str(path): [int(number) for number in numbers]
                    for path, numbers in content["notebooks"].items()
                },
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _make(self) -> None:
        try:
            if self.git_dir.exists():
                shutil.rmtree(self.git_dir)
            make_private_directory(self.git_dir)
            words = ("init", "--quiet", "--bare", "--template=", "--object-format=sha1")
            own_git(self.git_dir).run(*words, "--initial-branch=none")
            (self.git_dir / "config").write_text(_CONFIG, encoding="ascii")
            (self.git_dir / "info").mkdir(exist_ok=True)
            (self.git_dir / "info" / "attributes").write_text(_ATTRIBUTES, encoding="ascii")
            self.write(StoreRecord())
        except (OSError, GitFailed) as error:
            raise SnapshotError(
                f"The place for snapshots {self.git_dir} cannot be written ({error}); set "
                "ANYLEARN_HOME to a directory that you can write to."
            ) from error


def branch_of(commit: str) -> str:
    """Give the branch that a snapshot is pushed as (quick-train specification, step 3)."""
    return f"snapshot-{commit[:12]}"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
