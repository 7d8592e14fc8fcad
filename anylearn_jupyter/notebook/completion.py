"""Tab in the line of one of our magics: options, ids and names of tasks, files.

Nobody is asked over the network; ids and names are those of the ledger.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from anylearn_jupyter.notebook.arguments import option_strings
from anylearn_jupyter.notebook.options import parser_of

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.magics import AnylearnMagics

MAX_TASKS = 200
"""The newest tasks, whose ids and names are offered."""

MAX_PATHS = 100
"""Files and folders that are offered at once."""

_LINE = re.compile(r"(?:.*=\s*)?%{1,2}(anylearn_\w+)\s")
_TAKES_TASK = (
    *("anylearn_resume", "anylearn_logs", "anylearn_stop", "anylearn_results"),
    *("anylearn_retry", "anylearn_show"),
)


class MagicMatcher:
    """Gives completions for the lines of our magics, and nothing for any other line.

    Parameters
    ----------
    magics : AnylearnMagics
        Whose options are offered.
    """

    def __init__(self, magics: AnylearnMagics) -> None:
        self._magics = magics

    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """Complete what stands before the cursor."""
        before = context.text_until_cursor
        line = _LINE.match(before)
        magic = getattr(self._magics, line[1], None) if line else None
        if line is None or magic is None:
            return SimpleMatcherResult(completions=[], suppress=False)
        fragment = before[line.end() :].rpartition(" ")[2]
        words = self._words(line[1], parser_of(magic), fragment)
        # IPython replaces its token, which may begin within our word.
        skipped = max(0, len(fragment) - len(context.token))
        found = [SimpleCompletion(text=word[skipped:], type="param") for word in words]
        return SimpleMatcherResult(completions=found, suppress=bool(found))

    def _words(self, name: str, parser: argparse.ArgumentParser, fragment: str) -> Iterable[str]:
        """Give whole words that begin with the fragment."""
        if fragment.startswith("-"):
            known = [one for one in option_strings(parser) if one.startswith("--")]
            return [word for word in known if word.startswith(fragment)]
        if name in _TAKES_TASK:
            known = known_tasks(unfinished=name == "anylearn_stop")
            return [word for word in known if word.startswith(fragment)]
        if name == "anylearn_train":
            start, sign, path = fragment.rpartition("=")
            return [start + sign + found for found in _paths(path)]
        return []


def matcher_for(magics: AnylearnMagics) -> Any:
    """Make the function that is put among the completer's custom matchers."""
    matcher = MagicMatcher(magics)

    def anylearn_matcher(context: CompletionContext) -> SimpleMatcherResult:
        return matcher.match(context)

    return context_matcher(identifier="anylearn_jupyter.magics")(anylearn_matcher)


def known_tasks(*, unfinished: bool = False) -> list[str]:
    """Give what names a task: ``last``, and the names and ids of the newest in the ledger.

    Parameters
    ----------
    unfinished : bool, default False
        Only tasks that were last seen unfinished; ``last`` if the newest one is.
    """
    from anylearn_jupyter.errors import ConfigError
    from anylearn_jupyter.home import Home
    from anylearn_jupyter.submit.ledger import Ledger

    home = Home()
    if not home.ledger.exists():
        return []
    try:
        with Ledger(home) as ledger:
            newest = ledger.tasks(MAX_TASKS)
    except ConfigError:
        return []  # a completion is no place to say so; the magic itself will
    records = [record for record in newest if not (unfinished and record.finished)]
    names = [record.name for record in records if not re.search(r"\s", record.name)]
    last = ["last"] if not unfinished or records[:1] == newest[:1] != [] else []
    return [*last, *dict.fromkeys(names), *(record.id for record in records)]


def _paths(fragment: str) -> list[str]:
    """Give the files and folders that begin so; hidden ones only when asked for."""
    above, slash, start = fragment.rpartition("/")
    try:
        found = sorted(Path(above + slash).expanduser().iterdir())
    except OSError:
        return []
    return [
        f"{above}{slash}{path.name}{'/' if path.is_dir() else ''}"
        for path in found
        if path.name.startswith(start) and (start or not path.name.startswith("."))
    ][:MAX_PATHS]
