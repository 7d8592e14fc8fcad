"""An edit on its way in one request, to a server that takes it so (docs/protocol.md, `pack_post`).

What the server has is known from what was brought to it from here, so that nobody has to ask. If
that is not so, it refuses the pack, and the snapshot is pushed as to any other server.
"""

from __future__ import annotations

from anylearn_jupyter.entities import Algorithm
from anylearn_jupyter.errors import ServerError
from anylearn_jupyter.submit.at_once import at_once
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.snapshot import Snapshot

FEATURE = "pack_post"
"""What such a server announces."""


def post_edit(
    algorithm: Algorithm, captured: Snapshot, destination: Destination
) -> Algorithm | None:
    """Send what the server lacks of a snapshot, if that is little, and have it finished there.

    Returns
    -------
    Algorithm or None
        As it is now; None where the snapshot has to be pushed: the server has no such feature, too
        much has changed, it is not known what the server has, or the server refuses.

    Raises
    ------
    SnapshotError
        The store of the snapshot was damaged or taken away.
    ServerUnreachable, LoginRequired
        No answer, or not to this login.
    """
    limits = destination.api.capabilities.get(FEATURE)
    if not isinstance(limits, dict):
        return None
    most_bytes, most_objects = limits.get("max_bytes"), limits.get("max_objects")
    if not isinstance(most_bytes, int) or not isinstance(most_objects, int):
        return None
    have = destination.ledger.commits_of(destination.server, destination.user_id, algorithm.id)
    pack = captured.small_pack(set(have), most_objects=most_objects)
    if pack is None or len(pack) > most_bytes:
        return None
    try:
        done = at_once(
            {
                "sent": lambda: destination.api.push_pack(algorithm.id, captured.commit, pack),
                # While the server is at it, what was captured is written down here.
                "kept": captured.keep,
            }
        )
        sent: Algorithm = done["sent"]
    except ServerError:
        # Whatever it is that the server says no to, pushing finds it out.
        return None
    return sent
