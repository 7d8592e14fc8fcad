"""Reading a directory of content: which files it has, and packing them for a download.

Links are not followed out of the directory, and what is neither a file nor a directory is passed
over, so that a task cannot make the engine hand out, or wait for, anything else.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_LISTED = 200_000
"""Most files that one listing names."""

_DATE = (1980, 1, 1, 0, 0, 0)
_BLOCK_BYTES = 1 << 20


class PathRefused(ValueError):
    """A path within the content that leads out of it, or to nothing; one sentence."""


def within(root: Path, subpath: str) -> Path:
    """Give what a relative path names below a directory.

    Raises
    ------
    PathRefused
        It is absolute, has ``..``, passes through a link, or names nothing.
    """
    parts = [part for part in subpath.split("/") if part not in ("", ".")]
    if subpath.startswith("/") or ".." in parts or "\0" in subpath or "\\" in subpath:
        raise PathRefused(f"The path {subpath[:80]!r} is not relative, or leads out.")
    path = root
    for part in parts:
        path = path / part
        try:
            is_link = path.is_symlink()
        except OSError as error:  # a name that is too long
            raise PathRefused(f"There is no {subpath[:80]!r} in it.") from error
        if is_link:
            raise PathRefused(f"The path {subpath[:80]!r} passes through a link.")
    if parts and not path.exists():
        raise PathRefused(f"There is no {subpath[:80]!r} in it.")
    return path


def listing(root: Path) -> dict[str, Any]:
    """List a directory as ``resource/listdir`` sends it (HTTP API, section 6.5).

    Raises
    ------
    PathRefused
        It has more than `MAX_LISTED` entries.
    """
    count = 0

    def below(directory: Path) -> dict[str, Any]:
        nonlocal count
        found: dict[str, Any] = {}
        for path, is_directory in entries(root, directory):
            count += 1
            if count > MAX_LISTED:
                raise PathRefused(f"It has more than {MAX_LISTED} entries; list a subpath of it.")
            if is_directory:
                found[path.name] = {"name": path.name, "type": "dir", "child": below(path)}
            else:
                found[path.name] = {"name": path.name, "type": "file"}
        return found

    if root.is_file():
        return {root.name: {"name": root.name, "type": "file"}}
    return below(root)


def entries(root: Path, directory: Path) -> Iterator[tuple[Path, bool]]:
    """Give (path, whether it is a directory) of what is served of a directory, by name."""
    try:
        found = sorted(directory.iterdir())
    except FileNotFoundError:
        return
    for path in found:
        if not _is_text(path.name):
            continue
        try:
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                # A link to a file beside it is served as that file, one to a directory is not.
                if path.resolve(strict=True).is_relative_to(root.resolve()) and path.is_file():
                    yield path, False
            elif stat.S_ISDIR(mode):
                yield path, True
            elif stat.S_ISREG(mode):
                yield path, False
        except (OSError, RuntimeError):  # gone meanwhile, or a loop of links
            continue


def pack(root: Path, subpath: str, top: str, target: Path) -> int:
    """Pack content into a zip whose bytes depend on it alone.

    Parameters
    ----------
    root : Path
        The content; nothing there is an empty directory.
    subpath : str
        What of it; empty for all.
    top : str
        The one directory that everything in the zip is below (HTTP API, section 6.4).
    target : Path
        The zip; replaced when it is whole.

    Returns
    -------
    int
        Its bytes.
    """
    start = within(root, subpath)
    partial = target.with_name(f".{target.name}.new")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(_info(f"{top}/", executable=True), b"")
        if start.is_file():
            _add(archive, start, f"{top}/{start.relative_to(root).as_posix()}")
        else:
            _add_directory(archive, root, start, top)
    partial.replace(target)
    return target.stat().st_size


def _add_directory(archive: zipfile.ZipFile, root: Path, directory: Path, top: str) -> None:
    for path, is_directory in entries(root, directory):
        name = f"{top}/{path.relative_to(root).as_posix()}"
        if is_directory:
            archive.writestr(_info(f"{name}/", executable=True), b"")
            _add_directory(archive, root, path, top)
        else:
            _add(archive, path, name)


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return  # a running task has taken it away
    with file:
        executable = bool(path.stat().st_mode & stat.S_IXUSR)
        with archive.open(_info(name, executable=executable), "w", force_zip64=True) as part:
            while block := file.read(_BLOCK_BYTES):
                part.write(block)


def _info(name: str, *, executable: bool) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    kind = stat.S_IFDIR if name.endswith("/") else stat.S_IFREG
    info.external_attr = (kind | (0o755 if executable else 0o644)) << 16
    info.compress_type = zipfile.ZIP_STORED if name.endswith("/") else zipfile.ZIP_DEFLATED
    info.create_system = 3
    return info


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
