"""Command-line options of all importers of labelled atoms, and the reference energies they may ask for."""

import argparse
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.physics.atoms.reference_energies import b3lyp_atoms, least_squares, robust
from pipeline.runtime.command_line import CommandParser
from pipeline.runtime.outputs import OutputFolder
from stores.atoms import ATOMS
from stores.building import store_kind
from stores.importers.grouping import POLICIES
from stores.importers.label_store import References
from stores.importers.label_units import ENERGY_EV, LENGTH_A
from stores.importers.labelled import LabelSettings

__all__ = ["add_label_options", "label_settings", "references_by"]


def add_label_options(parser: CommandParser, *, level: str, stress: bool = False) -> None:
    """Options after which `label_settings` asks. `level`: of the format, where the user names none."""
    store = OutputFolder(kind=store_kind(ATOMS), suffixes=(".zarr",))
    parser.add_output("--out", store, "the store to write", metavar="STORE.zarr")
    parser.add_argument("--level", default=level, help="level of theory of all labels")
    parser.add_argument("--units", choices=tuple(ENERGY_EV), help="of energies (default: usual ones of the format)")
    parser.add_argument("--length-units", choices=tuple(LENGTH_A), default="A", help="of positions and cells")
    parser.add_argument("--force-units", metavar="E/L", help="such as Ha/Bohr (default: units/length units)")
    parser.add_argument(
        "--force-sign",
        choices=("forces", "gradients"),
        help="what the force key holds (default: forces; refused where energies of the same frames say otherwise)",
    )
    if stress:
        units = "such as eV/A^3, GPa, kbar (default: units/length units^3)"
        parser.add_argument("--stress-units", metavar="UNITS", help=units)
        sign = "positive under tension (ase; a virial is -V stress) or under compression (vasp) (default: ase)"
        parser.add_argument("--stress-sign", choices=("ase", "vasp"), help=sign)
    parser.add_argument(
        "--group",
        default="auto",
        metavar="BY",
        help=f"what a split keeps together: {', '.join(POLICIES)}",
    )
    far = "largest distance of an energy from the others of its composition"
    parser.add_number(
        "--far-energy", float, far, unit="eV/atom", metavar="EV", above=0, unset="15, more if they spread"
    )
    parser.add_argument("--drop-bad", action="store_true", help="leave out records that cannot be used, and name them")
    parser.add_argument(
        "--references",
        default="auto",
        metavar="HOW",
        help="reference energies of atoms: of isolated atoms in the data, else by least squares (auto), "
        "least_squares, robust, none, or given [eV] as H=-13.6,C=-1029.8",
    )


def label_settings(options: argparse.Namespace) -> LabelSettings:
    """What the options ask for. Raises ValueError that lists all that is wrong."""
    return LabelSettings(
        level=options.level,
        units=options.units,
        length_units=options.length_units,
        force_units=options.force_units,
        force_sign=options.force_sign,
        stress_units=getattr(options, "stress_units", None),
        stress_sign=getattr(options, "stress_sign", None),
        far_eV_atom=options.far_energy,
        group=options.group,
        drop_bad=options.drop_bad,
    )


def references_by(how: str, *, energy: str = "U0") -> References | None:
    """Reference energies of the elements in the data by one of the methods, `b3lyp` for QM9's `energy`.

    Raises ValueError for a method that is not known.
    """
    if how == "none":
        return None
    if how in ("auto", "least_squares"):
        return lambda numbers, counts, energies: least_squares(numbers, counts, energies).as_mapping()
    if how == "robust":
        return lambda numbers, counts, energies: robust(numbers, counts, energies).as_mapping()
    return _given(b3lyp_atoms(energy) if how == "b3lyp" else _parsed(how))


def _given(energies: Mapping[int, float]) -> References:
    def of_elements(
        numbers: NDArray[np.int64], counts: NDArray[np.int64], labels: NDArray[np.float64]
    ) -> dict[int, float]:
        if missing := [int(number) for number in numbers if int(number) not in energies]:
            raise ValueError(f"references: found none for the elements {missing}, expected all; add them")
        return {int(number): energies[int(number)] for number in numbers}

    return of_elements


def _parsed(text: str) -> dict[int, float]:
    from ase.data import atomic_numbers

    energies = {}
    for word in text.split(","):
        symbol, _, energy = word.partition("=")
        try:
            energies[int(atomic_numbers[symbol.strip()])] = float(energy)
        except (KeyError, ValueError):
            raise ValueError(
                f"references: found {word!r}, expected least_squares, robust, auto, none, or SYMBOL=ENERGY,... like "
                "H=-13.6"
            ) from None
    return energies
