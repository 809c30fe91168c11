"""Labels refused where magnitudes contradict units or signs that nobody named.

Forces are compared with energies (label_units), stresses with the energies of the same records. Between two records
i, j of the same atoms, near each other but for a strain, forces and stress are the gradient of the energy. With the
strain e and the move of fractional coordinates ds from i to j

    E_j - E_i + (F_i . ds cell_i + F_j . ds cell_j) / 2   ~   q (V_i s_i + V_j s_j) : e / 2,        q = 1

Elsewhere two things still tell. Squeezing raises the pressure: among records of one composition the stress grows with
the volume, by a bulk modulus that no matter has above 1,600 GPa. And stresses of 100 GPa are rare.

    q = -1            the other sign (positive under compression, as VASP prints it)
    q = 1/160, 1/1602 GPa or kbar taken as eV/A^3
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.importers.label_survey import Survey, units_of
from stores.importers.label_units import (
    PRESSURE_EV_A3,
    implausible_forces,
    share_attracted,
    slope,
    stress_factor,
)
from stores.importers.labelled import LabelSettings, Reading

__all__ = ["StressFinding", "check_units", "look_at_stress"]

SLOPE = (0.75, 1.33)  # energy differences over work between neighbouring records: what counts as agreement
ATTRACTED = 0.8
ENOUGH = 20


MAX_LOOKED_AT = 500


def check_units(survey: Survey, settings: LabelSettings, reading: Reading, notes: list[str]) -> None:
    """Raise ValueError where the labels contradict their units or signs; what is merely odd goes to `notes`."""
    units = units_of(settings, reading.usual_units)
    key = reading.keys.get("energy", "energy")
    _check_energies(survey, settings, units["energy"], reading.units_known, key, notes)
    where = f"{survey.name(0)} and others, key {reading.keys.get('forces', 'forces')!r}"
    rms = float(np.sqrt(survey.force_squares / survey.n_forces)) if survey.n_forces else 0.0
    if odd := implausible_forces(rms):
        if settings.units is None and settings.force_units is None:
            raise ValueError(
                f"{where}: taken as {units['forces']} {odd}; name the units: --units ENERGY, or --force-units "
                "ENERGY/LENGTH where they are not those of energy and length"
            )
        notes.append(f"note: {where.partition(' and others, ')[2]}, taken as {units['forces']}, as named: {odd}")
    _check_forces(survey, settings, where, notes)
    _check_stress(survey, settings, units["stress"], reading.keys.get("stress", "stress"), notes)


def _check_energies(
    survey: Survey, settings: LabelSettings, units: str, known: bool, key: str, notes: list[str]
) -> None:
    kinds = sorted(survey.betrayed)
    if not kinds and not known and settings.units is None:
        raise ValueError(
            f"{survey.name(0)} and others, key {key!r}: found no unit in the file and no total energies that would "
            f"tell it, expected to know it; name the unit: --units {units} or another"
        )
    if len(kinds) > 1:
        first = [f"{survey.betrayed[kind].record} in {kind}" for kind in kinds]
        raise ValueError(
            f"key {key!r}: found energies in several units ({'; '.join(first)}), expected one; split the file"
        )
    if kinds and kinds[0] != units:
        some = survey.betrayed[kinds[0]]
        said = (
            f"{some.record}, key {key!r}: found {some.energy:.8g} for {some.n_atoms} atoms, the "
            f"size of a total energy in {kinds[0]} ({some.n / len(survey.of['row']):.0%} of the records), expected "
            f"{units}"
        )
        if settings.units is None:
            raise ValueError(f"{said}; name the unit: --units {kinds[0]}, or --units {units} if it is right")
        notes.append(f"note: {said}; taken as {units}, as named")


def _check_forces(survey: Survey, settings: LabelSettings, where: str, notes: list[str]) -> None:
    """Whether forces agree with energies between neighbouring records; see label_units."""
    quotient = slope(survey.quotients)
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
    has_pairs = np.flatnonzero(survey.of["n_atoms"] > 1)
    if quotient is not None or not has_pairs.size:
        return
    some = survey.columns(has_pairs[:: max(1, len(has_pairs) // MAX_LOOKED_AT)])
    names = ("number", "position", "force", "first_atom", "n_atoms")
    share, n_looked = share_attracted(*(some[name] for name in names))
    if n_looked >= ENOUGH and share > ATTRACTED:
        notes.append(
            f"note: {where}: the two closest atoms are driven together in {share:.0%} of {n_looked} records; make sure "
            "that these are no gradients (--force-sign gradients)"
        )


def _check_stress(survey: Survey, settings: LabelSettings, units: str, key: str, notes: list[str]) -> None:
    """Whether stresses agree with energies."""
    finding = look_at_stress(survey, units)
    if finding is None:
        return
    first = survey.name(int(np.flatnonzero(survey.of["sequence"] >= 0)[0]))
    where = f"{first} and others, key {key!r}: taken as {units}, "
    where += "positive under compression" if settings.stress_sign == "vasp" else "positive under tension"
    cures = []
    if "units" in finding.wrong and settings.stress_units is None:
        cures.append("--stress-units " + (" or ".join(finding.suspected) or "UNITS"))
    if "sign" in finding.wrong and settings.stress_sign is None:
        cures.append("--stress-sign vasp")
    if cures:
        kept = f"--stress-units {units} --stress-sign {settings.stress_sign or 'ase'}"
        raise ValueError(
            f"{where}, {finding.message}; name what it is: {' '.join(cures)}; or {kept} if it is right as it stands; "
            "or --stress-key none to import without"
        )
    notes.append(f"{'note' if finding.wrong else 'stress'}: {where}: {finding.message}")


AGREE = (0.4, 2.5)  # strains of ten percent spoil the quotient by a third; units in use differ by ten and more
ABSURD = (0.1, 10.0)  # no error of a calculation explains a quotient outside of this
LARGEST_STRAIN, LARGEST_TURN, LARGEST_MOVE_A = 0.2, 0.1, 0.6
ENOUGH_PAIRS, MAX_PAIRS = 5, 3000
PAIRS_PER_RECORD = 8
N_ERRORS = 5.0
ENOUGH_VOLUMES, LEAST_SPREAD, CLEAR = 20, 0.02, 0.7
STIFFEST_EV_A3 = 10.0
USUAL_EV_A3 = 0.6
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class StressFinding:
    """What the numbers say: `wrong` is "" (agrees), "sign", "units", both, "odd" or "unknown"."""

    wrong: str
    message: str
    suspected: tuple[str, ...] = ()  # units


def look_at_stress(survey: Survey, units: str) -> StressFinding | None:
    """Stresses taken to have stood in `units`; None where there are none."""
    rows, stress = np.flatnonzero(survey.of["sequence"] >= 0), survey.of["stress"]
    if not rows.size or not stress[rows, 1].any():
        return None
    quotient, n_pairs = _quotient(survey, rows[np.isfinite(survey.of["energy"][rows])])
    if quotient is not None:
        return _verdict(quotient, n_pairs, units)
    modulus, clarity = _modulus(survey, rows)
    usual = float(np.median(stress[rows, 1]))
    if usual > USUAL_EV_A3 or (clarity > CLEAR and modulus > STIFFEST_EV_A3):
        message = (
            f"found stresses of {usual:.3g} eV/A^3 ({usual / PRESSURE_EV_A3['GPa']:.0f} GPa) in the typical record, "
            f"expected at most {USUAL_EV_A3:g}"
            if usual > USUAL_EV_A3
            else f"found a bulk modulus of {modulus / PRESSURE_EV_A3['GPa']:.0f} GPa from record to record, expected "
            f"at most {STIFFEST_EV_A3 / PRESSURE_EV_A3['GPa']:.0f}"
        )
        return StressFinding(wrong="units", message=message, suspected=("GPa", "kbar"))
    if clarity < -CLEAR:
        message = "found stresses that fall as the volume grows, expected them to rise"
        return StressFinding(wrong="sign", message=message)
    return StressFinding(
        wrong="unknown",
        message="sign and unit could not be checked: too few records of the same atoms at different strains near each "
        "other; the size is not suspicious",
    )


def _verdict(quotient: float, n_pairs: int, units: str) -> StressFinding:
    said = f"found energies that change by {quotient:.3g} times the work of the stress ({n_pairs} pairs of records)"
    size, sign = abs(quotient), "sign" if quotient < 0 else ""
    if AGREE[0] < size < AGREE[1]:
        return StressFinding(wrong=sign, message=f"{said}, expected 1" if sign else f"{said}: sign and unit agree")
    here = stress_factor(units)
    suspected = tuple(
        unit for unit in ("eV/A^3", *PRESSURE_EV_A3) if AGREE[0] < size * here / stress_factor(unit) < AGREE[1]
    )
    if suspected or not ABSURD[0] < size < ABSURD[1]:
        return StressFinding(wrong=f"{sign} units".strip(), message=f"{said}, expected 1", suspected=suspected)
    return StressFinding(wrong=sign or "odd", message=f"{said}, expected 1 (a small basis has a Pulay stress)")


def _quotient(survey: Survey, rows: NDArray[np.intp]) -> tuple[float | None, int]:
    """The q of least absolute residuals, and of how many pairs; None where it does not stand out of its error."""
    sequence = survey.of["sequence"][rows]
    order = np.argsort(sequence, kind="stable")
    groups = np.split(rows[order], np.flatnonzero(np.diff(sequence[order])) + 1)
    groups = sorted((group for group in groups if len(group) > 1), key=lambda group: int(group[0]))
    most = max(10, MAX_PAIRS // max(1, len(groups)))
    pairs = [pair for group in groups[:MAX_PAIRS] for pair in _pairs(survey.of["volume"], group, most)]
    if not pairs:
        return None, 0
    needed = np.unique(pairs)
    columns = survey.columns(needed)
    compared = [_change_and_work(columns, *map(int, np.searchsorted(needed, pair))) for pair in pairs]
    near = [(*change, pair) for change, pair in zip(compared, pairs, strict=True) if change is not None]
    paired = {row for *_, pair in near for row in pair}
    change, work = np.array([some[:2] for some in near]).reshape(-1, 2).T
    if len(near) < ENOUGH_PAIRS or not work.any():
        return None, 0
    change, work = change[work != 0], work[work != 0]
    quotients = change / work
    order = np.argsort(quotients)
    weight = np.cumsum(np.abs(work[order]))
    quotient = float(quotients[order][np.searchsorted(weight, weight[-1] / 2)])
    residual = 1.4826 * float(np.median(np.abs(change - quotient * work)))
    error = residual / float(np.sqrt((work**2).sum() * min(1.0, len(paired) / len(work))))
    return (None, 0) if not abs(quotient) > N_ERRORS * error else (quotient, len(work))


def _pairs(volume_A3: FloatArray, group: NDArray[np.int64], most: int) -> list[tuple[int, int]]:
    """Neighbours in volume and in the file, and some at random."""
    by_volume = group[np.argsort(volume_A3[group], kind="stable")]
    rng = np.random.default_rng(0)
    pairs = [*pairwise(by_volume), *pairwise(group)]
    if len(pairs) > most:
        pairs = [pairs[k] for k in rng.permutation(len(pairs))[:most]]
    drawn = rng.choice(group, size=(min(most, PAIRS_PER_RECORD * len(group)), 2))
    several = {(min(one, other), max(one, other)) for one, other in [*pairs, *drawn.tolist()] if one != other}
    return [(int(one), int(other)) for one, other in sorted(several)]


def _change_and_work(columns: Mapping[str, NDArray[Any]], one: int, other: int) -> tuple[float, float] | None:
    """Change of the energy that forces do not explain, and work of the stress [eV]; None where too far apart."""
    cells, places, forces = [], [], []
    for row in (one, other):
        atoms = slice(int(columns["first_atom"][row]), int(columns["first_atom"][row] + columns["n_atoms"][row]))
        cells.append(columns["cell"][row])
        places.append(np.linalg.solve(columns["cell"][row].T, columns["position"][atoms].T).T)
        force = columns["force"][atoms]
        forces.append(force if np.isfinite(force).all() else np.zeros_like(force))
    deformation = np.linalg.solve(cells[0], cells[1])
    both = deformation + np.eye(3)
    if abs(np.linalg.det(both)) < 1.0:  # 8 where they are the same; else they are far from it
        return None
    gradient = 2 * np.linalg.solve(both.T, (deformation - np.eye(3)).T).T
    strain, turn = (gradient + gradient.T) / 2, (gradient - gradient.T) / 2
    move = places[1] - places[0]
    move -= np.round(move)
    move -= move.mean(axis=0)
    far = np.linalg.norm(move @ (cells[0] + cells[1]) / 2, axis=1).max()
    if np.abs(strain).max() > LARGEST_STRAIN or np.abs(turn).max() > LARGEST_TURN or far > LARGEST_MOVE_A:
        return None
    volumes = [abs(float(np.linalg.det(cell))) for cell in cells]
    mean = sum(v * columns["stress"][row] for v, row in zip(volumes, (one, other), strict=True)) / 2
    by_forces = -sum(float((force * (move @ cell)).sum()) for force, cell in zip(forces, cells, strict=True)) / 2
    change = float(columns["energy"][other] - columns["energy"][one]) - by_forces
    return change, float((mean * strain).sum())


def _modulus(survey: Survey, rows: NDArray[np.intp]) -> tuple[float, float]:
    """d(stress)/d(ln volume per atom) [eV/A^3] within the commonest composition, and the correlation of the two."""
    _, alike = np.unique(survey.shares().round(6), axis=0, return_inverse=True)
    _, kind, counts = np.unique(alike.ravel()[survey.of["composition"][rows]], return_inverse=True, return_counts=True)
    members = rows[kind == np.argmax(counts)]
    logarithm = np.log(survey.of["volume"][members] / survey.of["n_atoms"][members])
    stress = survey.of["stress"][members, 0]
    if members.size < ENOUGH_VOLUMES or logarithm.std() < LEAST_SPREAD or not stress.std() > 0:
        return 0.0, 0.0
    clarity = float(np.corrcoef(logarithm, stress)[0, 1])
    return float(np.polyfit(logarithm, stress, 1)[0]), clarity
