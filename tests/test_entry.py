"""The entry script is looked at before anything is sent, and never run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.entry import check_exists, check_module, check_script
from anylearn_jupyter.submit.packing_list import PackingList
from anylearn_jupyter.submit.packing_rules import PackingRules
from anylearn_jupyter.submit.snapshot import snapshot


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "repo" / "project"
    directory.mkdir(parents=True)
    (directory / "train.py").write_text("import helper, json, numpy\n", encoding="utf-8")
    (directory / "helper.py").write_text("", encoding="utf-8")
    return directory


def packed(directory: Path, **rules: tuple[str, ...]) -> PackingList:
    return snapshot(directory, PackingRules(**rules), home=Home()).packing


def test_a_script_that_travels_is_fine_and_not_run(project: Path) -> None:
    (project / "train.py").write_text(
        "import helper\nopen('canary', 'w').close()\n", encoding="utf-8"
    )
    check_script("train.py", packed(project))
    check_script("./train.py", packed(project))
    assert not (project / "canary").exists()


def test_a_wrong_name_is_said_with_one_that_is_near(project: Path) -> None:
    (project / "sub").mkdir()
    (project / "sub" / "deep_script.py").write_text("", encoding="utf-8")
    with pytest.raises(OptionError, match=r"did you mean 'train.py'"):
        check_script("trian.py", packed(project))
    with pytest.raises(OptionError, match=r"did you mean 'sub/deep_script.py'"):
        check_script("deep_script.py", packed(project))
    with pytest.raises(OptionError, match="check its name and --algorithm-dir"):
        check_script("zzzzzzz.py", packed(project))


def test_a_script_that_stays_behind_names_the_rule_and_the_mend(project: Path) -> None:
    with pytest.raises(OptionError, match=r"--exclude train\.py.*--include train\.py"):
        check_script("train.py", packed(project, exclude=("train.py",)))


def test_a_module_from_above_is_an_error_that_names_the_directory(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.parent / "shared_code.py").write_text("", encoding="utf-8")
    (project / "train.py").write_text("from shared_code import x\n", encoding="utf-8")
    with pytest.raises(OptionError, match=r"shared_code.*above.*--algorithm-dir"):
        check_script("train.py", packed(project))
    # On Python's path on purpose, it is there for the task too.
    monkeypatch.setattr(sys, "path", [sys.path[0], str(project.parent), *sys.path[1:]])
    check_script("train.py", packed(project))


def test_guarded_and_broken_imports_are_left_to_python(project: Path) -> None:
    (project.parent / "shared_code.py").write_text("", encoding="utf-8")
    (project / "train.py").write_text(
        "try:\n    import shared_code\nexcept ImportError:\n    pass\n", encoding="utf-8"
    )
    check_script("train.py", packed(project))
    (project / "train.py").write_text("import (\n", encoding="utf-8")
    check_script("train.py", packed(project))


def test_modules(project: Path) -> None:
    package = project / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "__main__.py").write_text("", encoding="utf-8")
    (package / "train.py").write_text("", encoding="utf-8")
    packing = packed(project, exclude=("pkg/train.py",))
    check_module("pkg", packing)
    check_module("torch.distributed.run", packing)
    with pytest.raises(OptionError, match=r"--include pkg/train.py"):
        check_module("pkg.train", packing)
    with pytest.raises(OptionError, match=r"no module 'pkg.missing'"):
        check_module("pkg.missing", packing)


def test_a_script_that_is_not_there_is_refused_with_a_name_that_is_near(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "fit.py").touch()
    check_exists("part/fit.py", tmp_path)
    with pytest.raises(OptionError, match=r"did you mean 'train\.py'\?"):
        check_exists("trian.py", tmp_path)
    with pytest.raises(OptionError, match=r"did you mean 'part/fit\.py'\?"):
        check_exists("part/fti.py", tmp_path)
    with pytest.raises(OptionError, match="check its name"):
        check_exists("nowhere/x.py", tmp_path)
