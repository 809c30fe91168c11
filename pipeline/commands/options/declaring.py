"""How a command declares what it is asked: a dataclass with one field for each option, which typer reads.

    @dataclass(frozen=True, kw_only=True)
    class TrainOptions(Options):
        \"\"\"Train a potential on any atoms store.\"\"\"          # the line of `latentlaw --help`

        store: Annotated[Path, Option("an atoms store", read=True)]
        members: Annotated[int, Option("networks of an ensemble", low=1)] = 1
        out: Annotated[Path, Option("folder of the potential", kind="potential")]

    app.command("train-potential", **declared(TrainOptions))(function_of(TrainOptions, run))

Before the command begins, everything is looked at and all problems stand in one message: numbers and their ranges,
choices, what is missing, what `Options.problems` finds, and where the outputs would lie (pipeline.runtime.outputs).
Nothing heavy is imported for help and completion.
"""

import importlib
import inspect
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

__all__ = ["Option", "Options", "declared", "function_of", "is_number", "message_of"]


@dataclass(frozen=True)
class Option:
    """What stands beside the type of a field. `unset` says in words what holds where the default is None.

    A number may be `low` or `high` themselves, but not `above` or `below`. Paths: `read` is an input; an output has
    `suffixes` (a file), or a `kind` as `stores.building.building` gets it (a folder or a store). `names`:
    "module:NAME" of a registry or a mapping of the words allowed, imported when they are needed. `words`: its names on
    the command line, where they are not that of the field.
    """

    help: str
    unit: str = ""
    unset: str = ""
    metavar: str | None = None
    low: float | None = None
    above: float | None = None
    high: float | None = None
    below: float | None = None
    argument: bool = False
    read: bool = False
    kind: str = ""
    suffixes: tuple[str, ...] = ()
    names: str = ""
    words: tuple[str, ...] = ()

    def expected(self, kind: type) -> str:
        """A number of this kind in words, as help and messages say it."""
        limits = " and ".join(f"{sign} {limit:g}" for sign, _, limit in self._limits())
        parts = ("whole number" if kind is int else "number", limits, f"[{self.unit}]" if self.unit else "")
        return " ".join(part for part in parts if part)

    def inside(self, value: float) -> bool:
        """Is it finite and within the limits?"""
        return math.isfinite(value) and all(holds(value, limit) for _, holds, limit in self._limits())

    def allowed(self) -> list[str]:
        module, _, name = self.names.partition(":")
        known = getattr(importlib.import_module(module), name)
        return known.names() if hasattr(known, "names") else [str(word) for word in known]

    def _limits(self) -> list[tuple[str, Callable[[float, float], bool], float]]:
        sides: list[tuple[str, Callable[[float, float], bool], float | None]] = [
            (">=", operator.ge, self.low),
            (">", operator.gt, self.above),
            ("<=", operator.le, self.high),
            ("<", operator.lt, self.below),
        ]
        return [(sign, holds, limit) for sign, holds, limit in sides if limit is not None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all commands ask. The docstring of a subclass is the help of its command."""

    free: ClassVar[bool] = False  # takes options of another program as they are

    def problems(self) -> list[str]:
        """What is wrong though each option by itself is right; asked only then."""
        return []


@dataclass(frozen=True)
class Wrong:
    """Stands in the place of a value that cannot be read, so that all of them are reported together."""

    problem: str


class Command(TyperCommand):
    """Reads all options before it says what is wrong, and gives an option of several values all that follow it."""

    options: ClassVar[type[Options]]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own context
        given, rest, _ = self.make_parser(ctx).parse_args(args=self._repeated(args))
        problems = []
        for parameter in sorted(self.get_params(ctx), key=lambda known: not known.is_eager):
            name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar
            try:
                value, rest = parameter.handle_parse_result(ctx, given, rest)
            except typer.BadParameter as error:
                problems.append(f"{name}: {error.message or 'found nothing, expected a value'}")
                continue
            values = value if isinstance(value, list | tuple) else [value]
            problems += [f"{name}: {wrong.problem}" for wrong in values if isinstance(wrong, Wrong)]
        if rest:
            problems.append(f"found {' '.join(rest)}, expected no more words")
        ctx.args = rest
        if not ctx.resilient_parsing:
            if not problems:
                problems += self.options(**ctx.params).problems()
            problems += _output_problems(self.options, ctx.params)
            if problems:
                ctx.fail("\n  ".join(dict.fromkeys(problems)))
        return rest

    def _repeated(self, words: Iterable[str]) -> list[str]:
        """--sizes 8 16 as --sizes 8 --sizes 16, as typer reads it."""
        several = {name for known in self.params if getattr(known, "multiple", False) for name in known.opts}
        result: list[str] = []
        current, n_values = "", 0
        for word in words:
            if current and (not word.startswith("-") or is_number(word)):
                result += [current, word] if n_values else [word]
                n_values += 1
                continue
            current, n_values = (word, 0) if word in several else ("", 0)
            result.append(word)
        return result


def declared(options: type[Options]) -> dict[str, Any]:
    """Keywords of typer's `command` for a command with these options."""
    settings = {"ignore_unknown_options": True} if options.free else {}
    return {
        "cls": type("DeclaredCommand", (Command,), {"options": options}),
        "help": inspect.getdoc(options),
        "context_settings": settings | {"help_option_names": ["--help", "-h"]},
    }


def function_of(options: type[Options], run: Callable[[Any], None]) -> Callable[..., None]:
    """A function with one parameter for each option, as typer wants it; calls `run` with the options."""

    def function(**values: Any) -> None:  # noqa: ANN401
        run(options(**values))

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in _typer_parameters(options).items()
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {}
    return function


def message_of(make: Callable[[], object]) -> list[str]:
    """What stands against making this: the message of the ValueError, or nothing."""
    try:
        make()
    except ValueError as error:
        return [str(error)]
    return []


def _typer_parameters(options: type[Options]) -> dict[str, tuple[Any, Any]]:
    """Annotation and default of each field."""
    hints = get_type_hints(options, include_extras=True)
    parameters = {}
    for field in fields(options):
        kind, option = get_args(hints[field.name])
        required = field.default is MISSING and field.default_factory is MISSING
        default = inspect.Parameter.empty if required else field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        parameters[field.name] = Annotated[kind, _typer_option(field.name, kind, option)], default
    return parameters


def _typer_option(name: str, kind: Any, option: Option) -> Any:  # noqa: ANN401 - types as they are annotated
    leaf = _leaf(kind)
    keywords: dict[str, Any] = {"help": option.help, "metavar": option.metavar, "show_default": option.unset or True}
    if leaf in (int, float):
        keywords["help"] = f"{option.help}; {option.expected(leaf)}"
        keywords["parser"] = _number_reader(leaf, option)
    elif get_origin(leaf) is Literal:
        keywords["parser"] = _word_reader(lambda: list(get_args(leaf)))
    elif option.names:
        keywords["parser"] = _word_reader(option.allowed)
        keywords["autocompletion"] = lambda incomplete: [w for w in option.allowed() if w.startswith(incomplete)]
    if option.argument:
        return typer.Argument(**keywords)
    return typer.Option(*(option.words or (f"--{name.replace('_', '-')}",)), **keywords)


def _leaf(kind: Any) -> Any:  # noqa: ANN401
    """int of int, int | None, list[int]."""
    inner = [part for part in get_args(kind) if part is not type(None)]
    return kind if get_origin(kind) is Literal or not inner else inner[0]


def _number_reader(kind: type[int] | type[float], option: Option) -> Callable[[str], Any]:
    def read(text: str) -> int | float | Wrong:
        try:
            value = kind(text)
            if option.inside(value):
                return value
        except (ValueError, OverflowError):  # such as 1e999 of a whole number
            pass
        return Wrong(f"found {text}, expected a {option.expected(kind)}")

    return read


def _word_reader(allowed: Callable[[], list[str]]) -> Callable[[str], Any]:
    def read(text: str) -> str | Wrong:
        return text if text in allowed() else Wrong(f"found {text!r}, expected one of {', '.join(allowed())}")

    return read


def _output_problems(options: type[Options], values: Mapping[str, Any]) -> list[str]:
    hints = get_type_hints(options, include_extras=True)
    known = {field.name: get_args(hints[field.name])[1] for field in fields(options)}
    outputs = {name: option for name, option in known.items() if option.kind or option.suffixes}
    if not outputs:
        return []
    from pipeline.runtime.outputs import OutputFile, OutputFolder, output_problems

    given = [values.get(name) for name, option in known.items() if option.read]
    inputs = [path for value in given for path in (value if isinstance(value, list) else [value]) if path]
    problems = []
    for name, option in outputs.items():
        if (path := values.get(name)) is not None:
            file = OutputFile(suffixes=option.suffixes)
            output = OutputFolder(kind=option.kind, suffixes=option.suffixes) if option.kind else file
            of_output = output_problems(path, output, inputs=inputs, overwrite=bool(values.get("overwrite")))
            problems += [f"--{name.replace('_', '-')}: {problem}" for problem in of_output]
    return problems


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
