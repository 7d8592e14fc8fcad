"""Code that is checked out before anybody asks: an algorithm's last commit, in a spare directory.

Making a file costs a file system far more than looking at one, and the next task of an algorithm
mostly differs from the last one in a single file. So after a task has started, its commit is
checked out once more. When code arrives, the spare is brought up to it, while the client still asks
for the task; and the task gets the directory. A task's files are its own all the same: nothing is
shared or linked.

On-disk layout, below ``ANYLEARN_HOME/engine/``: ``spare/<digest of the repository's path>/`` with
``files/`` and git's list of them, ``index``. All are removed when an engine begins and when it
ends. Bounds: the last `MOST_SPARES` algorithms, and no code larger than `MAX_BYTES` or `MAX_FILES`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from anylearn_jupyter.engine.checkout import CheckoutFailed, Spare, bring_up, looks_of, rewrite
from anylearn_jupyter.engine.code_trees import CodeTrees, list_tree
from anylearn_jupyter.engine.edit_pack import Edit
from anylearn_jupyter.home import make_private_directory

MOST_SPARES = 4
"""For how many algorithms there is one at a time."""

MAX_BYTES = 200_000_000
"""Largest code of which there is one."""

MAX_FILES = 20_000
"""Most files of code of which there is one."""

CURRENT_S = 10.0
"""Seconds after which git looks at a spare's files again before they are a task's."""

SETTLED_S = 1.1
"""Seconds after which `settle` is of use."""

_WAIT_S = 5.0

_log = logging.getLogger(__name__)


class SpareCode:
    """The spare directories of one engine; every method may be called in any thread.

    Parameters
    ----------
    root : Path
        Where they are; what an earlier engine left there is removed.

    Attributes
    ----------
    trees : CodeTrees
        What is known of the code of which there are spares.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Condition()
        self._refilling = threading.Lock()
        self._last: dict[Path, tuple[str, Path]] = {}
        self._expected: set[Path] = set()
        self._young: dict[Path, str] = {}
        self._current: dict[Path, tuple[str, float]] = {}
        self._looks: dict[Path, tuple[str, dict[bytes, tuple[int, ...]]]] = {}
        self.trees = CodeTrees()
        self._closed = False
        shutil.rmtree(root, ignore_errors=True)

    def take(self, repository: Path, place: Path) -> Spare | None:
        """Move the repository's spare to a place, whose file system is the same; None without one.

        Where it is just being brought up to what came, this waits for that.

        Parameters
        ----------
        repository : Path
            Whose.
        place : Path
            A name that is free; `check_out` removes what comes there.
        """
        with self._lock:
            self._lock.wait_for(lambda: repository not in self._expected, _WAIT_S)
            self._young.pop(repository, None)
            self._looks.pop(repository, None)
            commit, at = self._current.pop(repository, (None, 0.0))
            try:
                self._spare(repository).rename(place)
            except OSError:
                return None
        return Spare(place, commit if time.monotonic() - at < CURRENT_S else None)

    def expect(self, repository: Path, commit: str, edit: Edit | None = None) -> None:
        """Bring the repository's spare, if there is one, up to a commit that a task may soon want.

        For a thread, as it may run git.

        Parameters
        ----------
        repository, commit
            What came.
        edit : Edit, optional
            What it has changed, where that is known: if the spare is of the commit before, and
            nobody has touched it, only the changed files are written.
        """
        with self._lock:
            place = self._root / f".up-{self._spare(repository).name}"
            if repository in self._expected or self._closed:
                return
            try:
                self._spare(repository).rename(place)
            except OSError:
                return
            self._expected.add(repository)
            before, looks = self._looks.pop(repository, ("", {}))
        try:
            now = _edited(place, edit, looks) if edit and before == edit.base else None
            if now is None:
                bring_up(repository, commit, place)
            with self._lock:
                if now is not None:
                    self._looks[repository] = (commit, now)
                place.rename(self._spare(repository))
                self._current[repository] = (commit, time.monotonic())
        except (CheckoutFailed, OSError) as error:
            _log.warning("no spare code of %s: %s", repository.name, error)
        finally:
            with self._lock:
                self._expected.discard(repository)
                self._lock.notify_all()

    def used(self, repository: Path, commit: str, code: Path) -> None:
        """Note what a task was given, so that `refill` makes the same again.

        Parameters
        ----------
        repository, commit
            What was checked out.
        code : Path
            Where; `refill` looks there how large it is.
        """
        with self._lock:
            self._last.pop(repository, None)
            self._last[repository] = (commit, code)
            for surplus in list(self._last)[:-MOST_SPARES]:
                del self._last[surplus]

    def refill(self) -> None:
        """Make what is missing, and remove what nobody will take; for a thread, as it runs git.

        Where another thread is at it, it is left to that one.
        """
        if not self._refilling.acquire(blocking=False):
            return
        try:
            self._refill()
        finally:
            self._refilling.release()

    def _refill(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._last = {one: last for one, last in self._last.items() if one.is_dir()}
            wanted = dict(self._last)
            self.trees.keep_only(wanted)
            make_private_directory(self._root)
            kept = {self._spare(repository).name for repository in wanted}
            for left in self._root.iterdir():
                if left.name not in kept and not left.name.startswith(".up-"):
                    shutil.rmtree(left, ignore_errors=True)
        for repository, (commit, code) in reversed(wanted.items()):
            if not self._closed and not self._has(repository) and _fits(code):
                self._make(repository, commit)
                self._know(repository, commit)

    def settle(self) -> None:
        """Have git look again at files that are new; for a thread, `SETTLED_S` after `refill`.

        Git takes no file's word that is as young as its list, to the second, and reads it. What it
        has found unchanged in a later second it believes the next time.
        """
        with self._lock:
            young, self._young = self._young, {}
        for repository, commit in young.items():
            self.expect(repository, commit)
            self._know(repository, commit)

    def _has(self, repository: Path) -> bool:
        with self._lock:
            return repository in self._expected or self._spare(repository).exists()

    def _make(self, repository: Path, commit: str) -> None:
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=self._root))
        try:
            bring_up(repository, commit, new / "spare")
            with self._lock:
                (new / "spare").rename(self._spare(repository))
                self._young[repository] = commit
        except (CheckoutFailed, OSError) as error:
            # The next task is checked out as if there had never been one.
            _log.warning("no spare code of %s: %s", repository.name, error)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _know(self, repository: Path, commit: str) -> None:
        """Note what the spare is of, file by file, so that an edit of it needs no git."""
        known = self.trees.of(repository)
        if known is None or known.commit != commit:
            known = list_tree(repository, commit)
        if known is None:
            return
        with self._lock:
            if repository in self._expected:
                return
            try:
                looks = looks_of(self._spare(repository), known.files())
            except OSError:
                return  # taken meanwhile
            self._looks[repository] = (commit, looks)
        self.trees.put(repository, known)

    def close(self) -> None:
        """Remove all of them; none is made afterwards."""
        with self._lock:
            self._closed = True
            shutil.rmtree(self._root, ignore_errors=True)

    def _spare(self, repository: Path) -> Path:
        digest = hashlib.sha256(os.fsencode(repository)).hexdigest()[:32]
        return self._root / digest


def _edited(
    place: Path, edit: Edit, looks: dict[bytes, tuple[int, ...]]
) -> dict[bytes, tuple[int, ...]] | None:
    """Write what an edit has changed, and tell how the files look then.

    Returns
    -------
    dict or None
        None where the spare is not what it was, or more has changed than files' content.
    """
    if edit.written is None:
        return None
    try:
        if looks_of(place, edit.tree.files()) != looks:
            return None
    except OSError:
        return None
    rewrite(place, edit.written)
    return looks | looks_of(place, edit.written)


def _fits(code: Path) -> bool:
    """Whether code is small enough, with what its task may have added; no if it has gone."""
    waiting, files, size = [str(code)], 0, 0
    try:
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    files += 1
                    size += entry.stat(follow_symlinks=False).st_size
                    if files > MAX_FILES or size > MAX_BYTES:
                        return False
    except OSError:
        return False
    return True
