"""Stage `qm9`: all molecules of QM9, or some drawn at random, as a store of labelled atoms.

    reads   params.yaml: qm9
    writes  data/qm9.zarr             (stores.atoms.ATOMS)
            reports/metrics/qm9.json  {n_molecules, n_atoms, n_groups, reference_energies_eV, atomization_*, hash}

Runs only when named, `make repro STAGE=qm9`: see pipeline/atoms/dvc.yaml. It needs the package qm9pack.
Atomization energies are what remains after the reference energies, which stand beside the energies in the store.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from models.settings import settings
from pipeline.atoms.reference_choice import references_by
from pipeline.runtime.params import load_params
from pipeline.runtime.records import write_json
from pipeline.runtime.stage import run_stage
from stores.atoms import load_atoms
from stores.importers.label_store import store_reading
from stores.importers.labelled import LabelSettings
from stores.importers.qm9 import LEVEL, find_tables, read_qm9

__all__ = ["Qm9Params", "main", "make"]

OUT = Path("data/qm9.zarr")
METRICS = Path("reports/metrics/qm9.json")


@settings
class Qm9Params:
    """Section `qm9` of params.yaml."""

    energy: Literal["U0", "U", "H", "G", "electronic"]
    references: Literal["b3lyp", "least_squares", "robust"]
    n_molecules: PositiveInt | None  # None: all
    seed: NonNegativeInt  # of the draw


def main() -> None:
    make(load_params(Qm9Params, "qm9"))


def make(params: Qm9Params, folder: Path | None = None) -> None:
    """Make the store and its metrics in the working directory, from the tables in `folder` or of the package."""
    reading = read_qm9(find_tables(folder), energy=params.energy, n_molecules=params.n_molecules, seed=params.seed)
    by_name = references_by(params.references, energy=params.energy)
    report = store_reading(reading, OUT, LabelSettings(level=LEVEL), references=by_name)
    atoms = load_atoms(OUT)
    species = atoms.frames.species
    references = np.array([atoms.reference_energies_eV[number] for number in species])
    atomization = atoms.frames.energies_eV - atoms.frames.counts(species) @ references
    metrics = {
        "n_molecules": report.n_kept,
        "n_atoms": report.n_atoms,
        "n_groups": report.n_groups,
        "reference_energies_eV": report.reference_energies_eV,
        "atomization_mean_eV": float(atomization.mean()),
        "atomization_std_eV": float(atomization.std()),
        "atomization_mean_abs_eV": float(np.abs(atomization).mean()),
        "hash": report.hash,
        "settings": json.dumps(asdict(params), sort_keys=True),
    }
    write_json(METRICS, metrics, sort_keys=True)
    print(f"{OUT}: " + "\n  ".join(report.lines()))


if __name__ == "__main__":
    run_stage("qm9", main)
