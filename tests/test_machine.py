"""Requests and allocations of this machine's resources."""

from __future__ import annotations

from typing import Any

import pytest

from anylearn_jupyter.engine.machine import Machine, RequestRefused

PLAIN = Machine(cpus=(0, 1, 2, 3), gpus=(), memory_gib=8)
WITH_GPUS = Machine(cpus=(0, 1, 2, 3), gpus=("0", "1"), memory_gib=8)


def fill(machine: Machine, *requests: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    taken: list[dict[str, Any]] = []
    given = []
    for request in requests:
        allocation = machine.allocate(request, taken)
        given.append(allocation)
        if allocation is not None:
            taken.append(allocation)
    return given


def test_this_machine_has_something() -> None:
    machine = Machine.this()

    assert machine.capacity["CPU"] >= 1
    assert machine.capacity["Memory"] >= 1
    assert machine.capacity["GPU"] == len(machine.gpus)


def test_the_user_may_hide_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-9")

    assert Machine.this().gpus == ("2", "GPU-9")


def test_without_a_request_as_many_tasks_as_cpus() -> None:
    given = fill(PLAIN, [], [], [], [], [])

    assert [one is not None for one in given] == [True] * 4 + [False]
    assert given[0] == {"CPU": 1, "Memory": 0, "GPU": 0, "cpus": [], "gpus": []}


def test_without_a_request_one_task_a_gpu() -> None:
    first, second, third = fill(WITH_GPUS, [], [], [])

    assert first is not None
    assert second is not None
    assert (first["gpus"], second["gpus"], third) == (["0"], ["1"], None)


def test_a_task_that_asks_gets_cpus_of_its_own() -> None:
    two, one, none = fill(
        PLAIN, [{"default": {"CPU": 2}}], [{"default": {"Memory": 3}}], [{"default": {"CPU": 2}}]
    )

    assert two is not None
    assert one is not None
    assert (two["cpus"], one["cpus"]) == ([0, 1], [2])
    assert none is None
    assert PLAIN.allocated([two, one]) == {"CPU": 3, "Memory": 3, "GPU": 0}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ([{"default": {"CPU": 5}}], "CPU 5 and this machine has 4"),
        ([{"default": {"Memory": 9}}], "Memory 9 GiB and this machine has 8 GiB"),
        ([{"default": {"GPU": 1}}], "GPU 1 and this machine has 0"),
        ([{"default": {"TPU": 1}}], "no resource 'TPU' here; there are CPU 4"),
        ([{"default": {"CPU": 1.5}}], "1.5 of CPU is no whole number from 0 to 4"),
        ([{"default": {"CPU": True}}], "True of CPU"),
        ([{"default": {"CPU": -1}}], "-1 of CPU"),
        ([{"lab": {"CPU": 1}}], "no resource group 'lab'"),
        ([{"default": {}}, {"lab": {}}], "one resource group only"),
        ([{"default": 4}], "no object of numbers"),
    ],
)
def test_a_request_that_can_never_be_served_is_refused(request_: Any, words: str) -> None:
    with pytest.raises(RequestRefused, match=words):
        PLAIN.amounts(request_)
