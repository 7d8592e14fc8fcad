"""Bringing the code to the server: find or make the algorithm, send what it lacks, wait for it.

By git where server and client both can, else as an archive. Every version stays reachable: a
snapshot is a branch of its own, which nothing overwrites.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.git_push import push
from anylearn_jupyter.client.upload import Uploader
from anylearn_jupyter.entities import Algorithm, ResourceState
from anylearn_jupyter.errors import OptionError, ServerError
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.small_push import post_edit
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


def algorithm_name_of(request: TrainRequest, captured: Snapshot) -> str:
    """Give the name of the algorithm that a snapshot goes to."""
    return request.algorithm_name or default_algorithm_name(captured.packing.root)


def load_code(request: TrainRequest, api: Api) -> SentCode:
    """Load an algorithm that is on the server; every step about local code is skipped.

    Raises
    ------
    NotFound
        There is none of that id or name.
    ServerError
        It is not ready to be trained.
    """
    if request.algorithm_fullname is not None:
        algorithm = api.algorithm_named(request.algorithm_fullname)
    else:
        algorithm = api.algorithm(str(request.algorithm_id))
    if algorithm.state != ResourceState.READY:
        raise ServerError(
            f"The algorithm {algorithm.id} ({algorithm.name}) has no complete code on "
            f"{api.http.place} (state {algorithm.state}); send its code first."
        )
    return SentCode(algorithm, request.algorithm_git_ref, sent=False)


def confirm_code(name: str, captured: Snapshot, destination: Destination) -> str | None:
    """Ask about a snapshot that was brought to an algorithm before: the server checks that it is.

    Returns
    -------
    str or None
        The algorithm's id; None where the snapshot was never brought there, or is gone.

    Notes
    -----
    Source: HTTP API, section 7.2, step 6. It needs no other answer, so it is asked with the rest.
    """
    ledger, server, user_id = destination.ledger, destination.server, destination.user_id
    algorithm_id = ledger.algorithm_with(server, user_id, name, captured.commit)
    if algorithm_id is None:
        return None
    try:
        destination.api.finish_sync(algorithm_id, captured.commit)
    except ServerError:
        # Whatever it is that the server says no to, pushing again finds it out.
        ledger.forget_code(server, user_id, name)
        return None
    return algorithm_id


def code_kept(
    request: TrainRequest,
    captured: Snapshot | None,
    found: Algorithm | None,
    destination: Destination,
) -> AbstractContextManager[None]:
    """Keep an algorithm's code as it is sent until the task is created, where there is one only.

    Code that travels as an archive has no versions: a task trains what is there when it is created.
    So the submissions of this machine to one algorithm take turns there. Git needs none of that.
    """
    by_git = destination.connection.git_auth() is not None
    if captured is None or (by_git and (found is None or found.git_address)):
        return nullcontext()
    return destination.turn(f"code of {algorithm_name_of(request, captured)}")


def send_code(
    request: TrainRequest,
    captured: Snapshot,
    found: Algorithm | None,
    confirmed: str | None,
    mirror_id: str,
    destination: Destination,
) -> SentCode:
    """Make sure that the server has a snapshot, complete.

    Parameters
    ----------
    found : Algorithm or None
        The user's algorithm of that name, as the server said a moment ago; None where there is
        none yet.
    confirmed : str or None
        The algorithm that has this snapshot, as `confirm_code` was told; None where that is not
        known.
    mirror_id : str
        The environment that it is attached to.

    Raises
    ------
    Conflict, ServerError, ServerUnreachable, LoginRequired
        As the server says. Submitting again goes on from there.

    Notes
    -----
    Source: quick_train spec, step 3; HTTP API, sections 7.1 to 7.3.
    """
    name = algorithm_name_of(request, captured)
    destination.progress.step("Sending the code", f"{name} at {captured.commit[:12]}")
    description = f"code of {captured.packing.root.name}"
    if found is None:
        found = _made(name, mirror_id, description, destination)
    if found.mirror_id != mirror_id:
        destination.api.update_algorithm(
            found.id, name, mirror_id=mirror_id, description=description
        )
    if found.git_address and destination.connection.git_auth() is not None:
        return _by_git(request, found, captured, confirmed, destination)
    return _by_archive(request, found, captured, destination)


def _made(name: str, mirror_id: str, description: str, destination: Destination) -> Algorithm:
    """Make the algorithm, or find the one that somebody else made since this one asked."""
    api = destination.api
    with destination.turn(f"algorithm {name}"):
        found = api.find_algorithm(name)
        if found is not None:
            return found
        algorithm_id = destination.create_once(
            "algorithm",
            name,
            lambda key, doubtful: api.add_algorithm(
                name, mirror_id=mirror_id, description=description, key=key, doubtful=doubtful
            ),
        )
    return api.algorithm(algorithm_id)


def _by_git(
    request: TrainRequest,
    algorithm: Algorithm,
    captured: Snapshot,
    confirmed: str | None,
    destination: Destination,
) -> SentCode:
    """Push the snapshot as its branch, and have the server check that it has it."""
    ref = request.algorithm_git_ref or captured.commit
    if confirmed == algorithm.id:
        return SentCode(_ready(algorithm, destination), ref, sent=False)
    with destination.turn(f"code {algorithm.id}"):
        posted = post_edit(algorithm, captured, destination)
        was_sent = posted is not None or _pushed(algorithm, captured, destination)
    if posted is None:
        destination.api.finish_sync(algorithm.id, captured.commit)
    destination.ledger.record_code(
        destination.server, destination.user_id, algorithm.name, captured.commit, algorithm.id
    )
    fresh = posted or replace(algorithm, state=int(ResourceState.UPLOADING))
    return SentCode(_ready(fresh, destination), ref, sent=was_sent)


def _pushed(algorithm: Algorithm, captured: Snapshot, destination: Destination) -> bool:
    """Push the snapshot; False where the server had its branch."""
    was_sent = False

    def make_pack(have: set[str]) -> Iterator[bytes]:
        nonlocal was_sent
        was_sent = True
        done = 0
        for piece in captured.pack(have):
            yield piece
            done += len(piece)
            destination.progress.bytes("sending the code", done, 0)

    push(
        destination.connection,
        algorithm.git_address,
        f"refs/heads/{captured.branch}",
        captured.commit,
        make_pack,
    )
    return was_sent


def _ready(algorithm: Algorithm, destination: Destination) -> Algorithm:
    """Wait until the server is done with the code; one that was ready stays so."""
    if algorithm.state == ResourceState.READY:
        return algorithm
    what = f"the code of {algorithm.name}"
    return destination.wait_ready(destination.api.algorithm, algorithm.id, what)


def _by_archive(
    request: TrainRequest, algorithm: Algorithm, captured: Snapshot, destination: Destination
) -> SentCode:
    """Upload the snapshot as a zip, for a server or a login without git.

    Notes
    -----
    Source: HTTP API, section 7.3. What such a server has cannot be asked, so it is sent each time.
    """
    Uploader(destination.api, strategy=request.uploader).send(
        algorithm.id,
        captured.archive(),
        purge=True,
        on_progress=lambda sent: destination.progress.bytes("sending the code", sent, 0),
    )
    fresh = replace(algorithm, state=int(ResourceState.UPLOADING))
    return SentCode(_ready(fresh, destination), request.algorithm_git_ref, sent=True)
