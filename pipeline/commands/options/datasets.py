"""What `latentlaw import-dataset FORMAT` is asked of labelled atoms: files, keys, units, groups, reference energies."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pipeline.commands.options.declaring import Option, Options, message_of

if TYPE_CHECKING:
    from stores.importers.labelled import LabelSettings

__all__ = ["FilesOptions", "ForceKey", "FrameOptions", "Key", "LabelOptions", "Level"]

UNITS = "stores.importers.label_units:ENERGY_EV"
LENGTHS = "stores.importers.label_units:LENGTH_A"
USUAL = "the format's usual one"
Files = Annotated[list[Path], Option("all become one store, of one level", argument=True, metavar="FILE", read=True)]
Level = Annotated[str, Option("level of theory of all labels")]
Key = Annotated[str | None, Option("of the energies", metavar="KEY", unset=USUAL)]
ForceKey = Annotated[
    str | None,
    Option("of the forces", metavar="KEY", unset=f"{USUAL}, if it is there", words=("--force-key", "--forces-key")),
]


@dataclass(frozen=True, kw_only=True)
class LabelOptions(Options):
    """Of all formats of labelled atoms."""

    out: Annotated[Path, Option("the store to write", metavar="STORE.zarr", kind="store of atoms", suffixes=(".zarr",))]
    level: Level = "not stated"
    units: Annotated[str | None, Option("of energies: eV, Ha, ...", names=UNITS, unset="those of the format")] = None
    length_units: Annotated[str, Option("of positions and cells: A, Bohr, nm", names=LENGTHS)] = "A"
    force_units: Annotated[str | None, Option("such as Ha/Bohr", metavar="E/L", unset="units/length units")] = None
    force_sign: Annotated[
        Literal["forces", "gradients"] | None,
        Option("what the force key holds", unset="forces; refused where energies of the same frames say otherwise"),
    ] = None
    group: Annotated[
        str, Option("what a split keeps together: auto, label, file, block:N, composition, connectivity, record")
    ] = "auto"
    far_energy: Annotated[
        float | None,
        Option(
            "largest distance of an energy from the others of its composition",
            unit="eV/atom", metavar="EV", above=0, unset="15, more if they spread",
        ),
    ] = None  # fmt: skip
    drop_bad: Annotated[bool, Option("leave out records that cannot be used, and name them")] = False
    references: Annotated[
        str,
        Option(
            "reference energies of atoms: of isolated atoms in the data, else by least squares (auto), least_squares, "
            "robust, none, or given [eV] as H=-13.6,C=-1029.8"
        ),
    ] = "auto"

    def problems(self) -> list[str]:
        from pipeline.atoms.reference_choice import references_by

        return [*message_of(self.label_settings), *message_of(lambda: references_by(self.references))]

    def label_settings(self) -> "LabelSettings":
        """Raises ValueError that lists all that is wrong."""
        from stores.importers.labelled import LabelSettings

        return LabelSettings(
            level=self.level,
            units=self.units,
            length_units=self.length_units,
            force_units=self.force_units,
            force_sign=self.force_sign,
            far_eV_atom=self.far_energy,
            group=self.group,
            drop_bad=self.drop_bad,
        )


@dataclass(frozen=True, kw_only=True)
class FilesOptions(LabelOptions):
    """Of all formats but QM9."""

    files: Files


@dataclass(frozen=True, kw_only=True)
class FrameOptions(FilesOptions):
    """Of the formats that ASE reads."""

    energy_key: Key = None
    force_key: ForceKey = None
    stress_key: Annotated[
        str | None,
        Option("of the stresses; none: leave them out", metavar="KEY", unset="the usual one, if it is there"),
    ] = None
    virial_key: Annotated[str | None, Option("of the virial, instead of a stress", metavar="KEY", unset="none")] = None
    charge_key: Annotated[str | None, Option("charges of atoms [e]", metavar="KEY", unset="none")] = None
    group_key: Annotated[str | None, Option("names what a split keeps together", metavar="KEY", unset="none")] = None
    stress_units: Annotated[
        str | None, Option("such as eV/A^3, GPa, kbar", metavar="UNITS", unset="units/length units^3")
    ] = None
    stress_sign: Annotated[
        Literal["ase", "vasp"] | None,
        Option("positive under tension (ase; a virial is -V stress) or under compression (vasp)", unset="ase"),
    ] = None

    def label_settings(self) -> "LabelSettings":
        from dataclasses import replace

        return replace(super().label_settings(), stress_units=self.stress_units, stress_sign=self.stress_sign)
