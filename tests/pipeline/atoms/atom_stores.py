"""Atoms stores whose energy is a sum of Morse pairs, for tests of what is trained on them."""

import json
from dataclasses import replace

import numpy as np

from stores.atoms import ATOMS, columns_of, dataset_of
from stores.zarr_store import write_store
from tests.models.training.potentials.clusters import clusters


def write_clusters(path, n_configs=40, *, forces=True, stress=False, level="Morse pairs", frames_per_group=2, seed=0):
    """Small clusters of H and O; sources are "odd" and "even" in turn, groups hold so many frames."""
    frames = clusters(n_configs, seed, periodic=stress)
    group = np.arange(n_configs) // frames_per_group
    labelled = replace(
        frames,
        forces_eV_A=frames.forces_eV_A if forces else np.full_like(frames.forces_eV_A, np.nan),
        groups=group,
        sources=np.array([f"{('even', 'odd')[number % 2]} cluster" for number in group]),
        provenances=np.full(n_configs, json.dumps({"level": level})),
    )
    dataset = dataset_of(columns_of(labelled), {"level": level, "reference_energies": "{}", "settings": "{}"})
    write_store(path, ATOMS, dataset)
    return group
