"""A ready-made archive as data: its content counts, so that it is the same as the folder it holds.

A zip is read member by member and has the fingerprint that the unpacked folder would have. What a
server makes of anything else is its own business, so such an archive is known by its own bytes.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from blake3 import blake3

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit.data_scan import SkippedData

READY_FORMAT = "as it is"
"""The bytes that travel are those of the file."""

_BLOCK_BYTES = 1 << 20

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class ReadyArchive:
    """An archive that is sent as it is.

    Attributes
    ----------
    value : str
        The fingerprint: of the content for a zip (see `fingerprint`), else of the bytes.
    root : Path
        The file, resolved.
    total_bytes : int
        Bytes of the file.
    files : int
        Members that are files; 1 where it is no zip.
    skipped : tuple
        Empty: an archive travels whole.
    """

    value: str
    root: Path
    total_bytes: int
    files: int
    skipped: tuple[SkippedData, ...] = ()

    def stream(self, on_progress: OnProgress | None = None) -> Iterator[bytes]:
        """Give the file's bytes, piece by piece.

        Raises
        ------
        DataError
            It cannot be read, or is of another size than it was.
        """
        done = 0
        try:
            with self.root.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    yield block
                    done += len(block)
                    if on_progress is not None:
                        on_progress(done, self.total_bytes)
        except OSError as error:
            raise _unreadable(self.root, str(error.strerror)) from error
        if done != self.total_bytes:
            raise _unreadable(self.root, "it changed while it was being sent")


def read_archive(path: Path, on_progress: OnProgress | None = None) -> ReadyArchive:
    """Read an archive once, and give its fingerprint.

    Raises
    ------
    DataError
        It is not there, damaged, encrypted, or holds names that no server unpacks.

    Notes
    -----
    Source: quick_train spec, option ``dataset_archive``, and step 4.
    """
    try:
        root = path.expanduser().resolve(strict=True)
        size = root.stat().st_size
        if not root.is_file():
            raise DataError(f"The archive {str(path)!r} is no file; name a folder as the data dir.")
        if not zipfile.is_zipfile(root):
            return ReadyArchive(_value_of_bytes(root, size, on_progress), root, size, 1)
        with zipfile.ZipFile(root) as opened:
            digests = _members(opened, root, on_progress)
    except OSError as error:
        raise DataError(
            f"The archive {str(path)!r} cannot be read ({error.strerror}); name a zip file."
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise _unreadable(path, f"it is damaged or encrypted: {error}") from error
    hasher = blake3()
    for name in sorted(digests, key=str.encode):
        executable, digest = digests[name]
        hasher.update(f"{name}\0{'1' if executable else '0'}\0{digest}\n".encode())
    return ReadyArchive(f"fp1:{hasher.hexdigest()}", root, size, len(digests))


def _members(
    opened: zipfile.ZipFile, root: Path, on_progress: OnProgress | None
) -> dict[str, tuple[bool, str]]:
    """Read each member: name to executable bit and digest."""
    entries = [entry for entry in opened.infolist() if not entry.is_dir()]
    total = sum(entry.file_size for entry in entries)
    found: dict[str, tuple[bool, str]] = {}
    done = 0
    for entry in entries:
        name = entry.orig_filename
        parts = PurePosixPath(name).parts
        if name.startswith("/") or "\\" in name or "\0" in name or ".." in parts or name in found:
            raise _unreadable(root, f"no server unpacks its entry {name!r}")
        hasher = blake3()
        with opened.open(entry) as member:
            while block := member.read(_BLOCK_BYTES):
                hasher.update(block)
                done += len(block)
                if on_progress is not None:
                    on_progress(min(done, total), total)
        executable = bool((entry.external_attr >> 16) & 0o100) and entry.create_system == 3
        found["/".join(parts)] = (executable, hasher.hexdigest())
    return found


def _value_of_bytes(root: Path, size: int, on_progress: OnProgress | None) -> str:
    """Give a fingerprint that no folder has: a path never begins with a zero byte."""
    hasher = blake3(b"\0archive\n")
    done = 0
    with root.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            hasher.update(block)
            done += len(block)
            if on_progress is not None:
                on_progress(done, size)
    return f"fp1:{hasher.hexdigest()}"


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(f"The archive {str(path)!r} cannot be sent: {reason}; pack it anew.")
