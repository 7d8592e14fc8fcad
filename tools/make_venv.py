"""Make `.venv` with the exact versions of `requirements.lock`, and this checkout in it.

Standard library only, and plain enough that an old Python says what is wrong instead of failing on
the syntax. A stamp in `.venv` holds what it was made from, so a second run ends at once.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "anylearn-made-from"
OLDEST = (3, 11)


def fail(sentence: str) -> None:
    """End with one sentence."""
    sys.exit(f"setup: {sentence}")


def say(text: str) -> None:
    """Print a line of progress now, whoever reads it."""
    print(f"setup: {text}", flush=True)


def made_from() -> str:
    """Name everything that an environment depends on: versions, build, Python and place."""
    digest = hashlib.sha256()
    for part in (LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes()):
        digest.update(hashlib.sha256(part).digest())
    digest.update(f"{sys.version}\n{sys.executable}\n{ROOT}".encode())
    return digest.hexdigest()


def is_current(wanted: str) -> bool:
    """Whether `.venv` was finished from the same things."""
    try:
        return STAMP.read_text(encoding="ascii") == wanted and PYTHON.exists()
    except OSError:
        return False


def ensure_venv_module() -> None:
    """Have `python3 -m venv` work; Debian ships it apart from Python itself."""
    if _can_make_venvs():
        return
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    apt = shutil.which("apt-get")
    if apt is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        fail(
            f"this Python cannot make virtual environments (ensurepip is missing); install the "
            f"system package python3-venv (on Debian and Ubuntu: apt-get install {package}) and "
            f"run this again."
        )
    say(f"installing the system package {package}")
    quiet_apt = [str(apt), "-qq", "-o", "Dpkg::Use-Pty=0"]
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.run([*quiet_apt, "update"], check=True, env=environment)
    subprocess.run(
        [*quiet_apt, "install", "-y", "--no-install-recommends", package],
        check=True,
        env=environment,
    )
    if not _can_make_venvs():
        fail(f"{package} was installed, and {sys.executable} still has no ensurepip.")


def _can_make_venvs() -> bool:
    code = "import venv, ensurepip"
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def pip(*words: str) -> subprocess.Popen[str]:
    """Start the environment's pip, with its output to read."""
    return subprocess.Popen(
        [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )


def install_locked_versions() -> None:
    """Install the lock file's versions, with a line of progress for each."""
    total = len(re.findall(r"^[A-Za-z0-9]", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    say(f"installing the exact versions of {LOCK.name}, each checked by its hash")
    seen = 0
    output = []
    with pip("install", "--require-hashes", "--no-deps", "-r", str(LOCK)) as running:
        for line in running.stdout or ():
            output.append(line)
            found = re.match(r"(?:Collecting|Processing) ([^ ;]+)", line)
            if found:
                seen += 1
                say(f"  [{seen:3}/{total}] {Path(found.group(1)).name}")
            elif line.startswith("Ignoring "):
                total -= 1  # for another system or another Python
            elif line.startswith("Installing collected packages"):
                say("  unpacking them (this takes a while and prints nothing)")
    if running.returncode:
        sys.stderr.writelines(output[-15:])
        fail(f"pip could not install {LOCK.name}; what it said last is above.")


def install_checkout() -> None:
    """Install this checkout itself, editable, without asking for anything else."""
    say("installing this checkout, editable")
    words = ("install", "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    with pip(*words) as running:
        output = running.stdout.readlines() if running.stdout else []
    if running.returncode:
        sys.stderr.writelines(output[-15:])
        fail("pip could not install the checkout; what it said last is above.")


def compile_checkout() -> None:
    """Compile the modules of this checkout, as an installed package's are.

    Where Python is told to write no bytecode, each kernel and engine would compile them anew.
    """
    subprocess.run(
        [str(PYTHON), "-m", "compileall", "-q", "anylearn_jupyter"], cwd=ROOT, check=True
    )


def main() -> None:
    """Make the environment unless it is there and current, and compile what has changed."""
    if sys.version_info < OLDEST:
        fail(
            f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, and {sys.executable} is "
            f"{sys.version.split()[0]}; name another one with `make PYTHON=python3.12 ...`."
        )
    wanted = made_from()
    if is_current(wanted):
        compile_checkout()
        return
    ensure_venv_module()
    say(f"making {VENV.name} with Python {sys.version.split()[0]}")
    STAMP.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    install_locked_versions()
    install_checkout()
    compile_checkout()
    STAMP.write_text(wanted, encoding="ascii")
    say("done")


if __name__ == "__main__":
    main()
