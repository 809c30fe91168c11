"""Atoms stores whose energy is a sum of Morse pairs, for tests of what is trained on them."""

import numpy as np

from stores.atoms import ATOMS, AtomsRecord, columns_of, dataset_of
from stores.zarr_store import write_store
from tests.models.training.potentials.clusters import clusters


def write_clusters(path, n_configs=40, *, forces=True, stress=False, level="Morse pairs", frames_per_group=2, seed=0):
    """Small clusters of H and O; sources are "odd" and "even" in turn, groups hold so many frames."""
    data = clusters(n_configs, seed, periodic=stress)
    records = []
    for row, first in enumerate(data.first_atom):
        atoms = slice(first, first + data.n_atoms[row])
        boxed = bool(data.pbc[row].any())
        records.append(
            AtomsRecord(
                numbers=data.numbers[atoms],
                positions_A=data.positions_A[atoms],
                cell_A=data.cells_A[row] if boxed else None,
                energy_eV=data.energies_eV[row],
                forces_eV_A=data.forces_eV_A[atoms] if forces else None,
                stress_eV_A3=data.stresses_eV_A3[row] if boxed else None,
                group=row // frames_per_group,
                source=f"{('even', 'odd')[row // frames_per_group % 2]} cluster",
                provenance={"level": level},
            )
        )
    dataset = dataset_of(columns_of(records), {"level": level, "reference_energies": "{}", "settings": "{}"})
    write_store(path, ATOMS, dataset)
    return np.array([record.group for record in records])
