"""A ledger in the home of the test, and records to put into it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.task_record import TaskRecord


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger() as opened:
        yield opened


def record(number: int, **more: object) -> TaskRecord:
    fields: dict[str, object] = {
        "id": f"TRAI{number:028x}",
        "name": f"name{number}",
        "server": "local",
        "user_id": "USER1",
        "submitted_ms": 1000 + number,
    }
    return TaskRecord(**{**fields, **more})
