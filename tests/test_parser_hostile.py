"""Scripts that would do harm, never end or cannot be read: a partial reading with a reason, soon.

Faults, F10: the script is never imported. Nothing that a reading says is a guess.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from anylearn_jupyter.notebook.discover import Reading, read_script
from anylearn_jupyter.notebook.parsers.project import MAX_SOURCE_BYTES
from anylearn_jupyter.notebook.script_parser import UNKNOWN, ScriptOption

HEAD = "import argparse\nparser = argparse.ArgumentParser()\n"
LR = "parser.add_argument('--lr', type=float, default=0.1)\n"
TAIL = "args = parser.parse_args()\n"
LIMIT_S = 10
"""Far more than any of these takes, on a machine that has other work."""


@pytest.fixture
def read(tmp_path: Path):
    """Return a function that writes files, and reads the parser of ``train.py`` in time."""

    def of(text: str, **modules: str) -> Reading:
        root = tmp_path / "project"
        for name, source in {"train": text, **modules}.items():
            path = root.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        begun = time.monotonic()
        found = read_script(root / "train.py", "train.py", root=root)
        assert time.monotonic() - begun < LIMIT_S
        return found

    return of


def option(reading: Reading, name: str) -> ScriptOption:
    """Give an option of a reading."""
    assert reading.parser is not None
    found = reading.parser.option(name)
    assert found is not None, f"{name} is not read"
    return found


# Nothing is run.


def test_no_side_effect_of_script_or_modules(read, tmp_path: Path) -> None:
    """A canary folder, a listening socket and a thread count tell of anything that was run."""
    canary = tmp_path / "canary"
    canary.mkdir()
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0)
    harm = (
        "import os, shutil, socket, subprocess, sys, threading\n"
        f"shutil.rmtree({str(canary)!r}, ignore_errors=True)\n"
        f"os.rmdir({str(canary)!r})\n"
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        f"subprocess.run(['touch', {str(tmp_path / 'ran')!r}])\n"
        f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))\n"
        "threading.Thread(target=print).start()\n"
        f"[open({str(tmp_path / 'ran')!r}, 'w') for _ in range(3)]\n"
        "sys.modules['anylearn_canary'] = sys\n"
        f"__import__('os').system('touch {tmp_path / 'ran'}')\n"
        f"eval({f'open({str(tmp_path / chr(114))!r})'!r})\n"
    )
    before = threading.active_count()
    with server:
        found = read(harm + "import helper\n" + HEAD + LR + TAIL, helper=harm)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert canary.is_dir()
    assert not (tmp_path / "ran").exists()
    assert "anylearn_canary" not in sys.modules
    assert "helper" not in sys.modules
    assert threading.active_count() == before
    assert option(found, "--lr").default == 0.1


def test_methods_of_values_are_only_those_that_compute(read) -> None:
    text = "x = 'abc'.__class__.__mro__[1].__subclasses__()\ny = [].__reduce_ex__(2)\n"
    found = read(HEAD + text + "parser.add_argument('--a', default=x)\n" + LR + TAIL)
    assert option(found, "--a").default is UNKNOWN


def test_files_outside_the_project_are_not_read(read, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("RATE = 5\n", encoding="utf-8")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "linked.py").symlink_to(tmp_path / "outside.py")
    found = read(
        "import sys\nsys.path.insert(0, '..')\nimport linked, outside\n"
        + HEAD
        + "parser.add_argument('--a', default=linked.RATE)\n"
        + "parser.add_argument('--b', default=outside.RATE)\n"
        + TAIL
    )
    assert option(found, "--a").default is UNKNOWN
    assert option(found, "--b").default is UNKNOWN


def test_hydra_files_outside_the_project_are_not_read(read, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("secret: 1\n", encoding="utf-8")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "linked.yaml").symlink_to(tmp_path / "config.yaml")
    text = "import hydra\n@hydra.main(config_path={}, config_name={})\ndef main(c): pass\nmain()\n"
    for path, name in (("'..'", "'config'"), ("'.'", "'linked'"), ("'.'", "'../config'")):
        found = read(text.format(path, name))
        assert found.parser is not None
        assert found.parser.options == ()
        assert found.reasons


# What cannot be read, or not to the end.


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def broken(:\n", "is no Python: "),
        ("x = 1\n  y = 2\n", "in line 2"),
        ("\0", "is no Python"),
        ("# -*- coding: klingon -*-\n", "is no Python"),
        ("x = " + "(" * 300 + ")" * 300, "train.py"),
        ("x = " + "-" * 60_000 + "1", "train.py"),
        ("x = " + "+".join(["1"] * 60_000), "train.py"),
        ("x = " + ".a" * 0 + "a" + ".a" * 60_000, "train.py"),
        ("#" * (MAX_SOURCE_BYTES + 1), f"more than the {MAX_SOURCE_BYTES}"),
        ("import click\n@click.command()\ndef main(): pass\n", "has no parser that reads"),
        (HEAD + "b = argparse.ArgumentParser()\nb.parse_args(x)\n" + TAIL.replace("()", "(y)"),
         "has 2 parsers"),
    ],
)  # fmt: skip
def test_nothing_readable_has_a_reason(read, text: str, reason: str) -> None:
    found = read(text)
    assert found.parser is None
    assert reason in found.reasons[0]


def test_no_utf8_no_file_and_a_folder_have_a_reason(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")
    for name in ("latin.py", "missing.py", "."):
        found = read_script(tmp_path / name, name)
        assert found.parser is None
        assert found.reasons


DEEP = "\n".join("    " * depth + "if a:" for depth in range(90)) + "\n" + "    " * 90 + "pass\n"
CHAIN = "".join(f"def f{n}(p):\n    return f{n + 1}(p)\n" for n in range(300))
DOUBLING = "".join(f"def g{n}(p):\n    g{n + 1}(p)\n    g{n + 1}(p)\n" for n in range(40))


@pytest.mark.parametrize(
    "text",
    [
        "while True:\n    pass\n",
        "def f():\n    return f()\nf()\n",
        "def f(n):\n    return g(n)\ndef g(n):\n    return f(n)\nf(1)\n",
        "class A:\n    def __init__(self):\n        self.a = A()\nA()\n",
        "class A:\n    @property\n    def a(self):\n        return self.a\nA().a\n",
        "for a in range(10**12):\n    pass\n",
        "for a in range(900):\n    for b in range(900):\n        c = a * b\n",
        "x = [a for a in range(9999) for b in range(9999)]\n",
        "x = 'a' * 10**12\ny = 10 ** 10 ** 10\nz = 1 << 10**9\n",
        "x = 'a'\nfor _ in range(900):\n    x = x + x\n",
        "x = [1]\nfor _ in range(900):\n    x = x + x\n",
        "x = [1]\nfor _ in range(900):\n    x += x\n",
        "x = 9\nfor _ in range(900):\n    x = x * x\n",
        "x = []\nfor _ in range(900):\n    x = [x, x]\ny = str(x)\n",
        "x, y = [], []\nfor _ in range(99):\n    x, y = [x, x], [y, y]\nz = x == y\n",
        "x = []\nfor _ in range(99):\n    x = [x, x]\nHEAD.add_argument('--a', default=x)\n",
        "x = list(range(9999))\nfor _ in range(9**5):\n    sorted(x)\n",
        "x = list(range(9999))\nwhile True:\n    x == x\n",
        "x = {}\nx['x'] = x\ny = [x]\ny.append(y)\nprint(x == y)\n",
        "x = f'{1:1000000000}'\ny = '{:1000000000}'.format(1)\nz = '%1000000000d' % 1\n",
        "x = 'a'.join(['b' * 9000] * 9000)\ny = ('a' * 9000).replace('a', 'b' * 9000)\n",
        "x = list(range(10**12))\ny = sorted(range(10**12))\nz = sum(range(10**12))\n",
        "x = 'a'.zfill(10**12).center(10**12)\n",
        "x = int('9' * 5000)\ny = str(10**4000)\n",
        DEEP,
        CHAIN + "f0(1)\n",
        DOUBLING + "g0(1)\n",
        "def f(x=[f'{n}' for n in range(99)]):\n    return x\n" * 500,
    ],
)
def test_what_never_ends_or_grows_is_left(read, text: str) -> None:
    """It is over soon; the option is read, or a reason says why there may be more."""
    found = read("a = b = object\n" + text + HEAD + LR + TAIL)
    if found.parser is None or found.parser.option("--lr") is None:
        assert found.reasons
        assert found.parser is None or not found.parser.complete
    else:
        assert option(found, "--lr").default == 0.1


def test_values_that_contain_themselves_are_no_default(read) -> None:
    text = "x = []\nx.append(x)\ny = {}\ny['y'] = y\n"
    adds = "parser.add_argument('--a', default=x)\nparser.add_argument('--b', choices=y)\n"
    found = read(HEAD + text + adds + LR + TAIL)
    assert found.parser is None or option(found, "--a").default is UNKNOWN


def test_memory_stays_small(tmp_path: Path) -> None:
    """Under a limit of the operating system, which a runaway value would break."""
    script = tmp_path / "train.py"
    script.write_text(
        "x = ['a' * 9000] * 9000\ny = {n: 'b' * 9000 for n in range(9000)}\n"
        "z = [[n] * 9000 for n in range(9000)]\nw = 'a'\nfor _ in range(99):\n    w = w + w\n"
        + HEAD
        + LR
        + TAIL,
        encoding="utf-8",
    )
    code = f"""
import resource
from pathlib import Path
from anylearn_jupyter.notebook.discover import read_script
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = read_script(Path({str(script)!r}), "train.py")
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown)
assert found.parser is not None or found.reasons
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < 300_000  # kilobytes


# Modules.


def test_imports_in_circles_and_of_itself(read) -> None:
    found = read(
        "import train, a\nfrom a import add\n" + HEAD + "add(parser)\n" + TAIL,
        a="import b\nimport train\ndef add(p):\n    p.add_argument('--n', default=b.N)\n",
        b="import a\nfrom a import *\nN = 4\n",
    )
    assert option(found, "--n").default == 4


def test_a_chain_of_many_imports_ends(read) -> None:
    modules = {f"m{n}": f"import m{n + 1}\nX = m{n + 1}.X\n" for n in range(400)}
    found = read(
        "import m0\n" + HEAD + LR + "parser.add_argument('--x', default=m0.X)\n" + TAIL, **modules
    )
    assert option(found, "--lr").default == 0.1
    assert option(found, "--x").default is UNKNOWN


def test_a_module_that_cannot_be_read_has_a_reason(read) -> None:
    found = read("import broken\n" + HEAD + LR + "broken.add(parser)\n" + TAIL, broken="def (\n")
    assert found.parser is not None
    assert not found.parser.complete
    assert any("The module broken is no Python" in reason for reason in found.reasons)


def test_a_large_module_has_a_reason(read) -> None:
    found = read("import big\n" + HEAD + LR + TAIL, big="#" * (MAX_SOURCE_BYTES + 1))
    assert any("The module big has" in reason for reason in found.reasons)


# Nothing is guessed.


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("x = 1\nif unknown:\n    x = 2\n", UNKNOWN),
        ("x = 1\nif unknown:\n    x = 1\n", 1),
        ("if unknown:\n    x = 1\nelse:\n    x = 1\n", 1),
        ("x = 1\nfor _ in unknown:\n    x = x + 1\n", UNKNOWN),
        ("x = 1\nwhile unknown():\n    x = 2\n", UNKNOWN),
        ("x = 1\ntry:\n    x = unknown()\nexcept ValueError:\n    pass\n", UNKNOWN),
        ("x = 1\ntry:\n    unknown()\n    x = 2\nexcept ValueError:\n    pass\n", UNKNOWN),
        ("x = 1\ndef f():\n    global x\n    x = 2\nf()\n", 2),
        ("x = 1\ndef f():\n    global x\n    x = 2\nif unknown:\n    f()\n", UNKNOWN),
        ("def f():\n    if unknown:\n        return 1\n    return 2\nx = f()\n", UNKNOWN),
        ("def f():\n    if unknown:\n        return 1\n    return 1\nx = f()\n", 1),
        ("def f(*a, **k):\n    return k['x']\nx = f(x=3)\n", 3),
        ("def f(*a):\n    return a[0]\nx = f(*unknown)\n", UNKNOWN),
        ("def f():\n    yield 1\nx = f()\n", UNKNOWN),
        ("x = [1]\nimport random\nrandom.shuffle(x)\n", UNKNOWN),
        ("x = [1]\ny = x\ny.append(2)\n", [1, 2]),
        ("x = [1]\nif unknown:\n    x.append(2)\n", UNKNOWN),
        ("d = {'x': 1}\nd.update(unknown)\nx = d['x']\n", UNKNOWN),
        ("d = {'x': 1}\nd[unknown] = 2\nx = d['x']\n", UNKNOWN),
        ("d = {'x': 1}\nif unknown:\n    d['x'] = 2\nx = d['x']\n", UNKNOWN),
        ("class C:\n    x = 1\nif unknown:\n    C.x = 2\nx = C.x\n", UNKNOWN),
        ("class C:\n    x = 1\nsetattr(C, 'x', 2)\nx = C.x\n", UNKNOWN),
        ("class C:\n    pass\nc = C()\nc.x = 1\nchange(c)\nx = c.x\n", UNKNOWN),
        ("x = 1\nglobals()['x'] = 2\n", UNKNOWN),
        ("x = 1\nexec('x = 2')\n", UNKNOWN),
        ("x = 1\ndel x\nx = 3\n", 3),
        ("x = y = 1\n(x, y), z = unknown\n", UNKNOWN),
        ("x, *rest = [1, 2, 3]\n", UNKNOWN),
        ("x = 1 if unknown else 2\n", UNKNOWN),
        ("x = unknown or 5\n", UNKNOWN),
        ("x = None or 5\n", 5),
        ("x = 1 < 2 < 3\n", UNKNOWN),
        ("import os\nx = os.environ['A']\n", UNKNOWN),
        ("import os\nx = os.environ.get('A', '1') + '2'\n", UNKNOWN),
        ("import os\nx = 1 if os.environ.get('A') else 2\n", UNKNOWN),
        ("import math\nx = math.floor(math.pi)\n", UNKNOWN),
        ("def int(x):\n    return 7\nx = int('5')\n", 7),
        ("list = 3\nx = list\n", 3),
        ("match unknown:\n    case x:\n        pass\n", UNKNOWN),
        ("with open('f') as x:\n    pass\n", UNKNOWN),
        ("for x in [1, 2, 3]:\n    if unknown:\n        break\n", UNKNOWN),
        ("x = 0\nfor y in [1, 2]:\n    if y == 2:\n        continue\n    x = y\n", 1),
        ("import functools\n@functools.lru_cache\ndef f():\n    return 4\nx = f()\n", 4),
        ("import contextlib\nx = 1\nwith contextlib.suppress(OSError):\n    x = 2\n", UNKNOWN),
        ("x = 1\ndef f():\n    global x\n    x = 2\nsomebody(f)\n", UNKNOWN),
        ("for x in [1, 2]:\n    if unknown:\n        continue\n    y = x\nx = y\n", UNKNOWN),
        ("import foreign\n@foreign.change\ndef f(a):\n    return a\nx = f(4)\n", UNKNOWN),
    ],
)
def test_defaults_are_known_or_unknown_but_never_wrong(read, text: str, default: object) -> None:
    found = read(text + HEAD + "parser.add_argument('--x', default=x)\n" + TAIL)
    assert option(found, "--x").default == default


@pytest.mark.parametrize(
    "text",
    [
        "import sys\nsys.argv = ['x']\n",
        "import sys\nsys.argv.append('--other')\n",
        "import sys\nsys.argv[1:] = []\n",
        "argparse.ArgumentParser.parse_args = None\n",
        "exec(code)\n",
        "def more():\n    parser.add_argument('--more')\nsomebody(more)\n",
        "class A: pass\na = A()\na.b = A()\na.b.parser = parser\nsomebody(a)\n",
        "somebody([{'parser': parser}])\n",
        "somebody(parsers=(parser,))\n",
        "unknown.parser = parser\n",
        "unknown['parser'] = parser\n",
        "parser._actions.append(1)\n",
        "parser.prefix_chars = '+'\n",
        "somebody(lambda: parser)\n",
        "yield_ = [somebody(one) for one in [parser]]\n",
    ],
)
def test_whoever_gets_the_parser_may_add_options(read, text: str) -> None:
    found = read(HEAD + LR + text + TAIL)
    assert found.parser is not None
    assert not found.parser.complete
    assert found.reasons
