"""Where a submission goes: a server as a user, the ledger beside it, and who listens.

Every step that speaks to the server gets one of these; a creation goes through `create_once`, so
that no step can forget to write its key down first.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.connection import Connection
from anylearn_jupyter.client.locks import locked
from anylearn_jupyter.entities import ResourceState
from anylearn_jupyter.errors import LoginRequired, ServerError, ServerUnreachable
from anylearn_jupyter.submit.ledger import Creation, Ledger
from anylearn_jupyter.submit.progress import Progress

READY_TIMEOUT_S = 3600.0
"""Seconds that a server may process an upload before waiting for it ends with an error."""

TURN_TIMEOUT_S = 24 * 3600.0
"""Seconds that a submission waits for another one that sends the same."""

_POLL_FROM_S = 0.05


class _Resource(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def state(self) -> int: ...


R = TypeVar("R", bound=_Resource)


@dataclass(frozen=True)
class Destination:
    """A server, as one user, for one submission.

    Attributes
    ----------
    connection : Connection
        Live.
    ledger : Ledger
        Open.
    progress : Progress
        Who listens.
    polling_s : float
        Most seconds between two questions about something that the server processes.
    """

    connection: Connection
    ledger: Ledger
    progress: Progress
    polling_s: float = 5.0

    @property
    def api(self) -> Api:
        """The calls."""
        return self.connection.api

    @property
    def server(self) -> str:
        """What the ledger knows the server by."""
        return self.connection.server

    @property
    def user_id(self) -> str:
        """Who the server says that the user is."""
        return self.connection.user_id

    def create_once(
        self,
        kind: str,
        subject: str,
        call: Callable[[str, bool], str],
        keep: Callable[[str, Creation], None] | None = None,
    ) -> str:
        """Create something exactly once, whatever happens on the way.

        Parameters
        ----------
        kind, subject : str
            What the ledger knows the creation by; see `Ledger.creation`.
        call : callable
            ``call(key, doubtful)`` asks the server and returns the id.
        keep : callable, optional
            ``keep(id, creation)`` writes down what was made, with `Ledger.record_task`, which
            settles the creation too. Whoever dies before that leaves the creation open, so that
            the next submission of the same finds what was made and keeps it.

        Returns
        -------
        str
            The id.

        Notes
        -----
        Source: quick_train spec, step 6; faults, A7. After a definite no the key is forgotten;
        after anything else it stays, and the next submission of the same looks before it asks.
        """
        with self.ledger.creation(kind, self.server, self.user_id, subject) as creation:
            if creation.doubtful:
                self.progress.note(
                    f"An earlier request for this {kind} got no answer, so "
                    f"{self.connection.address} is asked first whether it was carried out."
                )
            try:
                made = call(creation.key, creation.doubtful)
            except ServerUnreachable as error:
                creation.refused = not error.may_have_happened and not creation.doubtful
                raise
            except LoginRequired:
                creation.refused = not creation.doubtful
                raise
            except ServerError as error:
                # In doubt, a no to this request says nothing of the earlier one.
                answered = error.status is not None and 400 <= error.status < 500
                creation.refused = answered and not creation.doubtful
                raise
            if keep is not None:
                keep(made, creation)
            creation.made = made
        return made

    @contextmanager
    def turn(self, subject: str) -> Iterator[None]:
        """Let one process of this machine make or send one thing at a time.

        Whoever gets the turn has to look again: the one before may have made just this. Several
        notebooks, and the threads of one, submit the same directory at the same moment.

        Parameters
        ----------
        subject : str
            What it is, among all that this user has on this server.
        """
        place = f"{self.server} {self.user_id} {subject}"
        name = hashlib.sha256(place.encode()).hexdigest()[:32]
        with locked(self.ledger.home.uploads / f"{name}.lock", TURN_TIMEOUT_S):
            yield

    def wait_ready(self, ask: Callable[[str], R], resource_id: str, what: str) -> R:
        """Ask about a resource until the server has processed what was sent.

        Parameters
        ----------
        ask : callable
            Reads it by its id.
        what : str
            Its name in an error's sentence.

        Raises
        ------
        ServerError
            It went wrong there.
        ServerUnreachable
            It is not ready after `READY_TIMEOUT_S`.

        Notes
        -----
        Source: HTTP API, section 6.3, step 3; quick_train spec, "Mistakes": every wait has a limit.
        """
        deadline = time.monotonic() + READY_TIMEOUT_S
        pause_s = _POLL_FROM_S
        while True:
            found = ask(resource_id)
            if found.state == ResourceState.READY:
                return found
            if found.state in (ResourceState.ERROR, ResourceState.DELETED):
                raise ServerError(
                    f"{self.connection.address} could not take {what} ({resource_id}): "
                    f"{problem_of(found) or f'its state is {found.state}'}."
                )
            if time.monotonic() > deadline:
                raise ServerUnreachable(
                    f"{self.connection.address} is not done with {what} ({resource_id}) after "
                    f"{READY_TIMEOUT_S:g} s; run it again, which goes on from there."
                )
            time.sleep(min(pause_s, self.polling_s))
            pause_s *= 2


def problem_of(resource: object) -> str:
    """Give what our engine says in front of the description of a resource that is in error."""
    description = str(getattr(resource, "description", ""))
    if description.startswith("[") and "]" in description:
        return description[1 : description.index("]")]
    return ""
