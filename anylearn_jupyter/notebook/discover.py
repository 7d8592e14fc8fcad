"""The options of a training script, read from its text; it is never imported or run.

Only what is written out is known: a literal, a constant of argparse, the name of a simple type.
Anything else is `UNKNOWN` and nobody guesses it. This module knows argparse; for other kinds of
parsers there is nothing readable.

Notes
-----
Source: notebook spec, "How a value is put on the command line".
"""

from __future__ import annotations

import ast
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from anylearn_jupyter.notebook.script_parser import (
    FLAG_ACTIONS,
    UNKNOWN,
    ScriptOption,
    ScriptParser,
    Unknown,
)

MAX_SOURCE_BYTES = 2_000_000
"""A script above that is not read."""


_TYPES = ("int", "float", "str", "bool", "Path")
_NARGS = {"OPTIONAL": "?", "ZERO_OR_MORE": "*", "ONE_OR_MORE": "+", "REMAINDER": "..."}
_ADDERS = ("add_argument_group", "add_mutually_exclusive_group")
_PARSES = ("parse_args", "parse_known_args", "parse_intermixed_args", "parse_known_intermixed_args")
_HARMLESS = (
    "add_argument",
    *_ADDERS,
    *_PARSES,
    "error",
    "exit",
    "format_help",
    "format_usage",
    "get_default",
    "print_help",
    "print_usage",
    "set_defaults",
    "prog",
    "description",
    "epilog",
    "usage",
)


def discover(path: Path, script: str | None = None) -> ScriptParser | None:
    """Read the argparse parser of a script.

    Parameters
    ----------
    path : Path
        The file.
    script : str, optional
        How it is named in messages; default: the path.

    Returns
    -------
    ScriptParser or None
        None where there is no such file, where it cannot be read as Python, or where it has not
        exactly one argparse parser.
    """
    try:
        if path.stat().st_size > MAX_SOURCE_BYTES:
            return None
        with tokenize.open(path) as file:
            source = file.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the script's own, of no use here
            tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _Reader(tree).parser(script or str(path))


@dataclass
class _Found:
    """What is collected while reading."""

    options: list[ScriptOption] = field(default_factory=list)
    complete: bool = True
    parses: bool = False
    groups: int = 0
    required_groups: set[int] = field(default_factory=set)


class _Reader:
    """Reads one module."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._made: ast.Call | None = None
        self._modules: set[str] = set()  # names of the module argparse
        self._members: dict[str, str] = {}  # local name to name in argparse
        self._parsers: set[str] = set()  # keys of expressions that are the parser
        self._groups: dict[str, int | None] = {}  # keys of expressions that are a group of it
        self._found = _Found()

    def parser(self, script: str) -> ScriptParser | None:
        """Read it; None without exactly one parser."""
        self._read_imports()
        made = [
            node for node in ast.walk(self._tree)
            if isinstance(node, ast.Call) and self._member(node.func) == "ArgumentParser"
        ]  # fmt: skip
        if len(made) != 1:
            return None
        self._name_parser(made[0])
        self._name_groups()
        self._visit(self._tree, conditional=False)
        self._look_for_strangers()
        allow_abbrev = self._read_constructor(made[0])
        found = self._found
        return ScriptParser(
            script=script,
            options=tuple(found.options),
            complete=found.complete and found.parses,
            allow_abbrev=allow_abbrev,
            required_groups=frozenset(found.required_groups),
        )

    # Names.

    def _read_imports(self) -> None:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Import):
                self._modules |= {
                    alias.asname or alias.name for alias in node.names if alias.name == "argparse"
                }
            elif isinstance(node, ast.ImportFrom) and node.module == "argparse":
                self._members |= {alias.asname or alias.name: alias.name for alias in node.names}

    def _member(self, node: ast.expr) -> str | None:
        """Give the name in argparse that an expression stands for."""
        if isinstance(node, ast.Name):
            return self._members.get(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return node.attr if node.value.id in self._modules else None
        return None

    def _name_parser(self, made: ast.Call) -> None:
        """Find every expression that is the parser: variables, and calls of what returns it."""
        self._made = made
        for _ in range(3):
            for node in ast.walk(self._tree):
                if isinstance(node, ast.FunctionDef):
                    self._name_function(node)
                for target, value in _assignments(node):
                    name = _key(target)
                    if name is not None and self._is_parser(value):
                        self._parsers.add(name)
        for node in ast.walk(self._tree):
            for target, value in _assignments(node):
                if self._is_parser(target) and not self._is_parser(value):
                    self._found.complete = False  # the name is something else, too

    def _name_function(self, function: ast.FunctionDef) -> None:
        returns = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
        if returns and all(one.value is not None and self._is_parser(one.value) for one in returns):
            self._parsers.add(f"{function.name}()")

    def _name_groups(self) -> None:
        for node in ast.walk(self._tree):
            for target, value in _assignments(node):
                adder, name = self._adder(value), _key(target)
                if adder is not None and name is not None and isinstance(value, ast.Call):
                    self._groups[name] = self._number(adder, value)

    def _adder(self, node: ast.expr) -> str | None:
        """Give the method, if this is a call that makes a group of the parser."""
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return None
        owner = node.func.value
        if node.func.attr in _ADDERS and (self._is_parser(owner) or self._is_group(owner)):
            return node.func.attr
        return None

    def _number(self, adder: str, call: ast.Call) -> int | None:
        if adder != "add_mutually_exclusive_group":
            return None
        self._found.groups += 1
        required = [word.value for word in call.keywords if word.arg == "required"]
        if required and isinstance(required[0], ast.Constant) and required[0].value is True:
            self._found.required_groups.add(self._found.groups)
        return self._found.groups

    def _is_parser(self, node: ast.expr) -> bool:
        return node is self._made or _key(node) in self._parsers

    def _is_group(self, node: ast.expr) -> bool:
        return _key(node) in self._groups or self._adder(node) is not None

    # Statements.

    def _visit(self, node: ast.AST, *, conditional: bool) -> None:
        """Go through the module in order; what stands in a branch or a loop is conditional."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            self._read_call(node, node.func, conditional=conditional)
        branches = isinstance(node, ast.If | ast.For | ast.While | ast.Try | ast.IfExp | ast.Match)
        inner = conditional or (branches and not _is_main_guard(node))
        for child in ast.iter_child_nodes(node):
            self._visit(child, conditional=inner)

    def _read_call(self, call: ast.Call, method: ast.Attribute, *, conditional: bool) -> None:
        owner = method.value
        if self._is_parser(owner):
            if method.attr == "add_argument":
                self._add(call, None, conditional=conditional)
            elif method.attr in _PARSES:
                self._found.parses = True
                strict = method.attr in ("parse_args", "parse_intermixed_args")
                if not strict or not _parses_command_line(call):
                    self._found.complete = False
        elif method.attr == "add_argument" and self._is_group(owner):
            self._add(call, self._groups.get(_key(owner) or ""), conditional=conditional)

    def _look_for_strangers(self) -> None:
        """Find uses of the parser that may add options which are not seen here."""
        allowed = set()
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Attribute | ast.Return):
                harmless = isinstance(node, ast.Return) or node.attr in _HARMLESS
                allowed |= {id(node.value)} if harmless else set()
            for target, value in _assignments(node):
                allowed |= {id(target), id(value)}
        for node in ast.walk(self._tree):
            if (
                isinstance(node, ast.Name | ast.Call | ast.Attribute)
                and (self._is_parser(node) or _key(node) in self._groups)
                and id(node) not in allowed
            ):
                self._found.complete = False

    def _read_constructor(self, call: ast.Call) -> bool:
        """Read what the parser was made with; give whether it takes abbreviations."""
        words = {word.arg: word.value for word in call.keywords}
        for name in (None, "parents", "fromfile_prefix_chars", "prefix_chars", "argument_default"):
            if name in words:
                self._found.complete = False
        if _literal(words.get("add_help")) is not False:
            self._found.options.insert(
                0, ScriptOption(names=("-h", "--help"), action="help", help="show this help")
            )
        if "allow_abbrev" not in words:
            return True
        return _literal(words["allow_abbrev"]) is not False

    # Arguments.

    def _add(self, call: ast.Call, group: int | None, *, conditional: bool) -> None:
        """Read one ``add_argument``."""
        names = [_literal(word) for word in call.args]
        words = {word.arg: word.value for word in call.keywords}
        dest = _literal(words["dest"]) if "dest" in words else None
        if not names and isinstance(dest, str):
            names = [dest]
        texts = tuple(name for name in names if isinstance(name, str) and name)
        if None in words or not texts or len(texts) != len(names):
            self._found.complete = False
            return
        required = _literal(words["required"]) if "required" in words else False
        if conditional or not isinstance(required, bool):
            required = UNKNOWN
        help_text = _literal(words["help"]) if "help" in words else None
        self._found.options.append(
            ScriptOption(
                names=texts,
                action=self._action(words.get("action")),
                nargs=self._nargs(words.get("nargs")),
                type=_type(words.get("type")),
                choices=_choices(words.get("choices")),
                required=required,
                default=_literal(words["default"]) if "default" in words else None,
                help=help_text if isinstance(help_text, str | None) else UNKNOWN,
                metavar=_literal(words["metavar"]) if "metavar" in words else None,
                dest=dest if isinstance(dest, str | None) else UNKNOWN,
                group=group,
            )
        )

    def _action(self, node: ast.expr | None) -> str | Unknown:
        if node is None:
            return "store"
        if self._member(node) == "BooleanOptionalAction":
            return "boolean_optional"
        found = _literal(node)
        known = found in FLAG_ACTIONS or found in ("store", "append", "extend")
        return found if isinstance(found, str) and known else UNKNOWN

    def _nargs(self, node: ast.expr | None) -> int | str | Unknown | None:
        if node is None:
            return None
        member = self._member(node)
        if member is not None:
            return _NARGS.get(member, UNKNOWN)
        found = _literal(node)
        if isinstance(found, int) and not isinstance(found, bool):
            return found
        return found if isinstance(found, str) and found in _NARGS.values() else UNKNOWN


def _key(node: ast.expr) -> str | None:
    """Name an expression that may stand for a parser: ``name``, ``a.b``, a call of ``name``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _key(node.value)
        return None if owner is None else f"{owner}.{node.attr}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return f"{node.func.id}()"
    return None


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Give each target of an assignment with its value."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield target, node.value
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
        yield node.target, node.value


def _literal(node: ast.expr | None) -> object:
    """Give the value of a literal; `UNKNOWN` for anything else, None for nothing."""
    if node is None:
        return None
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN


def _type(node: ast.expr | None) -> str | Unknown | None:
    if node is None:
        return None
    if isinstance(node, ast.Name) and node.id in _TYPES:
        return node.id
    if ast.unparse(node) == "pathlib.Path":
        return "Path"
    return UNKNOWN


def _choices(node: ast.expr | None) -> tuple[object, ...] | Unknown | None:
    if node is None:
        return None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        bounds = [_literal(one) for one in node.args]
        numbers = [one for one in bounds if isinstance(one, int)]
        if not node.keywords and len(numbers) == len(bounds) and 1 <= len(numbers) <= 3:
            span = range(*numbers) if 0 not in numbers[2:] else range(0)
            return tuple(span) if len(span) <= 1000 else UNKNOWN
        return UNKNOWN
    found = _literal(node)
    return tuple(found) if isinstance(found, list | tuple | set | dict) else UNKNOWN


def _parses_command_line(call: ast.Call) -> bool:
    """Whether a call of ``parse_args`` reads the script's own command line."""
    given = [*call.args, *(word.value for word in call.keywords if word.arg == "args")]
    if any(word.arg not in ("args", "namespace") for word in call.keywords):
        return False
    return not given or ast.unparse(given[0]) in ("None", "sys.argv[1:]", "argv[1:]")


def _is_main_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
