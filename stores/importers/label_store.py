"""From labelled configurations in a file's own units to a validated atoms store, and a report of what became of them.

Every importer of atoms reads blocks; all that follows is here, the same for every format:

    units      of energies, lengths and forces as named, checked against what magnitudes betray (label_units)
    problems   NaN labels, atoms closer than 0.3 A, a net force on an open system, unknown elements, flat cells,
               energies far from the others: refused with file, record, key, found, expected and cure, or dropped and
               reported (`drop_bad`)
    atoms      isolated ones become reference energies, not configurations (isolated_atoms)
    groups     what a split must not separate (grouping)
    table      which keys were used, which not, what was dropped: reported, and the attribute `imported` of the store
    store      written beside its path, validated, moved there
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.atoms import ATOMS, dataset_of
from stores.building import require_replaceable, store_kind
from stores.importers.grouping import group_numbers
from stores.importers.label_conversion import to_eV_A
from stores.importers.label_problems import Problem, find_isolated, find_problems, find_unusable, isolated_energies
from stores.importers.labelled import AtomsReport, Block, LabelSettings, LabelUse, Reading
from stores.manifest import canonical_json
from stores.outcome import OK
from stores.zarr_store import write_store

__all__ = ["References", "dropped_in_short", "label_uses", "store_reading"]

N_SHOWN = 8
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
    blocks = [block for block in reading.blocks if len(block.n_atoms)]
    if not blocks:
        left = "; ".join(f"{len(names)} left out: {reason}" for reason, names in reading.left_out.items())
        raise ValueError(f"found no configuration, expected at least one{' (' + left + ')' if left else ''}")
    names = [f"{block.file}, {name}" for block in blocks for name in block.names]
    notes = list(reading.notes)
    columns, rows, isolated, units, problems = _usable(_joined(blocks), blocks, settings, reading, names, notes)
    dropped = {reason: list(some) for reason, some in reading.left_out.items()}
    for row, problem in problems.items():
        dropped.setdefault(problem.kind, []).append(names[row])
    isolated_eV = isolated_energies(columns, isolated, [names[row] for row in rows], notes)
    if isolated.all():
        raise ValueError(
            f"{names[0]} and all others: found isolated atoms alone, expected configurations to learn from"
        )
    columns, rows = _chosen(columns, np.flatnonzero(~isolated)), rows[~isolated]
    files = [block.file for block in blocks for _ in block.names]
    labels = [label for block in blocks for label in (block.labels or [""] * len(block.names))]
    sources = [f"{Path(block.file).name}, {name}" for block in blocks for name in block.names]
    group, policy = group_numbers(
        settings.group,
        files=[files[row] for row in rows],
        labels=[labels[row] for row in rows],
        numbers=columns["number"].astype(np.int64),
        positions_A=columns["position"],
        n_atoms=columns["n_atoms"].astype(np.int64),
    )
    units_named = units["energy"] if np.isnan(columns["force"]).all() else f"{units['energy']} and {units['forces']}"
    provenance = canonical_json({"level": settings.level, "units": units_named, **reading.origin, "keys": reading.keys})
    n_configs = len(rows)
    columns |= {
        "number": columns["number"].astype(np.int16),
        "group": group,
        "source": np.array([sources[row] for row in rows], dtype=object),
        "provenance": np.full(n_configs, provenance, dtype=object),
        "status": np.full(n_configs, OK, dtype=np.int8),
        "failure": np.full(n_configs, "", dtype=object),
    }
    energies = _references(columns, references, isolated_eV if isolated_first else {})
    uses = label_uses(columns, reading.keys, units)
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
                "dropped": dropped_in_short(dropped, files),
            },
            sort_keys=True,
        ),
    }
    manifest = write_store(out, ATOMS, dataset_of(columns, attributes))
    return AtomsReport(
        n_read=n_configs + int(isolated.sum()) + sum(len(some) for some in dropped.values()),
        n_kept=n_configs,
        n_atoms=len(columns["number"]),
        n_groups=int(group.max()) + 1,
        grouped_by=policy,
        units=units_named,
        elements=", ".join(_symbols(columns["number"])),
        labels=uses,
        ignored=reading.ignored,
        isolated_eV=isolated_by_symbol,
        dropped=dropped,
        notes=tuple(notes),
        energy_eV_atom=_range(columns["energy"] / columns["n_atoms"]),
        force_rms_eV_A=_rms(columns["force"]),
        reference_energies_eV=energies,
        hash=manifest.hash,
    )


def _usable(
    columns: dict[str, NDArray[Any]],
    blocks: Sequence[Block],
    settings: LabelSettings,
    reading: Reading,
    names: Sequence[str],
    notes: list[str],
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64], NDArray[np.bool_], dict[str, str], dict[int, Problem]]:
    """Columns in eV and A of the good rows, which rows these are, isolated atoms among them, units, and what is wrong.

    Raises ValueError for what is wrong, unless it is to be dropped.
    """
    absent = _absent(blocks)
    for label, mask in absent.items():
        if label == "stress":
            mask = mask & columns["pbc"].all(axis=1)
        if mask.any() and label not in reading.named and label in reading.keys:
            lacking = f"{int(mask.sum())} records have no key {reading.keys[label]!r}: {_some_of(names, mask)}"
            notes.append(f"note: {lacking}")
    problems = find_unusable(columns, names, reading.keys, reading.named, absent)
    rows = np.setdiff1d(np.arange(len(names)), list(problems))
    if not rows.size:
        raise ValueError(_refusal(problems, names, settings))
    columns = _chosen(columns, rows)
    called_so = np.concatenate(
        [np.zeros(len(b.n_atoms), dtype=bool) if b.isolated is None else b.isolated for b in blocks]
    )
    kept_names = [names[row] for row in rows]
    try:
        units = to_eV_A(columns, settings, reading, kept_names, notes)
    except ValueError as error:
        if problems and not settings.drop_bad:
            raise ValueError(f"{error}\nbesides, {_refusal(problems, names, settings)}") from error
        raise
    isolated = find_isolated(columns, called_so[rows])
    far = settings.far_eV_atom
    later = find_problems(columns, kept_names, reading.keys, isolated, far_eV_atom=far, notes=notes)
    problems = dict(sorted({**problems, **{int(rows[row]): problem for row, problem in later.items()}}.items()))
    good = np.setdiff1d(np.arange(rows.size), list(later))
    if problems and (not settings.drop_bad or not good.size):
        raise ValueError(_refusal(problems, names, settings))
    return _chosen(columns, good), rows[good], isolated[good], units, problems


def _refusal(problems: Mapping[int, Problem], names: Sequence[str], settings: LabelSettings) -> str:
    if settings.drop_bad:
        return f"none of the {len(names)} records can be used, the first: {next(iter(problems.values()))}"
    listed = [f"  {problem}" for problem in list(problems.values())[:N_SHOWN]]
    more = [f"  ... and {len(problems) - N_SHOWN} more"] if len(problems) > N_SHOWN else []
    cure = "  Cure: correct the file or the options, or leave these records out with --drop-bad"
    return "\n".join([f"{len(problems)} of {len(names)} records cannot be used", *listed, *more, cure])


def _joined(blocks: Sequence[Block]) -> dict[str, NDArray[Any]]:
    """Columns of all blocks, still in the units of the files."""
    n_atoms = np.concatenate([np.asarray(block.n_atoms, dtype=np.int32) for block in blocks])

    def column(name: str, trailing: tuple[int, ...], per_atom: bool, fill: float) -> NDArray[np.float64]:
        parts = []
        for block in blocks:
            rows = len(block.numbers) if per_atom else len(block.n_atoms)
            given = getattr(block, name)
            parts.append(np.full((rows, *trailing), fill) if given is None else np.asarray(given, dtype=np.float64))
        return np.concatenate(parts)

    pbc = [
        np.repeat(block.cell is not None, 3 * len(block.n_atoms)).reshape(-1, 3) if block.pbc is None else block.pbc
        for block in blocks
    ]
    columns: dict[str, NDArray[Any]] = {
        "n_atoms": n_atoms,
        "first_atom": np.cumsum(n_atoms, dtype=np.int64) - n_atoms,
        "number": np.concatenate([np.asarray(block.numbers, dtype=np.int64) for block in blocks]),
        "position": column("positions", (3,), True, np.nan),
        "cell": column("cell", (3, 3), False, 0.0),
        "pbc": np.concatenate(pbc).astype(bool),
        "energy": column("energy", (), False, np.nan),
        "force": column("forces", (3,), True, np.nan),
        "stress": column("stress", (3, 3), False, np.nan),
        "charge": column("charges", (), True, np.nan),
    }
    columns["cell"][~columns["pbc"].any(axis=1)] = 0.0
    columns["stress"][~columns["pbc"].all(axis=1)] = np.nan
    columns["stress"] = (columns["stress"] + columns["stress"].transpose(0, 2, 1)) / 2
    return columns


def _absent(blocks: Sequence[Block]) -> dict[str, NDArray[np.bool_]]:
    """Label -> records without its key, of labels that some record lacks."""
    masks = {}
    for label in sorted({label for block in blocks for label in block.absent}):
        mask = np.concatenate([block.absent.get(label, np.zeros(len(block.n_atoms), dtype=bool)) for block in blocks])
        if mask.any():
            masks[label] = mask
    return masks


def _some_of(names: Sequence[str], mask: NDArray[np.bool_]) -> str:
    rows = np.flatnonzero(mask)
    return ", ".join(names[row] for row in rows[:N_SHOWN]) + (", ..." if rows.size > N_SHOWN else "")


def _chosen(columns: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The columns of some configurations alone."""
    n_atoms = columns["n_atoms"][rows]
    first = np.cumsum(n_atoms, dtype=np.int64) - n_atoms
    atoms = np.arange(int(n_atoms.sum())) + np.repeat(columns["first_atom"][rows] - first, n_atoms)
    per_atom = {v.name for v in ATOMS.variables if v.dims[0] == "atom"}
    chosen = {name: values[atoms if name in per_atom else rows] for name, values in columns.items()}
    return chosen | {"first_atom": first}


def _references(
    columns: Mapping[str, NDArray[Any]], references: References | None, isolated_eV: Mapping[int, float]
) -> dict[str, float]:
    """Energies by symbol: of isolated atoms where there are some, of the other elements by `references`."""
    labelled = np.flatnonzero(~np.isnan(columns["energy"]))
    if references is None or not labelled.size:
        return _by_symbol(isolated_eV)
    some = _chosen({name: columns[name] for name in ("n_atoms", "first_atom", "number", "energy")}, labelled)
    numbers, element = np.unique(some["number"], return_inverse=True)
    owner = np.repeat(np.arange(len(labelled)), some["n_atoms"])
    flat = np.bincount(owner * len(numbers) + element, minlength=len(labelled) * len(numbers))
    counts = flat.reshape(len(labelled), -1)
    known = np.array([int(number) in isolated_eV for number in numbers])
    given = np.array([isolated_eV.get(int(number), 0.0) for number in numbers])
    open_rows = counts[:, ~known].sum(axis=1) > 0
    found: dict[int, float] = dict(isolated_eV)
    if open_rows.any():
        rest = some["energy"] - counts @ given
        found |= references(numbers[~known].astype(np.int64), counts[open_rows][:, ~known], rest[open_rows])
    return _by_symbol(found)


def _by_symbol(energies: Mapping[int, float]) -> dict[str, float]:
    from ase.data import chemical_symbols

    return {str(chemical_symbols[number]): float(energy) for number, energy in sorted(energies.items())}


def _symbols(numbers: NDArray[Any]) -> list[str]:
    from ase.data import chemical_symbols

    return [str(chemical_symbols[number]) for number in np.unique(numbers)]


def _range(values: NDArray[Any]) -> tuple[float, float] | None:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else None


def _rms(values: NDArray[Any]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.sqrt((finite**2).mean())) if finite.size else None


MAX_NAMES = 100
COLUMN = {"energy": "energy", "forces": "force", "stress": "stress", "charges": "charge"}


def label_uses(
    columns: Mapping[str, NDArray[Any]], keys: Mapping[str, str], units: Mapping[str, str]
) -> tuple[LabelUse, ...]:
    """One line for each label that a store can have."""
    uses = []
    for label, name in COLUMN.items():
        values = columns[name]
        given = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if label in ("forces", "charges"):
            given = given[columns["first_atom"]]
        n_given = int(given.sum())
        uses.append(
            LabelUse(label=label, key=keys.get(label, ""), n_records=n_given, units=units[label] if n_given else "")
        )
    return tuple(uses)


def dropped_in_short(dropped: Mapping[str, Sequence[str]], files: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Reason -> how many records and the first of them, named by file, not by where the file lay."""
    folders = {f"{file}, ": len(file) - len(Path(file).name) for file in files}

    def short(name: str) -> str:
        return next((name[length:] for begin, length in folders.items() if name.startswith(begin)), name)

    return {
        reason: {"records": len(names), "first": [short(name) for name in names[:MAX_NAMES]]}
        for reason, names in dropped.items()
    }
