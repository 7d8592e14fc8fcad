"""What is free on a server: of a real engine, of a plain gateway, and in every shape of a reply."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anylearn_jupyter.client.connection import connect, current_connection, disconnect
from anylearn_jupyter.entities import QuotaGroup
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.capacity import (
    GroupCapacity,
    ResourceCapacity,
    capacity,
    group_named,
    resource_named,
)
from anylearn_jupyter.submit.known_choices import known, remember
from anylearn_jupyter.submit.published import quick_train
from anylearn_jupyter.submit.quota import resource_request
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.task import TrainTask
from conftest import RunningEngine
from engine_home import EngineHome
from plain_gateway import PASSWORD, USER
from scripted_api import scripted
from waiting import wait_until

CPUS = len(os.sched_getaffinity(0))


def submitted(project: Path, cpus: int) -> TrainTask:
    """Submit a task that goes on until it is stopped."""
    return quick_train(
        algorithm_dir=project, entrypoint="exec sleep 600", quota_group_request={"CPU": cpus}
    )[0]


def test_an_engine_says_what_is_free_and_who_waits(engine: RunningEngine, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.txt").write_text("a")
    connection = connect("local")
    before = group_named("default", capacity(connection), "here")
    cpu = before.resource("cpu")
    assert cpu is not None
    assert (cpu.name, cpu.total, cpu.free) == ("CPU", CPUS, CPUS)
    assert before.queue_length == 0

    first = submitted(project, CPUS)
    second = submitted(project, 1)
    try:
        wait_until(lambda: first.get_detail().phase == "running", 20, "the first task runs")
        after = group_named("default", capacity(connection), "here")
        cpu = after.resource("CPU")
        assert cpu is not None
        assert cpu.free == 0
        assert after.queue_length == 1
    finally:
        second.stop()
        first.stop()
    disconnect()


def test_a_plain_gateway_does_not_say_who_waits(shared_gateway: EngineHome) -> None:
    connection = connect(shared_gateway.address, username=USER, password=PASSWORD)
    try:
        group = group_named("default", capacity(connection), "there")
    finally:
        disconnect()
    cpu = group.resource("CPU")
    assert cpu is not None
    assert cpu.free == CPUS
    assert group.queue_length is None


def test_what_a_server_does_not_say_is_unknown() -> None:
    group = QuotaGroup.from_json({"id": "QGRP1", "name": "lab", "capacity": {"CPU": 8}})
    assert not group.tells_use
    assert group.queue_length is None
    told = QuotaGroup.from_json({"id": "QGRP1", "allocated": {}, "queue_length": 2})
    assert told.tells_use
    assert told.queue_length == 2
    assert QuotaGroup.from_json({"queue_length": True}).queue_length is None


GROUPS = (
    GroupCapacity(
        id="QGRP1",
        name="lab-gpus",
        resources=(
            ResourceCapacity(name="CPU", total=8, free=2),
            ResourceCapacity(name="RTX-4090", total=4, free=None),
        ),
    ),
    GroupCapacity(id="default", name="default"),
)


@pytest.mark.parametrize("name", ["lab-gpus", "LAB-GPUS", "QGRP1", "qgrp1"])
def test_a_group_is_found_whatever_its_case(name: str) -> None:
    assert group_named(name, GROUPS, "here") is GROUPS[0]


def test_a_resource_is_found_whatever_its_case() -> None:
    assert resource_named("rtx-4090", GROUPS[0], "here") == "RTX-4090"
    assert resource_named("anything", GROUPS[1], "here") == "anything"  # nothing is known of it


def test_a_wrong_name_shows_what_was_meant_and_what_there_is() -> None:
    with pytest.raises(OptionError, match=r"did you mean 'lab-gpus'\? It has: default, lab-gpus"):
        group_named("lab-gpu", GROUPS, "here")
    with pytest.raises(OptionError, match=r"did you mean 'RTX-4090'\? It has: CPU, RTX-4090"):
        resource_named("RTX4090", GROUPS[0], "here")
    with pytest.raises(OptionError, match=r"of here; It has: none"):
        group_named("x", (), "here")


def test_names_are_remembered_for_completion_and_damage_is_an_empty_memory(
    engine: RunningEngine, home: Path
) -> None:
    connection = current_connection("local")
    capacity(connection)
    assert {"default", "besteffort"} <= set(known("groups"))
    assert "CPU" in known("resources")
    written = Home().choices
    assert written.stat().st_mode & 0o777 == 0o600
    stamp = written.stat().st_mtime_ns
    capacity(connection)
    assert written.stat().st_mtime_ns == stamp, "what did not change is not written again"
    remember(connection, projects=["b", "a", "b", ""])
    assert known("projects") == ["a", "b"]
    assert "default" in known("groups")
    written.write_text("{")
    assert known("groups") == []
    written.write_text('{"servers": [1]}')
    assert known("groups") == []
    remember(connection, groups=["g"])
    assert known("groups") == ["g"]
    disconnect()


def test_more_than_this_machine_has_is_refused_before_anything_is_sent(
    engine: RunningEngine, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(OptionError, match=rf"asks for CPU {CPUS + 1} and this machine has {CPUS};"):
        submitted(tmp_path, CPUS + 1)
    assert connect("local").api.http.get("algorithm/list", {}) == []


def test_a_group_by_its_name_is_one_question(tmp_path: Path) -> None:
    lab = {
        "id": "QGRP1", "name": "lab", "level": "Guarantee", "node_level": "",
        "capacity": {"CPU": 8}, "default": {"CPU": 1}, "allocated": {},
    }  # fmt: skip
    wanted = TrainRequest(
        entrypoint="true", algorithm_dir=tmp_path, quota_group="lab", quota_request=(("cpu", 2),)
    )
    with scripted({"GET quota_group/list": [lab]}) as (api, server):
        assert resource_request(wanted, api) == [{"QGRP1": {"CPU": 2}}]
        assert server.paths() == ["GET /api/quota_group/list"]
    unlisted = {"GET quota_group/list": [], "GET quota_group/query": [lab]}
    with scripted(unlisted) as (api, _):
        assert resource_request(wanted, api) == [{"QGRP1": {"cpu": 2}}]
