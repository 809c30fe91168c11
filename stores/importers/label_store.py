"""From labelled configurations in a file's own units to a validated atoms store, and a report of what became of them.

Every importer of atoms reads blocks; all that follows is here, the same for every format:

    units      of energies, lengths and forces as named, checked against what magnitudes betray (label_units)
    problems   NaN labels, atoms closer than 0.3 A, a net force on an open system, unknown elements, flat cells: refused
               with file, record, key, found, expected and cure, or dropped and reported (`drop_bad`)
    groups     what a split must not separate (grouping)
    store      written beside its place, validated, moved there
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
from stores.importers.label_problems import find_problems
from stores.importers.labelled import AtomsReport, Block, LabelSettings, Reading
from stores.manifest import canonical_json
from stores.outcome import OK
from stores.zarr_store import write_store

__all__ = ["References", "store_reading"]

N_SHOWN = 8
References = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], Mapping[int, float]]


def store_reading(
    reading: Reading, out: Path, settings: LabelSettings, *, references: References | None = None
) -> AtomsReport:
    """Write the store `out` from what was read, replacing a store of atoms that was there.

    `references` gets atomic numbers, counts per configuration and energies [eV], and returns energies by number.
    Raises ValueError that tells what is wrong with the data, SchemaError where the store would not be valid.
    """
    require_replaceable(out, store_kind(ATOMS))
    blocks = [block for block in reading.blocks if len(block.n_atoms)]
    if not blocks:
        left = "; ".join(f"{len(names)} left out: {reason}" for reason, names in reading.left_out.items())
        raise ValueError(f"found no configuration, expected at least one{' (' + left + ')' if left else ''}")
    files = [block.file for block in blocks for _ in block.names]
    names = [f"{block.file}, {name}" for block in blocks for name in block.names]
    sources = [f"{Path(block.file).name}, {name}" for block in blocks for name in block.names]
    labels = [label for block in blocks for label in (block.labels or [""] * len(block.names))]
    columns = _joined(blocks)
    notes = list(reading.notes)
    units = to_eV_A(columns, settings, reading, names, notes)
    absent = _absent(blocks)
    for label, mask in absent.items():
        notes.append(f"note: {int(mask.sum())} records have no key {reading.keys[label]!r}: {_some_of(names, mask)}")
    problems = find_problems(columns, names, reading.keys, absent)
    if problems and not settings.drop_bad:
        told = [f"  {problem}" for problem in list(problems.values())[:N_SHOWN]]
        more = [f"  ... and {len(problems) - N_SHOWN} more"] if len(problems) > N_SHOWN else []
        cure = "  Cure: correct the file or the options, or leave these records out with --drop-bad"
        raise ValueError("\n".join([f"{len(problems)} of {len(names)} records cannot be used", *told, *more, cure]))
    dropped = dict(reading.left_out)
    if problems:
        for row, problem in problems.items():
            dropped.setdefault(problem.kind, []).append(names[row])
        good = np.setdiff1d(np.arange(len(names)), list(problems))
        if not good.size:
            raise ValueError(f"none of the {len(names)} records can be used, the first: {problems[0]}")
        columns = _chosen(columns, good)
        files, sources, labels = ([some[row] for row in good] for some in (files, sources, labels))
    group, policy = group_numbers(
        settings.group,
        files=files,
        labels=labels,
        numbers=columns["number"].astype(np.int64),
        positions_A=columns["position"],
        n_atoms=columns["n_atoms"].astype(np.int64),
    )
    provenance = canonical_json({"level": settings.level, "units": units, **reading.origin, "keys": reading.keys})
    n_configs = len(sources)
    columns |= {
        "group": group,
        "source": np.array(sources, dtype=object),
        "provenance": np.full(n_configs, provenance, dtype=object),
        "status": np.full(n_configs, OK, dtype=np.int8),
        "failure": np.full(n_configs, "", dtype=object),
    }
    energies = _references(columns, references)
    attributes = {
        "level": settings.level,
        "reference_energies": json.dumps(energies, sort_keys=True),
        "settings": json.dumps({**asdict(settings), **reading.origin}, sort_keys=True),
    }
    manifest = write_store(out, ATOMS, dataset_of(columns, attributes))
    return AtomsReport(
        n_read=n_configs + sum(len(some) for some in dropped.values()),
        n_kept=n_configs,
        n_atoms=len(columns["number"]),
        n_groups=int(group.max()) + 1,
        grouped_by=policy,
        units=units,
        elements=", ".join(_symbols(columns["number"])),
        dropped=dropped,
        notes=tuple(notes),
        energy_eV_atom=_range(columns["energy"] / columns["n_atoms"]),
        force_rms_eV_A=_rms(columns["force"]),
        reference_energies_eV=energies,
        hash=manifest.hash,
    )


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
        "number": np.concatenate([np.asarray(block.numbers, dtype=np.int16) for block in blocks]),
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


def _references(columns: Mapping[str, NDArray[Any]], references: References | None) -> dict[str, float]:
    from ase.data import chemical_symbols

    labelled = np.flatnonzero(~np.isnan(columns["energy"]))
    if references is None or not labelled.size:
        return {}
    some = _chosen({name: columns[name] for name in ("n_atoms", "first_atom", "number", "energy")}, labelled)
    numbers, element = np.unique(some["number"], return_inverse=True)
    owner = np.repeat(np.arange(len(labelled)), some["n_atoms"])
    counts = np.bincount(owner * len(numbers) + element, minlength=len(labelled) * len(numbers))
    found = references(numbers.astype(np.int64), counts.reshape(len(labelled), -1), some["energy"])
    return {str(chemical_symbols[number]): float(energy) for number, energy in found.items()}


def _symbols(numbers: NDArray[Any]) -> list[str]:
    from ase.data import chemical_symbols

    return [str(chemical_symbols[number]) for number in np.unique(numbers)]


def _range(values: NDArray[Any]) -> tuple[float, float] | None:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else None


def _rms(values: NDArray[Any]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.sqrt((finite**2).mean())) if finite.size else None
