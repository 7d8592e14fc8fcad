"""The one value of a submission: what its digest depends on, and its way through the ledger."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anylearn_jupyter.submit.code_cell import CodeCell
from anylearn_jupyter.submit.request import DataInput, InputKind, TrainRequest

SNAPSHOT = "a" * 40
DATA = Path("/data")
MORE = Path("/more")
FINGERPRINTS = {DATA: "fp1:" + "1" * 64, MORE: "fp1:" + "2" * 64}

REQUEST = TrainRequest(
    entrypoint="python train.py",
    algorithm_dir=Path("/code"),
    hyperparams=(("lr", 0.1), ("name", "'a b'"), ("fast", "")),
    data=(DataInput("data", path=DATA), DataInput("extra", id="DSET1")),
    env=(("A", "1"), ("B", "2")),
    output="out",
    server="local",
    working_dir=Path("/work"),
)


def digest(request: TrainRequest, snapshot: str = SNAPSHOT, **more: Any) -> str:
    return request.digest(snapshot, FINGERPRINTS, **more)


@pytest.mark.parametrize(
    "changes",
    [
        {"task_name": "another"},
        {"task_description": "another"},
        {"algorithm_name": "another"},
        {"algorithm_dir": Path("/a copy of the code")},
        {"project_name": "another"},
        {"project_id": "PROJ1"},
        {"working_dir": Path("/elsewhere")},
        {"require_clean": True},
        {"include": ("*.log",), "exclude": ("*.md",)},
        {"polling_s": 1.0},
        {"timeout_s": 60.0, "retries": 3},
        {"uploader": object()},
        {"code_cell": CodeCell("print(1)\n", lines_above=1, assigned=False)},
        {"data": REQUEST.data[::-1]},
        {"env": REQUEST.env[::-1]},
        {"hyperparams": (("lr", "0.1"), ("name", ["a b"]), ("fast", ""))},
    ],
)
def test_what_computes_the_same_has_the_same_digest(changes: dict[str, Any]) -> None:
    """Globs and a cell show in the snapshot; a number and its text are one on a command line."""
    assert digest(replace(REQUEST, **changes)) == digest(REQUEST)


def test_the_same_data_elsewhere_is_the_same() -> None:
    moved = replace(REQUEST, data=(DataInput("data", path=MORE), REQUEST.data[1]))

    assert moved.digest(SNAPSHOT, {MORE: FINGERPRINTS[DATA]}) == digest(REQUEST)
    assert digest(moved) != digest(REQUEST)


@pytest.mark.parametrize(
    "changes",
    [
        {"entrypoint": "python other.py"},
        {"entrypoint": None},
        {"hyperparams": (("lr", 0.2), *REQUEST.hyperparams[1:])},
        {"hyperparams": REQUEST.hyperparams[::-1]},
        {"hyperparams": REQUEST.hyperparams[:-1]},
        {"hyperparams": (*REQUEST.hyperparams[:-1], ("slow", ""))},
        {"hyperparams_prefix": "+"},
        {"hyperparams_delimeter": "="},
        {"raw_arguments": "--more"},
        {"data": ()},
        {"data": REQUEST.data[:1]},
        {"data": (DataInput("renamed", path=DATA), REQUEST.data[1])},
        {"data": (REQUEST.data[0], DataInput("extra", id="DSET2"))},
        {"data": (REQUEST.data[0], DataInput("extra", id="DSET1", kind=InputKind.MODEL))},
        {"data": (REQUEST.data[0], DataInput("extra", fullname="me/DSET1"))},
        {"env": (("A", "1"), ("B", "3"))},
        {"env": (("A", "2"), ("B", "1"))},
        {"env": ()},
        {"notebook": "train.ipynb", "entrypoint": "python anylearn_notebook.py train.ipynb o -"},
        {"secrets": ("HF_TOKEN",)},
        {"output": "elsewhere"},
        {"output": None},
        {"mirror_name": "ANOTHER"},
        {"algorithm_git_ref": "v1"},
        {"quota_group": "QGRP1"},
        {"quota_request": (("GPU", 1),)},
        {"num_nodes": 2},
        {"nproc_per_node": 2},
        {"server": "http://elsewhere"},
    ],
)
def test_what_computes_another_thing_has_another_digest(changes: dict[str, Any]) -> None:
    assert digest(replace(REQUEST, **changes)) != digest(REQUEST)


def test_every_field_is_tried_above() -> None:
    """A new field has to be put where it belongs: it changes what is computed, or it does not."""
    tried: set[str] = set()
    for test in (
        test_what_computes_the_same_has_the_same_digest,
        test_what_computes_another_thing_has_another_digest,
    ):
        (mark,) = test.pytestmark
        tried.update(*mark.args[1])

    # These come with a snapshot that is the algorithm's id.
    on_the_server = {"algorithm_id", "algorithm_fullname"}
    assert {field.name for field in dataclasses.fields(TrainRequest)} == tried | on_the_server


def test_code_and_server_count() -> None:
    assert digest(REQUEST, "b" * 40) != digest(REQUEST)
    assert digest(REQUEST, server="http://elsewhere") != digest(REQUEST)
    assert digest(REQUEST, server="local") == digest(REQUEST)


def test_several_inputs_of_one_name_keep_their_order() -> None:
    """`--data A B` is not `--data B A`."""
    one = replace(REQUEST, data=(DataInput("data", path=DATA), DataInput("data", path=MORE)))
    other = replace(one, data=one.data[::-1])

    assert digest(one) != digest(other)


@given(
    st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=3),
    st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=3),
)
def test_two_lists_of_values_have_one_digest_only_if_they_are_one(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    """Nothing that a name or a value holds can be taken for the border between them."""
    digests = {digest(replace(REQUEST, hyperparams=tuple(pairs))) for pairs in (first, second)}

    assert (len(digests) == 1) == (first == second)


DIGEST = """
import json, sys
from pathlib import Path
from anylearn_jupyter.submit.request import TrainRequest

kept = json.load(sys.stdin)
fingerprints = {Path(name): value for name, value in kept["fingerprints"].items()}
print(TrainRequest.from_json(kept["request"]).digest(sys.argv[1], fingerprints))
"""


def test_the_digest_is_the_same_in_every_process() -> None:
    """It is compared with what another kernel, of another day, has kept."""
    kept = {"request": REQUEST.to_json(), "fingerprints": {str(DATA): FINGERPRINTS[DATA]}}
    answer = subprocess.run(
        [sys.executable, "-c", DIGEST, SNAPSHOT],
        input=json.dumps(kept),
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.strip() == digest(REQUEST)
    assert len(digest(REQUEST)) == 64


# Through the ledger.

FULL = replace(
    REQUEST,
    algorithm_id="ALGO1",
    algorithm_fullname="me/algo",
    algorithm_git_ref="v1",
    algorithm_name="algo",
    require_clean=True,
    raw_arguments="--x 'y z'",
    hyperparams=(
        ("lr", 0.1),
        ("big", 10**20),
        ("on", True),
        ("text", "é☃\n'\"$"),
        ("many", ["a b", 1, 2.5]),
        ("flag", ""),
    ),
    data=(
        DataInput("data", path=DATA, archive=True),
        DataInput("model", id="MODE1", kind=InputKind.MODEL),
        DataInput("", fullname="me/data"),
        DataInput("pretrain", id="TRAI1", kind=InputKind.TASK),
    ),
    quota_group="group",
    quota_request=(("GPU", 2), ("CPU", 4)),
    num_nodes=2,
    nproc_per_node=3,
    project_name="project",
    task_name="name",
    task_description="text",
    include=("*.log",),
    exclude=("a", "b"),
    polling_s=2.5,
)


@pytest.mark.parametrize(
    "request_", [REQUEST, FULL, TrainRequest(entrypoint=None, algorithm_dir=None)]
)
def test_a_request_comes_back_from_json_as_it_was(request_: TrainRequest) -> None:
    text = json.dumps(request_.to_json())

    back = TrainRequest.from_json(json.loads(text))

    assert back == request_
    assert digest(back) == digest(request_)
    assert json.dumps(back.to_json()) == text


def test_values_that_json_has_not_are_kept_as_the_text_that_was_sent() -> None:
    hyperparams = (
        ("path", Path("/a b")),
        ("none", None),
        ("nan", math.nan),
        ("tuple", (1, "a b")),
        ("map", {"a": 1}),
        ("nested", [["a b"], 1]),
    )
    request = replace(REQUEST, hyperparams=hyperparams)

    back = TrainRequest.from_json(json.loads(json.dumps(request.to_json())))

    assert digest(back) == digest(request)


def test_an_uploader_is_not_kept() -> None:
    request = replace(REQUEST, uploader=object())

    assert "uploader" not in request.to_json()
    assert request == REQUEST
    assert "object" not in repr(request)


def test_what_a_newer_program_wrote_is_read() -> None:
    kept = {**REQUEST.to_json(), "of the future": 1}
    kept["data"] = [{**one, "of the future": 1} for one in kept["data"]]

    assert TrainRequest.from_json(kept) == REQUEST


def test_what_an_older_program_wrote_has_defaults() -> None:
    kept = REQUEST.to_json()
    for name in ("quota_group", "quota_request", "num_nodes", "nproc_per_node", "polling_s"):
        del kept[name]
    kept["data"] = [{"name": "data", "path": "/data", "id": None}]

    back = TrainRequest.from_json(kept)

    assert back == replace(REQUEST, data=(DataInput("data", path=DATA),))


def test_it_cannot_be_changed_and_shares_nothing() -> None:
    values = ["a"]
    request = replace(REQUEST, hyperparams=(("many", values),))
    kept = request.to_json()
    kept["hyperparams"][0][1].append("b")

    assert values == ["a"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.entrypoint = "another"


@pytest.mark.parametrize(
    ("one", "where"),
    [
        (DataInput("d", path=Path("/x")), "/x"),
        (DataInput("d", id="DSET1"), "DSET1"),
        (DataInput("d", fullname="me/x"), "me/x"),
    ],
)
def test_an_input_says_where_it_is(one: DataInput, where: str) -> None:
    assert one.where == where
    assert DataInput.from_json(one.to_json()) == one
