"""What statements do to names."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.imports import imported_names
from anylearn_jupyter.notebook.parsers.operations import MAX_ITEMS
from anylearn_jupyter.notebook.parsers.things import (
    MISSING,
    OPEN,
    Class,
    EnumMember,
    External,
    Field,
    Function,
    Given,
    Instance,
    Module,
    Scope,
    Thing,
    same,
)
from anylearn_jupyter.notebook.script_parser import UNKNOWN

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter

MAX_TURNS = 1000
"""A loop over more items than that is not followed item by item."""

_ENDS = ("sys.exit", "builtins.exit", "builtins.quit", "os._exit", "os.abort")
_READERS = ("argparse", "click", "typer", "tyro", "simple_parsing", "hydra", "absl", "fire",
            "transformers")  # fmt: skip
_HARMLESS_DECORATORS = ("functools.", "builtins.", "contextlib.", "typing.", "dataclasses.")


class Signal(Enum):
    """How a block ends."""

    ON = "on"
    BREAK = "break"
    CONTINUE = "continue"
    RETURN = "return"
    DEAD = "dead"

    @property
    def leaves(self) -> bool:
        """Whether what stands below is not reached."""
        return self is not Signal.ON


class Statements:
    """Carries statements out.

    Parameters
    ----------
    run : Interpreter
        Whose.
    """

    def __init__(self, run: Interpreter) -> None:
        self._run = run
        self._kinds: dict[type[ast.stmt], Callable[..., Signal]] = {
            ast.Expr: self._expression,
            ast.Assign: self._assign,
            ast.AnnAssign: self._annotated,
            ast.AugAssign: self._augmented,
            ast.FunctionDef: self._function,
            ast.AsyncFunctionDef: self._function,
            ast.ClassDef: self._class,
            ast.Return: self._return,
            ast.If: self._if,
            ast.For: self._for,
            ast.AsyncFor: self._for,
            ast.While: self._while,
            ast.With: self._with,
            ast.AsyncWith: self._with,
            ast.Try: self._try,
            ast.Match: self._match,
            ast.Import: self._import,
            ast.ImportFrom: self._import,
            ast.Raise: self._raise,
            ast.Delete: self._delete,
            ast.Global: self._global,
            ast.Nonlocal: self._nonlocal,
            ast.Assert: self._assert,
            ast.Break: lambda statement, scope: Signal.BREAK,
            ast.Continue: lambda statement, scope: Signal.CONTINUE,
        }

    def block(self, statements: Iterable[ast.stmt], scope: Scope) -> Signal:
        """Carry statements out, as far as they are reached."""
        for statement in statements:
            self._run.step()
            carry_out = self._kinds.get(type(statement))
            signal = Signal.ON if carry_out is None else carry_out(statement, scope)
            if signal.leaves:
                return signal
        return Signal.ON

    def _value(self, node: ast.expr, scope: Scope) -> object:
        return self._run.evaluation.value(node, scope)

    # Simple ones.

    def _expression(self, statement: ast.Expr, scope: Scope) -> Signal:
        value = statement.value
        self._value(value, scope)
        if isinstance(value, ast.Call):
            called = self._run.evaluation.quiet_name(value.func, scope)
            if called in _ENDS:
                return Signal.DEAD
        return Signal.ON

    def _assign(self, statement: ast.Assign, scope: Scope) -> Signal:
        value = self._value(statement.value, scope)
        for target in statement.targets:
            self.bind(target, value, scope)
        return Signal.ON

    def _annotated(self, statement: ast.AnnAssign, scope: Scope) -> Signal:
        if statement.value is not None:
            self.bind(statement.target, self._value(statement.value, scope), scope)
        return Signal.ON

    def _augmented(self, statement: ast.AugAssign, scope: Scope) -> Signal:
        target = statement.target
        old = self._value(target, scope)
        more = self._value(statement.value, scope)
        if isinstance(old, list) and isinstance(statement.op, ast.Add):
            items = more if isinstance(more, list | tuple) and not self._run.maybe else [OPEN]
            old[:] = [*old, *items] if len(old) + len(items) <= MAX_ITEMS else [OPEN]
            return Signal.ON
        value = self._run.evaluation.combined(old, statement.op, more)
        self.bind(target, value, scope)
        return Signal.ON

    def _return(self, statement: ast.Return, scope: Scope) -> Signal:
        value = None if statement.value is None else self._value(statement.value, scope)
        scope.returns.append(value)
        return Signal.RETURN

    def _raise(self, statement: ast.Raise, scope: Scope) -> Signal:
        if statement.exc is not None:
            self._value(statement.exc, scope)
        return Signal.DEAD

    def _assert(self, statement: ast.Assert, scope: Scope) -> Signal:
        self._value(statement.test, scope)
        return Signal.ON

    def _delete(self, statement: ast.Delete, scope: Scope) -> Signal:
        for target in statement.targets:
            if isinstance(target, ast.Name):
                scope.names.pop(target.id, None)
            elif isinstance(target, ast.Subscript):
                self._run.lose(self._value(target.value, scope), "")
        return Signal.ON

    def _global(self, statement: ast.Global, scope: Scope) -> Signal:
        scope.elsewhere |= dict.fromkeys(statement.names, scope.module.scope())
        return Signal.ON

    def _nonlocal(self, statement: ast.Nonlocal, scope: Scope) -> Signal:
        for name in statement.names:
            outer = scope.outer
            while outer is not None and name not in outer.names:
                outer = outer.outer
            if outer is not None:
                scope.elsewhere[name] = outer
        return Signal.ON

    # Names.

    def bind(self, target: ast.expr, value: object, scope: Scope) -> None:
        """Let a target stand for a value."""
        if isinstance(target, ast.Name):
            self._name(target.id, value, scope)
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target.elts, value, scope)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, UNKNOWN, scope)
        elif isinstance(target, ast.Attribute):
            self._attribute(target, value, scope)
        elif isinstance(target, ast.Subscript):
            self._item(target, value, scope)

    def _name(self, name: str, value: object, scope: Scope) -> None:
        place = scope.elsewhere.get(name)
        if place is None:
            scope.names[name] = value
        else:
            self._put(place.names, name, value)

    def _put(self, names: dict[str, object], name: str, value: object) -> None:
        """Change a name that outlives the branch: under a condition it may be either."""
        if self._run.maybe and name in names and names[name] is not value:
            value = UNKNOWN
        names[name] = value

    def _unpack(self, targets: list[ast.expr], value: object, scope: Scope) -> None:
        items = list(value) if isinstance(value, list | tuple) and OPEN not in value else None
        starred = any(isinstance(one, ast.Starred) for one in targets)
        if items is None or starred or len(items) != len(targets):
            items = [UNKNOWN] * len(targets)
        for target, item in zip(targets, items, strict=True):
            self.bind(target, item, scope)

    def _attribute(self, target: ast.Attribute, value: object, scope: Scope) -> None:
        owner = self._value(target.value, scope)
        if isinstance(owner, Instance | Class | Module):
            self._put(owner.names, target.attr, value)
        elif isinstance(owner, External):
            if f"{owner.name}.{target.attr}" == "sys.argv" or owner.name.startswith(_READERS):
                self._run.reasons.append(
                    f"{owner.name}.{target.attr} is changed in line {target.lineno}."
                )
            if isinstance(value, Thing):
                value.escape(f"It is handed over in line {target.lineno}.")
        elif isinstance(owner, Thing):
            owner.set_attribute(target.attr, value, f"line {target.lineno}")
        elif isinstance(value, Thing):
            value.escape(f"It is handed over in line {target.lineno}.")

    def _item(self, target: ast.Subscript, value: object, scope: Scope) -> None:
        owner = self._value(target.value, scope)
        if isinstance(target.slice, ast.Slice):
            key: object = UNKNOWN
        else:
            key = self._value(target.slice, scope)
        if isinstance(owner, dict) and isinstance(key, str | int) and not self._run.maybe:
            owner[key] = value
        elif isinstance(owner, Thing):
            owner.attribute(self._run, "__setitem__")
            owner.escape(f"It is changed in line {target.lineno}.")
        else:
            self._run.lose(owner, f"It is changed in line {target.lineno}.")
            self._run.lose(value, f"It is handed over in line {target.lineno}.")

    def _import(self, statement: ast.Import | ast.ImportFrom, scope: Scope) -> Signal:
        for name, value in imported_names(self._run, statement, scope.module):
            self._name(name, value, scope)
        return Signal.ON

    # Definitions.

    def _function(self, statement: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> Signal:
        function = Function(statement, scope)
        arguments = statement.args
        places = [*arguments.posonlyargs, *arguments.args]
        first = len(places) - len(arguments.defaults)
        pairs = [*zip(places[first:], arguments.defaults, strict=True)]
        pairs += [
            (one, default)
            for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if default is not None
        ]
        function.defaults = {one.arg: self._value(default, scope) for one, default in pairs}
        self._run.functions.append(function)
        scope.names[statement.name] = self._decorated(function, statement.decorator_list, scope)
        return Signal.ON

    def _decorated(self, function: Function, nodes: list[ast.expr], scope: Scope) -> object:
        found: object = function
        for node in reversed(nodes):
            decorator = self._value(node, scope)
            name = self._run.evaluation.quiet_name(node, scope)
            if name in ("builtins.staticmethod", "builtins.classmethod", "builtins.property"):
                function.kind = name.rpartition(".")[2]
                continue
            before = found
            if isinstance(decorator, Thing):
                given = Given([found], line=node.lineno, decorates=True)
                found = decorator.call(self._run, given)
            else:
                found = UNKNOWN
            if found is UNKNOWN:
                # Most of them wrap a function and call it; with which arguments is not known.
                found = before
                if not str(name).startswith(_HARMLESS_DECORATORS):
                    function.wrapped = True
        return found

    def _class(self, statement: ast.ClassDef, scope: Scope) -> Signal:
        bases = [self._value(base, scope) for base in statement.bases]
        made = Class(statement, scope, bases)
        self._run.classes.append(made)
        inner = Scope(made.names, scope, scope.module)
        for one in statement.body:
            self._run.step()
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                default = MISSING if one.value is None else self._value(one.value, inner)
                made.fields.append(Field(one.target.id, one.annotation, default, scope, one.lineno))
                if one.value is not None:
                    made.names[one.target.id] = default
            else:
                self.block([one], inner)
        if made.is_enum:
            self._number_members(made)
        found: object = made
        for node in reversed(statement.decorator_list):
            decorator = self._value(node, scope)
            if isinstance(decorator, Thing):
                changed = decorator.call(self._run, Given([made], line=node.lineno, decorates=True))
                found = made if changed is UNKNOWN else changed
        scope.names[statement.name] = found
        return Signal.ON

    @staticmethod
    def _number_members(owner: Class) -> None:
        number = 0
        for name, value in list(owner.names.items()):
            if name.startswith("_") or isinstance(value, Function):
                continue
            if isinstance(value, External) or value is UNKNOWN:
                text = any(base == "enum.StrEnum" for base in owner.external_bases())
                number += 1
                value = UNKNOWN if value is UNKNOWN else name.lower() if text else number
            elif isinstance(value, int):
                number = value
            owner.names[name] = EnumMember(owner, name, value)

    # Branches and loops.

    def branches(self, ways: list[Callable[[], Signal]], scope: Scope) -> Signal:
        """Go every way, as it is not known which one is taken; what differs is `UNKNOWN`."""
        before = dict(scope.names)
        ends: list[tuple[Signal, dict[str, object]]] = []
        for way in ways:
            scope.names.clear()
            scope.names.update(before)
            with self._run.perhaps():
                signal = way()
            ends.append((signal, dict(scope.names)))
        alive = [end for end in ends if end[0] is not Signal.DEAD]
        going_on = [names for signal, names in alive if signal is Signal.ON]
        scope.names.clear()
        scope.names.update(_merged(going_on or [names for _, names in ends]))
        if not alive:
            return Signal.DEAD
        if not going_on:
            return Signal.RETURN if len({one for one, _ in alive}) > 1 else alive[0][0]
        if len(going_on) < len(alive):  # some of them left: what follows may not take place
            doubt = self._run.doubt()
            if any(signal is Signal.RETURN for signal, _ in alive):
                scope.sticky = (*scope.sticky, doubt)
        return Signal.ON

    def _if(self, statement: ast.If, scope: Scope) -> Signal:
        test = self._run.evaluation.truth(statement.test, scope)
        if test is not None:
            return self.block(statement.body if test else statement.orelse, scope)
        return self.branches(
            [
                lambda: self.block(statement.body, scope),
                lambda: self.block(statement.orelse, scope),
            ],
            scope,
        )

    def _for(self, statement: ast.For | ast.AsyncFor, scope: Scope) -> Signal:
        items = self._run.evaluation.items(self._value(statement.iter, scope))
        if items is None or len(items) > MAX_TURNS:
            self.bind(statement.target, UNKNOWN, scope)
            return self._unknown_loop([statement.target], statement.body, statement.orelse, scope)
        conditions = self._run.conditions
        signal = Signal.ON
        for item in items:
            before = self._run.conditions
            self.bind(statement.target, item, scope)
            signal = self.block(statement.body, scope)
            if self._run.conditions != before:  # perhaps it went on with the next item, or ended
                self._forget([*statement.body, ast.Expr(statement.target)], scope)
            if signal in (Signal.BREAK, Signal.RETURN, Signal.DEAD):
                break
        self._restore(conditions, scope)
        if signal in (Signal.RETURN, Signal.DEAD):
            return signal
        return Signal.ON if signal is Signal.BREAK else self.block(statement.orelse, scope)

    def _while(self, statement: ast.While, scope: Scope) -> Signal:
        self._forget([statement], scope)
        test = self._run.evaluation.truth(statement.test, scope)
        if test is False:
            return self.block(statement.orelse, scope)
        return self._unknown_loop([], statement.body, statement.orelse, scope)

    def _unknown_loop(
        self, targets: list[ast.expr], body: list[ast.stmt], orelse: list[ast.stmt], scope: Scope
    ) -> Signal:
        """Go once through a loop of which the turns are not known."""
        self._forget(body, scope)
        for target in targets:
            self.bind(target, UNKNOWN, scope)
        conditions = self._run.conditions
        self.branches([lambda: self._turn(body, scope), lambda: Signal.ON], scope)
        self._restore(conditions, scope)
        return self.block(orelse, scope)

    def _restore(self, conditions: tuple[int, ...], scope: Scope) -> None:
        """Forget at a loop's end which turns were in doubt, but not that it may have returned."""
        more = [one for one in scope.sticky if one not in conditions]
        self._run.conditions = (*conditions, *more)

    def _turn(self, body: list[ast.stmt], scope: Scope) -> Signal:
        signal = self.block(body, scope)
        return Signal.ON if signal in (Signal.BREAK, Signal.CONTINUE) else signal

    def _forget(self, body: Iterable[ast.stmt], scope: Scope) -> None:
        """Know nothing more of the names that a loop's later turns find changed."""
        for statement in body:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    old = scope.names.get(node.id)
                    if not isinstance(old, Thing):
                        self._name(node.id, UNKNOWN, scope)

    def _with(self, statement: ast.With | ast.AsyncWith, scope: Scope) -> Signal:
        for item in statement.items:
            value = self._value(item.context_expr, scope)
            if item.optional_vars is not None:
                self.bind(item.optional_vars, value, scope)
        names = [
            self._run.evaluation.quiet_name(item.context_expr, scope) for item in statement.items
        ]
        if "contextlib.suppress" not in names:
            return self.block(statement.body, scope)
        return self.branches(
            [
                lambda: self.block(statement.body, scope),
                lambda: self._cut_short(statement.body, scope),
            ],
            scope,
        )

    def _cut_short(self, body: list[ast.stmt], scope: Scope) -> Signal:
        """Leave a block somewhere in its midst."""
        self._forget(body, scope)
        return Signal.ON

    def _try(self, statement: ast.Try, scope: Scope) -> Signal:
        # An exception that ends the script, or that only an interrupt makes, changes nothing here.
        catching = [one for one in statement.handlers if not self._ends(one)]
        if not catching:
            signal = self.block([*statement.body, *statement.orelse], scope)
        else:
            ways: list[Callable[[], Signal]] = [
                lambda: self.block([*statement.body, *statement.orelse], scope)
            ]
            ways += [partial(self._handler, one, statement, scope) for one in catching]
            signal = self.branches(ways, scope)
        last = self.block(statement.finalbody, scope)
        return last if last.leaves else signal

    def _handler(self, handler: ast.ExceptHandler, statement: ast.Try, scope: Scope) -> Signal:
        self._cut_short(statement.body, scope)
        if handler.name is not None:
            scope.names[handler.name] = UNKNOWN
        return self.block(handler.body, scope)

    def _ends(self, handler: ast.ExceptHandler) -> bool:
        if handler.type is not None and ast.unparse(handler.type) == "KeyboardInterrupt":
            return True
        last = handler.body[-1]
        exits = isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)
        return isinstance(last, ast.Raise) or (
            exits and ast.unparse(last).startswith(("sys.exit(", "exit(", "quit(", "os._exit("))
        )

    def _match(self, statement: ast.Match, scope: Scope) -> Signal:
        self._value(statement.subject, scope)
        for case in statement.cases:
            for node in ast.walk(case.pattern):
                name = getattr(node, "name", None) or getattr(node, "rest", None)
                if isinstance(name, str):
                    scope.names[name] = UNKNOWN
        ways: list[Callable[[], Signal]] = [
            partial(self.block, case.body, scope) for case in statement.cases
        ]
        return self.branches([*ways, lambda: Signal.ON], scope)


def _merged(ends: list[dict[str, object]]) -> dict[str, object]:
    """Join what names stand for at the ends of branches."""
    names = dict.fromkeys(name for end in ends for name in end)
    return {
        name: UNKNOWN if any(name not in end for end in ends) else same([end[name] for end in ends])
        for name in names
    }
