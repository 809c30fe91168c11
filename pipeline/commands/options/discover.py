"""What `latentlaw discover` is asked: a file, the array in it, and what is known of its rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pipeline.commands.options.declaring import Option, Options, message_of

__all__ = ["DiscoverOptions"]


@dataclass(frozen=True, kw_only=True)
class DiscoverOptions(Options):
    """Find what varies in your own curves or images.

    Variational autoencoders compress the rows of an array; the report says what each latent does, which input or known
    quantity it follows on rows kept for testing, beside principal components and summaries of the curve, and gives a
    formula of each latent by the inputs. Writes report.html, discover.json and latents.zarr to a folder. Reads Zarr,
    NetCDF, HDF5, NPZ, CSV and Parquet; nothing of params.yaml.
    """

    data: Annotated[Path, Option("the file or store", argument=True, metavar="DATA", read=True)]
    array: Annotated[
        str,
        Option(
            "the array (row, point) or (row, height, width); of a table a pattern of columns, 'a_*'", metavar="NAME"
        ),
    ]
    inputs: Annotated[
        str, Option("numbers of each row that formulas are made of: a,b,c", metavar="A,B", unset="none")
    ] = ""
    known: Annotated[
        str, Option("other numbers of each row to compare latents with: q1,q2", metavar="Q,R", unset="none")
    ] = ""
    units: Annotated[
        str,
        Option(
            "of the inputs, and of the axis: a=kg/s^2,b=kg,axis=s; formulas are then made of dimensionless groups",
            metavar="A=UNIT,B=UNIT", unset="formulas are made of the inputs as they are",
        ),
    ] = ""  # fmt: skip
    group: Annotated[
        str | None,
        Option("what rows share that are copies of one another", metavar="NAME", unset="equal inputs"),
    ] = None
    axis: Annotated[Literal["linear", "log", "symlog"], Option("scale of the axis in pictures")] = "linear"
    symmetry: Annotated[
        Literal["none", "mirror"], Option("mirror: f(-w) belongs to the data with f(w); latents are even or odd")
    ] = "none"
    quick: Annotated[bool, Option("a first look in a minute or two")] = False
    seed: Annotated[int, Option("of the split, the trainings and the searches", low=0)] = 0
    drop_not_finite: Annotated[bool, Option("leave out rows with values that are not finite, and count them")] = False
    out: Annotated[Path, Option("folder to write", metavar="FOLDER", kind="discovery")] = Path("discovery")

    @property
    def input_names(self) -> list[str]:
        return names_of(self.inputs)

    @property
    def known_names(self) -> list[str]:
        return names_of(self.known)

    def problems(self) -> list[str]:
        given = [*self.input_names, *self.known_names]
        problems = [f"--inputs, --known: found {q!r} twice" for q in dict.fromkeys(given) if given.count(q) > 1]
        problems += [
            f"--inputs: found {name!r}, expected a name of letters, digits and _ , as it stands in a formula"
            for name in self.input_names
            if not name.isidentifier()
        ]
        if self.units:
            from pipeline.discover.units import AXIS, read_units

            problems += [f"--units: {problem}" for problem in message_of(lambda: read_units(self.units))]
            if not problems and (unlike := sorted(set(self.input_names) ^ (read_units(self.units).keys() - {AXIS}))):
                problems.append(
                    f"--units: found {', '.join(unlike)}, expected a unit for every input, 1 where it has none"
                )
        if not given:
            problems.append("--inputs, --known: found neither, expected at least one quantity to compare latents with")
        return problems


def names_of(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
