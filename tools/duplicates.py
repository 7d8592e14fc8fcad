"""Fail where the package says the same thing twice.

Lines are normalised (comments, docstrings and white space away, names and literals kept), and two
places with the same run of at least `LENGTH` such lines are reported. Imports and lines without a
word, such as a closing bracket, count for nothing.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LENGTH = 6
"""How many normalised lines have to be the same."""

SKIPPED = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


@dataclass(frozen=True)
class Line:
    """One line of code, normalised, and where it stands."""

    text: str
    number: int


def docstring_lines(tree: ast.Module) -> set[int]:
    """Give the numbers of the lines that a docstring or an import covers."""
    covered: set[int] = set()
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_import = isinstance(node, (ast.Import, ast.ImportFrom))
        if isinstance(node, ast.stmt) and (is_text or is_import):
            covered.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return covered


def normalised(source: str) -> list[Line]:
    """Reduce a module to its lines of code."""
    covered = docstring_lines(ast.parse(source))
    words: dict[int, list[str]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SKIPPED and token.start[0] not in covered:
            words[token.start[0]].append(token.string)
    texts = {number: " ".join(found) for number, found in words.items()}
    return [Line(texts[n], n) for n in sorted(texts) if any(c.isalpha() for c in texts[n])]


def repeated(modules: dict[str, list[Line]]) -> list[tuple[str, str, int]]:
    """Find runs of lines that stand in two places: (first place, second place, length)."""
    first: dict[tuple[str, ...], tuple[str, int]] = {}
    found: list[tuple[str, str, int]] = []
    for name, lines in modules.items():
        at = 0
        while at + LENGTH <= len(lines):
            window = tuple(line.text for line in lines[at : at + LENGTH])
            other_name, other_at = first.setdefault(window, (name, at))
            if (other_name, other_at) == (name, at) or (
                other_name == name and at < other_at + LENGTH
            ):
                at += 1
                continue
            length = _length(modules[other_name][other_at:], lines[at:])
            here = f"{other_name}:{modules[other_name][other_at].number}"
            found.append((here, f"{name}:{lines[at].number}", length))
            at += length
    return found


def _length(left: list[Line], right: list[Line]) -> int:
    length = 0
    for one, other in zip(left, right, strict=False):
        if one.text != other.text:
            break
        length += 1
    return length


def main() -> int:
    """Print what stands twice; 1 if anything does."""
    paths = sorted((ROOT / "anylearn_jupyter").rglob("*.py"))
    modules = {
        str(path.relative_to(ROOT)): normalised(path.read_text(encoding="utf-8")) for path in paths
    }
    found = repeated(modules)
    for here, there, length in found:
        print(f"{there}: the same {length} lines of code as {here}")
    print(f"duplicates: {len(found)} in {len(paths)} modules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
