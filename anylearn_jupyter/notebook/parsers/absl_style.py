"""absl flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.argparse_style import SUPPRESS
from anylearn_jupyter.notebook.parsers.interpreter import Entry
from anylearn_jupyter.notebook.parsers.library import Library, Model
from anylearn_jupyter.notebook.parsers.standard import CommandLine
from anylearn_jupyter.notebook.parsers.things import (
    Class,
    EnumMember,
    Given,
    Method,
    Thing,
    settled,
)
from anylearn_jupyter.notebook.script_parser import (
    UNKNOWN,
    Bounds,
    ListForm,
    ScriptOption,
    ScriptParser,
    Style,
)

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter

_OWN = ("verbosity", "stderrthreshold", "log_dir", "logger_levels", "flagfile", "undefok",
        "xml_output_file")  # fmt: skip
_OWN_TRUTHS = ("logtostderr", "alsologtostderr", "showprefixforinfo", "only_check_args", "pdb",
               "pdb_post_mortem", "run_with_pdb", "run_with_profiling",
               "use_cprofile_for_profiling")  # fmt: skip


@dataclass(eq=False)
class Flags(Thing):
    """The flags of a script and of all its modules, which share one place."""

    options: dict[str, ScriptOption] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def escape(self, reason: str) -> None:
        """Take note that others may add flags."""
        if reason not in self.reasons:
            self.reasons.append(reason)

    def call(self, run: Interpreter, given: Given) -> object:
        """Read the command line: ``FLAGS(sys.argv)``."""
        words = given.get(0, "argv", None)
        if not (isinstance(words, CommandLine) and words.start == 0):
            self.escape(f"They read other words than the command line in line {given.line}.")
        return self.enter(run, strict=given.get(1, "known_only", False) is False)

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give a flag's value, which is not known, or a method."""
        return Method(lambda run, given: UNKNOWN) if name not in self.options else UNKNOWN

    def enter(self, run: Interpreter, *, strict: bool = True) -> object:
        """Take note that the command line is read."""
        strange = run.strange_packages()
        if strange:
            self.escape(f"The package {strange[0]} may have flags of its own.")
        run.enter(Entry(self.describe, strict, run.conditions, self))
        return UNKNOWN

    def describe(self, script: str) -> ScriptParser:
        """Give the description."""
        own = [ScriptOption(names=(f"--{name}",), help=SUPPRESS) for name in _OWN]
        own += [_truth(name, help_text=SUPPRESS) for name in _OWN_TRUTHS]
        listed = [one for one in own if one.name not in self.options]
        help_option = ScriptOption(names=("--help", "--helpfull", "--helpshort"), action="help")
        rest = ScriptOption(names=("arguments",), nargs="*")
        return ScriptParser(
            script=script,
            options=(*self.options.values(), *listed, help_option, rest),
            complete=not self.reasons,
            allow_abbrev=False,
            style=Style.ABSL,
            reasons=tuple(self.reasons),
        )


def _truth(name: str, *, help_text: object = None, default: object = None) -> ScriptOption:
    return ScriptOption(
        names=(f"--{name}",),
        negations=(f"--no{name}",),
        action="boolean_optional",
        help=help_text if isinstance(help_text, str) else UNKNOWN,
        default=default,
    )


def _defining(kind: str, flags: Callable[[Interpreter], Flags]) -> Model:
    """Make a model of ``flags.DEFINE_kind``."""

    def model(run: Interpreter, given: Given) -> object:
        name = given.get(0, "name")
        if not isinstance(name, str) or given.more:
            flags(run).escape(f"A flag in line {given.line} is not written out.")
            return UNKNOWN
        option = _option(kind, name, given)
        if run.maybe and option.required is not False:
            option = replace(option, required=UNKNOWN)
        flags(run).options[name] = option
        return UNKNOWN

    return model


def _option(kind: str, name: str, given: Given) -> ScriptOption:
    default = _plain(given.get(1, "default", None))
    place = 3 if kind in ("enum", "enum_class", "multi_enum", "multi_enum_class") else 2
    required = given.get(None, "required", False)
    help_text = given.get(place, "help")
    if kind in ("bool", "boolean"):
        option = _truth(name, help_text=help_text, default=default)
        return replace(option, required=required if isinstance(required, bool) else UNKNOWN)
    short = given.get(None, "short_name", None)
    names = (f"--{name}",) if not isinstance(short, str) else (f"-{short}", f"--{name}")
    option = ScriptOption(
        names=names,
        type={"integer": "int", "float": "float"}.get(kind.removeprefix("multi_"), "str"),
        default=default,
        help=help_text if isinstance(help_text, str) else UNKNOWN,
        required=required if isinstance(required, bool) else UNKNOWN,
        bounds=_bounds(given),
    )
    if "enum" in kind:
        option = _with_choices(option, given)
    if kind.startswith("multi_"):
        option = replace(option, action="append", list_form=ListForm.AGAIN)
        single = isinstance(default, str | int | float)
        return replace(option, default=[default] if single else default)
    if kind == "list":
        words = default.split(",") if isinstance(default, str) else default
        return replace(option, list_form=ListForm.COMMAS, default=words)
    if kind == "spaceseplist":
        words = default.split() if isinstance(default, str) else default
        return replace(option, list_form=ListForm.SPACES, default=words)
    return option


def _plain(value: object) -> object:
    """Give a default; of an enumeration's member the name, as it is typed."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.name.lower() if isinstance(value, EnumMember) else settled(value)


def _with_choices(option: ScriptOption, given: Given) -> ScriptOption:
    """Give a flag its choices."""
    values = given.get(2, "enum_values", given.get(2, "enum_class"))
    if isinstance(values, Class) and values.is_enum:
        names = tuple(one.name.lower() for one in values.members())
        return replace(option, choices=names, type=None, ignore_case=True)
    found = settled(values)
    return replace(
        option,
        choices=tuple(found) if isinstance(found, list | tuple) else UNKNOWN,
        type=None,
        ignore_case=given.get(None, "case_sensitive", True) is not True,
    )


def _bounds(given: Given) -> Bounds | None:
    low, high = given.get(None, "lower_bound", None), given.get(None, "upper_bound", None)
    if not isinstance(low, int | float | None) or not isinstance(high, int | float | None):
        return None
    return None if low is None and high is None else Bounds(low, high)


def _required(flags: Callable[[Interpreter], Flags]) -> Model:
    def model(run: Interpreter, given: Given) -> object:
        names = given.get(0, "flag_names", given.get(0, "flag_name"))
        held = flags(run)
        for name in names if isinstance(names, list | tuple) else [names]:
            if isinstance(name, str) and name in held.options:
                required = UNKNOWN if run.maybe else True
                held.options[name] = replace(held.options[name], required=required)
        return None

    return model


def _app_run(flags: Callable[[Interpreter], Flags]) -> Model:
    def model(run: Interpreter, given: Given) -> object:
        held = flags(run)
        if given.get(1, "argv", None) is not None or "flags_parser" in given.named:
            held.escape(f"They are read in a way of their own in line {given.line}.")
        return held.enter(run)

    return model


def library() -> Library:
    """Give what is known of absl."""
    one = Flags()

    def flags(run: Interpreter) -> Flags:
        return one

    kinds = ("string", "integer", "float", "bool", "boolean", "enum", "enum_class", "list",
             "spaceseplist", "multi_string", "multi_integer", "multi_float", "multi_enum",
             "multi_enum_class")  # fmt: skip
    found = Library(harmless={"absl"})
    found.models = {f"absl.flags.DEFINE_{kind}": _defining(kind, flags) for kind in kinds}
    other = ("DEFINE", "DEFINE_alias", "DEFINE_flag", "adopt_module_key_flags_from")
    for name in other:
        found.models[f"absl.flags.{name}"] = _defining(name, lambda run: _escaping(one))
    found.models["absl.flags.mark_flag_as_required"] = _required(flags)
    found.models["absl.flags.mark_flags_as_required"] = _required(flags)
    found.models["absl.app.run"] = _app_run(flags)
    found.constants["absl.flags.FLAGS"] = one
    return found


def _escaping(flags: Flags) -> Flags:
    flags.escape("A flag is defined in a way that is not known here.")
    return Flags()
