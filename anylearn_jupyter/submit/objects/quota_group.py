"""A group of resources that tasks draw from, under the published name."""

from __future__ import annotations

from dataclasses import dataclass, field

from anylearn_jupyter import entities
from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.errors import NotFound
from anylearn_jupyter.submit.objects.saving import needed
from anylearn_jupyter.submit.objects.server_object import ServerObject


@dataclass
class QuotaGroup(ServerObject):
    """A group of resources; the server's users cannot change it.

    Attributes
    ----------
    capacity, allocated, default : dict
        Resource to amount: what the group has, what is in use, what a task gets that asks for
        nothing.

    Notes
    -----
    Source: HTTP API, section 4.
    """

    id: str | None = None
    name: str | None = None
    level: str | None = None
    node_level: str | None = None
    capacity: dict[str, float] = field(default_factory=dict)
    default: dict[str, float] = field(default_factory=dict)
    allocated: dict[str, float] = field(default_factory=dict)

    @classmethod
    def get_list(cls) -> list[QuotaGroup]:
        """List the groups that the user may draw from."""
        connection = current_connection()
        groups = []
        for found in connection.api.quota_groups():
            groups.append(group := cls(server=connection.server))
            group._take(found)
        return groups

    def get_detail(self) -> None:
        """Ask the server about the group of this id, or else of this name.

        Raises
        ------
        NotFound
            There is none.
        """
        connection = self.connection()
        if self.id:
            self._take(connection.api.quota_group(self.id))
            return
        found = connection.api.find_quota_group(needed(self.name, "QuotaGroup.id"))
        if found is None:
            raise NotFound(f"There is no quota group {self.name!r} on {connection.address}.")
        self._take(found)

    def available(self) -> dict[str, float]:
        """Give what was free when the group was last asked about."""
        return {name: has - self.allocated.get(name, 0) for name, has in self.capacity.items()}

    def _take(self, found: entities.QuotaGroup) -> None:
        self.id, self.name = found.id, found.name
        self.level, self.node_level = found.level, found.node_level
        self.capacity, self.default = found.capacity, found.default
        self.allocated = found.allocated
