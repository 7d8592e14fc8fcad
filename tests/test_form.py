"""The form without its page: the cell behind it, its controls, and what it says as one types."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from anylearn_jupyter import form
from anylearn_jupyter.client.connection import disconnect
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.discover import read_script
from anylearn_jupyter.notebook.form import Form
from anylearn_jupyter.notebook.form_check import Checked, check
from anylearn_jupyter.notebook.form_choices import Choices, ask_server, data_text, scripts_in
from anylearn_jupyter.notebook.form_controls import Controls
from anylearn_jupyter.notebook.form_draft import OWN_BUTTONS, Draft
from anylearn_jupyter.notebook.form_magic import LABELS, PICKED, folded
from anylearn_jupyter.notebook.form_options import OptionField, chosen_parser, fields_of
from anylearn_jupyter.notebook.form_twin import as_html
from anylearn_jupyter.notebook.form_values import SHOWN_AT_FIRST, Values
from anylearn_jupyter.notebook.forms import draft_of
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.submit.capacity import GroupCapacity, ResourceCapacity
from anylearn_jupyter.submit.request import InputKind, TrainRequest
from engine_home import EngineHome, shared_engine
from waiting import wait_until

__all__ = ["shared_engine"]

PARSER = parser_of(AnylearnMagics.anylearn_train)
SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3, help="passes over the data")
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--mode", choices=["fast", "no way"], default="fast")
parser.add_argument("--betas", type=float, nargs=2)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--pin", action=argparse.BooleanOptionalAction)
parser.add_argument("--data", required=True)
parser.add_argument("file", nargs="?")
parser.parse_args()
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a directory with a script and data."""
    directory = tmp_path / "project"
    (directory / "numbers").mkdir(parents=True)
    (directory / "numbers" / "a.csv").write_text("1\n", encoding="utf-8")
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def of_the_engine(
    home: Path, shared_engine: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Have forms ask the engine of the module; what their threads ask still belongs to the test."""
    disconnect()
    monkeypatch.setenv("ANYLEARN_HOME", str(shared_engine.home.root))
    yield
    wait_until(
        lambda: not [one for one in threading.enumerate() if one.name.startswith("anylearn-form")],
        60,
        "the end of what the forms do later",
    )
    disconnect()


@pytest.fixture
def shell(of_the_engine: None) -> Iterator[InteractiveShell]:
    """Give a shell without a kernel; widgets work in it, and nobody sees them."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def checked(line: str, body: str = "", **variables: Any) -> Checked:
    return check(PARSER, line, body, variables)


def fields(script: str, project: Path) -> dict[str, OptionField]:
    (project / "other.py").write_text(script, encoding="utf-8")
    parser = read_script(project / "other.py", "other.py").parser
    assert parser is not None
    return {one.name: one for one in fields_of(parser)}


# The cell behind it.

CELL = """%%anylearn_train train.py -n 'a {name}' -d data=numbers --env A=1 --env 'B=x y'
# why
lr = {rates["slow"]}   # half
epochs in [1, 2]
amp
-- file.txt"""


def test_a_cell_stays_as_it_is_where_nothing_is_changed() -> None:
    line, _, body = CELL.partition("\n")
    draft = Draft.of_line(PARSER, line.removeprefix("%%anylearn_train "), body)
    assert str(draft) == CELL.replace(
        "-n 'a {name}' -d data=numbers --env A=1 --env 'B=x y'",
        "-n 'a {name}' -d data=numbers --env A=1 --env 'B=x y'",
    )


def test_a_change_leaves_everything_else_as_it_is() -> None:
    line, _, body = CELL.partition("\n")
    draft = Draft.of_line(PARSER, line.removeprefix("%%anylearn_train "), body)
    draft.put("name", "it's {n}")
    draft.put("env", "C={c} 'D=a b'")
    draft.put_value("lr", "0.5")
    draft.put_value("amp", None)
    draft.put_value("mode", "fast")
    assert draft.text("env") == "C={c} 'D=a b'"
    assert str(draft).split("\n")[1:] == [
        "# why", "lr = 0.5", "epochs in [1, 2]", "-- file.txt", "mode = fast",
    ]  # fmt: skip
    again = Draft.of_line(PARSER, draft.cell.line, draft.body)
    assert (str(again), again.text("name")) == (str(draft), "it's {n}")


def test_what_no_control_shows_is_kept_and_can_be_edited() -> None:
    draft = Draft.of_line(PARSER, "train.py", "# why\nlr = 1\nepochs in [1, 2]\nodd = 1\n-- f")
    assert draft.other_lines({"lr", "epochs"}.__contains__) == [
        "# why", "epochs in [1, 2]", "odd = 1", "-- f",
    ]  # fmt: skip
    draft.put_other_lines(["-- g"], {"lr", "epochs"}.__contains__)
    assert draft.body == "lr = 1\n-- g"


def test_the_code_of_a_cell_is_never_taken_for_lines() -> None:
    draft = Draft.of_line(PARSER, "--code --form", "lr = 1\n---\nlr = 5\nprint(lr)")
    draft.put_value("lr", "2")
    assert str(draft) == "%%anylearn_train --code\nlr = 2\n---\nlr = 5\nprint(lr)"
    whole = Draft.of_line(PARSER, "--code", "lr = 5")
    assert (whole.lines, whole.code) == ([], ("---", "lr = 5"))


def test_every_option_of_the_magic_has_a_field() -> None:
    dests = [one.dest for one in PARSER._actions]
    in_fold = [one for group in folded(PARSER).values() for one in group]
    assert sorted(dests) == sorted([*LABELS, *PICKED, *OWN_BUTTONS, *in_fold])


# What is said as one types.


def test_all_faults_are_found_in_the_magics_own_words() -> None:
    found = checked("train.py -d data=nope", "epochs = ten\nmode = slow\nlr = 0.1")
    assert set(found.errors) == {"option data", "value epochs", "value mode"}
    assert found.errors["value epochs"].startswith(
        "train.py would refuse `epochs = ten`: argument --epochs: invalid int value: 'ten'."
    )
    assert found.errors["option data"] == "-d data: there is nothing at 'nope'; check the path."


@pytest.mark.parametrize(
    ("line", "body", "key"),
    [
        ("train.py --num-nodes x", "data = 1", "option num_nodes"),
        ("train.py -r CPU=x", "data = 1", "option resources"),
        ("train.py --env 1=2", "data = 1", None),
        ("train.py -p a --project-name b", "data = 1", "option project"),
        ("train.py", "data = 1\nepochs 5", "other lines"),
        ("train.py", "data = 1\nepoch-s = 5", "value epoch-s"),
        ("train.py --require-clean --algorithm-force-update", "data = 1", "option require_clean"),
        ("train.ipynb more", "data = 1", "option entry"),
    ],
)
def test_a_fault_is_said_beside_its_control(line: str, body: str, key: str | None) -> None:
    found = checked(line, body)
    assert list(found.errors) == ([key] if key else []) or (key == "option entry" and found.general)
    assert found.training is None


def test_what_is_missing_is_no_fault_yet() -> None:
    assert checked("").missing == ("the script",)
    assert checked("train.py").missing == ("data",)
    assert checked("train.py -d data=numbers") == Checked(
        training=checked("train.py -d data=numbers").training
    )


class Loud:
    """Says when anything of it is run."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(name)

    def __call__(self) -> None:
        raise AssertionError("called")

    def __getitem__(self, place: object) -> None:
        raise AssertionError("asked for an element")

    def __format__(self, spec: str) -> str:
        raise AssertionError("written")

    def __repr__(self) -> str:
        raise AssertionError("written")


@pytest.mark.parametrize(
    "text", ["{x()}", "{x.y}", "{x[0]}", "{x}", "{x!r:>5}", "{[1 for _ in x]}", "{plain + x}"]
)
def test_nothing_is_called_while_one_types(text: str) -> None:
    found = checked(f"train.py -n 'n{text}'", f"data = 1\nlr = {text}\ntitle = a", x=Loud())
    assert f"lr = {text}" in found.later
    assert set(found.errors) == {"value title"}


def test_plain_values_are_looked_up() -> None:
    found = checked(
        "train.py", "data = 1\nlr = {rates['a']}\nepochs = {n:d}", rates={"a": "x"}, n=3
    )
    assert set(found.errors) == {"value lr"}
    assert not found.later


# Controls.


def test_controls_are_made_of_what_the_script_takes(project: Path) -> None:
    made = fields(SCRIPT, project)
    assert list(made) == ["epochs", "lr", "mode", "betas", "amp", "pin", "data"]
    kinds = [one.kind for one in made.values()]
    assert kinds == ["text", "text", "choice", "text", "flag", "choice", "text"]
    assert made["epochs"].hint == "whole number · passes over the data"
    assert made["epochs"].placeholder == "default 3"
    assert made["mode"].choices == (("fast", "fast"), ("no way", "no way"))
    assert made["pin"].choices == (("yes", ""), ("no", "false"))
    assert made["betas"].hint == "numbers · 2 values, in a list: [a, b]"
    assert made["data"].required


def test_a_subcommand_is_chosen_and_brings_its_options(project: Path) -> None:
    (project / "sub.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\ns = p.add_subparsers(required=True)\n"
        "f = s.add_parser('fit')\nf.add_argument('--lr', type=float)\ns.add_parser('test')\n"
        "p.parse_args()\n",
        encoding="utf-8",
    )
    parser = read_script(project / "sub.py", "sub.py").parser
    assert parser is not None
    whole, (level,) = chosen_parser(parser, [], [])
    assert (level.names, level.chosen, fields_of(whole)) == (("fit", "test"), "", ())
    chosen, (level,) = chosen_parser(parser, [], ["fit", "lr"])
    assert (level.chosen, [one.name for one in fields_of(chosen)]) == ("fit", ["lr"])


HUGE = "\n".join(
    [
        "import argparse",
        "p = argparse.ArgumentParser()",
        *(f"p.add_argument('--option-{n}', type=float, default={n})" for n in range(2_000)),
        "p.parse_args()",
    ]
)


@pytest.mark.parametrize(
    ("script", "count", "reason"),
    [
        (HUGE, SHOWN_AT_FIRST, ""),
        ("import argparse\nargparse.ArgumentParser(\n", 0, "cannot be read"),
        ("raise SystemExit\nopen('x', 'w')", 0, "no parser"),
        (
            "import argparse, somewhere\np = argparse.ArgumentParser()\n"
            "p.add_argument('--lr')\nsomewhere.more(p)\np.parse_args()\nopen('made', 'w')\n",
            1,
            "",
        ),
    ],
    ids=["huge", "syntax error", "side effects", "not all known"],
)
def test_any_script_gives_what_can_be_known_and_why_no_more(
    script: str, count: int, reason: str, project: Path
) -> None:
    """Faults, F10: huge, broken, with side effects; nothing of it is run."""
    (project / "odd.py").write_text(script, encoding="utf-8")
    controls = Controls(lambda key, change: change())
    values = Values(controls, Draft.of_line(PARSER, "odd.py", "odd = 1\n-- more"))
    values.show("python odd.py", read_script(project / "odd.py", "odd.py", root=project))
    assert len(values.made) == count
    assert bool(values.reasons) == (script is not HUGE)
    assert reason in " ".join(values.reasons) or reason == "cannot be read"
    assert not (project / "made").exists()
    other = values._below.children[0]
    assert other.value == "odd = 1\n-- more"


def test_a_long_list_is_shown_in_parts_and_searched(project: Path) -> None:
    (project / "huge.py").write_text(HUGE, encoding="utf-8")
    values = Values(
        Controls(lambda key, change: change()), Draft.of_line(PARSER, "huge.py", "option-1999 = 2")
    )
    values.show("python huge.py", read_script(project / "huge.py", "huge.py"))
    assert [one.description for one in values._rows.children][:2] == ["option-1999", "option-0"]
    values._show_more()
    assert len(values._rows.children) == SHOWN_AT_FIRST + 48
    values._search("option-123")
    assert len(values._rows.children) == 11


# The whole, with widgets that nobody sees.


def the_form(shell: InteractiveShell, line: str, body: str = "") -> Form:
    return Form(shell, PARSER, Draft.of_line(PARSER, line, body))


def control(made: Any, label: str) -> Any:
    """Find a control by its label."""
    found = [made.box]
    while found:
        one = found.pop()
        if getattr(one, "description", "") == label:
            return one
        found += getattr(one, "children", ())
    raise AssertionError(label)


def test_what_is_typed_stands_in_the_cell_at_once(shell: InteractiveShell) -> None:
    made = the_form(shell, "train.py", "lr = 1e-3\n# kept")
    assert control(made, "lr").value == "1e-3"
    control(made, "epochs").value = "5"
    control(made, "amp").value = True
    control(made, "mode").value = "no way"
    control(made, "pin").value = "no"
    control(made, "Task name").value = "my name"
    assert made.cell == (
        "%%anylearn_train train.py -n 'my name'\nlr = 1e-3\n# kept\nepochs = 5\namp\n"
        "mode = no way\npin = false"
    )
    control(made, "pin").value = ""
    control(made, "lr").value = ""
    control(made, "amp").value = False
    assert made.cell.split("\n")[1:] == ["# kept", "epochs = 5", "mode = no way"]


def test_another_script_brings_other_controls(shell: InteractiveShell, project: Path) -> None:
    (project / "two.py").write_text(SCRIPT.replace("--lr", "--rate"), encoding="utf-8")
    made = the_form(shell, "train.py", "lr = 1")
    control(made, "Script").value = "two.py"
    shown = "lr = 1"  # of which the other script knows nothing
    wait_until(lambda: control(made, "Other lines").value == shown, 30, "the other script")
    assert "rate" in made._values.names
    assert made.cell == "%%anylearn_train two.py\nlr = 1"


def test_a_fault_comes_and_goes(shell: InteractiveShell) -> None:
    made = the_form(shell, "train.py -d data=numbers")
    control(made, "epochs").value = "ten"
    wait_until(lambda: bool(made._panel.errors), 10, "the fault")
    assert "invalid int value" in next(iter(made._panel.errors.values()))
    control(made, "epochs").value = "10"
    wait_until(lambda: not made._panel.errors, 10, "its end")


def test_a_dead_server_is_one_sentence_and_the_form_works_on(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYLEARN_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("ANYLEARN_AUTH_TOKEN", "token")
    made = the_form(shell, "train.py -d data=numbers")
    said = "The server's own lists are not known: "
    wait_until(lambda: any(one["text"].startswith(said) for one in made._panel.problems), 60, "it")
    control(made, "epochs").value = "2"
    assert made.cell.endswith("epochs = 2")
    assert "token" not in str([made._panel.get_state(), made.box.get_state()])


def test_resources_are_picked_with_what_is_free(shell: InteractiveShell) -> None:
    made = the_form(shell, "train.py -d data=numbers -r cpu=2")
    group = GroupCapacity(
        id="GRUP1", name="default", queue_length=2,
        resources=(ResourceCapacity(name="CPU", total=4, free=3, default=1),),
    )  # fmt: skip
    lab = GroupCapacity(
        id="GRUP2", name="lab", resources=(ResourceCapacity(name="GPU", total=8, free=None),)
    )
    made._resources.offer(Choices(groups=(group, lab)))
    assert control(made, "CPU").value == "2"
    assert control(made, "Group").options[0] == ("default · 3 of 4 CPU free, 2 waiting", "")
    control(made, "CPU").value = "3"
    assert made.cell == "%%anylearn_train train.py -d data=numbers -r CPU=3"
    control(made, "CPU").value = ""
    control(made, "Group").value = "lab"
    assert made.cell == "%%anylearn_train train.py -d data=numbers --quota-group-name lab"
    control(made, "GPU").value = "1"
    assert made.cell == "%%anylearn_train train.py -d data=numbers -r lab:GPU=1"


def test_whoever_chooses_by_keyboard_stays_in_the_control(
    shell: InteractiveShell, project: Path
) -> None:
    made = the_form(shell, "train.py -d data=numbers")
    groups = tuple(
        GroupCapacity(id=name, name=name, resources=(ResourceCapacity(name=of, total=8, free=8),))
        for name, of in (("default", "CPU"), ("lab", "GPU"))
    )
    made._resources.offer(Choices(groups=groups))
    group = control(made, "Group")
    group.value = "lab"
    assert control(made, "Group") is group
    assert control(made, "GPU").value == ""
    (project / "sub.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\ns = p.add_subparsers(required=True)\n"
        "f = s.add_parser('fit')\nf.add_argument('--lr', type=float)\n"
        "s.add_parser('test').add_argument('--split')\np.parse_args()\n",
        encoding="utf-8",
    )
    made = the_form(shell, "sub.py")
    command = control(made, "Command")
    command.value = "fit"
    control(made, "lr").value = "1"
    command.value = "test"
    assert control(made, "Command") is command
    assert made._values.names == {"split"}
    assert made.cell == "%%anylearn_train sub.py\nlr = 1\ntest"


def test_data_is_picked_in_rows(shell: InteractiveShell) -> None:
    made = the_form(shell, "train.py", "data = x")
    made._data._add("data")
    control(made, "Data given as").value = "data"
    control(made, "Folder, file or id").value = f"digits · DSET{'0' * 28}"
    assert made.cell.split("\n")[0] == f"%%anylearn_train train.py -d data=DSET{'0' * 28}"
    made._data._remove(made._data.rows[0])
    assert made.cell == "%%anylearn_train train.py\ndata = x"


def test_a_new_row_of_data_has_the_name_that_it_most_likely_gets(shell: InteractiveShell) -> None:
    made = the_form(shell, "train.py")
    made._data._add("data")
    assert control(made, "Data given as").value == "data"
    assert made.cell == "%%anylearn_train train.py"
    control(made, "Folder, file or id").value = "numbers"
    assert made.cell == "%%anylearn_train train.py -d data=numbers"
    control(made, "epochs").value = "ten"
    control(made, "Data given as").value = ""
    wait_until(lambda: len(made._panel.errors) == 2, 10, "both faults, each at its control")
    assert "-d =numbers: write -d NAME=PATH" in str(made._panel.errors)
    assert [one for one in made._panel.problems if one["kind"] == "error"] == []
    made._data._add("data")
    assert made._data.rows[1].name == "data"
    made._data._add("data")
    assert made._data.rows[2].name == "data2"


def test_a_notebook_is_offered_and_its_parameters_have_controls(
    shell: InteractiveShell, project: Path
) -> None:
    cells = [
        {
            "cell_type": "code",
            "metadata": {"tags": ["parameters"]},
            "source": "epochs = 3\nlr = 0.1\namp = False\nsizes = [1, 2]\nnote = pick()",
        }
    ]
    (project / "fit.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}}), "utf-8")
    assert scripts_in(project) == ("train.py", "fit.ipynb")
    made = the_form(shell, "fit.ipynb")
    assert made._values.names == {"epochs", "lr", "amp", "sizes", "note"}
    assert control(made, "epochs").placeholder == "default 3"
    control(made, "amp").value = "true"
    control(made, "sizes").value = "[4]"
    assert made.cell == "%%anylearn_train fit.ipynb\namp = true\nsizes = [4]"
    control(made, "epochs").value = "ten"
    wait_until(lambda: bool(made._panel.errors), 10, "the fault")
    assert "`epochs = ten`" in next(iter(made._panel.errors.values()))


def test_a_script_that_is_not_there_is_said_at_its_control() -> None:
    found = checked("trian.py", "epochs = 1")
    assert "did you mean 'train.py'?" in found.errors["option entry"]


def test_what_is_said_already_is_not_said_again_by_a_button(shell: InteractiveShell) -> None:
    made = the_form(shell, "train.py -m pkg")
    said = "both say what to run"
    wait_until(lambda: said in str(made._panel.problems), 10, "the fault")
    made._submit_now()
    assert str(made._panel.problems).count(said) == 1


def test_what_is_free_is_asked_for_anew_by_who_comes_back(shell: InteractiveShell) -> None:
    made = the_form(shell, "train.py -d data=numbers")
    wait_until(lambda: bool(made._choices and made._choices.groups), 30, "the server's answer")
    group, first = control(made, "Group"), made._choices
    made._received(made._panel, {"k": "look"}, [])
    wait_until(lambda: made._choices is not first, 30, "another answer")
    assert control(made, "Group") is group, "nothing has changed, so no control has"


def test_the_fold_has_all_other_options(shell: InteractiveShell) -> None:
    made = the_form(shell, "train.py")
    made._turn_fold()
    assert len(made._fold.children) == len(folded(PARSER))
    control(made, "require clean").value = True
    control(made, "env").value = "A=1 'B=x y'"
    assert made.cell == "%%anylearn_train train.py --require-clean --env A=1 --env 'B=x y'"
    control(made, "env").value = "A=1 'B"
    wait_until(lambda: bool(made._panel.errors), 10, "the fault")
    assert "is never closed" in str(made._panel.errors)


@pytest.mark.usefixtures("of_the_engine")
def test_the_server_is_asked_for_what_it_has() -> None:
    found = ask_server("local")
    assert found.trouble == ""
    assert "QUICKSTART" in found.environments
    assert found.group("") is not None
    assert data_text(Path("numbers"), InputKind.DATASET, "local").startswith("1 file, 2 bytes · ")


# Without a page.


def test_the_twin_is_text_and_no_markup() -> None:
    markup = as_html("form-1", "%%anylearn_train <img src=x>\n</pre><script>")
    assert "&lt;img src=x&gt;" in markup
    assert "<script" not in markup


def test_headless_it_prints_the_cell(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_line_magic("load_ext", "anylearn_jupyter")
    shell.run_line_magic("anylearn_form", "train.py")
    printed = capsys.readouterr().out
    assert printed.endswith("this cell does what it would:\n\n%%anylearn_train train.py\n")
    shell.run_cell_magic("anylearn_train", "train.py --form -n x", "lr = 1")
    assert capsys.readouterr().out.endswith("%%anylearn_train train.py -n x\nlr = 1\n")
    with pytest.raises(OptionError, match="needs a notebook"):
        form("train.py")


def test_it_begins_with_a_script_a_cell_a_request_or_a_task(project: Path) -> None:
    request = TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=project,
        task_name="a b",
        hyperparams=(("lr", "1e-3"), ("data", "x")),
        timeout_s=90.0,
    )
    whole = "%%anylearn_train train.py -n 'a b' --timeout 1m30s\nlr = 1e-3\ndata = x"
    for what, cell in (
        (None, "%%anylearn_train"),
        ("train.py -n x", "%%anylearn_train train.py -n x"),
        (Path("my script.py"), "%%anylearn_train 'my script.py'"),
        (request, whole),
        (f"{whole}\n", whole),
    ):
        assert str(draft_of(PARSER, what)) == cell


def test_parsers_of_other_options_stay_as_they_were() -> None:
    given = argparse.Namespace(**vars(Draft.of_line(PARSER, "train.py").given))
    draft = Draft(PARSER, given)
    draft.put("name", "x")
    assert given.name is None
