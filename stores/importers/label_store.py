"""From labelled configurations in a file's own units to a validated atoms store, and a report of what became of them.

Every importer of atoms reads blocks; all that follows is here, the same for every format:

    survey     one pass: records in eV and A on disk, some numbers of each in memory (label_survey)
    units      of energies, lengths and forces as named, checked against what magnitudes betray (label_checks)
    problems   NaN labels, atoms closer than 0.3 A, a net force on an open system, unknown elements, flat cells,
               energies far from the others: refused with file, record, key, survey, expected and cure, or dropped and
               reported (`drop_bad`); copies are noted (label_problems)
    atoms      isolated ones become reference energies, not configurations
    groups     what a split must not separate (grouping)
    table      which keys were used, which not, what was dropped: reported, and the attribute `imported` of the store
    store      written part by part beside its path, validated, moved there
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.atoms import ATOMS
from stores.building import require_replaceable, store_kind
from stores.importers.grouping import connectivity, group_numbers
from stores.importers.label_checks import check_units
from stores.importers.label_problems import (
    copies,
    far_energies,
    far_limit_eV_atom,
    far_problem,
    isolated_energies,
    refuse_isolated,
)
from stores.importers.label_survey import LABELS, Columns, Survey, chosen, survey_of, units_of
from stores.importers.labelled import NOT_STATED, AtomsReport, LabelSettings, LabelUse, Names, Reading
from stores.manifest import canonical_json
from stores.outcome import OK
from stores.zarr_store import write_parts

__all__ = ["References", "store_reading"]

N_SHOWN = 8
COPY_EV_ATOM = 1e-3  # copies that differ by less were written with fewer digits
MAX_CELLS = 4_000_000  # of the matrix of atoms by configuration and element that references are fitted to
References = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], Mapping[int, float]]


def store_reading(
    reading: Reading,
    out: Path,
    settings: LabelSettings,
    *,
    references: References | None = None,
    isolated_first: bool = False,
) -> AtomsReport:
    """Write the store `out` from what was read, replacing a store of atoms that was there.

    `references` gets atomic numbers, counts per configuration and energies [eV], and returns energies by number;
    `isolated_first` takes those of isolated atoms in the data before.
    Raises ValueError that tells what is wrong with the data, SchemaError where the store would not be valid.
    """
    require_replaceable(out, store_kind(ATOMS))
    survey = survey_of(reading, settings)
    if not survey.n_read:
        left = "; ".join(f"{names.n} left out: {reason}" for reason, names in reading.left_out.items())
        raise ValueError(f"found no configuration, expected at least one{' (' + left + ')' if left else ''}")
    notes = list(reading.notes)
    _refuse_unusable(survey, settings, reading, notes)
    kept = np.flatnonzero(~(survey.of["bad"] | survey.of["isolated"]))
    isolated_eV = _isolated(survey, kept, notes)
    _note_copies(survey, kept, notes)
    group, policy = group_numbers(
        settings.group,
        files=survey.of["file"][kept],
        labels=survey.of["label"][kept],
        compositions=survey.of["composition"][kept],
        connectivities=lambda: _connectivities(survey, kept),
    )
    has = dict(zip(LABELS, survey.of["has"][kept].sum(axis=0).tolist(), strict=True))
    units = units_of(settings, reading.usual_units)
    units_named = units["energy"] if not has["forces"] else f"{units['energy']} and {units['forces']}"
    provenance = canonical_json({"level": settings.level, "units": units_named, **reading.origin, "keys": reading.keys})
    energies = _references(survey, kept, references, isolated_eV if isolated_first else {})
    uses = tuple(
        LabelUse(label=label, key=reading.keys.get(label, ""), n_records=n, units=units[label] if n else "")
        for label, n in has.items()
    )
    dropped = {**reading.left_out, **survey.problems}
    isolated_by_symbol = _by_symbol(isolated_eV)
    attributes = {
        "level": settings.level,
        "reference_energies": json.dumps(energies, sort_keys=True),
        "settings": json.dumps({**asdict(settings), **reading.origin}, sort_keys=True),
        "imported": json.dumps(
            {
                "labels": [asdict(use) for use in uses],
                "ignored_keys": reading.ignored,
                "isolated_atoms_eV": isolated_by_symbol,
                "dropped": _in_short(dropped, survey.files),
            },
            sort_keys=True,
        ),
    }
    n_atoms, energy = survey.of["n_atoms"][kept], survey.of["energy"][kept]
    sizes = {"config": len(kept), "atom": int(n_atoms.sum()), "vector": 3, "xyz": 3}
    squares = _Squares()
    parts = _parts(survey, kept, group, provenance, squares)
    per_atom = (energy / n_atoms)[np.isfinite(energy)]
    elements = ", ".join(_by_symbol(dict.fromkeys(_elements(survey, kept).tolist(), 0.0)))
    survey.of.clear()  # writing and validation need memory too
    manifest = write_parts(out, ATOMS, parts, sizes=sizes, attributes=attributes)
    return AtomsReport(
        n_read=survey.n_read + sum(names.n for names in reading.left_out.values()),
        n_kept=len(kept),
        n_atoms=sizes["atom"],
        n_groups=int(group.max()) + 1,
        grouped_by=policy,
        units=units_named,
        elements=elements,
        labels=uses,
        ignored=reading.ignored,
        isolated_eV=isolated_by_symbol,
        dropped=dropped,
        notes=tuple(notes),
        energy_eV_atom=(float(per_atom.min()), float(per_atom.max())) if per_atom.size else None,
        force_rms_eV_A=squares.rms,
        reference_energies_eV=energies,
        hash=manifest.hash,
    )


def _refuse_unusable(survey: Survey, settings: LabelSettings, reading: Reading, notes: list[str]) -> None:
    """Raise ValueError for what is wrong, unless it is to be dropped; energies are compared here."""
    for key, levels in reading.levels.items():
        listed = ", ".join(f"{level} ({n} records)" for level, n in [*levels.items()][:N_SHOWN])
        said = f"key {key!r}: found several levels of theory, {listed}, expected one"
        if settings.level == NOT_STATED:
            raise ValueError(f"{said}; split the file, or name the level of all with --level")
        notes.append(f"note: {said}; all taken as {settings.level}, as named")
    for label, names in sorted(survey.absent.items()):
        if names.n and label not in reading.named and label in reading.keys:
            notes.append(f"note: {names.n} records have no key {reading.keys[label]!r}: {names}")
    if not len(survey.parts):
        raise ValueError(_refusal(survey, settings))
    try:
        check_units(survey, settings, reading, notes)
    except ValueError as error:
        usable = survey.of["bad"].size
        if survey.n_read > usable and not settings.drop_bad:
            raise ValueError(f"{error}\nbesides, {_refusal(survey, settings)}") from error
        raise
    _compare_energies(survey, settings, reading.keys.get("energy", "energy"), notes)
    if survey.problems and (not settings.drop_bad or survey.of["bad"].all()):
        raise ValueError(_refusal(survey, settings))


def _refusal(survey: Survey, settings: LabelSettings) -> str:
    problems = [problem for _, problem in survey.first_problems]
    if settings.drop_bad:
        return f"none of the {survey.n_read} records can be used, the first: {problems[0]}"
    n_problems = sum(names.n for names in survey.problems.values())
    listed = [f"  {problem}" for problem in problems]
    more = [f"  ... and {n_problems - len(listed)} more"] if n_problems > len(listed) else []
    cure = "  Cure: correct the file or the options, or leave these records out with --drop-bad"
    return "\n".join([f"{n_problems} of {survey.n_read} records cannot be used", *listed, *more, cure])


def _compare_energies(survey: Survey, settings: LabelSettings, key: str, notes: list[str]) -> None:
    """Refuse records whose energies are far from the others of their composition, note those that are odd."""
    of = survey.of
    far, deviation = far_energies(of["energy"], of["n_atoms"], of["composition"], survey.shares(), ~of["isolated"])
    limit, odd_eV = far_limit_eV_atom(deviation, settings.far_eV_atom)
    if (odd := np.flatnonzero((np.abs(far) > odd_eV) & (np.abs(far) <= limit))).size:
        row = int(odd[np.argmax(np.abs(far[odd]))])
        notes.append(
            f"note: {odd.size} records have energies more than {odd_eV:.3g} eV/atom from the others of their "
            f"composition, most {survey.name(row)} with {far[row]:+.4g}; --far-energy {odd_eV:.2g} refuses them"
        )
    refused = np.flatnonzero((np.abs(far) > limit) & ~of["bad"])
    for part, rows, records in survey.each(refused):
        survey.refuse(
            {
                int(of["row"][record]): far_problem(part.name(row), key, of["energy"][record], far[record], limit)
                for row, record in zip(rows, records, strict=True)
            }
        )
    of["bad"][refused] = True


def _isolated(survey: Survey, kept: NDArray[np.int64], notes: list[str]) -> dict[int, float]:
    """Energies of isolated atoms by atomic number. Raises ValueError where they are not of the others' calculation."""
    rows = np.flatnonzero(survey.of["isolated"] & ~survey.of["bad"])
    if not kept.size:
        raise ValueError(
            f"{survey.name(int(rows[0]))} and all others: found isolated atoms alone, expected configurations to learn "
            "from"
        )
    numbers = survey.elements[survey.counts.argmax(axis=1)[survey.of["composition"][rows]]].tolist()
    energies = isolated_energies(
        numbers, survey.of["energy"][rows].tolist(), [survey.name(int(row)) for row in rows], notes
    )
    if energies:
        of_elements = np.array([energies.get(number, np.nan) for number in survey.elements.tolist()])
        atoms = np.where(survey.counts > 0, survey.counts * of_elements, 0.0).sum(axis=1)[
            survey.of["composition"][kept]
        ]
        refuse_isolated(survey.name(int(rows[0])), (survey.of["energy"][kept] - atoms) / survey.of["n_atoms"][kept])
    return energies


def _note_copies(survey: Survey, kept: NDArray[np.int64], notes: list[str]) -> None:
    later, first, differences = copies(survey.of["fingerprint"][kept], survey.of["energy"][kept])
    if not later.size:
        return

    def pair(index: int) -> str:
        return f"{survey.name(int(kept[later[index]]))} repeats {survey.name(int(kept[first[index]]))}"

    notes.append(
        f"note: {later.size} records have the atoms and positions of one before ({pair(int(later.argmin()))}); "
        "--group composition or connectivity keeps copies on one side of a split"
    )
    per_atom = differences / survey.of["n_atoms"][kept][later]
    if (n_other := int((per_atom > COPY_EV_ATOM).sum())) > 0:
        notes.append(
            f"note: {n_other} of these copies have another energy, by up to {per_atom.max():.3g} eV/atom "
            f"({pair(int(per_atom.argmax()))}): labels of two levels of theory, charges or spins, which no potential "
            "learns together; split the file"
        )


def _connectivities(survey: Survey, kept: NDArray[np.int64]) -> Iterator[str]:
    for part, rows, _ in survey.each(kept):
        columns = part.columns
        for row in rows:
            atoms = slice(columns["first_atom"][row], columns["first_atom"][row] + columns["n_atoms"][row])
            yield connectivity(columns["number"][atoms], columns["position"][atoms])


class _Squares:
    """Root mean square of what is given, finite numbers alone, None where there are none."""

    def __init__(self) -> None:
        self._sum, self._n = 0.0, 0

    def add(self, values: NDArray[np.float64]) -> None:
        finite = values[np.isfinite(values)]
        self._sum, self._n = self._sum + float((finite**2).sum()), self._n + finite.size

    @property
    def rms(self) -> float | None:
        return float(np.sqrt(self._sum / self._n)) if self._n else None


def _parts(
    survey: Survey, kept: NDArray[np.int64], group: NDArray[np.int64], provenance: str, squares: _Squares
) -> Iterator[Columns]:
    """Columns of the store, part by part."""
    n_written = n_atoms = 0
    for part, rows, _ in survey.each(kept):
        columns, n_rows = chosen(part.columns, rows), len(rows)
        squares.add(columns["force"])
        file = Path(part.file).name
        yield columns | {
            "first_atom": columns["first_atom"] + n_atoms,
            "number": columns["number"].astype(np.int16),
            "group": group[n_written : n_written + n_rows],
            "source": np.array([f"{file}, {part.names[row]}" for row in rows], dtype=object),
            "provenance": np.full(n_rows, provenance, dtype=object),
            "status": np.full(n_rows, OK, dtype=np.int8),
            "failure": np.full(n_rows, "", dtype=object),
        }
        n_written, n_atoms = n_written + n_rows, n_atoms + len(columns["number"])


def _elements(survey: Survey, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Atomic numbers that occur in these records, ascending."""
    return np.asarray(survey.elements[survey.counts[np.unique(survey.of["composition"][rows])].any(axis=0)])


def _references(
    survey: Survey, kept: NDArray[np.int64], references: References | None, isolated_eV: Mapping[int, float]
) -> dict[str, float]:
    """Energies by symbol: of isolated atoms where there are some, of the other elements by `references`.

    Fitted to all records, or as many evenly spaced ones as have MAX_CELLS counts, with the first of each element.
    """
    rows = kept[np.isfinite(survey.of["energy"][kept])]
    if references is None or not rows.size:
        return _by_symbol(isolated_eV)
    numbers = _elements(survey, rows)
    composition, columns = survey.of["composition"], np.searchsorted(survey.elements, numbers)
    if rows.size * numbers.size > MAX_CELLS:
        spaced = np.linspace(0, rows.size - 1, MAX_CELLS // numbers.size).astype(np.int64)
        first = [int(np.argmax(survey.counts[:, column][composition[rows]] > 0)) for column in columns]
        rows = rows[np.unique([*spaced, *first])]
    counts = survey.counts[:, columns].copy()[composition[rows]]
    known = np.array([int(number) in isolated_eV for number in numbers])
    given = np.array([isolated_eV.get(int(number), 0.0) for number in numbers])
    open_rows = counts[:, ~known].sum(axis=1) > 0
    energies: dict[int, float] = dict(isolated_eV)
    if open_rows.any():
        rest = survey.of["energy"][rows] - counts @ given
        energies |= references(numbers[~known], counts[open_rows][:, ~known], rest[open_rows])
    return _by_symbol(energies)


def _by_symbol(energies: Mapping[int, float]) -> dict[str, float]:
    from ase.data import chemical_symbols

    return {str(chemical_symbols[number]): float(energy) for number, energy in sorted(energies.items())}


def _in_short(dropped: Mapping[str, Names], files: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Reason -> how many records and the first of them, named by file, not by where the file lay."""
    folders = {f"{file}, ": len(file) - len(Path(file).name) for file in files}

    def short(name: str) -> str:
        return next((name[length:] for begin, length in folders.items() if name.startswith(begin)), name)

    return {
        reason: {"records": names.n, "first": [short(name) for name in names.first]}
        for reason, names in dropped.items()
    }
