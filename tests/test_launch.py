"""Making a task ready: command, variables, checkout (faults E17, G6, G7; HTTP API, 8 and 12)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.engine.launch import (
    SUBMITTER_VARIABLES,
    LaunchRefused,
    command_line,
    prepare,
    task_environment,
)
from anylearn_jupyter.engine.task_files import TaskFiles, read_record
from supervisor_process import Inputs
from task_store import new_row

DATA = "DSET00000000000000000000000000aa"


class Repository:
    """A bare repository of one test's, written with git's plumbing."""

    def __init__(self, root: Path) -> None:
        self.path = root / "code.git"
        self.variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_INDEX_FILE": str(root / "making.index"),
        } | {
            f"GIT_{who}_{what}": "t"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        subprocess.run(["git", "init", "-q", "--bare", self.path], env=self.variables, check=True)

    def git(self, *words: str, data: bytes = b"") -> str:
        answer = subprocess.run(
            ["git", f"--git-dir={self.path}", *words],
            env=self.variables, input=data, capture_output=True, check=True,
        )  # fmt: skip
        return answer.stdout.decode().strip()

    def commit(self, entries: dict[str, tuple[str, bytes]]) -> str:
        """Commit these files, path to (mode, content), also such as git itself would refuse."""
        tree = self._tree({tuple(path.split("/")): entry for path, entry in entries.items()})
        commit = self.git("commit-tree", "-m", "snapshot", tree)
        self.git("update-ref", "refs/heads/snapshot", commit)
        return commit

    def _tree(self, entries: dict[tuple[str, ...], tuple[str, bytes]]) -> str:
        found: dict[str, tuple[str, str]] = {}
        below: dict[str, dict[tuple[str, ...], tuple[str, bytes]]] = {}
        for path, (mode, content) in entries.items():
            if len(path) > 1:
                below.setdefault(path[0], {})[path[1:]] = (mode, content)
            elif mode == "160000":
                found[path[0]] = (mode, content.decode())
            else:
                found[path[0]] = (mode, self.git("hash-object", "-w", "--stdin", data=content))
        for name, inner in below.items():
            found[name] = ("40000", self._tree(inner))
        raw = b"".join(
            f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid)
            for name, (mode, oid) in sorted(
                found.items(), key=lambda one: one[0] + ("/" if one[1][0] == "40000" else "")
            )
        )
        return self.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", data=raw)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


@pytest.fixture
def files(tmp_path: Path) -> TaskFiles:
    row = new_row()
    found = TaskFiles.of(tmp_path / "tasks", row.id)
    found.root.mkdir(parents=True, mode=0o700)
    return found


def make_ready(where: TaskFiles, *, allocation: dict[str, Any] | None = None, **fields: Any) -> Any:
    row = new_row(**{"id": where.task_id, **fields})
    inputs = Inputs(where.root.parent.parent)
    prepare(row, where, inputs=inputs, allocation=allocation or {}, gpus_here=False)
    launch = read_record(where.launch)
    assert launch is not None
    return launch


@pytest.mark.parametrize(
    ("params", "prefix", "delimiter", "expected"),
    [
        ({}, "--", " ", "python t.py"),
        ({"lr": 0.1, "n": 3}, "--", " ", "python t.py --lr 0.1 --n 3"),
        ({"lr": 1e-05, "big": 10**20}, "--", " ", "python t.py --lr 1e-05 --big " + "1" + "0" * 20),
        ({"fast": ""}, "--", "=", "python t.py --fast"),
        ({"a": True, "b": None}, "--", " ", "python t.py --a True --b None"),
        ({"d": ['"$DSET1"', '"$DSET2"']}, "--", " ", 'python t.py --d "$DSET1" "$DSET2"'),
        ({"d": []}, "--", " ", "python t.py --d"),
        ({"m": "'1 2'"}, "+", "=", "python t.py +m='1 2'"),
        ({"m": "1 2 3"}, "--", " ", "python t.py --m 1 2 3"),
        ({"o": {"a": "it's"}}, "--", " ", """python t.py --o '{"a": "it'"'"'s"}'"""),
        ({"l": [[1, 2], 3]}, "--", " ", "python t.py --l '[1, 2]' 3"),
    ],
)
def test_command_line(params: dict[str, Any], prefix: str, delimiter: str, expected: str) -> None:
    assert command_line("python t.py", params, prefix, delimiter) == expected


def test_a_task_gets_its_code_command_and_place(files: TaskFiles, repository: Repository) -> None:
    commit = repository.commit(
        {
            "train.py": ("100755", b"print(1)\n"),
            "pkg/mod.py": ("100644", b""),
            "link": ("120000", b"pkg"),
        }
    )

    launch = make_ready(files, entrypoint="python train.py", train_params={"lr": "1e-3"})

    assert launch["command"] == "python train.py --lr 1e-3"
    assert launch["cwd"] == str(files.code)
    assert launch["commit"] == commit
    assert sorted(path.name for path in files.root.iterdir()) == ["bin", "code", "launch.json"]
    assert (files.code / "train.py").read_bytes() == b"print(1)\n"
    assert os.access(files.code / "train.py", os.X_OK)
    assert (files.code / "link").readlink() == Path("pkg")
    assert files.launch.stat().st_mode & 0o777 == 0o600
    assert not (files.code / "output").exists()


SHOWS = b"""import json, os, sys
hidden = ("_", "SHLVL", "OLDPWD")
shown = {name: value for name, value in os.environ.items() if name not in hidden}
print(json.dumps([sys.argv, sys.executable, sys.prefix, os.getcwd(), shown]))
"""


@pytest.mark.parametrize(
    "command",
    [
        "python show.py",
        "python3 show.py --lr 1e-3 --name=a:b,c/d@e%f+g x",
        "python  show.py   --text 'two words'  --none '' --odd 'a\n$HOME \"*\" #' pre'in'post ",
        "python -u show.py -- -1 .5 ../x",
    ],
)
def test_what_needs_no_shell_is_started_without_one_and_is_the_same(
    files: TaskFiles, repository: Repository, command: str
) -> None:
    repository.commit({"show.py": ("100644", SHOWS)})
    launch = make_ready(files, entrypoint=command)
    assert launch["words"][0] == sys.executable

    before = {name: value for name, value in launch["env"].items() if name != "PWD"}
    shown = [
        json.loads(subprocess.check_output(words, env=variables, cwd=launch["cwd"]))
        for words, variables in (
            (launch["words"], launch["env"]),
            (["/bin/sh", "-c", command], before),
        )
    ]

    assert shown[0] == shown[1]


@pytest.mark.parametrize(
    "fields",
    [
        *({"entrypoint": f"python show.py {words}"} for words in (
            "$HOME", '"a"', "`id`", "a;b", "a&", "a|b", ">out", "<in", "*", "?", "[a]", "~",
            "a\\ b", "{a,b}", "#", "!", "a\nb", "a\tb", "'open", "\u00e9", "(a)", "^",
        )),
        *({"entrypoint": words} for words in (
            "X=1 python show.py", "exec python show.py", "pythonx show.py", "./python show.py",
            "ls", " python show.py", "python=1",
        )),
        {"entrypoint": "python show.py", "envs": {"PATH": "/usr/bin"}},
        {"entrypoint": "python show.py", "num_nodes": 2},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_shell_has_to_read_is_given_to_one(
    files: TaskFiles, repository: Repository, fields: dict[str, Any]
) -> None:
    repository.commit({"show.py": ("100644", SHOWS)})

    assert "words" not in make_ready(files, **fields)


def test_preparing_again_makes_all_anew(files: TaskFiles, repository: Repository) -> None:
    repository.commit({"a": ("100644", b"1")})
    make_ready(files)
    (files.code / "left").touch()

    make_ready(files)

    assert [path.name for path in files.code.iterdir()] == ["a"]


def test_the_variables_of_a_task(
    files: TaskFiles, repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository.commit({"a": ("100644", b"1")})
    (tmp_path / DATA).mkdir()
    monkeypatch.setenv("ENGINE_ONLY_SECRET", "canary")
    monkeypatch.setenv("ANYLEARN_AUTH_TOKEN", "canary")
    submitted = {
        "HF_HOME": "/hf",
        "AWS_SECRET_ACCESS_KEY": "canary",
        "PATH": "/sub/bin",
        "LANG": "C",
    }

    variables = make_ready(
        files,
        files=[DATA, DATA],
        submitter_env=submitted,
        envs={"MINE": "it's\n$HOME", "task_id": "forged", "ANYLEARN_AUTH_TOKEN": "canary"},
    )["env"]

    assert "canary" not in json.dumps(variables)
    assert variables["task_id"] == variables["ANYLEARN_TASK_ID"] == files.task_id
    assert variables["secret_key"].startswith("TKEY")
    assert variables["ANYLEARN_HOST"] == "http://127.0.0.1:1"
    assert variables["ANYLEARN_ARTIFACT_IDS"] == DATA
    assert variables[DATA] == str(tmp_path / DATA)
    assert variables["ANYLEARN_USER_ID"].startswith("USER")
    assert variables["ANYLEARN_PROJECT_ID"].startswith("PROJ")
    assert variables["ANYLEARN_TASK_OUTPUT_PATH"] == str(files.code / "output")
    assert variables["PYTHONUNBUFFERED"] == "1"
    assert variables["HF_HOME"] == "/hf"
    assert variables["LANG"] == "C"
    assert variables["MINE"] == "it's\n$HOME"
    assert variables["HOME"] == os.environ["HOME"]
    own = str(Path(sys.executable).parent)
    assert variables["PATH"] == f"{files.bin}:{own}:/sub/bin"
    assert "ANYLEARN_HOME" not in variables
    assert "CUDA_VISIBLE_DEVICES" not in variables


@pytest.mark.parametrize(("gpus", "shown"), [(["1", "0"], "1,0"), ([], "")])
def test_gpus_are_shown_as_they_were_given(files: TaskFiles, gpus: list[str], shown: str) -> None:
    variables = task_environment(
        new_row(id=files.task_id),
        files,
        address="",
        mounts={},
        allocation={"gpus": gpus},
        gpus_here=True,
    )

    assert variables["CUDA_VISIBLE_DEVICES"] == shown


def test_the_allow_list_names_nothing_that_smells_of_a_secret() -> None:
    assert len(set(SUBMITTER_VARIABLES)) == len(SUBMITTER_VARIABLES)
    for name in SUBMITTER_VARIABLES:
        assert not any(
            word in name for word in ("TOKEN_", "SECRET", "PASS", "KEY", "PROXY", "AUTH")
        )


def test_python_is_the_submitters_even_in_a_virtual_environment(
    files: TaskFiles, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"a": ("100644", b"1")})
    venv = tmp_path / "a venv's"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    variables = make_ready(files, interpreter=str(venv / "bin" / "python"))["env"]

    for name in ("python", "python3"):
        shown = subprocess.run(
            [
                "/bin/sh",
                "-c",
                f'{name} -c \'import sys; print(sys.prefix); print(sys.argv[1])\' "a  b"',
            ],
            env=variables, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert shown == f"{venv}\na  b\n"


def test_no_filter_hook_or_attribute_of_the_tree_does_anything(
    files: TaskFiles, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    evil = f"touch {told}; cat"
    config = tmp_path / "evil.config"
    config.write_text(f'[filter "evil"]\n\tsmudge = "{evil}"\n\trequired = true\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "filter.evil.smudge")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", evil)
    repository.git("config", "filter.evil.smudge", evil)
    hook = repository.path / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {told}\n")
    hook.chmod(0o755)
    attributes = b"* filter=evil text eol=crlf ident working-tree-encoding=UTF-16\n"
    repository.commit(
        {".gitattributes": ("100644", attributes), "sub/a.txt": ("100644", b"x\n$Id$\n")}
    )

    make_ready(files)

    assert (files.code / "sub/a.txt").read_bytes() == b"x\n$Id$\n"
    assert not told.exists()


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        "sub/.git/hooks/post-checkout",
        ".GIT/config",
        "git~1/config",
        "../out",
        ".g\u200cit/x",
    ],
)
def test_names_that_pass_for_gits_own_are_refused(
    files: TaskFiles, repository: Repository, path: str
) -> None:
    repository.commit({path: ("100644", b"x")})

    with pytest.raises(LaunchRefused, match="cannot be put in place"):
        make_ready(files)
    assert not (files.root / "out").exists()
    assert not (files.root / "checkout.git").exists()


def test_a_submodule_is_an_empty_directory_and_nothing_is_fetched(
    files: TaskFiles, repository: Repository
) -> None:
    modules = b'[submodule "m"]\n\tpath = m\n\turl = ext::sh -c "touch /tmp/never"\n'
    repository.commit(
        {".gitmodules": ("100644", modules), "m": ("160000", b"1" * 40), "a": ("100644", b"1")}
    )

    make_ready(files)

    assert list((files.code / "m").iterdir()) == []


@pytest.mark.parametrize(
    "ref", ["--help", "-x", "", "no such", "snapshot^{tree}", "refs/heads/../x", "1" * 40]
)
def test_a_ref_is_only_ever_a_ref(files: TaskFiles, repository: Repository, ref: str) -> None:
    repository.commit({"a": ("100644", b"1")})

    with pytest.raises(LaunchRefused, match="has no commit, branch or tag"):
        make_ready(files, algorithm_git_ref=ref or "main")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("full", "is not empty in the snapshot"),
        ("file", "is not empty in the snapshot"),
        ("link", "passes through a link"),
        ("link/below", "passes through a link"),
        ("/tmp/out", "is not a path below"),
        ("a/../../out", "is not a path below"),
        (".", "the code's own directory"),
        (" ", "is not a path below"),
    ],
)
def test_an_output_that_could_mix_with_anything_is_refused(
    files: TaskFiles, repository: Repository, output: str, words: str
) -> None:
    repository.commit(
        {"full/x": ("100644", b"1"), "file": ("100644", b"1"), "link": ("120000", b"/tmp")}
    )

    with pytest.raises(LaunchRefused, match=words):
        make_ready(files, output=output)


@pytest.mark.parametrize(("name", "value"), [("A=B", "x"), ("", "x"), ("A B", "x"), ("A", "x\0y")])
def test_a_variable_that_no_process_can_have_is_refused(
    files: TaskFiles, repository: Repository, name: str, value: str
) -> None:
    repository.commit({"a": ("100644", b"1")})

    with pytest.raises(LaunchRefused, match="cannot be set"):
        make_ready(files, envs={name: value})


@pytest.mark.parametrize("name", ["../x", "TRAI", "TRAI" + "g" * 28, "", "TRAI" + "0" * 28 + "/x"])
def test_only_an_id_becomes_part_of_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no task's id"):
        TaskFiles.of(tmp_path, name)
