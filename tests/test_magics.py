"""The magics in a real IPython shell with a real engine, and every mistake a cell can make."""

from __future__ import annotations

import builtins
import getpass
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from anylearn_jupyter.client.connection import chosen_server, disconnect
from anylearn_jupyter.config import saved_default_host
from anylearn_jupyter.errors import AnylearnError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.ledger import Ledger
from conftest import RunningEngine, engine_command
from kernel_fixtures import RealKernel, kernels
from waiting import wait_until

__all__ = ["kernels"]

SCRIPT = """
import argparse, os, sys, time
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1, help="passes over the data")
parser.add_argument("--name")
parser.add_argument("--until", type=Path)
parser.add_argument("--code", type=int, default=0)
options = parser.parse_args()
for epoch in range(1, options.epochs + 1):
    print("epoch", epoch)
print("[anylearn-metric] {}")
print("10%\\r50%\\r100%")
while options.until and not options.until.exists():
    time.sleep(0.02)
output = Path(os.environ["ANYLEARN_TASK_OUTPUT_PATH"])
output.mkdir(exist_ok=True)
(output / "model.txt").write_text("a model")
(output / "notes.md").write_text("notes")
print("name", repr(options.name))
sys.exit(options.code)
"""


@dataclass
class Shell:
    """One IPython shell, and what its cells put out."""

    ip: InteractiveShell
    capsys: pytest.CaptureFixture[str]

    def run(self, cell: str) -> str:
        """Run a cell that works, and give what it printed."""
        text, error = self.result(cell)
        assert error is None, error
        return text

    def error(self, cell: str) -> AnylearnError:
        """Run a cell that fails in one of our ways."""
        text, error = self.result(cell)
        assert isinstance(error, AnylearnError), (error, text)
        shown = text.strip().splitlines()
        assert "Traceback" not in text
        assert any(line.startswith(f"{type(error).__name__}: ") for line in shown)
        return error

    def result(self, cell: str) -> tuple[str, BaseException | None]:
        done = self.ip.run_cell(cell)
        seen = self.capsys.readouterr()
        return seen.out + seen.err, done.error_before_exec or done.error_in_exec

    def __getitem__(self, name: str) -> Any:
        return self.ip.user_ns[name]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    (directory / "numbers").mkdir()
    (directory / "numbers" / "a.txt").write_text("1")
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def shell(
    project: Path,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shell]:
    """Give a shell with the extension loaded; whatever engine it starts ends with the test."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    ip = InteractiveShell.instance(config=config)
    ip.run_line_magic("load_ext", "anylearn_jupyter")
    yield Shell(ip, capsys)
    ip.run_line_magic("unload_ext", "anylearn_jupyter")
    InteractiveShell.clear_instance()
    disconnect()
    engine_command("stop", "--tasks", check=False)


def nothing_was_sent(home: Path) -> bool:
    """Whether not even an engine was started to send something to."""
    return not (home / "engine" / "endpoint.json").exists()


# Training.


def test_a_cell_trains_and_keeps_the_task(shell: Shell) -> None:
    text = shell.run("%%anylearn_train train.py -n first -o task\nepochs = 2\nname = {1 + 1}\n")
    lines = text.splitlines()
    assert "an interrupt stops the watching, not the task" in lines[0]
    assert lines.count("epoch 2") >= 1
    assert "10%" not in text
    assert "[anylearn-metric]" not in text
    assert text.count("✓ first · succeeded") == 1
    task = shell["task"]
    assert task.log_text().splitlines()[-1] == "name '2'"
    assert repr(task).count("\n") == 0


def test_a_lone_line_trains(shell: Shell) -> None:
    for cell in (
        "%%anylearn_train train.py",
        "\n%%anylearn_train train.py -n b\n",
        "%%anylearn_train train.py # c",
    ):
        assert "succeeded" in shell.run(cell)


def test_the_line_form_returns_the_task_and_the_cell_form_nothing(shell: Shell) -> None:
    shell.run("t = %anylearn_train train.py --set name='a b' -n line")
    assert shell["t"].name == "line"
    assert "name 'a b'" in shell["t"].log_text()
    before = dict(shell.ip.user_ns)
    text = shell.run("%%anylearn_train train.py\n")
    assert "Out[" not in text
    assert set(shell.ip.user_ns) - set(before) <= {"_i", "_ii", "_iii"} | {
        name for name in shell.ip.user_ns if name.startswith("_")
    }


def test_a_failing_training_raises_and_leaves_the_task(shell: Shell) -> None:
    error = shell.error("%%anylearn_train train.py -o task -n bad\ncode = 7")
    assert type(error).__name__ == "TaskFailed"
    assert error.exit_code == 7  # type: ignore[attr-defined]
    assert "failed with exit code 7" in str(error)
    assert shell["task"].phase == "failed"


def test_noblock_returns_at_once(shell: Shell, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shell.run(f"%%anylearn_train train.py -a -o task\nuntil = {gate}")
    assert not shell["task"].finished()
    gate.touch()
    assert shell["task"].wait(30).phase == "succeeded"


def test_data_and_environment_reach_the_script(shell: Shell, project: Path) -> None:
    (project / "look.py").write_text(
        "import os, sys; print(os.environ['A'], os.listdir(sys.argv[2]), sys.argv[1])"
    )
    shell.run("%%anylearn_train look.py -d data=numbers --env A='x y' -o task")
    assert shell["task"].log_text() == "x y ['a.txt'] --data\n"


def test_a_plan_shows_everything_and_sends_nothing(shell: Shell, project: Path, home: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    (project / ".gitignore").write_text("*.log\n")
    (project / "old.log").write_text("x")
    (project / ".env").write_text("SECRET=1")
    text = shell.run("%%anylearn_train train.py -d name=numbers --plan\nepochs = 2")
    for part in ("train.py (", "old.log", ".env", "--epochs 2", "1 byte", "to upload", "local"):
        assert part in text
    assert "SECRET" not in text
    with Ledger(Home(home)) as ledger:
        assert ledger.tasks() == []
    shell.run("%%anylearn_train train.py -n real -o task")
    assert "nothing" in shell.run("%anylearn_train train.py --plan")


def test_a_plan_of_data_that_is_there(shell: Shell, project: Path) -> None:
    (project / "look.py").write_text("")
    shell.run("%%anylearn_train look.py -d data=numbers")
    text = shell.run("%%anylearn_train look.py -d data=numbers --dry-run")
    assert "already there as DSET" in text


# Coming back.


@pytest.fixture
def trained(shell: Shell, tmp_path: Path) -> Iterator[Shell]:
    """A shell with a finished task `done` and a running one `busy`, which is ended afterwards."""
    shell.run("%%anylearn_train train.py -n done -o done\nepochs = 3")
    gate = tmp_path / "gate"
    shell.run(f"%%anylearn_train train.py -a -n busy -o busy\nuntil = {gate}")
    yield shell
    gate.touch()


def test_resume_shows_the_unfinished_of_this_directory(
    trained: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = trained.run("%anylearn_resume -o tasks")
    assert [task.name for task in trained["tasks"]] == ["busy"]
    assert "busy · " in text
    text = trained.run("%anylearn_resume done busy -o tasks")
    assert [task.name for task in trained["tasks"]] == ["done", "busy"]
    monkeypatch.chdir(tmp_path)
    text = trained.run("%anylearn_resume -o tasks")
    assert trained["tasks"] == []
    assert "1 unfinished task is from other directories" in text
    trained.run("%anylearn_resume --all -o tasks")
    assert [task.name for task in trained["tasks"]] == ["busy"]


def test_resume_tells_what_has_ended_meanwhile(trained: Shell, tmp_path: Path) -> None:
    (tmp_path / "gate").touch()
    identity = trained["busy"].id
    connection = trained["busy"].connection()
    wait_until(lambda: connection.api.task(identity).finished, 20, "the end of the task")
    text = trained.run("%anylearn_resume -o tasks")
    assert text == ("Ended since last seen: busy (succeeded); `%anylearn_resume NAME` shows one.\n")
    assert trained["tasks"] == []
    assert trained.run("%anylearn_resume") == (
        "There is no unfinished task of this directory; `%anylearn_tasks` lists those that have "
        "ended, and `%anylearn_resume last` shows the newest.\n"
    )


def test_resume_of_a_server_that_does_not_answer(trained: Shell, home: Path) -> None:
    engine_command("stop", "--tasks")
    (home / "engine" / "token").rename(home / "token.aside")
    (home / "engine" / "token").mkdir()
    text = trained.run("%anylearn_resume -o tasks")
    (home / "engine" / "token").rmdir()
    (home / "token.aside").rename(home / "engine" / "token")
    assert [task.name for task in trained["tasks"]] == ["busy"]
    assert f"busy ({trained['busy'].id}) was last seen" in text
    assert "token" in text


def test_a_task_is_named_in_many_ways(trained: Shell) -> None:
    identity = trained["done"].id
    ways = [identity, identity[:12], identity[4:14], "done", "{done}", "{done.id}", "'done'"]
    for way in ways:
        assert "epoch 3" in trained.run(f"%anylearn_logs {way}"), way
    trained.ip.user_ns["held"] = trained["done"]
    assert "epoch 3" in trained.run("%anylearn_logs held")
    trained.run("%anylearn_resume last -o newest")
    assert [task.name for task in trained["newest"]] == ["busy"]
    assert type(trained.error("%anylearn_logs nobody")).__name__ == "NotFound"
    assert type(trained.error("%anylearn_logs TRAI")).__name__ == "OptionError"


def test_tasks_are_listed(trained: Shell) -> None:
    lines = trained.run("%anylearn_tasks").splitlines()
    assert lines[0].split() == ["name", "state", "took", "id", "submitted", "server", "directory"]
    assert [line.split()[0] for line in lines[1:]] == ["busy", "done"]
    assert lines[1].split()[1] in ("running", "starting", "queued")
    assert lines[2].split()[1] == "succeeded"
    assert trained["done"].id in lines[2]


def test_logs_are_cut_filtered_and_followed(trained: Shell, tmp_path: Path) -> None:
    assert trained.run("%anylearn_logs done").splitlines() == [
        "epoch 1", "epoch 2", "epoch 3", "100%", "name None",
    ]  # fmt: skip
    assert trained.run("%anylearn_logs done --tail 2").splitlines() == ["100%", "name None"]
    assert trained.run("%anylearn_logs done --tail 0") == ""
    assert trained.run("%anylearn_logs done --grep 'epoch [12]'") == "epoch 1\nepoch 2\n"
    assert trained.run("%anylearn_logs done --grep epoch --tail 1 --follow") == "epoch 3\n"
    (tmp_path / "gate").touch()
    followed = trained.run("%anylearn_logs busy --follow").splitlines()
    assert followed[-1] == "name None"
    assert "regular expression" in str(trained.error("%anylearn_logs done --grep '('"))
    assert "--tail x" in str(trained.error("%anylearn_logs done --tail x"))


def test_stop(trained: Shell) -> None:
    text = trained.run("%anylearn_stop busy done")
    assert "had ended already: succeeded" in text
    assert trained["busy"].wait(30).phase == "aborted"
    assert "%anylearn_stop: the following arguments" in str(trained.error("%anylearn_stop"))


def test_results(trained: Shell, tmp_path: Path, home: Path) -> None:
    text = trained.run("folder = %anylearn_results done")
    folder = trained["folder"]
    assert folder == home / "results" / trained["done"].id
    assert sorted(path.name for path in folder.iterdir()) == ["model.txt", "notes.md"]
    assert text == "2 files, 12 bytes:\n  model.txt (7 bytes)\n  notes.md (5 bytes)\n"
    trained.run(
        "%anylearn_results done *.md --to {target}".replace("{target}", str(tmp_path / "to"))
    )
    assert [path.name for path in (tmp_path / "to").rglob("*.*")] == ["notes.md"]
    trained.run("%anylearn_results busy --no-wait")
    assert "no file that fits" in str(trained.error("%anylearn_results done *.pt"))
    (tmp_path / "gate").touch()
    assert "Waiting for busy" in trained.run("%anylearn_results busy")


# Login.


@pytest.fixture
def server(engine: RunningEngine) -> str:
    """Name a server with the user `ann`, whose password is `pass word`: the engine, by address."""
    subprocess.run(
        [sys.executable, "-m", "anylearn_jupyter.engine", "user", "add", "ann", "--password-stdin"],
        input="pass word",
        text=True,
        check=True,
        capture_output=True,
    )
    return engine.address


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that types answers; it gives the questions as they come."""

    def types(*answers: str) -> list[str]:
        waiting = list(answers)
        asked: list[str] = []

        def answer(prompt: str = "") -> str:
            asked.append(prompt)
            return waiting.pop(0)

        monkeypatch.setattr(builtins, "input", answer)
        monkeypatch.setattr(getpass, "getpass", answer)
        return asked

    return types


def test_login_status_and_logout(
    shell: Shell, server: str, keyboard: Callable[..., list[str]], home: Path
) -> None:
    assert "on this machine (local)" in shell.run("%anylearn_login --status")
    asked = keyboard("ann", "pass word", "n")
    text = shell.run(f"%anylearn_login {server}")
    assert asked == [
        f"Name at {server}: ",
        "Password: ",
        f"Make {server} the default for new kernels, too? [y/N] ",
    ]
    assert f"Logged in to {server} as ann" in text
    assert chosen_server() == server
    assert saved_default_host(Home(home)) is None
    assert f"Cells go to {server}, as ann." in shell.run("%anylearn_login --status")
    assert "as ann" in shell.run(f"%anylearn_logout --status {server}")
    shell.run("%%anylearn_train train.py -o task")
    assert shell["task"].server == server
    kept = "".join(p.read_text() for p in home.glob("*.json")) + str(shell.ip.user_ns)
    assert "pass word" not in text + kept

    assert "is forgotten; new cells go to local" in shell.run("%anylearn_logout")
    assert chosen_server() is None
    assert "no login to it" in shell.run(f"%anylearn_login {server} --status")
    assert "has no login" in shell.run("%anylearn_logout")


def test_login_makes_a_default_when_asked_to(
    shell: Shell, server: str, keyboard: Callable[..., list[str]], home: Path
) -> None:
    keyboard("ann", "pass word", "y")
    shell.run(f"%anylearn_login {server}/")
    assert saved_default_host(Home(home)) == server
    asked = keyboard("ann", "pass word")
    shell.run("%anylearn_login")
    assert len(asked) == 2, "what is the default already is not asked for"
    shell.run("%anylearn_logout")
    assert saved_default_host(Home(home)) is None


def test_a_wrong_password_and_no_keyboard(
    shell: Shell, server: str, keyboard: Callable[..., list[str]], home: Path
) -> None:
    keyboard("ann", "wrong")
    error = shell.error(f"%anylearn_login {server}")
    assert type(error).__name__ == "LoginRequired"
    assert "ann" in str(error)
    assert "wrong" not in str(error)
    assert not (home / "credentials.json").exists()
    assert chosen_server() is None
    keyboard("")
    assert "nothing was done" in str(shell.error(f"%anylearn_login {server}"))
    assert "needs no login" in str(shell.error("%anylearn_login"))
    assert "has no scheme" in str(shell.error("%anylearn_login host"))


def test_a_server_that_is_not_there_is_said_before_anything_is_asked(
    shell: Shell, keyboard: Callable[..., list[str]]
) -> None:
    asked = keyboard()
    error = shell.error("%anylearn_login http://127.0.0.1:9")
    assert type(error).__name__ == "ServerUnreachable"
    assert asked == []


def test_nobody_to_ask(shell: Shell, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(prompt: str = "") -> str:
        raise EOFError

    monkeypatch.setattr(builtins, "input", nobody)
    assert "no keyboard" in str(shell.error(f"%anylearn_login {server}"))


# Bad input: one short error that names the input and the way out, before anything is sent.


@pytest.mark.parametrize(
    ("cell", "kind", "shown"),
    [
        ("%%anylearn_train train.py --lr 0.1", "OptionError", "the line `lr = 0.1`"),
        ("%%anylearn_train train.py --nmae x", "OptionError", "did you mean `--name`"),
        ("%%anylearn_train train.py\nepochs 5", "OptionError", "`epochs = 5`"),
        ("%%anylearn_train train.py\nepochs = {missing}", "OptionError", "'missing'"),
        ("%%anylearn_train train.py\nepochs = ten", "OptionError", "--epochs EPOCHS  passes over"),
        ("%%anylearn_train trian.py", "OptionError", "did you mean 'train.py'"),
        ("%%anylearn_train train.py --output /tmp/x", "OptionError", "/tmp/x"),
        ("%%anylearn_train train.py --output a/../../x", "OptionError", "a/../../x"),
        ("%%anylearn_train train.py --output numbers", "OptionError", "numbers/a.txt"),
        ("%%anylearn_train train.py --require-clean", "SnapshotError", "not committed"),
        ("%%anylearn_train train.py -d name=missing", "OptionError", "'missing'"),
        ("%%anylearn_train train.py -o 1x", "OptionError", "1x"),
        ("%%anylearn_train train.py -o class", "OptionError", "class"),
        ("%%anylearn_train train.py -a -b", "OptionError", "exclude each other"),
        ("%%anylearn_train train.py -n ''", "OptionError", "task name"),
        ("%%anylearn_train train.py --server host", "ConfigError", "https://host"),
        ("%%anylearn_train train.py --server http://127.0.0.1:1", "LoginRequired", "127.0.0.1:1"),
        ("%anylearn_resume -o 1x", "OptionError", "1x"),
        ("%anylearn_resume last --all", "OptionError", "exclude each other"),
        ("%anylearn_resume --al", "OptionError", "did you mean `--all`"),
        ("%anylearn_logs", "OptionError", "%anylearn_logs?"),
        ("%anylearn_results last", "NotFound", "No task was submitted"),
    ],
)
def test_bad_input(
    shell: Shell, project: Path, home: Path, cell: str, kind: str, shown: str
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    error = shell.error(cell)
    assert type(error).__name__ == kind
    assert shown in str(error)
    assert len(str(error)) < 500
    assert nothing_was_sent(home)


def test_a_server_that_does_not_answer(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYLEARN_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("ANYLEARN_AUTH_TOKEN", "t")
    error = shell.error("%%anylearn_train train.py")
    assert type(error).__name__ == "ServerUnreachable"
    assert "127.0.0.1:1" in str(error)


def test_an_engine_that_cannot_start(shell: Shell, home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "engine").write_text("a file is in its place")
    error = shell.error("%%anylearn_train train.py")
    assert type(error).__name__ in ("EngineError", "ConfigError")
    assert str(home / "engine") in str(error)


def test_an_error_is_caught_by_its_class(shell: Shell) -> None:
    shell.run(
        "from anylearn_jupyter.errors import OptionError\n"
        "try:\n    get_ipython().run_cell_magic('anylearn_train', 'train.py', 'epochs 5')\n"
        "except OptionError as error:\n    caught = error\n"
    )
    assert "epochs = 5" in str(shell["caught"])


# Configuration, completion, help.


def test_config_sets_the_server(shell: Shell, home: Path) -> None:
    shell.run("%config AnylearnMagics.server = 'http://127.0.0.1:1'")
    assert "no login" in shell.run("%anylearn_login --status")
    assert "127.0.0.1:1" in str(shell.error("%%anylearn_train train.py"))
    assert nothing_was_sent(home)
    assert "server" in shell.run("%config AnylearnMagics")
    shell.result("%config AnylearnMagics.server = 'host'")
    magics = shell.ip.magics_manager.registry["AnylearnMagics"]
    assert magics.server == "http://127.0.0.1:1"
    shell.run("%config AnylearnMagics.server = ''")
    assert "succeeded" in shell.run("%%anylearn_train train.py")


def test_help_shows_the_options(shell: Shell) -> None:
    for cell in ("%anylearn_train?", "%%anylearn_train?"):
        text = shell.run(cell)
        assert "--require-clean" in text
        assert "the task's name; default: a random one" in text


def completions(shell: Shell, line: str) -> list[str]:
    """Press Tab at the end of a line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # IPython calls its own completions provisional
        found = shell.ip.Completer.completions(line, len(line))
        return [one.text for one in found]


@pytest.mark.parametrize("start", ["%anylearn_train ", "%%anylearn_train ", "t = %anylearn_train "])
def test_tab_completes_options_and_files(shell: Shell, start: str) -> None:
    assert completions(shell, f"{start}--req") == ["--require-clean"]
    assert set(completions(shell, f"{start}--dataset-i")) == {"--dataset-id"}
    assert set(completions(shell, f"{start}--mod")) >= {"--model-dir", "--model-id", "--module"}
    assert completions(shell, f"{start}tra") == ["train.py"]
    assert completions(shell, f"{start}train.py -d data=num") == ["numbers/"]


def test_tab_completes_tasks_from_the_ledger(shell: Shell, home: Path) -> None:
    assert "last" not in completions(shell, "%anylearn_logs la")
    assert not home.exists(), "a completion makes nothing"
    shell.run("%%anylearn_train train.py -n 'digits' -o task")
    assert completions(shell, "%anylearn_logs la") == ["last"]
    assert completions(shell, "%anylearn_resume dig") == ["digits"]
    for magic in ("results", "show", "retry"):
        assert completions(shell, f"%anylearn_{magic} TRA") == [shell["task"].id]
    assert completions(shell, "%anylearn_logs --t") == ["--tail"]


def test_tab_after_stop_offers_what_can_be_stopped(shell: Shell, tmp_path: Path) -> None:
    shell.run("%%anylearn_train train.py -n ended")
    assert "ended" not in completions(shell, "%anylearn_stop e")
    assert "last" not in completions(shell, "%anylearn_stop la")
    shell.run(f"%%anylearn_train train.py -n goes --noblock -o task\nuntil = {tmp_path / 'go'}")
    assert completions(shell, "%anylearn_stop g") == ["goes"]
    assert completions(shell, "%anylearn_stop la") == ["last"]
    assert completions(shell, "%anylearn_stop TRA") == [shell["task"].id]


def test_the_body_and_other_lines_complete_as_ever(shell: Shell) -> None:
    shell.ip.user_ns["digits_of_mine"] = 1
    assert "digits_of_mine" in completions(shell, "digits_of")
    assert "--require-clean" not in completions(shell, "%timeit --req")


def test_a_terminal_goes_on_after_the_first_line(shell: Shell) -> None:
    """`%%anylearn_train …` is not complete before an empty line, so a body can be typed."""
    assert shell.ip.check_complete("%%anylearn_train train.py")[0] == "incomplete"
    assert shell.ip.check_complete("%%anylearn_train train.py\nlr = 1\n\n")[0] == "complete"


# With a front end.


def test_live_cells_return_and_interrupts_stop_the_waiting(
    kernels: Callable[[Path], RealKernel], project: Path, home: Path, tmp_path: Path
) -> None:
    kernel = kernels(project)
    kernel.run("%load_ext anylearn_jupyter")
    gate = tmp_path / "gate"
    outputs = kernel.run(f"%%anylearn_train train.py -o task\nuntil = {gate}")
    shown = [output for output in outputs if output["type"] == "display_data"]
    assert any("application/vnd.jupyter.widget-view+json" in one["data"] for one in shown)
    assert kernel.text("print(task.finished())") == "False\n"

    waiting = kernel.start("%anylearn_results task")
    while "stops the waiting" not in json.dumps(kernel.client.get_iopub_msg(timeout=20)["content"]):
        pass
    kernel.interrupt()
    errors = [one for one in kernel.outputs_of(waiting) if one["type"] == "error"]
    assert [one["ename"] for one in errors] == ["Interrupted"]
    assert kernel.text("print(task.get_detail().phase)") == "running\n"

    gate.touch()
    assert kernel.text("print(task.wait(30).phase)") == "succeeded\n"
    failed = kernel.outputs_of(kernel.start("%%anylearn_train train.py --block -o bad\ncode = 3"))
    (error,) = [one for one in failed if one["type"] == "error"]
    assert error["ename"] == "TaskFailed"
    assert "failed with exit code 3" in error["evalue"]
    engine_command("stop", "--tasks", check=False)


def test_a_login_asks_at_the_front_ends_keyboard(
    kernels: Callable[[Path], RealKernel], project: Path, server: str, home: Path
) -> None:
    kernel = kernels(project)
    kernel.run("%load_ext anylearn_jupyter")
    asked = []
    request = kernel.start(f"%anylearn_login {server}")
    for answer in ("ann", "pass word", ""):
        question = kernel.client.get_stdin_msg(timeout=20)["content"]
        asked.append((question["prompt"].split()[0], question["password"]))
        kernel.client.input(answer)
    shown = json.dumps(kernel.outputs_of(request))
    assert asked == [("Name", False), ("Password:", True), ("Make", False)]
    assert f"Logged in to {server} as ann" in shown
    assert "pass word" not in shown
    assert "pass word" not in kernel.text("print(In, dir())")
    assert "pass word" not in "".join(path.read_text() for path in home.glob("*.json"))


def test_the_progress_line_ends_short(
    kernels: Callable[[Path], RealKernel], project: Path, home: Path
) -> None:
    kernel = kernels(project)
    kernel.run("%load_ext anylearn_jupyter")
    outputs = kernel.run("%%anylearn_train train.py --noblock -d name=numbers -o task")
    texts = [output["data"].get("text/plain", "") for output in outputs if "data" in output]
    assert texts[0].endswith("…")
    assert len([text for text in texts if text.endswith("…")]) == 1
    updates = json.dumps(outputs)
    assert "Submitted in" in updates or kernel.text("print(task.name)")
    engine_command("stop", "--tasks", check=False)
