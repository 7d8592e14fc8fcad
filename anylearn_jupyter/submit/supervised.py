"""What a server keeps of a task while nobody watches: its time limit, and its further attempts.

A limit that only a kernel kept would end with the kernel, so a server that keeps none is told so.
"""

from __future__ import annotations

from typing import Any

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.request import TrainRequest

SUPERVISION = "supervision"
"""The feature of a server that keeps both (docs/protocol.md)."""


def check_supervision(request: TrainRequest, destination: Destination) -> None:
    """Refuse a limit or attempts that the server would not keep.

    Raises
    ------
    OptionError
        It would not.
    """
    options = [
        option
        for option, given in (
            ("--timeout", request.timeout_s is not None),
            ("--retry", request.retries > 0),
        )
        if given
    ]
    if options and SUPERVISION not in destination.api.features:
        raise OptionError(
            f"{' and '.join(options)} cannot be kept by {destination.connection.address}, which "
            "watches neither a task's time nor its failures; leave it out, or let the script do it."
        )


def supervision_form(request: TrainRequest) -> dict[str, Any]:
    """Give the fields of ``train_task/add`` that say it; None is not sent."""
    return {"timeout_s": request.timeout_s, "retries": request.retries or None}
