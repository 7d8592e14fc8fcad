"""Unpacking an archive that somebody sent: checked as a whole first, then written, or refused.

`zipfile` repairs bad names silently, so that ``../../evil`` would land as ``evil``; here nothing is
repaired. What is refused, and why, is a sentence for the user (faults E11).
"""

from __future__ import annotations

import os
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

MAX_ENTRIES = 1_000_000
"""Most files and directories of an archive."""

MAX_RATIO = 200
"""How many times its own size an archive may unpack to, beyond `FREE_BYTES`."""

FREE_BYTES = 1 << 30
"""What any archive may unpack to, however well it is packed."""

OnFile = Callable[[str, int, bytes], None]

_RESERVED_BYTES = 256 << 20
_BLOCK_BYTES = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED = 0x1


class ArchiveRefused(Exception):
    """An archive that is not unpacked; one sentence, for the user."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"archive refused: {reason}")


@dataclass(frozen=True)
class _Member:
    info: zipfile.ZipInfo
    parts: tuple[str, ...]
    is_directory: bool


def is_zip(archive: Path) -> bool:
    """Whether a file begins like a zip and has a zip's directory."""
    with archive.open("rb") as file:
        return file.read(2) == b"PK" and zipfile.is_zipfile(file)


def unpack(
    archive: Path, target: Path, *, as_code: bool = False, on_file: OnFile | None = None
) -> None:
    """Unpack a zip into a directory.

    Parameters
    ----------
    archive : Path
        A zip.
    target : Path
        An existing directory of ours where nobody else writes.
    as_code : bool, default False
        Whether it is an algorithm: published clients name its members as the user wrote the path,
        so that what leads out at the beginning of a name is dropped, and the directory that all
        share becomes the root. ``.git`` is left out.
    on_file : callable, optional
        ``on_file(path, size, digest)`` after each file: its path below `target` with ``/``, and
        the BLAKE3 of its content.

    Raises
    ------
    ArchiveRefused
        Nothing outside `target` was touched; what is in it is for the caller to remove.

    Notes
    -----
    Source: HTTP API, sections 6.3 and 7.3.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _checked(opened, archive.stat().st_size, as_code=as_code)
            _check_space(members, target)
            for member in members:
                digest = _write(opened, member, target)
                if on_file is not None and digest is not None:
                    on_file("/".join(member.parts), member.info.file_size, digest)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveRefused(f"it is damaged ({error})") from error


def _checked(opened: zipfile.ZipFile, size: int, *, as_code: bool) -> list[_Member]:
    infos = opened.infolist()
    if len(infos) > MAX_ENTRIES:
        raise ArchiveRefused(f"it has {len(infos)} entries; at most {MAX_ENTRIES} are taken")
    total = sum(info.file_size for info in infos)
    if total > max(FREE_BYTES, MAX_RATIO * size):
        raise ArchiveRefused(
            f"its {size} bytes would unpack to {total}, more than {MAX_RATIO} times as much"
        )
    members = []
    for info in infos:
        parts = checked_parts(info.orig_filename, as_code=as_code)
        _check_kind(info)
        if parts and not (as_code and ".git" in parts):
            members.append(_Member(info, parts, info.is_dir()))
    if as_code:
        members = _from_common_root(members)
    check_collisions(
        (member.parts, member.is_directory, member.info.filename) for member in members
    )
    return members


def checked_parts(name: str, *, as_code: bool = False) -> tuple[str, ...]:
    """Give the parts of a name in an archive or a manifest, or refuse it.

    Raises
    ------
    ArchiveRefused
        It is absolute, leads out, is too long, or is no name on some system.
    """
    shown = ascii(name[:80])
    if "\0" in name:
        raise ArchiveRefused(f"the name {shown} holds a zero byte")
    if "\\" in name or (len(name) > 1 and name[1] == ":"):
        raise ArchiveRefused(f"the name {shown} has a drive or a backslash")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if as_code:
        while parts and parts[0] == "..":
            del parts[0]
    elif name.startswith("/"):
        raise ArchiveRefused(f"the name {shown} is absolute")
    if ".." in parts:
        raise ArchiveRefused(f"the name {shown} leads out of the archive")
    try:
        too_long = any(len(part.encode()) > 255 for part in parts)
    except UnicodeEncodeError as error:
        raise ArchiveRefused(f"the name {shown} is no text") from error
    if too_long or len(name) > 3000:
        raise ArchiveRefused(f"the name {shown}… is too long")
    return tuple(parts)


def _check_kind(info: zipfile.ZipInfo) -> None:
    shown = ascii(info.filename[:80])
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise ArchiveRefused(f"{shown} is a link")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveRefused(f"{shown} is neither a file nor a directory")
    if info.flag_bits & _ENCRYPTED:
        raise ArchiveRefused(f"{shown} is encrypted")
    if info.compress_type not in _METHODS:
        raise ArchiveRefused(f"{shown} is compressed in a way that is not known here")


def _from_common_root(members: list[_Member]) -> list[_Member]:
    """Make the directory that is common to all files the root."""
    parents = [member.parts[:-1] for member in members if not member.is_directory]
    common = parents[0] if parents else ()
    for parent in parents:
        length = 0
        while length < min(len(common), len(parent)) and common[length] == parent[length]:
            length += 1
        common = common[:length]
    depth = len(common)
    return [
        _Member(member.info, member.parts[depth:], member.is_directory)
        for member in members
        if len(member.parts) > depth and member.parts[:depth] == common
    ]


def check_collisions(members: Iterable[tuple[tuple[str, ...], bool, str]]) -> None:
    """Refuse two names for one file, also on a file system that folds case or accents.

    Parameters
    ----------
    members : iterable
        For each its parts, whether it is a directory, and its name as it came.

    Raises
    ------
    ArchiveRefused
        Two are one, or one is both a file and a directory.
    """
    files: dict[tuple[str, ...], str] = {}
    spelled: dict[tuple[str, ...], tuple[str, ...]] = {}
    for parts, is_directory, name in members:
        folded = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
        for depth in range(1, len(folded) + 1):
            known = spelled.setdefault(folded[:depth], parts[:depth])
            if known != parts[:depth]:
                raise ArchiveRefused(
                    f"{'/'.join(known)!a} and {'/'.join(parts[:depth])!a} differ "
                    "in case or accents only"
                )
        if not is_directory:
            if folded in files:
                raise ArchiveRefused(f"{name!a} is in it twice")
            files[folded] = name
    for folded in spelled:
        for depth in range(1, len(folded)):
            if folded[:depth] in files:
                raise ArchiveRefused(f"{files[folded[:depth]]!a} is both a file and a directory")


def _check_space(members: list[_Member], target: Path) -> None:
    needed = sum(member.info.file_size for member in members) + _RESERVED_BYTES
    free = shutil.disk_usage(target).free
    if needed > free:
        raise ArchiveRefused(f"it needs {needed} bytes of disk space and {free} are free")


def _write(opened: zipfile.ZipFile, member: _Member, target: Path) -> bytes | None:
    """Write a file, and give the BLAKE3 of its content; None for a directory."""
    path = target.joinpath(*member.parts)
    if member.is_directory:
        path.mkdir(parents=True, exist_ok=True)
        return None
    hasher = blake3()
    path.parent.mkdir(parents=True, exist_ok=True)
    executable = member.info.external_attr >> 16 & 0o111
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    handle = os.open(path, flags, 0o700 if executable else 0o600)
    left = member.info.file_size
    with os.fdopen(handle, "wb") as file, opened.open(member.info) as source:
        while block := source.read(_BLOCK_BYTES):
            left -= len(block)
            if left < 0:
                raise ArchiveRefused(f"{member.info.filename!a} is larger than it says")
            hasher.update(block)
            file.write(block)
    if left:
        raise ArchiveRefused(f"{member.info.filename!a} is smaller than it says")
    digest: bytes = hasher.digest()
    return digest
