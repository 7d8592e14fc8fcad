"""What can be found out here: the code captured, the data read, everything checked.

Nothing has been sent when this is done, so a mistake that can be seen here costs nobody anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from anylearn_jupyter.errors import OptionError, SnapshotError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.command import entry_module, entry_script
from anylearn_jupyter.submit.data_names import check_folders
from anylearn_jupyter.submit.entry import check_module, check_script, check_travels
from anylearn_jupyter.submit.fingerprint import (
    DataReading,
    Fingerprint,
    SeenData,
    look,
)
from anylearn_jupyter.submit.local_data import Content
from anylearn_jupyter.submit.overlay import overlay_of
from anylearn_jupyter.submit.packing_rules import PackingRules
from anylearn_jupyter.submit.progress import Progress, tell_files
from anylearn_jupyter.submit.ready_archive import ReadyArchive, read_archive
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.snapshot import Snapshot, snapshot
from anylearn_jupyter.submit.stat_cache import StatCache

READ_AT_ONCE_BYTES = 8 << 20
"""Data of which no more than this is unknown is read before a server is asked.

So that what it is can be looked up along with everything else.
"""

DEFAULT_OUTPUT = "output"
"""The results folder of a task that does not say (HTTP API, section 8)."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """A request with everything local that belongs to it.

    Attributes
    ----------
    request : TrainRequest
        What was asked for.
    snapshot : Snapshot or None
        The code; None where it is on the server.
    contents : dict
        What was read of each local path in the request's data, or was known of it.
    seen : dict
        The paths whose data was looked at only; a server that takes chunks of content gets it while
        it is read. Whoever reads one moves it to `contents`.
    notes : tuple of str
        What the user should know, a sentence each.
    """

    request: TrainRequest
    snapshot: Snapshot | None
    contents: dict[Path, Content]
    seen: dict[Path, SeenData]
    notes: tuple[str, ...]

    @property
    def code_id(self) -> str:
        """What stands for the code in a digest: the snapshot's commit, or the algorithm's id."""
        if self.snapshot is not None:
            return self.snapshot.commit
        return str(self.request.algorithm_id or self.request.algorithm_fullname)

    def digest(self, server: str) -> str:
        """Give the request's digest on a server."""
        values = {path: content.value for path, content in self.contents.items()}
        return self.request.digest(self.code_id, values, server=server)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Have the snapshot written down by the end of a block, however that ends."""
        try:
            yield
        finally:
            if self.snapshot is not None:
                self.snapshot.keep()

    def read_rest(self, progress: Progress) -> None:
        """Read what was looked at only; nothing is sent meanwhile."""
        for path in list(self.seen):
            progress.step("Reading the data", str(path))
            self.contents[path] = _read(self.seen[path], progress, StatCache())
            del self.seen[path]


def prepare(
    request: TrainRequest, progress: Progress, home: Home, *, kept: bool = True
) -> Preparation:
    """Capture and check everything that is here; the first half of the steps.

    Parameters
    ----------
    request : TrainRequest
        What was asked for.
    progress : Progress
        Who is told.
    home : Home
        Our own directory.
    kept : bool, default True
        False leaves it to the caller when the snapshot is written down (`Preparation.keeping`).

    Raises
    ------
    OptionError, SnapshotError, DataError
        One sentence that names the input and the way out; nothing has been sent.

    Notes
    -----
    Source: quick_train spec, "The steps", 3, 4 and 7.
    """
    check_output(request.output)
    notes: list[str] = []
    captured = None
    if request.algorithm_dir is not None and not request.is_code_on_server:
        progress.step("Capturing the code", str(request.algorithm_dir))
        captured = capture(request, request.algorithm_dir, home, kept=kept)
        notes += captured.notes
        notes += values_left_behind(request, captured)
    contents: dict[Path, Content] = {}
    seen: dict[Path, SeenData] = {}
    for one in request.data:
        if one.path is not None and one.archive:
            contents[one.path] = _read_archive(one.path, progress)
        elif one.path is not None:
            found = look_at_data(one.path, progress)
            if isinstance(found, SeenData):
                seen[one.path] = found
            else:
                contents[one.path] = found
    for content in (*contents.values(), *seen.values()):
        notes += [f"{one.path!r} in the data: {one.reason}." for one in content.skipped[:5]]
        if len(content.skipped) > 5:
            notes.append(f"{len(content.skipped) - 5} more entries of {content.root} are skipped.")
    return Preparation(
        request=request,
        snapshot=captured,
        contents=contents,
        seen=seen,
        notes=tuple(dict.fromkeys(notes)),
    )


def capture(request: TrainRequest, directory: Path, home: Home, *, kept: bool = True) -> Snapshot:
    """Make the snapshot, and hold the request against it."""
    output = request.output or DEFAULT_OUTPUT
    captured = snapshot(
        directory,
        PackingRules(
            include=request.include,
            exclude=request.exclude,
            mounted=tuple(one.path for one in request.data if one.path is not None),
            output=output,
        ),
        home=home,
        added=overlay_of(request),
        kept=kept,
    )
    if request.require_clean and captured.dirty:
        raise SnapshotError(
            f"The code directory {directory} has changes that are not committed; commit them, or "
            "send the directory as it is: algorithm_force_update=True in Python, no "
            "--require-clean in a cell."
        )
    check_output_is_free(output, captured)
    check_entry(request.entrypoint, captured)
    if request.notebook is not None:
        check_travels(request.notebook, captured.packing)
    return captured


def check_output(output: str | None) -> None:
    """Refuse a results folder that could not be one anywhere.

    Raises
    ------
    OptionError
        It is absolute, leads out with ``..``, or is empty.
    """
    if output is None:
        return
    parts = PurePosixPath(output).parts
    if output.startswith(("/", "~")) or Path(output).is_absolute():
        raise OptionError(
            f"The output {output!r} is absolute; name a folder relative to the code directory, "
            f"such as {DEFAULT_OUTPUT!r}."
        )
    if ".." in parts:
        raise OptionError(
            f"The output {output!r} leads out of the code directory with '..'; name a folder in "
            f"it, such as {DEFAULT_OUTPUT!r}."
        )
    if not parts or "\0" in output:
        raise OptionError(
            f"The output {output!r} names no folder of its own; choose one that holds the results "
            f"and nothing else, such as {DEFAULT_OUTPUT!r}."
        )


def check_output_is_free(output: str, captured: Snapshot) -> None:
    """Refuse a results folder that already holds something that is no ignored left-over.

    Raises
    ------
    OptionError
        It is not empty, or a link or a file.

    Notes
    -----
    Source: quick_train spec, step 7, and option ``output``.
    """
    place = captured.packing.root / output
    for path in (place, *place.parents):
        if path == captured.packing.root:
            break
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise OptionError(
                f"The output {output!r} is a link or a file in the code directory; name a folder "
                "that does not exist yet with --output."
            )
    occupant = captured.packing.occupant(output)
    if occupant is not None:
        raise OptionError(
            f"The output {output!r} is not empty in the code directory: it holds {occupant!r}. "
            "Name a folder that does not exist yet with --output, or let git ignore that one."
        )


def check_entry(entrypoint: str | None, captured: Snapshot) -> None:
    """Refuse a script or module that would not be there.

    Raises
    ------
    OptionError
        It does not exist, would not travel, or imports from above the directory.
    """
    if entrypoint is None:
        return
    script = entry_script(entrypoint)
    if script is not None:
        check_script(script, captured.packing)
    module = entry_module(entrypoint)
    if module is not None:
        check_module(module, captured.packing)


def values_left_behind(request: TrainRequest, captured: Snapshot) -> list[str]:
    """Say which values name a path that exists here and would not travel.

    Notes
    -----
    Source: quick_train spec, "What travels", last sentence.
    """
    notes = []
    mounted = {one.name for one in request.data}
    for name, value in request.hyperparams:
        if name in mounted or not isinstance(value, str) or not value or "\n" in value:
            continue
        path = value.strip("'\"")
        if path.startswith("/") or len(path) > 1000:
            continue
        reason = captured.packing.why_not(path)
        if reason is not None and (captured.packing.root / path).exists():
            notes.append(
                f"{name} = {path!r} names a path that does not travel with the code ({reason}); "
                f"mount data with -d {name}={path}, or bring it along with --include."
            )
    return notes


def look_at_data(path: Path, progress: Progress) -> Fingerprint | SeenData:
    """Read local data where there is little to read; of what is large see only which files it has.

    Raises
    ------
    DataError
        What can be seen without opening a file: it is not there, or has names that cannot travel.
        A file cannot be read, or changes all the time.
    """
    progress.step("Reading the data", str(path))
    cache = StatCache()
    seen = look(path, cache)
    if seen.fingerprint is not None:
        return seen.fingerprint
    check_folders(seen.scan.folders)
    return seen if seen.unread_bytes > READ_AT_ONCE_BYTES else _read(seen, progress, cache)


def _read(seen: SeenData, progress: Progress, cache: StatCache) -> Fingerprint:
    label = f"reading {seen.root.name}"
    reading = DataReading(seen)
    reading.read_all(
        None,
        partial(progress.bytes, label),
        on_file=partial(tell_files, progress, label),
        cache=cache,
    )
    return reading.result(cache)


def _read_archive(path: Path, progress: Progress) -> ReadyArchive:
    progress.step("Reading the data", str(path))
    return read_archive(path, partial(progress.bytes, f"reading {path.name}"))
