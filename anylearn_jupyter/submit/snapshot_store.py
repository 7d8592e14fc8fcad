"""Our own repository for the snapshots of one code directory.

On-disk layout, below ``ANYLEARN_HOME``::

    snapshots/
      <digest of the directory's path>/     a bare repository, mode 0700
        anylearn.json     format number, the directory, its last snapshots, what its files were
        packing           which files travel, and on what grounds (`kept_packing`)
        known/<commit>    the ids of all objects of one snapshot, 20 bytes each
        info/attributes   bytes travel as they are, whatever the tree's own attributes say
        refs/heads/       one branch for each of the last `KEPT_SNAPSHOTS` snapshots
      <digest>.lock       held while a kernel works there

It is a cache: whatever cannot be used is thrown away and made again, and a power cut may damage it
(nothing is synced). Its bound: the last `KEPT_SNAPSHOTS` snapshots of the directory. Older ones are
let go at the next new one, and git removes what nothing names any more when it packs, which it does
when some thousand loose objects or fifty packs have gathered.

Objects and branches are written by ourselves (`git_objects`), as a process of git's for each of
these costs more than the writing. Git packs, and reads what is packed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.home import Home, make_private_directory
from anylearn_jupyter.submit.git import Git, GitFailed, own_git
from anylearn_jupyter.submit.git_objects import ID_BYTES, LooseObjects
from anylearn_jupyter.submit.packing_list import FileLook
from anylearn_jupyter.submit.regular_files import YOUNG_NS

STORE_FORMAT = 3
"""The format number of ``anylearn.json``; a store of another one is made again."""

KEPT_SNAPSHOTS = 16
"""How many snapshots of one directory are kept."""

_RECORD = "anylearn.json"
_LOCK_TIMEOUT_S = 600.0
_LOCK_POLL_S = 0.05
_KNOWN = "known"
_LOOSE_IN_ONE, _MOST_PACKS = 27, 50  # git's own measure: its 6700, over the 256 directories
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


class KnownFile(NamedTuple):
    """What a file was when it was read.

    Attributes
    ----------
    size, mtime_ns, ctime_ns, inode : int
        How it looked.
    read_ns : int
        When; nanoseconds since 1970.
    clean_bytes : int
        For a notebook, how many bytes it has without outputs; `AS_IT_IS` where it is none, or none
        that can be read.
    blob : str
        The id of what travels, 40 hexadecimal digits.
    raw : str
        The id of what is on disk; empty where that is the same.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    read_ns: int
    clean_bytes: int
    blob: str
    raw: str

    def is_still(self, look: FileLook) -> bool:
        """Whether a file that looks like this now is unchanged for sure.

        It counts when it was not young when it was read, as in git: an edit within a clock's tick
        would not show.
        """
        return self[:4] == look and max(self.mtime_ns, self.ctime_ns) + YOUNG_NS < self.read_ns


AS_IT_IS = -1
"""The `clean_bytes` of a file that travels as it is."""


@dataclass
class StoreRecord:
    """What ``anylearn.json`` holds beside its format.

    Attributes
    ----------
    recent : list of (str, str)
        Tree and commit of the last snapshots, newest last.
    files : dict
        For each path what the file was.
    """

    recent: list[tuple[str, str]] = field(default_factory=list)
    files: dict[str, KnownFile] = field(default_factory=dict)


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
    def objects(self) -> LooseObjects:
        """The loose objects."""
        return LooseObjects(self.git_dir / "objects")

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
            "files": record.files,
        }
        new.write_text(json.dumps(content), encoding="ascii")
        new.replace(self.git_dir / _RECORD)

    def keep(self, record: StoreRecord, tree: str, commit: str, objects: Set[bytes]) -> None:
        """Make a commit the newest of the record, and let the oldest go; only with the lock held.

        Parameters
        ----------
        objects : set of bytes
            The ids of all its objects, which are there.
        """
        is_known = (tree, commit) in record.recent
        record.recent = [pair for pair in record.recent if pair != (tree, commit)]
        record.recent = [*record.recent, (tree, commit)][-KEPT_SNAPSHOTS:]
        if is_known:
            return
        known = self.git_dir / _KNOWN
        known.mkdir(exist_ok=True)
        (known / commit).write_bytes(b"".join(objects))
        self._write_branches([commit])
        commits = {one for _, one in record.recent}
        branches = {branch_of(one) for one in commits}
        for place, kept in ((known, commits), (self._branches, branches)):
            for path in place.iterdir():
                if path.name not in kept:
                    path.unlink()
        self._tidy(record)

    def objects_of(self, commit: str) -> set[bytes]:
        """Give the ids of a kept snapshot's objects; empty where that is not known."""
        try:
            data = (self.git_dir / _KNOWN / commit).read_bytes()
        except FileNotFoundError:
            return set()
        return {data[at : at + ID_BYTES] for at in range(0, len(data), ID_BYTES)}

    @property
    def _branches(self) -> Path:
        return self.git_dir / "refs" / "heads"

    def _write_branches(self, commits: Iterable[str]) -> None:
        for commit in commits:
            (self._branches / branch_of(commit)).write_text(f"{commit}\n", encoding="ascii")

    def _tidy(self, record: StoreRecord) -> None:
        """Have git pack, where enough has gathered that it would."""
        if self._count("17/*") <= _LOOSE_IN_ONE and self._count("pack/*.pack") <= _MOST_PACKS:
            return
        # Tidying that did not work is done by a later one.
        self.git.run("gc", "--auto", "--quiet", allow=range(256))
        # Git has packed the branches too, and we change them as files.
        self._branches.mkdir(parents=True, exist_ok=True)
        self._write_branches(commit for _, commit in record.recent)
        (self.git_dir / "packed-refs").unlink(missing_ok=True)

    def _count(self, pattern: str) -> int:
        return sum(1 for _ in (self.git_dir / "objects").glob(pattern))

    def _read(self) -> StoreRecord | None:
        try:
            content: Any = json.loads((self.git_dir / _RECORD).read_bytes())
            if content["format"] != STORE_FORMAT:
                return None
            return StoreRecord(
                recent=[(str(tree), str(commit)) for tree, commit in content["recent"]],
                files={path: KnownFile(*seen) for path, seen in content["files"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _make(self) -> None:
        try:
            if self.git_dir.exists():
                shutil.rmtree(self.git_dir)
            make_private_directory(self.git_dir)
            # A repository is always made by git, so that it is one in this git's eyes.
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
