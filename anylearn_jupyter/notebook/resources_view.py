"""``%anylearn_resources``: what a server has, what of it is free now, and who waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.notebook.login import current_server
from anylearn_jupyter.notebook.printing import say, show_table
from anylearn_jupyter.submit.capacity import GroupCapacity, capacity

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

UNKNOWN = "unknown"
"""What stands where the server does not say."""


def show_resources(
    shell: InteractiveShell, host: str | None, *, configured_server: str = ""
) -> None:
    """Show the groups of resources of a server in a table, as it says them now.

    Raises
    ------
    ServerUnreachable, LoginRequired, ServerError
        As the server says.
    """
    connection = current_connection(current_server(host, configured_server))
    groups = capacity(connection)
    if not groups:
        say(f"{connection.server} lists no resources.")
        return
    heads = ("group", "resource", "free", "of", "if not asked", "tasks waiting")
    show_table(shell, heads, [row for group in groups for row in _rows(group)])


def amount_text(amount: float | None) -> str:
    """Write an amount in the server's unit, without a fraction where there is none."""
    return UNKNOWN if amount is None else f"{amount:g}" if amount < 1e6 else f"{amount:.0f}"


def _rows(group: GroupCapacity) -> Iterator[tuple[str, ...]]:
    waiting = UNKNOWN if group.queue_length is None else str(group.queue_length)
    if not group.resources:
        yield group.title, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, waiting
    for number, one in enumerate(group.resources):
        yield (
            "" if number else group.title,
            one.name,
            amount_text(one.free),
            amount_text(one.total),
            amount_text(one.default),
            "" if number else waiting,
        )
