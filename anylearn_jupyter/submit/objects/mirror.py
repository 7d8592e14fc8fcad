"""An environment of the server, under the published name."""

from __future__ import annotations

from dataclasses import dataclass

from anylearn_jupyter.client.connection import current_connection


@dataclass
class Mirror:
    """An environment that code runs in: a container image, or the embedded engine's own."""

    id: str | None = None
    name: str | None = None

    @classmethod
    def get_list(cls) -> list[Mirror]:
        """List the environments of this process's server."""
        mirrors = current_connection().api.mirrors()
        return [cls(id=mirror_id, name=name) for name, mirror_id in mirrors.items()]
