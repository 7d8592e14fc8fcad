"""Goes through a script as Python would, without running any of it.

What is known is followed: constants, branches, loops over lists that are written out, functions and
classes of the project, its imports. Where a condition is not known, both ways are taken, one after
the other, and what differs afterwards is `UNKNOWN`. It stops where the script would have read its
command line, and at the latest after `MAX_STEPS`.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from anylearn_jupyter.notebook.parsers.evaluation import Evaluation
from anylearn_jupyter.notebook.parsers.library import Library
from anylearn_jupyter.notebook.parsers.project import Project, UnreadableError
from anylearn_jupyter.notebook.parsers.statements import Statements
from anylearn_jupyter.notebook.parsers.things import (
    MISSING,
    OPEN,
    Class,
    External,
    Function,
    Given,
    Instance,
    Module,
    Scope,
    Thing,
    bounded,
    same,
)
from anylearn_jupyter.notebook.script_parser import UNKNOWN, ScriptParser

MAX_STEPS = 150_000
MAX_SECONDS = 5.0
"""A script is followed no longer than that, whatever it is."""

MAX_DEPTH = 40
_FLAGLESS = frozenset(
    ("numpy", "torch", "torchvision", "pandas", "scipy", "sklearn", "tqdm", "matplotlib")
)


class FinishedError(Exception):
    """The script has read its command line, or enough was tried."""


@dataclass
class Entry:
    """A place where the script reads its command line.

    Attributes
    ----------
    describe : callable
        Gives the description, for the script's name.
    strict : bool
        Whether what is not known is an error there.
    conditions : tuple of int
        What it depends on that this place is reached (`Interpreter.conditions`).
    thing : Thing or None
        The parser.
    rest_of : Thing or None
        The parser that took its part before, where this one gets what was left.
    """

    describe: Callable[[str], ScriptParser]
    strict: bool
    conditions: tuple[int, ...]
    thing: Thing | None = None
    rest_of: Thing | None = None


class Interpreter:
    """Reads one script.

    Parameters
    ----------
    project : Project
        Where its modules are.
    library : Library
        What is known of packages.

    Attributes
    ----------
    entries : list of Entry
        Where the command line is read, as found so far.
    made : list of Thing
        The parsers that were made.
    conditions : tuple of int
        A number for each thing that is not known and on which it depends whether what is read now
        takes place.
    reasons : list of str
        What could not be followed, a sentence each.
    """

    def __init__(self, project: Project, library: Library) -> None:
        self.project = project
        self.library = library
        self.entries: list[Entry] = []
        self.made_parsers: list[Thing] = []
        self.conditions: tuple[int, ...] = ()
        self.reasons: list[str] = []
        self.main = Module("__main__")
        self.functions: list[Function] = []
        self.classes: list[Class] = []
        self.followed: set[ast.AST] = set()
        self._modules: dict[str, Module | None] = {}
        self._active: list[ast.AST] = []
        self._steps = 0
        self._doubts = 0
        self._begun = time.monotonic()
        self.evaluation = Evaluation(self)
        self.statements = Statements(self)

    # The script.

    def read(self, tree: ast.Module, source: str, package: str = "") -> None:
        """Go through the script, and then through what it did not call if that is of use."""
        self.main.source, self.main.package = source, package
        self.main.names["__name__"] = "__main__"
        self._guarded(lambda: self.statements.block(tree.body, self.main.scope()))
        if not self.entries:
            self._try_the_rest()

    def _try_the_rest(self) -> None:
        """Follow what the script defines and does not call itself."""
        instances: dict[int, object] = {}
        for owner in list(self.classes):
            if owner.scope.module is self.main and not owner.is_enum:
                instances[id(owner.names)] = Instance(owner)
        for function in list(self.functions):
            if function.node in self.followed or function.scope.module is not self.main:
                continue
            owner_of_it = instances.get(id(function.scope.names))
            if owner_of_it is not None and function.kind != "staticmethod":
                function = self.bind(function, owner_of_it)
            self._guarded(partial(self.called, function, Given(more=True)))

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except FinishedError:
            pass
        except RecursionError:
            self.reasons.append("It is nested too deeply to be followed to the end.")

    def step(self) -> None:
        """Count a step.

        Raises
        ------
        FinishedError
            There were too many.
        """
        self._steps += 1
        if self._steps > MAX_STEPS or (
            self._steps % 512 == 0 and time.monotonic() - self._begun > MAX_SECONDS
        ):
            self.reasons.append("It is too long to be followed to the end.")
            raise FinishedError

    def spend(self, *values: object) -> None:
        """Count the work that a computation of large values is.

        Raises
        ------
        FinishedError
            There was too much.
        """
        sizes = [len(value) for value in values if isinstance(value, Sized)]
        self._steps += sum(sizes) // 16
        self.step()

    def shake(self, reason: str) -> None:
        """Know nothing more of plain names, as text that is not known was executed."""
        for module in (self.main, *filter(None, self._modules.values())):
            for name, value in module.names.items():
                if not isinstance(value, Thing) and name != "__name__":
                    module.names[name] = UNKNOWN
        for parser in self.made_parsers:
            parser.escape(reason)

    def enter(self, entry: Entry) -> None:
        """Take note that the command line is read here.

        Raises
        ------
        FinishedError
            Nothing that comes later matters.
        """
        self.entries.append(entry)
        if entry.strict and not entry.conditions:
            raise FinishedError

    @property
    def maybe(self) -> bool:
        """Whether it is not known that what is read now takes place."""
        return bool(self.conditions)

    def doubt(self) -> int:
        """Make what follows depend on one more thing that is not known."""
        self._doubts += 1
        self.conditions = (*self.conditions, self._doubts)
        return self._doubts

    @contextmanager
    def perhaps(self) -> Iterator[None]:
        """Read something that may not take place."""
        doubt = self.doubt()
        try:
            yield
        finally:
            self.conditions = tuple(one for one in self.conditions if one != doubt)

    def give_away(self, given: Given) -> None:
        """Let somebody who is not known have the arguments: they may be changed."""
        if given.decorates:
            return
        reason = f"`{given.text}` in line {given.line} may add others."
        for value in given.everything():
            self.lose(value, reason)

    def lose(self, value: object, reason: str) -> None:
        """Know nothing more of a list or dict, and not all of a parser."""
        if isinstance(value, Thing):
            value.escape(reason)
        elif isinstance(value, list | tuple | dict) and bounded(value):
            for item in [*value.values()] if isinstance(value, dict) else list(value):
                self.lose(item, reason)
        if isinstance(value, list):
            value[:] = [OPEN]
        elif isinstance(value, dict):
            value.clear()
            value[OPEN] = OPEN

    # Functions and classes.

    def bind(self, function: Function, first: object) -> Function:
        """Give a method."""
        return Function(
            function.node, function.scope, first, function.wrapped, function.marks, "bound",
            function.defaults,
        )  # fmt: skip

    def called(self, function: Function, given: Given) -> object:
        """Follow a call of a function of the project.

        Notes
        -----
        A call of itself, and what is too deep, is not followed.
        """
        self.followed.add(function.node)
        if function.node in self._active or len(self._active) >= MAX_DEPTH:
            self.give_away(given)
            return UNKNOWN
        if function.wrapped:
            given = Given(more=True, line=given.line, text=given.text)
        scope = Scope(self._arguments(function, given), function.scope, function.scope.module)
        self._active.append(function.node)
        conditions = self.conditions
        try:
            if isinstance(function.node, ast.Lambda):
                return self.evaluation.value(function.node.body, scope)
            signal = self.statements.block(function.node.body, scope)
        finally:
            self._active.pop()
            self.conditions = conditions
        ends = signal.leaves
        results = scope.returns if ends and scope.returns else [*scope.returns, None]
        if _is_generator(function.node):
            return UNKNOWN
        return results[0] if all(one is results[0] for one in results) else same(results)

    def _arguments(self, function: Function, given: Given) -> dict[str, object]:
        arguments = function.node.args
        names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
        values = list(given.values)
        if function.bound is not MISSING:
            values.insert(0, function.bound)
        found: dict[str, object] = dict(function.defaults)
        if given.more:
            found = dict.fromkeys(found, UNKNOWN)
        found |= dict(zip(names, values, strict=False))
        if arguments.vararg is not None:
            rest: list[object] = [OPEN] if given.more else values[len(names) :]
            found[arguments.vararg.arg] = tuple(rest)
        named = [*names, *(one.arg for one in arguments.kwonlyargs)]
        found |= {name: value for name, value in given.named.items() if name in named}
        if arguments.kwarg is not None:
            extra: dict[object, object] = {OPEN: OPEN} if given.more else {}
            extra |= {name: one for name, one in given.named.items() if name not in named}
            found[arguments.kwarg.arg] = extra
        return dict.fromkeys(named, UNKNOWN) | found

    def made(self, owner: Class, given: Given) -> object:
        """Make an instance of a class of the project."""
        if owner.is_enum:
            return self._member(owner, given)
        instance = Instance(owner)
        maker = owner.find("__init__")
        if isinstance(maker, Function):
            self.called(self.bind(maker, instance), given)
        else:
            self.make_base(instance, given)
            for one in owner.line_of_classes():
                for field in one.fields if isinstance(one, Class) else ():
                    instance.names.setdefault(field.name, UNKNOWN)
        return instance

    def make_base(self, instance: Instance, given: Given) -> None:
        """Make what a base of another package makes of an instance."""
        for name in instance.owner.external_bases():
            base = self.library.bases.get(name)
            if base is not None and instance.base is None:
                instance.base = base(self, instance.owner, given)

    @staticmethod
    def _member(owner: Class, given: Given) -> object:
        for member in owner.members():
            if given.values and member.value == given.values[0]:
                return member
        return UNKNOWN

    # Modules.

    def imported(self, name: str) -> object:
        """Give a module: the project's, or the name of another package's."""
        if name not in self._modules:
            self._modules[name] = self._load(name)
            if self._modules[name] is None:
                self.library.learn(name.partition(".")[0])
        module = self._modules[name]
        return External(name) if module is None else module

    def strange_packages(self) -> list[str]:
        """Name the imported packages of others of which nothing is known."""
        names = {name.partition(".")[0] for name, one in self._modules.items() if one is None}
        known = self.library.harmless | sys.stdlib_module_names | _FLAGLESS
        return sorted(names - known)

    def _load(self, name: str) -> Module | None:
        outer = name.rpartition(".")[0]
        if outer and not isinstance(self.imported(outer), Module):
            return None
        path = self.project.find(name)
        if path is None:
            return None
        module = Module(name, path)
        module.names["__name__"] = name
        if path.is_dir():
            module.package = name
            return module
        module.package = name if path.name == "__init__.py" else outer
        self._modules[name] = module  # as Python has it, where modules import each other
        try:
            tree, module.source = self.project.parse(path)
        except UnreadableError as error:
            self.reasons.append(f"The module {name} {error}.")
            return module
        conditions, self.conditions = self.conditions, ()
        active, self._active = self._active, [*self._active, *[tree] * 4]
        try:
            if len(self._active) < MAX_DEPTH * 4:
                self.statements.block(tree.body, module.scope())
        finally:
            self.conditions, self._active = conditions, active
        return module


def _is_generator(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> bool:
    """Whether it yields, itself and not in a function within."""
    waiting: list[ast.AST] = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
    return False
