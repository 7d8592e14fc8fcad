"""Print the path of a Chromium for the browser tests; install one where root may.

The variable ANYLEARN_CHROMIUM names one; without it the usual commands are looked for. Standard
output holds the path alone, so that the Makefile can hand it on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

VARIABLE = "ANYLEARN_CHROMIUM"
COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PACKAGES = ("chromium", "fonts-dejavu-core")


def find() -> str | None:
    """Return a browser's path, or None.

    A name in the variable that is no program is an error, not a reason to look elsewhere.
    """
    named = os.environ.get(VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            sys.exit(f"{VARIABLE} names {named!r}, which is no program that can be run.")
        return found
    return next(filter(None, map(shutil.which, COMMANDS)), None)


def install() -> str | None:
    """Install Debian's Chromium where this user may, and return its path, or None."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return None
    print(f"browser tests: installing {' '.join(PACKAGES)}", file=sys.stderr, flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for words in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run([apt, "-qq", *words], env=environment, stdout=sys.stderr, check=False)
        if done.returncode:
            return None
    return find()


def main() -> None:
    """Print the path, or end with one sentence."""
    path = find() or install()
    if path is None:
        sys.exit(
            f"The browser tests need Chromium: install the package {PACKAGES[0]}, or set "
            f"{VARIABLE} to the path of a Chromium or Chrome."
        )
    print(path)


if __name__ == "__main__":
    main()
