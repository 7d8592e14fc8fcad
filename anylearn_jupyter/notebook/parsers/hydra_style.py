"""Hydra: ``@hydra.main`` and the YAML files of its configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.annotations import words_of
from anylearn_jupyter.notebook.parsers.dataclass_fields import (
    MAX_NESTED,
    fields_of,
    is_dataclass,
    nested_class,
    strange_bases,
)
from anylearn_jupyter.notebook.parsers.interpreter import Entry
from anylearn_jupyter.notebook.parsers.library import Library
from anylearn_jupyter.notebook.parsers.things import (
    MISSING,
    Class,
    External,
    Function,
    Given,
    Instance,
    Method,
    Thing,
)
from anylearn_jupyter.notebook.parsers.yaml_subset import YamlError, read_yaml
from anylearn_jupyter.notebook.script_parser import (
    UNKNOWN,
    ListForm,
    ScriptOption,
    ScriptParser,
    Style,
)

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter

MANDATORY = "???"

_PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)


@dataclass(eq=False)
class Store(Thing):
    """``ConfigStore``: configurations that are written as dataclasses."""

    nodes: dict[tuple[str, str], object] = field(default_factory=dict)
    unknown: bool = False

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give one of its methods."""
        return Method(self._store) if name == "store" else UNKNOWN

    def escape(self, reason: str) -> None:
        """Take note that others may store configurations."""
        self.unknown = True

    def _store(self, run: Interpreter, given: Given) -> object:
        name, node = given.get(0, "name"), given.get(1, "node")
        group = given.get(2, "group", None)
        known = isinstance(name, str) and isinstance(group, str | None)
        if not known or given.get(3, "package", None) is not None or run.maybe:
            self.unknown = True
        else:
            self.nodes[str(group or ""), str(name).removesuffix(".yaml")] = node
        return None


@dataclass(eq=False)
class Main(Thing):
    """A function under ``@hydra.main``."""

    function: Function
    given: Given
    store: Store

    def call(self, run: Interpreter, given: Given) -> object:
        """Read the command line."""
        composing = Composing(run, self.store, self.given, self.function)
        composing.primary()
        run.enter(Entry(composing.describe, True, run.conditions, self))
        return UNKNOWN


class Composing:
    """Puts a configuration together, as Hydra would without overrides."""

    def __init__(self, run: Interpreter, store: Store, given: Given, function: Function) -> None:
        self._run = run
        self._store = store
        self._name = given.get(1, "config_name", None)
        self._options: dict[str, ScriptOption] = {}
        self._reasons: list[str] = [
            "What is stored as a configuration is not known."
        ] * store.unknown
        self._folder = self._find_folder(given, function)
        self._depth = 0

    def _find_folder(self, given: Given, function: Function) -> Path | None:
        path = given.get(0, "config_path", None)
        file = function.scope.module.file
        if path is None:
            return None
        if not isinstance(path, str) or file is None or "://" in path:
            self._reasons.append("Where its configuration is cannot be told.")
            return None
        folder = Path(file).parent / path
        if not self._run.project.holds(folder) or not folder.is_dir():
            self._reasons.append(f"Its folder {path} is not in the code directory.")
            return None
        return folder

    def describe(self, script: str) -> ScriptParser:
        """Give the description."""
        return ScriptParser(
            script=script,
            options=tuple(self._options.values()),
            complete=not self._reasons,
            allow_abbrev=False,
            style=Style.HYDRA,
            reasons=tuple(dict.fromkeys(self._reasons)),
        )

    def primary(self) -> None:
        """Read the configuration that ``hydra.main`` names."""
        if self._name is None:
            return
        if not isinstance(self._name, str):
            self._reasons.append("The name of its configuration is not written out.")
            return
        self._config("", self._name.removesuffix(".yaml"), "", None)

    # Files.

    def _config(self, group: str, name: str, package: str, directive: str | None) -> None:
        """Read one configuration and what its defaults list names."""
        self._depth += 1
        try:
            if self._depth > MAX_NESTED:
                self._reasons.append("Its defaults lists are nested too deeply.")
                return
            found = self._load(group, name)
            if found is None:
                return
            content, text = found
            header = _PACKAGE.search(text)
            if directive is None and header is not None:
                package = {"_global_": "", "_group_": group.replace("/", ".")}.get(
                    header[1], header[1]
                )
            if isinstance(content, Class | Instance):
                self._structured(content, package)
            elif isinstance(content, dict):
                self._composed(content, group, package)
            elif content is not None:
                self._reasons.append(f"{group}/{name}.yaml is no mapping.".lstrip("/"))
        finally:
            self._depth -= 1

    def _load(self, group: str, name: str) -> tuple[object, str] | None:
        """Give a configuration's content and text; None where there is none that can be read."""
        shown = f"{group}/{name}.yaml".lstrip("/")
        if self._folder is not None:
            file = self._folder / shown
            if file.is_file() and self._run.project.holds(file):
                try:
                    text = file.read_text(encoding="utf-8")
                    return read_yaml(text), text
                except YamlError as error:
                    self._reasons.append(f"{shown} {error}.")
                    return None
                except (OSError, UnicodeDecodeError) as error:
                    self._reasons.append(f"{shown} cannot be read: {error}.")
                    return None
        node = self._store.nodes.get((group, name))
        if node is None:
            self._reasons.append(f"The configuration {shown} is not found.")
            return None
        return node, ""

    def _composed(self, content: dict[object, object], group: str, package: str) -> None:
        defaults = content.get("defaults", [])
        own = {key: value for key, value in content.items() if key != "defaults"}
        done = False
        for entry in defaults if isinstance(defaults, list) else []:
            if entry == "_self_":
                self._take(own, package)
                done = True
            elif isinstance(entry, str):
                self._named(entry, group, package)
            elif isinstance(entry, dict) and len(entry) == 1:
                ((key, value),) = entry.items()
                self._grouped(str(key), value, group, package)
            else:
                self._reasons.append("An item of a defaults list is not understood.")
        if not done:
            self._take(own, package)

    def _named(self, entry: str, group: str, package: str) -> None:
        """Follow an item that is a name: another configuration of the same group."""
        path, sign, place = entry.partition("@")
        if sign:
            package = "" if place == "_global_" else _dotted(package, place)
        outer, _, name = path.lstrip("/").rpartition("/")
        inner = outer if path.startswith("/") else "/".join(filter(None, [group, outer]))
        if outer and not sign:
            package = inner.replace("/", ".")
        self._config(inner, name, package, place if sign else None)

    def _grouped(self, key: str, value: object, group: str, package: str) -> None:
        """Follow an item ``group: name``, and know the group as an option."""
        optional, override = key.startswith("optional "), key.startswith("override ")
        key = key.removeprefix("optional ").removeprefix("override ").strip()
        path, sign, place = key.partition("@")
        path = (
            path.removeprefix("/")
            if path.startswith("/")
            else "/".join(filter(None, [group, path]))
        )
        if path == "hydra" or path.startswith("hydra/"):
            return
        inner = _dotted(package, place) if sign and place != "_global_" else path.replace("/", ".")
        inner = "" if place == "_global_" else inner
        names = value if isinstance(value, list) else [value]
        single = not isinstance(value, list)
        option = f"{path}@{place}" if sign else path
        self._options[option] = ScriptOption(
            names=(option,),
            keyed=True,
            choices=self._files(path),
            required=value == MANDATORY,
            default=None if value == MANDATORY else value,
            list_form=ListForm.WORDS if single else ListForm.LITERAL,
            help="a group of the configuration",
        )
        if override:
            self._reasons.append(f"A defaults list overrides {path}.")
            return
        for name in names:
            if isinstance(name, str) and "${" in name:
                self._reasons.append(f"Which {path} is taken depends on others.")
            elif (
                isinstance(name, str)
                and name != MANDATORY
                and not (optional and not self._exists(path, name))
            ):
                self._config(path, name.removesuffix(".yaml"), inner, place if sign else None)

    def _exists(self, group: str, name: str) -> bool:
        file = self._folder / group / f"{name}.yaml" if self._folder is not None else None
        return (group, name) in self._store.nodes or (file is not None and file.is_file())

    def _files(self, group: str) -> tuple[object, ...]:
        """Name the configurations of a group."""
        names = {name for place, name in self._store.nodes if place == group}
        if self._folder is not None and (self._folder / group).is_dir():
            names |= {one.stem for one in (self._folder / group).glob("*.yaml")}
        return tuple(sorted(names))

    # Keys.

    def _take(self, content: Mapping[object, object], package: str) -> None:
        """Know the keys of a mapping; what comes later overrides what came before."""
        for key, value in content.items():
            name = _dotted(package, str(key))
            if isinstance(value, dict) and value:
                self._options.pop(name, None)
                self._take(value, name)
                continue
            self._options[name] = ScriptOption(
                names=(name,),
                keyed=True,
                required=value == MANDATORY,
                default=None if value == MANDATORY else value,
                type=_type(value),
                typed=False,
                list_form=ListForm.LITERAL if isinstance(value, list | dict) else ListForm.WORDS,
            )

    def _structured(self, node: object, package: str) -> None:
        """Know the fields of a dataclass."""
        owner = node.owner if isinstance(node, Instance) else node
        assert isinstance(owner, Class)
        if not is_dataclass(owner) or strange_bases(owner):
            self._reasons.append(f"{owner.name} is not a dataclass that is written out.")
            return
        for each in fields_of(self._run, owner):
            name = _dotted(package, each.name)
            inner = nested_class(each)
            if each.name == "defaults":
                self._reasons.append(f"{owner.name} has a defaults list.")
            elif inner is not None:
                self._structured(inner, name)
            else:
                default = each.default_value(names=True)
                missing = (
                    each.default is MISSING
                    or default == MANDATORY
                    or (
                        isinstance(each.default, External)
                        and each.default.name == "omegaconf.MISSING"
                    )
                )
                many = each.shape.many or each.shape.length is not None
                self._options[name] = ScriptOption(
                    names=(name,),
                    keyed=True,
                    type=each.shape.type if not many else None,
                    choices=words_of(each.shape.choices, names=True),
                    required=UNKNOWN if isinstance(node, Instance) else missing,
                    default=UNKNOWN if isinstance(node, Instance) else None if missing else default,
                    help=each.help,
                    list_form=ListForm.LITERAL if many else ListForm.WORDS,
                    takes_none=each.shape.optional,
                )


def _dotted(package: str, name: str) -> str:
    return f"{package}.{name}" if package else name


def _type(value: object) -> str | None:
    """Give the type that a value of YAML shows; it binds nothing, so it is not checked."""
    kinds = {bool: "truth", int: "int", float: "float"}
    return kinds.get(type(value))


def library() -> Library:
    """Give what is known of Hydra."""
    store = Store()

    def main(run: Interpreter, given: Given) -> object:
        def decorate(run: Interpreter, inner: Given) -> object:
            function = inner.values[0] if inner.values else UNKNOWN
            return Main(function, given, store) if isinstance(function, Function) else UNKNOWN

        return Method(decorate)

    return Library(
        models={
            "hydra.main": main,
            "hydra.core.config_store.ConfigStore.instance": lambda run, given: store,
        },
        harmless={"hydra", "omegaconf"},
    )
