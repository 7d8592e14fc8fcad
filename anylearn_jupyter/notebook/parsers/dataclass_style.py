"""Parsers made from dataclasses: HfArgumentParser, simple-parsing and tyro."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.annotations import shape_of, words_of
from anylearn_jupyter.notebook.parsers.argparse_style import Added, Parser, Rest
from anylearn_jupyter.notebook.parsers.dataclass_fields import (
    MAX_NESTED,
    Known,
    fields_of,
    is_dataclass,
    nested_class,
    strange_bases,
)
from anylearn_jupyter.notebook.parsers.interpreter import Entry
from anylearn_jupyter.notebook.parsers.library import Library
from anylearn_jupyter.notebook.parsers.standard import FieldDefault, made_by
from anylearn_jupyter.notebook.parsers.things import (
    MISSING,
    Class,
    External,
    Function,
    Given,
    Instance,
    Method,
    settled,
)
from anylearn_jupyter.notebook.script_parser import (
    UNKNOWN,
    ScriptOption,
    Style,
    Unknown,
)

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter

_HELP = ScriptOption(names=("-h", "--help"), action="help", help="show this help")
_TYRO_SAME = ("prog", "description", "console_outputs", "compact_help")


@dataclass(eq=False)
class DataclassParser(Parser):
    """A parser that takes dataclasses, beside what argparse's takes."""

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give one of its methods."""
        if name == "parse_args_into_dataclasses":
            return Method(self._parse_into)
        if name in ("parse_json_file", "parse_yaml_file", "parse_dict"):
            return Method(lambda run, given: UNKNOWN)
        if name == "add_arguments":
            return Method(self._add_dataclass)
        return super().attribute(run, name)

    def take(self, options: Iterator[ScriptOption | str], conditions: tuple[int, ...]) -> None:
        """Add options; a text is a reason why there may be others."""
        for one in options:
            if isinstance(one, str):
                self.escape(one)
                continue
            double = [added for added in self.added if set(added.option.names) & set(one.names)]
            if double and self.style is Style.SIMPLE_PARSING:
                self.escape(f"Two fields have the name {one.name}, and get longer ones.")
                self.added = [added for added in self.added if added not in double]
            else:
                self.added.append(Added(one, conditions))

    def _parse_into(self, run: Interpreter, given: Given) -> object:
        args = given.get(0, "args", None)
        strict = given.get(1, "return_remaining_strings", False) is False
        if args is not None:
            self.escape(f"It reads other words than the command line in line {given.line}.")
        if any(
            given.get(None, one, None) is not None for one in ("args_filename", "args_file_flag")
        ):
            self.escape("It reads a file of arguments, too.")
        conditions = run.conditions
        own = args is None
        entry = Entry(
            lambda script: self.describe(script, conditions), strict and own, conditions, self
        )
        run.enter(entry)
        return UNKNOWN

    def _add_dataclass(self, run: Interpreter, given: Given) -> object:
        owner, prefix = given.get(0, "dataclass"), given.get(2, "prefix", "")
        default = given.get(3, "default", None)
        if not isinstance(owner, Class) or not isinstance(prefix, str):
            self.escape(f"What is added in line {given.line} is not known.")
            return UNKNOWN
        options = simple_options(run, owner, prefix, default is not None)
        self.take(options, run.conditions)
        return UNKNOWN


# HfArgumentParser.


def _hf(run: Interpreter, given: Given) -> object:
    parser = DataclassParser(Style.HF)
    parser.added.append(Added(_HELP, ()))
    run.made_parsers.append(parser)
    types = given.get(0, "dataclass_types")
    many = types if isinstance(types, list | tuple) else [types]
    for one in many:
        if isinstance(one, Class):
            parser.take(_hf_options(run, one), run.conditions)
        else:
            name = one.name if isinstance(one, External) else "One of its dataclasses"
            parser.escape(f"{name} brings options that are not written out in the project.")
    return parser


def _hf_options(run: Interpreter, owner: Class) -> Iterator[ScriptOption | str]:
    for base in strange_bases(owner):
        yield f"{base} brings options that are not written out in the project."
    for each in fields_of(run, owner):
        names = [f"--{each.name}"]
        if "_" in each.name:
            names.append(f"--{each.name.replace('_', '-')}")
        metadata = each.metadata if isinstance(each.metadata, dict) else {}
        aliases = settled(metadata.get("aliases", []))
        if isinstance(aliases, str | list):
            names += [aliases] if isinstance(aliases, str) else list(map(str, aliases))
        option = _hf_option(each, tuple(names), metadata)
        yield option
        if each.default is True and each.shape.type == "truth" and not each.shape.many:
            yield ScriptOption(
                names=(f"--no_{each.name}", f"--no-{each.name.replace('_', '-')}"),
                action="store_false",
                default=False,
                dest=each.name,
                help=option.help,
            )


def _hf_option(each: Known, names: tuple[str, ...], metadata: dict[object, object]) -> ScriptOption:
    shape = each.shape
    choices: tuple[object, ...] | Unknown | None = words_of(shape.choices, names=False)
    if "choices" in metadata:
        found = settled(metadata["choices"])
        choices = tuple(found) if isinstance(found, list | tuple) else UNKNOWN
    help_text = metadata.get("help")
    known = isinstance(each.metadata, dict)
    option = ScriptOption(
        names=names,
        type=UNKNOWN if shape.length is not None else shape.type,
        choices=choices,
        required=each.default is MISSING,
        default=each.default_value(names=False),
        help=help_text if isinstance(help_text, str) or (help_text is None and known) else UNKNOWN,
        dest=each.name,
    )
    if shape.many:
        return replace(option, nargs="+")
    if shape.type == "truth" and (not shape.optional or each.default not in (None, MISSING)):
        default = False if each.default is MISSING else option.default
        return replace(option, nargs="?", required=False, default=default)
    return option


# simple-parsing.


def _simple(run: Interpreter, given: Given) -> object:
    parser = DataclassParser(Style.SIMPLE_PARSING)
    parser.added.append(Added(_HELP, ()))
    run.made_parsers.append(parser)
    for name in given.named:
        if name not in ("description", "prog", "epilog", "usage"):
            parser.escape(f"It is made with {name}.")
    return parser


def _simple_parse(run: Interpreter, given: Given) -> object:
    """Model ``simple_parsing.parse``."""
    parser = DataclassParser(Style.SIMPLE_PARSING)
    parser.added.append(Added(_HELP, ()))
    owner = given.get(0, "config_class")
    if not isinstance(owner, Class) or given.more:
        parser.escape(f"The class in line {given.line} is not known.")
    else:
        has_default = given.get(3, "default", None) is not None
        parser.take(simple_options(run, owner, "", has_default), ())
    for name in given.named:
        if name not in ("config_class", "dest", "default", "description"):
            parser.escape(f"It is given {name}.")
    run.enter(Entry(parser.describe, True, run.conditions, parser))
    return UNKNOWN


def simple_options(
    run: Interpreter, owner: Class, prefix: str, other_defaults: bool, depth: int = 0
) -> Iterator[ScriptOption | str]:
    """Give the options that simple-parsing makes: nested classes have no prefix."""
    for base in strange_bases(owner):
        yield f"{base} brings options that are not written out in the project."
    for each in fields_of(run, owner):
        inner = nested_class(each)
        if inner is not None and depth < MAX_NESTED:
            yield from simple_options(
                run, inner, prefix, other_defaults or _given_values(each), depth + 1
            )
            continue
        names = [f"--{prefix}{each.name}"]
        if len(each.name) == 1 and not prefix:
            names.insert(0, f"-{each.name}")
        option = _simple_option(each, tuple(names))
        if each.more.get("unknown") or not isinstance(each.metadata, dict):
            yield f"The field {each.name} is made in a way that is not known here."
        yield replace(option, default=UNKNOWN, required=UNKNOWN) if other_defaults else option


def _given_values(each: Known) -> bool:
    """Whether a nested default is made with values of its own."""
    return isinstance(each.default, Instance) and any(
        value is not UNKNOWN for value in each.default.names.values()
    )


def _simple_option(each: Known, names: tuple[str, ...]) -> ScriptOption:
    shape = each.shape
    choices = words_of(shape.choices, names=True)
    if "choices" in each.more:
        found = settled(each.more["choices"])
        choices = tuple(found) if isinstance(found, list | tuple) else None
    option = ScriptOption(
        names=(*(_aliases(each)), *names),
        type=shape.type,
        choices=None if choices is None else tuple(map(str, choices)),
        required=each.default is MISSING and not shape.optional,
        default=each.default_value(names=True),
        help=each.help,
    )
    if shape.many:
        return replace(option, nargs="*")
    if shape.length is not None:
        return replace(option, nargs=shape.length)
    if shape.type == "truth" and not shape.optional:
        return replace(option, nargs="?", negations=(f"--no{names[-1][2:]}",))
    return replace(option, nargs="?") if shape.optional else option


def _aliases(each: Known) -> tuple[str, ...]:
    found = settled(each.more.get("alias", []))
    texts = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return tuple(
        text if text.startswith("-") else f"{'-' if len(text) == 1 else '--'}{text}"
        for text in map(str, texts)
    )


def _simple_field(run: Interpreter, given: Given) -> object:
    """Model ``simple_parsing.field``."""
    default = given.get(0, "default")
    factory = given.get(None, "default_factory")
    if factory is not MISSING:
        default = made_by(run, factory)
    metadata = {"help": given.named["help"]} if "help" in given.named else {}
    odd = set(given.named) - {"default", "default_factory", "alias", "help", "init", "choices"}
    more = {name: one for name, one in given.named.items() if name in ("alias", "choices")}
    if odd or given.more:
        more["unknown"] = True
    return FieldDefault(default, metadata, given.get(None, "init", True), more)


def _simple_choice(run: Interpreter, given: Given) -> object:
    default = given.get(None, "default")
    first = given.values[0] if given.values else None
    choices = list(first) if isinstance(first, dict) else given.values
    more: dict[str, object] = {"choices": choices}
    if isinstance(first, Class) or given.more:
        more["unknown"] = True
    metadata = {"help": given.named["help"]} if "help" in given.named else {}
    return FieldDefault(default, metadata, True, more)


# tyro.


def _tyro(run: Interpreter, given: Given) -> object:
    """Model ``tyro.cli``."""
    parser = DataclassParser(Style.TYRO)
    parser.added.append(Added(_HELP, ()))
    parser.allow_abbrev = False
    target = given.get(0, "f")
    known_defaults = given.get(None, "default", MISSING) is MISSING
    if isinstance(target, Class) and is_dataclass(target) and not given.more:
        parser.take(tyro_options(run, target, "", known_defaults), ())
    elif isinstance(target, Function) and not given.more:
        parser.take(_tyro_parameters(run, target), ())
    else:
        parser.escape(f"What is read in line {given.line} is neither a dataclass nor a function.")
    for name in given.named:
        if name not in (*_TYRO_SAME, "f", "default"):
            parser.escape(f"It is given {name}.")
    strict = given.get(None, "return_unknown_args", False) is False
    run.enter(Entry(parser.describe, strict, run.conditions, parser))
    return UNKNOWN if strict else (UNKNOWN, Rest(parser))


def _tyro_parameters(run: Interpreter, function: Function) -> Iterator[ScriptOption | str]:
    arguments = function.node.args
    if arguments.vararg is not None or arguments.kwarg is not None or arguments.posonlyargs:
        yield "It has arguments by place, or any number of them."
    for one in (*arguments.args, *arguments.kwonlyargs):
        shape = shape_of(run, one.annotation, function.scope)
        default = function.defaults.get(one.arg, MISSING)
        each = Known(one.arg, shape, default, UNKNOWN, {}, {})
        yield from _tyro_field(run, each, "", True, 0)


def tyro_options(
    run: Interpreter, owner: Class, prefix: str, known_defaults: bool, depth: int = 0
) -> Iterator[ScriptOption | str]:
    """Give the options that tyro makes: nested classes have dotted names."""
    for base in strange_bases(owner):
        yield f"{base} brings options that are not written out in the project."
    for each in fields_of(run, owner):
        yield from _tyro_field(run, each, prefix, known_defaults, depth)


def _tyro_field(
    run: Interpreter, each: Known, prefix: str, known_defaults: bool, depth: int
) -> Iterator[ScriptOption | str]:
    inner = nested_class(each)
    if inner is not None and not each.shape.optional and depth < MAX_NESTED:
        known = known_defaults and not _given_values(each)
        yield from tyro_options(run, inner, f"{prefix}{each.name}.", known, depth + 1)
        return
    if any(not isinstance(one, str) for one in each.shape.extras):
        yield f"The field {each.name} is changed by what is not known here."
        return
    if each.shape.owner is not None and not each.shape.owner.is_enum:
        yield f"The field {each.name} is of a class that is given in its own way."
        return
    option = _tyro_option(each, prefix)
    yield option if known_defaults else replace(option, default=UNKNOWN, required=UNKNOWN)


def _tyro_option(each: Known, prefix: str) -> ScriptOption:
    shape = each.shape
    dashed = f"--{prefix}{each.name}".replace("_", "-")
    names = (dashed, f"--{prefix}{each.name}") if "_" in prefix + each.name else (dashed,)
    choices = words_of(shape.choices, names=True)
    option = ScriptOption(
        names=names,
        type=shape.type,
        choices=None if choices is None else tuple(map(str, choices)),
        required=each.default is MISSING,
        default=each.default_value(names=True),
        help=each.help,
        takes_none=shape.optional,
    )
    if shape.many:
        return replace(option, nargs="*")
    if shape.length is not None:
        return replace(option, nargs=shape.length)
    if shape.type != "truth":
        return option
    if shape.optional or each.default is MISSING:
        return replace(option, choices=("True", "False"), type=None)
    negations = tuple(
        f"--{one[2:].rpartition('.')[0]}{'.' if '.' in one else ''}no-{one[2:].rpartition('.')[2]}"
        for one in names
    )
    return replace(option, action="boolean_optional", type=None, negations=negations)


def library() -> Library:
    """Give what is known of libraries that read dataclasses."""
    return Library(
        models={
            "transformers.HfArgumentParser": _hf,
            "transformers.hf_argparser.HfArgumentParser": _hf,
            "simple_parsing.ArgumentParser": _simple,
            "simple_parsing.parse": _simple_parse,
            "simple_parsing.field": _simple_field,
            "simple_parsing.choice": _simple_choice,
            "simple_parsing.list_field": lambda run, given: FieldDefault(list(given.values)),
            "simple_parsing.mutable_field": lambda run, given: FieldDefault(
                made_by(run, given.get(0, "fn"))
            ),
            "tyro.cli": _tyro,
        },
    )
