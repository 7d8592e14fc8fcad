"""Bringing the code to the server: find or make the algorithm, send what it lacks, wait for it.

By git where server and client both can, else as an archive. Every version stays reachable: a
snapshot is a branch of its own, which nothing overwrites.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anylearn_jupyter.client.git_push import push
from anylearn_jupyter.client.upload import Uploader
from anylearn_jupyter.entities import Algorithm, ResourceState
from anylearn_jupyter.errors import OptionError, ServerError
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.snapshot import Snapshot

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_NAME_LIMIT = 50
_DEFAULT_LIMIT = 40


@dataclass(frozen=True)
class SentCode:
    """Code on the server.

    Attributes
    ----------
    algorithm : Algorithm
        Ready.
    git_ref : str or None
        The commit that the task trains from; None where the code travels as an archive.
    sent : bool
        False where the server had this snapshot already.
    """

    algorithm: Algorithm
    git_ref: str | None
    sent: bool


def default_algorithm_name(directory: Path) -> str:
    """Name an algorithm after its directory: the same for the same place, another elsewhere.

    Notes
    -----
    Source: quick_train spec, option ``algorithm_name``.
    """
    place = directory.expanduser().resolve()
    digest = hashlib.sha1(str(place).encode("utf-8", "surrogateescape"), usedforsecurity=False)
    ending = f"-{digest.hexdigest()[:8]}"
    base = re.sub(r"[^A-Za-z0-9_.-]", "-", place.name) or "root"
    return base[: _DEFAULT_LIMIT - len(ending)] + ending


def check_algorithm_name(name: str) -> None:
    """Refuse a name that no server takes.

    Raises
    ------
    OptionError
        Another character than letters, digits and ``_ . -``, or too long.
    """
    if not _NAME.fullmatch(name) or len(name) > _NAME_LIMIT:
        raise OptionError(
            f"algorithm_name={name!r} cannot be used; write 1 to {_NAME_LIMIT} letters, digits, "
            "'_', '.' or '-'."
        )


def code_on_server(request: TrainRequest, destination: Destination) -> SentCode:
    """Load an algorithm that is on the server already; every step about local code is skipped.

    Raises
    ------
    NotFound
        There is none of that id.
    ServerError
        It is not ready to be trained.
    """
    destination.progress.step("Looking up the algorithm", str(request.algorithm_id))
    algorithm = destination.api.algorithm(str(request.algorithm_id))
    if algorithm.state != ResourceState.READY:
        raise ServerError(
            f"The algorithm {algorithm.id} ({algorithm.name}) has no complete code on "
            f"{destination.connection.address} (state {algorithm.state}); send its code first."
        )
    return SentCode(algorithm, request.algorithm_git_ref, sent=False)


def send_code(
    request: TrainRequest, captured: Snapshot, mirror_id: str, destination: Destination
) -> SentCode:
    """Make sure that the server has a snapshot, complete.

    Raises
    ------
    Conflict, ServerError, ServerUnreachable, LoginRequired
        As the server says. Submitting again goes on from there.

    Notes
    -----
    Source: quick_train spec, step 3; HTTP API, sections 7.1 to 7.3.
    """
    name = request.algorithm_name or default_algorithm_name(captured.packing.root)
    check_algorithm_name(name)
    destination.progress.step("Sending the code", f"{name} at {captured.commit[:12]}")
    algorithm = _algorithm(name, mirror_id, captured, destination)
    if algorithm.git_address and destination.connection.git_auth() is not None:
        return _by_git(request, algorithm, captured, destination)
    return _by_archive(algorithm, captured, destination)


def _algorithm(
    name: str, mirror_id: str, captured: Snapshot, destination: Destination
) -> Algorithm:
    """Find the user's algorithm of this name, or make it."""
    api = destination.api
    found = api.find_algorithm(name)
    description = f"code of {captured.packing.root.name}"
    if found is None:
        algorithm_id = destination.create_once(
            "algorithm",
            name,
            lambda key, doubtful: api.add_algorithm(
                name, mirror_id=mirror_id, description=description, key=key, doubtful=doubtful
            ),
        )
        return api.algorithm(algorithm_id)
    if found.mirror_id != mirror_id:
        api.update_algorithm(found.id, name, mirror_id=mirror_id, description=description)
    return found


def _by_git(
    request: TrainRequest, algorithm: Algorithm, captured: Snapshot, destination: Destination
) -> SentCode:
    """Push the snapshot as its branch, and have the server check that it has it."""
    api, progress = destination.api, destination.progress
    was_sent = False

    def make_pack(have: set[str]) -> Iterator[bytes]:
        nonlocal was_sent
        was_sent = True
        done = 0
        for piece in captured.pack(have):
            yield piece
            done += len(piece)
            progress.bytes("sending the code", done, 0)

    push(
        destination.connection,
        algorithm.git_address,
        f"refs/heads/{captured.branch}",
        captured.commit,
        make_pack,
    )
    api.finish_sync(algorithm.id, captured.commit)
    ready = destination.wait_ready(api.algorithm, algorithm.id, f"the code of {algorithm.name}")
    return SentCode(ready, request.algorithm_git_ref or captured.commit, sent=was_sent)


def _by_archive(algorithm: Algorithm, captured: Snapshot, destination: Destination) -> SentCode:
    """Upload the snapshot as a zip, for a server or a login without git.

    Notes
    -----
    Source: HTTP API, section 7.3. What such a server has cannot be asked, so it is sent each time.
    """
    api, progress = destination.api, destination.progress
    Uploader(api).send(
        algorithm.id,
        captured.archive(),
        purge=True,
        on_progress=lambda sent: progress.bytes("sending the code", sent, 0),
    )
    ready = destination.wait_ready(api.algorithm, algorithm.id, f"the code of {algorithm.name}")
    return SentCode(ready, None, sent=True)
