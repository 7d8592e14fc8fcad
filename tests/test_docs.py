"""The documentation is true: links, options, dependencies and examples are checked."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from functools import lru_cache
from pathlib import Path

import pytest

from conftest import engine_command
from page_examples import examples_of

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
RUNNABLE = [page for page in PAGES if any(one.name is None for one in examples_of(page))]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
OPTION = re.compile(r"--?[a-zA-Z][\w-]*")


def slug(heading: str) -> str:
    """Make a heading's anchor as GitHub and MyST do."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    return {slug(found) for found in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    (toc, *more) = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(), re.S)
    lines = [line for block in (toc, *more) for line in block.split("\n")]
    listed = {line for line in lines if line and not line.startswith(":")}
    pages = {page.stem for page in [*DOCS.glob("*.md"), *DOCS.glob("*.ipynb")]} - {"index"}
    assert pages == listed


LIST_MAGICS = """
import json
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "anylearn_jupyter")
kinds = shell.magics_manager.magics.values()
found = {name: magic for kind in kinds for name, magic in kind.items() if "anylearn" in name}
print(json.dumps({
    name: [option for action in magic.parser._actions for option in action.option_strings]
    for name, magic in found.items()
}))
"""


@pytest.fixture(scope="module")
def magics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Ask a shell of its own for our magics and the options of each."""
    done = subprocess.run(
        [sys.executable, "-c", LIST_MAGICS],
        env={**os.environ, "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython"))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_magic_and_option_is_documented(magics: dict[str, list[str]]) -> None:
    text = (DOCS / "magics.md").read_text(encoding="utf-8")
    documented = set(OPTION.findall(text))
    assert magics
    for name, options in magics.items():
        assert f"%{name}" in text, f"docs/magics.md does not mention %{name}"
        missing = set(options) - documented - {"-h", "--help"}
        assert not missing, f"docs/magics.md does not mention {missing} of %{name}"


def test_every_documented_option_exists(magics: dict[str, list[str]]) -> None:
    text = (DOCS / "magics.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = {option for cell in rows for option in OPTION.findall(cell)}
    assert named <= {option for options in magics.values() for option in options}


def test_every_command_of_the_engine_and_every_variable_is_documented() -> None:
    page = (DOCS / "engine.md").read_text(encoding="utf-8")
    usage = engine_command("--help").stdout
    commands = re.findall(r"^    (\w+) ", usage, re.MULTILINE)
    assert {"start", "serve", "user"} <= set(commands)
    assert [one for one in commands if f"`anylearn-engine {one}" not in page] == []
    for one in commands:
        options = OPTION.findall(engine_command(one, "--help").stdout.partition("options:")[2])
        assert [name for name in options if name.startswith("--") and name not in page] == [
            "--help"
        ]
    source = "".join(one.read_text() for one in sorted((ROOT / "anylearn_jupyter").rglob("*.py")))
    pages = "".join(one.read_text(encoding="utf-8") for one in PAGES)
    named = set(re.findall(r"\bANYLEARN_[A-Z_]*[A-Z]\b", source))
    assert [name for name in sorted(named) if name not in pages] == []


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    """What `make docs` does, into another directory."""
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q"]
    done = subprocess.run(
        [*command, str(DOCS), str(tmp_path / "built")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "built" / "security.html").exists()


def test_dependencies_are_those_of_the_project() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["dependencies"]
    text = (DOCS / "dependencies.md").read_text(encoding="utf-8")
    table = text.split("## At run time")[1].split("##")[0]
    listed = re.findall(r"^\| (\S+) \|", table, re.MULTILINE)
    assert listed[2:] == [re.split(r"[>=<]", line)[0] for line in declared]


@lru_cache
def defined_tests(path: Path) -> set[str]:
    """Give the tests that a file defines, without running it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[:5] == "test_"
    }


def test_every_fault_names_tests_that_exist() -> None:
    """What the page of faults says is shown is shown by something."""
    text = (DOCS / "faults.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).exists() or (name and name not in defined_tests(ROOT / file))
    ]
    assert missing == []
    rows = [line for line in text.splitlines() if re.match(r"\| [A-H]\d+( ★)? \| .* `tests/", line)]
    assert len(rows) > 70
    starred = {line.split()[1] for line in rows if "★" in line}
    assert len(starred) == 15, f"the fifteen rows that gate a release: {sorted(starred)}"


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_examples_run(page: Path, home: Path, tmp_path: Path) -> None:
    """Each page's cells, in order, against a real engine, in an empty directory."""
    work = tmp_path / "work"
    work.mkdir()
    try:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("page_examples.py")), str(page)],
            cwd=work,
            env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        engine_command("stop", "--tasks", check=False)


def test_the_repository_names_no_registry_and_no_machine() -> None:
    """Such names would tie the project to where it was written. Spelled so as not to match here."""
    registry = ["py" + "pi.org", "pythonhos" + "ted.org", "registry.npm" + "js", "deb.deb" + "ian"]
    places = ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/[a-z]+/\\.venv"]
    pattern = re.compile("|".join([*(re.escape(name) for name in registry), *places]))
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    found = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and pattern.search(path.read_text(encoding="utf-8", errors="replace")):
            found.append(name)
    assert found == []
