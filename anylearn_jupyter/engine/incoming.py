"""A small pack, taken in by one git process or none (docs/protocol.md, ``pack_post``).

What ``receive-pack`` does with a push is done here for the one case of an edited snapshot, so that
it costs one request and one process in place of two and five. The same is checked: git unpacks into
a quarantine, with every object and every link between objects checked, before anything of it is
the repository's; and a branch is made only where there is none. An edit of code that is known
(`code_trees`) and that is plain in every way is checked and unpacked without git (`edit_pack`).
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from anylearn_jupyter.engine.checkout import CheckoutFailed, resolve
from anylearn_jupyter.engine.code_trees import CodeTree
from anylearn_jupyter.engine.edit_pack import Edit, PackObject, read_edit
from anylearn_jupyter.engine.repositories import git_environment
from anylearn_jupyter.home import sync_directory

MAX_PACK_BYTES = 1 << 20
"""Largest pack that is taken this way."""

MAX_OBJECTS = 100
"""Most objects of one: git's own measure for what it does not keep as a pack."""

_HEADER = struct.Struct(">4sII")
_HEAD_BYTES = 256
_TIMEOUT_S = 120
_SYNCS_AT_ONCE = 8
_LEVEL = 1


class PackRefused(Exception):
    """A pack, or its branch, that is not taken; one sentence."""


def branch_of(commit: str) -> str:
    """Give the only branch that a commit may come as this way."""
    return f"snapshot-{commit[:12]}"


def take_in(
    repository: Path, commit: str, pack: bytes, known: CodeTree | None = None
) -> Edit | None:
    """Unpack a pack, and make the branch of the commit that it completes; for a thread.

    Parameters
    ----------
    repository : Path
        A bare repository of ours.
    commit : str
        40 hexadecimal digits.
    pack : bytes
        At most `MAX_PACK_BYTES`.
    known : CodeTree, optional
        Code that the repository has.

    Returns
    -------
    Edit or None
        What it has changed of the known code; None where git has checked it.

    Raises
    ------
    PackRefused
        It is no pack, an object of it is refused or leads to one that is not here, it does not
        complete the commit, or the branch exists with another commit.
    """
    _check_header(pack)
    edit = None if known is None else read_edit(pack, commit, known)
    try:
        _take_in(repository, commit, pack, edit)
    except OSError as error:
        raise PackRefused(f"it cannot be written ({error.strerror or error})") from error
    return edit


def _take_in(repository: Path, commit: str, pack: bytes, edit: Edit | None) -> None:
    objects = repository / "objects"
    with (
        tempfile.TemporaryDirectory(
            prefix="tmp_objdir-incoming-", dir=objects, ignore_cleanup_errors=True
        ) as place,
        tempfile.NamedTemporaryFile(
            "w", prefix="tmp_branch-", dir=repository, encoding="ascii"
        ) as branch,
    ):
        branch.write(f"{commit}\n")
        branch.flush()
        quarantine = Path(place)
        if edit is None:
            _unpack(repository, quarantine, pack)
        else:
            _write(edit.objects, quarantine)
        _migrate(quarantine, objects, Path(branch.name))
        if edit is None and not has_commit(repository, commit):
            raise PackRefused(f"the pack does not hold the commit {commit}")
        _make_branch(repository, branch_of(commit), commit, Path(branch.name))


def has_commit(repository: Path, commit: str) -> bool:
    """Whether a repository has a commit of this id; a loose object needs no process for that."""
    path = repository / "objects" / commit[:2] / commit[2:]
    try:
        head = zlib.decompressobj().decompress(path.read_bytes(), _HEAD_BYTES)
    except FileNotFoundError:
        try:
            return resolve(repository, commit) == commit
        except CheckoutFailed:
            return False
    except (OSError, zlib.error):
        return False
    return head.startswith(b"commit ")


def _check_header(pack: bytes) -> None:
    """Refuse what is no pack, before git is started for it."""
    if len(pack) < _HEADER.size:
        raise PackRefused("it is no pack of git's")
    mark, version, count = _HEADER.unpack_from(pack)
    if mark != b"PACK" or version != 2:
        raise PackRefused("it is no pack of git's")
    if len(pack) > MAX_PACK_BYTES or count > MAX_OBJECTS:
        raise PackRefused(
            f"a pack that is sent this way has at most {MAX_OBJECTS} objects and "
            f"{MAX_PACK_BYTES} bytes; push it"
        )


def _unpack(repository: Path, quarantine: Path, pack: bytes) -> None:
    objects = repository / "objects"
    variables = git_environment() | {
        "GIT_DIR": str(repository),
        "GIT_OBJECT_DIRECTORY": str(quarantine),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(objects),
    }
    try:
        answer = subprocess.run(
            # What has been checked is made durable all at once, by `_migrate`.
            [_git(), "-c", "core.fsync=none", "unpack-objects", "-q", "--strict"],
            env=variables,
            cwd=repository,
            input=pack,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PackRefused(f"git took longer than {_TIMEOUT_S} s") from error
    if answer.returncode != 0:
        said = " ".join(answer.stderr.decode("utf-8", "replace").split())
        raise PackRefused(f"git refused it: {said[:500]}")


def _write(objects: Mapping[bytes, PackObject], quarantine: Path) -> None:
    """Write objects as git keeps single ones."""
    for object_id, one in objects.items():
        name = object_id.hex()
        place = quarantine / name[:2]
        place.mkdir(exist_ok=True)
        path = place / name[2:]
        path.write_bytes(zlib.compress(one.whole, _LEVEL))
        path.chmod(0o444)


@lru_cache(maxsize=1)
def _git() -> str:
    """Give the path of git, which is looked for once."""
    found = shutil.which("git")
    if found is None:
        raise PackRefused("the engine needs git, and there is none in its PATH")
    return found


def _migrate(quarantine: Path, objects: Path, branch: Path) -> None:
    """Make what has been checked the repository's own, durably: an object's name is its content.

    Waiting for the disk is most of it, so all files are waited for at once, the one that becomes
    the branch too, and then their places.
    """
    found = [path for place in quarantine.iterdir() for path in place.iterdir()]
    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as threads:
        list(threads.map(_sync_file, [*found, branch]))
        places = {objects / path.parent.name for path in found}
        for place in places:
            place.mkdir(exist_ok=True)
        for path in found:
            path.replace(objects / path.parent.name / path.name)
        list(threads.map(sync_directory, [*places, objects]))


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_branch(repository: Path, name: str, commit: str, new: Path) -> None:
    """Make a file the branch, durably, unless there is one; it is never overwritten."""
    heads = repository / "refs" / "heads"
    if _packed(repository, name) not in (None, commit):
        raise PackRefused(f"the branch {name} is at another commit")
    try:
        os.link(new, heads / name)
    except FileExistsError:
        found = (heads / name).read_text(encoding="ascii", errors="replace").strip()
        if found != commit:
            raise PackRefused(f"the branch {name} is at another commit") from None
    sync_directory(heads)


def _packed(repository: Path, name: str) -> str | None:
    """Give the commit of a branch among those that git keeps in one file."""
    try:
        lines = (repository / "packed-refs").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    for line in lines.splitlines():
        commit, _, ref = line.partition(" ")
        if ref == f"refs/heads/{name}":
            return commit
    return None


def _quoted(path: Path) -> str:
    """Write a path into a list of paths, in which ``:`` parts one from the next."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
