"""What every published object is: facts about something on a server, and a way to ask again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import InitVar, dataclass, field

from anylearn_jupyter.client.api.base import parted
from anylearn_jupyter.client.connection import Connection, current_connection


@dataclass
class ServerObject(ABC):
    """Facts about something on a server, as last heard.

    Parameters
    ----------
    load_detail : bool, default False
        Ask the server for all of them at once.
    server : str, optional
        ``local`` or an address; default: this process's server at each call.
    """

    load_detail: InitVar[bool] = field(default=False, kw_only=True)
    server: str | None = field(default=None, kw_only=True, repr=False, compare=False)
    _marks: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self, load_detail: bool) -> None:
        """Ask the server, if that is wanted."""
        if load_detail:
            self.get_detail()

    @abstractmethod
    def get_detail(self) -> None:
        """Ask the server for every attribute."""

    def connection(self) -> Connection:
        """Give a live connection to its server."""
        return current_connection(self.server)

    def _shown(self, description: str) -> str:
        """Give a description without the marks that the client keeps at its end."""
        free, self._marks = parted(description)
        return free

    def _kept(self, description: str | None) -> str | None:
        """Give a description as it is sent: with the marks that it came with."""
        return description if description is None else f"{description} {self._marks}".strip()
