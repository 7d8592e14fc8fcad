"""The packing list of a directory, kept for as long as git would say the same.

Most submissions follow an edit of a file that git knew already. Starting git for such a one costs
more than all the rest of a capture, so what its answers led to is kept in the snapshot's store,
together with the grounds of these answers (`listing_grounds`). How each file looks is seen anew. A
file's content is no ground: whether a tracked file differs from the user's commit is found out by
its id, which the capture has anyway.

Not kept, so that git is asked each time: repositories with nested ones, submodules, a sparse
checkout, a merge that is not finished, or attributes; ``--include``; whatever had changed in the
seconds before git looked, as a clock's grain may hide a second change. On disk: ``packing`` in the
store, a line of JSON and then names and ids; it is a cache, and one that cannot be read is made
again.

Notes
-----
Source: faults E1, E13; git's "racy git" rule (`regular_files.YOUNG_NS`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anylearn_jupyter.submit.git import Git, GitFailed, reading_git, settings_of
from anylearn_jupyter.submit.listing import (
    Listing,
    Repository,
    find_repository,
    state_of,
)
from anylearn_jupyter.submit.listing_grounds import (
    ATTRIBUTES_FILE,
    IGNORE_FILE,
    Look,
    Names,
    aim_of,
    environment,
    head_of,
    is_settled,
    look_of,
    names_below,
    rule_files,
    takes_bytes_as_they_are,
)
from anylearn_jupyter.submit.packing_list import FileLook, PackedFile, PackingList, Skipped
from anylearn_jupyter.submit.packing_rules import Rulebook

_FORMAT = 1
_FILE = "packing"
_MOST_UNNAMED, _MOST_LINKS = 1000, 100


class _NotKept(Exception):
    """There are no grounds for keeping a list."""


@dataclass(frozen=True)
class KeptPacking:
    """The packing list of one code directory, for one call.

    Attributes
    ----------
    directory : Path
        Resolved.
    place : Path
        The store's repository, whose lock is held.
    leave_out : sequence of str
        The patterns that git is given.
    rules : str
        All else that decides what travels, as text.
    begun_ns : int
        When the call began; nanoseconds since 1970.
    """

    directory: Path
    place: Path
    leave_out: Sequence[str]
    rules: str
    begun_ns: int

    @classmethod
    def of(cls, directory: Path, place: Path, leave_out: Sequence[str], rules: str) -> KeptPacking:
        """Name it, at the beginning of a call."""
        return cls(directory, place, leave_out, rules, time.time_ns())

    def read(self, rulebook: Rulebook) -> PackingList | None:
        """Give the list as it would be made now; None where git has to be asked.

        Returns
        -------
        PackingList or None
            With `PackingList.index`: files that are not what it says make the list dirty.
        """
        try:
            head, _, body = (self.place / _FILE).read_bytes().partition(b"\n")
            kept: Any = json.loads(head)
            if kept["format"] != _FORMAT or not self._is_still(kept):
                return None
            paths = os.fsdecode(body[: kept["paths_bytes"]]).split("\0")
            abouts = body[kept["paths_bytes"] :].decode("ascii").split("\0")
            return self._list(kept, [path for path in paths if path], abouts, rulebook)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _is_still(self, kept: Any) -> bool:
        """Whether the grounds are what they were."""
        repository = find_repository(self.directory)
        top = str(self.directory)
        return (
            kept["asked"] == self._asked(repository)
            and kept["head"] == (repository and head_of(repository))
            and all(look_of(path) == look for path, look in kept["looks"].items())
            and kept["names"] == names_below(top, set(kept["closed"])).digest
            and all(aim_of(f"{top}/{path}") == aim for path, aim in kept["links"].items())
        )

    def _list(
        self, kept: Any, paths: Sequence[str], abouts: Sequence[str], rulebook: Rulebook
    ) -> PackingList:
        """Look at each file, and make the list.

        Raises
        ------
        OSError
            One is gone, or is something else than a file or a link.
        """
        top = f"{self.directory}{os.sep}"
        files, looks = [], {}
        for path in paths:
            found = os.lstat(top + path)
            files.append(PackedFile.of(path, found))
            looks[path] = FileLook.of(found)
        return PackingList(
            root=self.directory,
            files=tuple(files),
            skipped=tuple(Skipped(*one) for one in kept["skipped"]),
            head=kept["head"],
            dirty=kept["dirty"],
            notes=tuple(kept["notes"]),
            rules=rulebook,
            results=tuple(kept["results"]),
            looks=looks,
            index={path: about for path, about in zip(paths, abouts, strict=False) if about},
        )

    def keep(self, listing: Listing, packing: PackingList) -> None:
        """Keep what git has just said, if there are grounds for it.

        Parameters
        ----------
        listing : Listing
            From git, asked after `begun_ns`.
        packing : PackingList
            Made of it.
        """
        try:
            data = self._written(listing, packing)
        except (_NotKept, OSError, RuntimeError, GitFailed):
            (self.place / _FILE).unlink(missing_ok=True)
            return
        new = self.place / f".{_FILE}.new"
        new.write_bytes(data)
        new.replace(self.place / _FILE)

    def _asked(self, repository: Repository | None) -> list[Any]:
        """Give what git is asked about, and which git."""
        places = repository and [str(repository.git_dir), str(repository.work_tree)]
        return [str(self.directory), places, [*self.leave_out], self.rules, environment()]

    def _written(self, listing: Listing, packing: PackingList) -> bytes:
        repository = find_repository(self.directory)
        if packing.rules.has_includes or not _is_plain(listing, repository is not None):
            raise _NotKept
        if repository is not None and listing.head != head_of(repository):
            raise _NotKept
        closed = self._closed(listing, repository)
        names = names_below(str(self.directory), closed)
        self._check_names(names, listing, repository)
        dirty = self._stays_dirty(listing, repository, packing)
        compared = repository is not None and not dirty
        looks = self._looks(listing, repository, names, packing, compared=compared)
        if not all(is_settled(look, self.begun_ns) for look in looks.values()):
            raise _NotKept
        paths = [os.fsencode(file.path) for file in packing.files]
        body = b"\0".join(paths)
        kept = {
            "format": _FORMAT,
            "asked": self._asked(repository),
            "head": packing.head,
            "looks": looks,
            "closed": sorted(closed),
            "names": names.digest,
            "links": {path: aim_of(f"{self.directory}/{path}") for path in names.links},
            "dirty": dirty,
            "skipped": [(one.path, one.reason, one.files) for one in packing.skipped],
            "notes": packing.notes,
            "results": packing.results,
            "paths_bytes": len(body),
        }
        abouts = [listing.index.get(path, b"") if compared else b"" for path in paths]
        return json.dumps(kept).encode("ascii") + b"\n" + body + b"\0".join(abouts)

    def _closed(self, listing: Listing, repository: Repository | None) -> set[str]:
        """Name the directories of which git never looks at the inside, by their names alone.

        Git names a directory also where it ignores each single file in it; there a new file is one
        that it may not ignore.
        """
        whole = [name[:-1] for name in listing.ignored if name.endswith(b"/")]
        patterns = {os.fsencode(pattern) for pattern in self.leave_out}
        ours = {name for name in whole if name.rpartition(b"/")[2] + b"/" in patterns}
        others = [name for name in whole if name not in ours]
        return {os.fsdecode(name) for name in (*ours, *self._ignored(others, repository))}

    def _ignored(self, names: Sequence[bytes], repository: Repository | None) -> set[bytes]:
        """Give those of some names that a rule of git's ignores for themselves."""
        if not names:
            return set()
        git = self._git(repository)
        said = git.run(
            "check-ignore", "-z", "--stdin", stdin=b"\0".join(names) + b"\0", allow=(0, 1)
        )
        return {name for name in said.split(b"\0") if name}

    def _git(self, repository: Repository | None) -> Git:
        if repository is not None:
            return reading_git(repository.git_dir, repository.work_tree, self.directory)
        git = reading_git(self.place, self.directory, self.directory)
        variables = {**git.environment, "GIT_INDEX_FILE": str(self.place / "no-index")}
        return Git(variables, self.directory)

    def _check_names(self, names: Names, listing: Listing, repository: Repository | None) -> None:
        """Refuse names that git did not see, and ones that are not there any more."""
        there = {os.fsencode(path) for path in names.files}
        single = {name for name in listing.ignored if not name.endswith(b"/")}
        listed = single.union(listing.untracked)
        unknown = there.difference(listed, listing.tracked)
        if names.nested or listed - there or len(unknown) > _MOST_UNNAMED:
            raise _NotKept
        if len(names.links) > _MOST_LINKS:
            raise _NotKept
        # In a directory that git named as a whole because it ignores each file in it.
        if unknown != self._ignored(sorted(unknown), repository):
            raise _NotKept

    def _stays_dirty(
        self, listing: Listing, repository: Repository | None, packing: PackingList
    ) -> bool:
        """Whether the list is dirty whatever becomes of the tracked files that travel."""
        if repository is None or listing.answers is None:
            return False
        state = state_of(listing.answers.state)
        prefix = self.directory.relative_to(repository.work_tree).as_posix()
        start = 0 if prefix == "." else len(os.fsencode(prefix)) + 1
        stay = (os.fsdecode(name[start:]) not in packing.looks for name in state.unstaged)
        come = (os.fsdecode(name) in packing.looks for name in listing.untracked)
        return state.staged or any(stay) or any(come)

    def _looks(
        self,
        listing: Listing,
        repository: Repository | None,
        names: Names,
        packing: PackingList,
        *,
        compared: bool,
    ) -> dict[str, Look]:
        """Look at all files that count but those that travel.

        Where files are to be compared with the index, attributes are refused.
        """
        assert listing.answers is not None
        settings = settings_of(listing.answers.settings)
        git_dir = self.place if repository is None else repository.git_dir
        files = rule_files(self.directory, git_dir, repository, settings)
        if files is None:
            raise _NotKept
        rules, attributes = files
        top = str(self.directory)
        rules |= {f"{top}/{path}" for path in names.files if _name(path) == IGNORE_FILE}
        tracked = [os.fsdecode(name) for name in listing.tracked]
        rules |= {f"{top}/{path}" for path in tracked if path not in packing.looks}
        looks = {path: look_of(path) for path in sorted(rules | attributes)}
        if compared:
            within = any(_name(path) == ATTRIBUTES_FILE for path in (*names.files, *tracked))
            outside = any(looks[path] is not None for path in attributes)
            if within or outside or not takes_bytes_as_they_are(settings):
                raise _NotKept
        return looks


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_plain(listing: Listing, in_repository: bool) -> bool:
    """Whether a listing has nothing in it that looks at a directory do not show."""
    if listing.answers is None or listing.broken or listing.nested:
        return False
    if not in_repository:
        return True
    if not listing.in_repository or listing.head is None:
        return False
    special = listing.sparse or listing.unmerged or listing.assumed
    return not special and not any(about.startswith(b"160000") for about in listing.index.values())
