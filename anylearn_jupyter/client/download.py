"""Downloading a resource, such as a task's results: ask for an archive, wait, fetch, unpack safely.

An archive comes from outside, so nothing in it is believed: a name that leads out of the target, a
link, an entry larger than it says, more than the disk holds, all refuse the whole archive before
the target is touched (faults, E11).
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import sys
import tempfile
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import ConfigError, ServerUnreachable, UnexpectedAnswer

COMPRESSION_TIMEOUT_S = 1800.0
"""Seconds that the server has to make an archive."""

ENTRY_LIMIT = 1_000_000
"""Entries that an archive may have."""

_POLL_FROM_S, _POLL_TO_S = 0.05, 2.0
_COPY_BYTES = 1024 * 1024
_FORBIDDEN = frozenset('\\\0:*?"<>|') if sys.platform == "win32" else frozenset("\\\0")

Selection = Callable[[PurePosixPath], bool]


def download_resource(
    api: Api,
    file_id: str,
    target: Path,
    *,
    subpath: str | None = None,
    select: Selection | None = None,
    timeout_s: float = COMPRESSION_TIMEOUT_S,
    on_bytes: Callable[[int], None] | None = None,
) -> Path:
    """Fetch the files of a resource into a directory.

    Parameters
    ----------
    file_id : str
        The resource; a task's ``results_id`` for its results.
    target : Path
        Made if it is missing. Files that are there are replaced by those of the same name, and
        others stay.
    subpath : str, optional
        Only this file or directory of the resource.
    select : callable, optional
        ``select(path)`` says which files are wanted, by their path within the resource.
    timeout_s : float
        Seconds that the server has to make the archive; it can be interrupted at any time.
    on_bytes : callable, optional
        ``on_bytes(so_far)`` while the archive comes, in this thread.

    Returns
    -------
    Path
        The target, absolute.

    Raises
    ------
    ServerUnreachable
        The archive was not ready in time, or its transfer was cut.
    UnexpectedAnswer
        It is no archive, or one that is not safe to unpack.
    ConfigError
        The target cannot be written.

    Notes
    -----
    Source: HTTP API, section 6.4.
    """
    target = target.expanduser().absolute()
    compression_id = compressed(api, file_id, subpath, timeout_s=timeout_s)
    try:
        target.mkdir(parents=True, exist_ok=True)
        # Beside the files' own place, so that the renames stay within one file system.
        staging = Path(tempfile.mkdtemp(prefix=".anylearn-", dir=target))
    except OSError as error:
        raise ConfigError(f"Cannot write to {target}: {error.strerror}.") from error
    try:
        archive = staging / "archive.zip"
        api.download(file_id, compression_id, archive, on_bytes=on_bytes)
        unpack(archive, staging / "files", top=file_id, select=select)
        _move_into(staging / "files", target)
    except OSError as error:
        raise ConfigError(f"Cannot write to {target}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def compressed(
    api: Api,
    file_id: str,
    subpath: str | None = None,
    *,
    timeout_s: float = COMPRESSION_TIMEOUT_S,
    polling_s: float = _POLL_TO_S,
) -> str:
    """Have the server make an archive of a resource, and wait for it.

    Parameters
    ----------
    polling_s : float
        Most seconds between two questions; the first ones come sooner.

    Returns
    -------
    str
        The id that `Api.download` wants.

    Raises
    ------
    ServerUnreachable
        It was not ready in time.
    """
    compression_id = api.compress(file_id, subpath)
    deadline = time.monotonic() + timeout_s
    pause_s = _POLL_FROM_S
    while not api.compression_done(file_id, compression_id):
        if time.monotonic() > deadline:
            raise ServerUnreachable(
                f"{api.http.address} has not packed {file_id} in {timeout_s:g} s; try again later."
            )
        time.sleep(pause_s * random.uniform(0.8, 1.0))
        pause_s = min(pause_s * 1.5, polling_s)
    return compression_id


def unpack(archive: Path, target: Path, *, top: str, select: Selection | None = None) -> None:
    """Unpack a zip archive into a new directory, all of it or nothing.

    Parameters
    ----------
    archive : Path
        Nothing in it is believed.
    target : Path
        Must not exist.
    top : str
        A single top folder of this name is left out of the paths.
    select : callable, optional
        Which files are wanted, by their path without the top folder.

    Raises
    ------
    UnexpectedAnswer
        It is no zip archive, damaged, or not safe; the message says which entry and why.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            paths = [_safe_path(entry) for entry in entries]
            if paths and all(
                path.parts[0] == top and (entry.is_dir() or len(path.parts) > 1)
                for entry, path in zip(entries, paths, strict=True)
            ):
                paths = [PurePosixPath(*path.parts[1:]) for path in paths]
            _check_whole(entries, paths, archive)
            target.mkdir()
            for entry, path in zip(entries, paths, strict=True):
                if entry.is_dir():
                    if select is None:
                        (target / path).mkdir(parents=True, exist_ok=True)
                elif select is None or select(path):
                    _extract(opened, entry, target / path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UnexpectedAnswer(
            f"The archive that the server sent is damaged ({one_line(str(error), 100)}); fetch it "
            "again."
        ) from error


def _refused(name: str, reason: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"The archive that the server sent is refused: its entry {one_line(name, 100)!r} {reason}."
    )


def _safe_path(entry: zipfile.ZipInfo) -> PurePosixPath:
    """Give an entry's path within the target, or refuse it."""
    # `filename` has been cut at a NUL; what was sent is in `orig_filename`.
    name = entry.orig_filename
    if _FORBIDDEN.intersection(name) or not name:
        raise _refused(name, "has a character that no file name may have")
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        raise _refused(name, "is an absolute path")
    path = PurePosixPath(name)
    if ".." in path.parts:
        raise _refused(name, "leads out of the directory")
    if not path.parts:
        raise _refused(name, "names nothing")
    kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == 3 else 0
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(name, "is a link or a special file")
    if kind == stat.S_IFDIR and not entry.is_dir():
        raise _refused(name, "is a directory and a file at once")
    if entry.flag_bits & 0x1:
        raise _refused(name, "is encrypted")
    return path


def _check_whole(entries: list[zipfile.ZipInfo], paths: list[PurePosixPath], archive: Path) -> None:
    """Refuse what only shows in all entries together: bombs, and two entries for one file."""
    if len(entries) > ENTRY_LIMIT:
        raise _refused(entries[-1].filename, f"is beyond the first {ENTRY_LIMIT}")
    packed = sum(entry.compress_size for entry in entries)
    if packed > archive.stat().st_size:
        raise _refused(entries[0].filename, "shares its bytes with others")
    wanted = sum(entry.file_size for entry in entries)
    free = shutil.disk_usage(archive.parent).free
    if wanted > free:
        raise ConfigError(
            f"The files need {wanted:,} bytes and {archive.parent.parent} has {free:,} left; make "
            "room, or choose another directory."
        )
    files: dict[str, str] = {}
    for entry, path in zip(entries, paths, strict=True):
        if entry.is_dir():
            continue
        folded = _on_disk(path)
        if folded in files:
            raise _refused(entry.filename, f"has the name of {one_line(files[folded], 100)!r}")
        files[folded] = entry.filename
    for entry, path in zip(entries, paths, strict=True):
        directories = [path, *path.parents] if entry.is_dir() else path.parents
        if any(_on_disk(directory) in files for directory in directories):
            raise _refused(entry.filename, "lies below a file, or has the name of one")


def _on_disk(path: PurePosixPath) -> str:
    """Give what two names have in common that are one file on this system's disks."""
    if sys.platform in ("darwin", "win32"):
        return unicodedata.normalize("NFC", str(path)).casefold()
    return str(path)


def _extract(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    """Write one file, never more of it than the archive said before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = entry.file_size
    with opened.open(entry) as source, path.open("xb") as file:
        while block := source.read(_COPY_BYTES):
            left -= len(block)
            if left < 0:
                raise _refused(entry.filename, "is larger than it says")
            file.write(block)


def _move_into(files: Path, target: Path) -> None:
    """Move the files to their place; a link in the target is never followed."""
    for directory, names, filenames in os.walk(files):
        there = target / Path(directory).relative_to(files)
        for name in names:
            place = there / name
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                raise ConfigError(f"{place} is in the way; remove it, or choose another directory.")
            place.mkdir(exist_ok=True)
        for name in filenames:
            place = there / name
            if place.is_dir() and not place.is_symlink():
                raise ConfigError(f"{place} is in the way; remove it, or choose another directory.")
            (Path(directory) / name).replace(place)
