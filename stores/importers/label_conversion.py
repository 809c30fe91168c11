"""Foreign labels to eV and A in place, refused where magnitudes contradict units or signs that nobody named."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.importers.label_units import (
    ENERGY_EV,
    LENGTH_A,
    energy_units_of,
    force_factor,
    implausible_forces,
    share_attracted,
    slope,
    stress_factor,
)
from stores.importers.labelled import LabelSettings, Reading
from stores.importers.stress_check import look_at_stress

__all__ = ["to_eV_A"]

SLOPE = (0.75, 1.33)  # energy differences over work between neighbouring records: what counts as agreement
ATTRACTED = 0.8
ENOUGH = 20


def to_eV_A(
    columns: dict[str, NDArray[Any]],
    settings: LabelSettings,
    reading: Reading,
    names: Sequence[str],
    notes: list[str],
) -> dict[str, str]:
    """Convert in place and say in which units each label was. Raises ValueError where magnitudes contradict."""
    key = reading.keys.get("energy", "energy")
    units = settings.units or reading.usual_units
    betrayed = energy_units_of(columns["energy"], columns["number"].astype(np.int64), columns["first_atom"])
    kinds = [str(kind) for kind in np.unique(betrayed) if kind]
    if len(kinds) > 1:
        first = [f"{names[int(np.flatnonzero(betrayed == kind)[0])]} in {kind}" for kind in kinds]
        raise ValueError(
            f"key {key!r}: found energies in several units ({'; '.join(first)}), expected one; split the file"
        )
    if kinds and kinds[0] != units:
        row = int(np.flatnonzero(betrayed == kinds[0])[0])
        share = np.mean(betrayed == kinds[0])
        found = (
            f"{names[row]}, key {key!r}: found {columns['energy'][row]:.8g} for {columns['n_atoms'][row]} atoms, the "
            f"size of a total energy in {kinds[0]} ({share:.0%} of the records), expected {units}"
        )
        if settings.units is None:
            raise ValueError(f"{found}; name the unit: --units {kinds[0]}, or --units {units} if it is right")
        notes.append(f"note: {found}; taken as {units}, as named")
    force_units = settings.force_units or f"{units}/{settings.length_units}"
    length = LENGTH_A[settings.length_units]
    columns["position"] *= length
    columns["cell"] *= length
    columns["energy"] *= ENERGY_EV[units]
    stress_units = settings.stress_units or f"{units}/{settings.length_units}^3"
    columns["stress"] *= stress_factor(stress_units) * (-1 if settings.stress_sign == "vasp" else 1)
    columns["force"] *= force_factor(force_units) * (-1 if settings.force_sign == "gradients" else 1)
    force_key = reading.keys.get("forces", "forces")
    odd = implausible_forces(columns["force"])
    if odd and settings.units is None and settings.force_units is None:
        raise ValueError(
            f"{names[0]} and others, key {force_key!r}: taken as {force_units} {odd}; name the units: --units ENERGY, "
            "or --force-units ENERGY/LENGTH where they are not those of energy and length"
        )
    if odd:
        notes.append(f"note: key {force_key!r}, taken as {force_units}, as named: {odd}")
    _check_forces(columns, settings, f"{names[0]} and others, key {force_key!r}", notes)
    _check_stress(columns, settings, stress_units, reading.keys.get("stress", "stress"), names, notes)
    return {"energy": units, "forces": force_units, "stress": stress_units, "charges": "e"}


def _check_forces(columns: Mapping[str, NDArray[Any]], settings: LabelSettings, where: str, notes: list[str]) -> None:
    """Whether forces agree with energies between neighbouring records; see label_units."""
    numbers, n_atoms = columns["number"].astype(np.int64), columns["n_atoms"].astype(np.int64)
    atoms = (numbers, columns["position"], columns["force"], columns["first_atom"], n_atoms)
    quotient = slope(columns["energy"], *atoms)
    if quotient is not None and not SLOPE[0] < quotient < SLOPE[1]:
        said = (
            f"{where}: found energies that change by {quotient:.3g} times the work of the forces from record to "
            "record, expected 1"
        )
        if settings.force_sign is None and -SLOPE[1] < quotient < -SLOPE[0]:
            raise ValueError(
                f"{said}; the file holds gradients: name --force-sign gradients, or --force-sign forces if they are not"
            )
        if settings.units is None and settings.force_units is None and settings.force_sign is None:
            raise ValueError(f"{said}; the units of forces and energies differ: name --units, --force-units")
        notes.append(f"note: {said}; taken as named")
    share, n_looked = share_attracted(*atoms)
    if quotient is None and n_looked >= ENOUGH and share > ATTRACTED:
        notes.append(
            f"note: {where}: the two closest atoms are driven together in {share:.0%} of {n_looked} records; make sure "
            "that these are no gradients (--force-sign gradients)"
        )


def _check_stress(
    columns: Mapping[str, NDArray[Any]],
    settings: LabelSettings,
    units: str,
    key: str,
    names: Sequence[str],
    notes: list[str],
) -> None:
    """Whether stresses agree with energies; see stress_check."""
    finding = look_at_stress(columns, units)
    if finding is None:
        return
    has = np.flatnonzero(np.isfinite(columns["stress"]).all(axis=(1, 2)))
    where = f"{names[int(has[0])]} and others, key {key!r}: taken as {units}, "
    where += "positive under compression" if settings.stress_sign == "vasp" else "positive under tension"
    cures = []
    if "units" in finding.wrong and settings.stress_units is None:
        cures.append("--stress-units " + (" or ".join(finding.suspected) or "UNITS"))
    if "sign" in finding.wrong and settings.stress_sign is None:
        cures.append("--stress-sign vasp")
    if cures:
        kept = f"--stress-units {units} --stress-sign {settings.stress_sign or 'ase'}"
        raise ValueError(
            f"{where}, {finding.told}; name what it is: {' '.join(cures)}; or {kept} if it is right as it stands; or "
            "--stress-key none to import without"
        )
    notes.append(f"{'note' if finding.wrong else 'stress'}: {where}: {finding.told}")
