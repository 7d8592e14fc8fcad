"""Modules of a package import each other, in a circle too."""

import sys

from lab.cli import main

sys.exit(main())
