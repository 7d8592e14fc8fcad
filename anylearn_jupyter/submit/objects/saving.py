"""Creating things from an object's `save`: once, with the key in the ledger before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.progress import SilentProgress


@contextmanager
def destination(server: str | None, polling_s: float = 5.0) -> Iterator[Destination]:
    """Give where an object's calls go, with the ledger beside it, for one block.

    Parameters
    ----------
    server : str or None
        ``local`` or an address; None for this process's server.
    polling_s : float
        Most seconds between two questions about what the server processes.
    """
    with Ledger() as ledger:
        yield Destination(current_connection(server), ledger, SilentProgress(), polling_s)


def created(server: str | None, kind: str, name: str, call: Callable[[Api, str, bool], str]) -> str:
    """Create something that an object describes, exactly once.

    Parameters
    ----------
    kind, name : str
        What it is and is called: where an earlier `save` of the same was left without an answer,
        the server is looked at before it is asked again.
    call : callable
        ``call(api, key, doubtful)`` asks the server and returns the id.

    Returns
    -------
    str
        The id.

    Notes
    -----
    Source: quick_train spec, step 6; faults, A7.
    """
    with destination(server) as place:
        return place.create_once(
            kind, f"save {name}", lambda key, doubtful: call(place.api, key, doubtful)
        )


def needed(value: str | None, what: str) -> str:
    """Give a value that a call cannot do without.

    Raises
    ------
    OptionError
        It is None or empty; `what` names it, as in ``Dataset.id``.
    """
    if not value:
        raise OptionError(f"{what} is not set, and this call needs it.")
    return value
