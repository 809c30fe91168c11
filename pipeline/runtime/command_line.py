"""Command lines as argparse reads them, and what it leaves out: ranges, outputs, and every problem in one message.

    parser = CommandParser(description="...", inputs=("file",))
    parser.add_argument("file", type=Path)
    parser.add_number("--members", int, "networks of an ensemble", default=1, low=1)
    parser.add_output("--out", OutputFolder(kind="potential"), "folder of the potential")
    options = parser.read(arguments)                  # raises OptionsError, before anything is computed

Negative numbers may be written in any way (-1e-1), and the help tells default, range and unit of every option.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runtime.outputs import OutputFile, OutputFolder, output_problems
from pipeline.runtime.stage import OptionsError

__all__ = ["CommandParser", "OptionsError", "message_of"]

Check = Callable[[argparse.Namespace], Iterable[str]]
SIGNS = {"low": ">=", "above": ">", "high": "<=", "below": "<"}


@dataclass(frozen=True, kw_only=True)
class Number:
    """What an option may hold."""

    name: str
    kind: type[int] | type[float]
    limits: dict[str, float]
    unit: str

    def expected(self) -> str:
        """In words, as the help and messages tell it."""
        limits = " and ".join(f"{SIGNS[side]} {limit:g}" for side, limit in self.limits.items())
        words = ("whole number" if self.kind is int else "number", limits, f"[{self.unit}]" if self.unit else "")
        return " ".join(word for word in words if word)

    def read(self, text: str) -> int | float:
        """Raises ValueError where it is none, or out of range."""
        value = self.kind(text)
        inside = {
            "low": lambda limit: value >= limit,
            "above": lambda limit: value > limit,
            "high": lambda limit: value <= limit,
            "below": lambda limit: value < limit,
        }
        if not math.isfinite(value) or not all(inside[side](limit) for side, limit in self.limits.items()):
            raise ValueError
        return value


class CommandParser(argparse.ArgumentParser):
    """`inputs`: names of the arguments that hold paths which the command reads."""

    def __init__(self, *arguments: Any, inputs: Sequence[str] = (), **keywords: Any) -> None:  # noqa: ANN401
        self.inputs = tuple(inputs)
        self.numbers: dict[str, Number] = {}
        self.outputs: dict[str, OutputFile | OutputFolder] = {}
        super().__init__(*arguments, **keywords)
        self.set_defaults(used_parser=self)  # the innermost one, where there are commands in commands

    def add_argument(self, *names: Any, **keywords: Any) -> argparse.Action:  # noqa: ANN401
        """As argparse's; the help tells the default, or that the option must be given."""
        action = super().add_argument(*names, **keywords)
        if not action.option_strings or action.dest == "help":
            return action
        told = action.help or ""
        if action.required:
            action.help = f"{told} (required)".strip()
        elif "(default" not in told:
            action.help = f"{told} (default: {'off' if action.default is False else '%(default)s'})".strip()
        return action

    def add_number(
        self,
        name: str,
        kind: type[int] | type[float],
        what: str,
        *,
        unit: str = "",
        default: float | None = None,
        unset: str = "",
        required: bool = False,
        nargs: str | None = None,
        metavar: str | None = None,
        **limits: float,
    ) -> None:
        """An option that holds a number, or several. `limits`: low and high are allowed, above and below not.

        `unset` tells in words what holds without the option, where `default` is None.
        """
        number = Number(name=name, kind=kind, limits=limits, unit=unit)
        told = f"{what}; {number.expected()}" + (f" (default: {unset})" if unset else "")
        self.add_argument(name, help=told, default=default, required=required, nargs=nargs, metavar=metavar)
        self.numbers[_attribute(name)] = number

    def add_output(
        self,
        name: str,
        output: OutputFile | OutputFolder,
        what: str,
        *,
        metavar: str,
        default: Path | None = None,
        required: bool = True,
    ) -> None:
        """An option that names what is written; first of all that holds files adds --overwrite."""
        required = required and default is None
        told = what if required or default else f"{what} (default: none)"
        self.add_argument(name, type=Path, required=required, default=default, metavar=metavar, help=told)
        if isinstance(output, OutputFile) and not any(isinstance(known, OutputFile) for known in self.outputs.values()):
            self.add_argument("--overwrite", action="store_true", help="replace output files that are there already")
        self.outputs[_attribute(name)] = output

    def read(self, arguments: Sequence[str] | None, check: Check | None = None) -> argparse.Namespace:
        """Parse, and raise OptionsError that lists all that is wrong with numbers and outputs.

        `check` returns further problems; it is asked where all numbers are in their ranges.
        """
        words = sys.argv[1:] if arguments is None else arguments
        # argparse takes -1e-1 for an option, and what begins with a space for a value.
        options = self.parse_args([f" {word}" if _is_negative(word) else word for word in words])
        used: CommandParser = options.__dict__.pop("used_parser")
        problems = used._read_numbers(options)
        if check is not None and not problems:
            problems += check(options)
        problems += used._output_problems(options)
        if problems:
            raise OptionsError("\n  ".join(dict.fromkeys(problems)))
        return options

    def _read_numbers(self, options: argparse.Namespace) -> list[str]:
        problems = []
        for attribute, number in self.numbers.items():
            given = getattr(options, attribute)
            found = []
            for text in given if isinstance(given, list) else [given]:
                try:
                    found.append(number.read(text) if isinstance(text, str) else text)
                except (ValueError, OverflowError):  # such as 1e999 of a whole number
                    problems.append(f"{number.name}: found {text.strip()}, expected a {number.expected()}")
            setattr(options, attribute, found if isinstance(given, list) else next(iter(found), None))
        return problems

    def _output_problems(self, options: argparse.Namespace) -> list[str]:
        given = [getattr(options, name) for name in self.inputs]
        inputs = [path for value in given for path in (value if isinstance(value, list) else [value]) if path]
        overwrite = getattr(options, "overwrite", False)
        return [
            f"--{name.replace('_', '-')}: {problem}"
            for name, output in self.outputs.items()
            if (path := getattr(options, name)) is not None
            for problem in output_problems(path, output, inputs=inputs, overwrite=overwrite)
        ]


def message_of(make: Callable[[], object]) -> list[str]:
    """What stands against making this, for `check`: the message of the ValueError, or nothing."""
    try:
        make()
    except ValueError as error:
        return [str(error)]
    return []


def _attribute(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _is_negative(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return word.startswith("-")
