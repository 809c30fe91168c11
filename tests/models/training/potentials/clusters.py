"""Labelled frames whose energy is a sum of Morse pairs: small enough to train on within a test."""

from dataclasses import replace

import numpy as np
import torch

from models.frames import Frames
from models.networks.potentials.hipnn import HIPNN
from models.training.potentials.configurations import with_neighbours

DEPTH_EV, WIDTH, LENGTH_A = 0.5, 1.5, 1.4
TINY = HIPNN.Config(
    species=(1, 8), cutoff_A=4.0, soft_max_A=3.0, n_features=4, n_sensitivities=6, n_interactions=1, n_onsite=1
)


def clusters(n_configs, seed=0, *, periodic=False):
    """Two to five atoms of H and O; with `periodic`, every third in a box, with a stress label."""
    rng = np.random.default_rng(seed)
    n_atoms = rng.integers(2, 6, n_configs)
    frames = []
    for row, n in enumerate(n_atoms):
        at = _apart(rng, int(n))
        numbers = rng.choice([1, 8], n)
        energy, force, virial = _morse(at)
        boxed = periodic and row % 3 == 0
        frames.append(
            Frames.one(
                numbers=numbers,
                positions_A=at,
                cell_A=20.0 * np.eye(3) if boxed else None,
                energy_eV=energy - 3.0 * (numbers == 1).sum() - 100.0 * (numbers == 8).sum(),
                forces_eV_A=force,
                stress_eV_A3=(virial + virial.T) / 2 / 20.0**3 if boxed else None,
            )
        )
    return Frames.concatenate(frames)


def config(species=(1, 8), references=(-3.0, -100.0), cutoff_A=4.0):
    return replace(TINY, species=species, reference_energies_eV=references, cutoff_A=cutoff_A)


def prepared(data, dtype=torch.float32, cutoff_A=4.0):
    return with_neighbours(data, config(cutoff_A=cutoff_A), dtype)


def _apart(rng, n):
    at = [np.zeros(3)]
    while len(at) < n:
        step = rng.normal(size=3)
        new = at[rng.integers(len(at))] + step / np.linalg.norm(step) * rng.uniform(1.1, 1.8)
        if min(np.linalg.norm(new - old) for old in at) > 1.0:
            at.append(new)
    return np.array(at)


def _morse(at):
    """Energy, forces and the sum of r dE/dr."""
    energy, force, virial = 0.0, np.zeros_like(at), np.zeros((3, 3))
    for i in range(len(at)):
        for j in range(i + 1, len(at)):
            v = at[j] - at[i]
            r = np.linalg.norm(v)
            decay = np.exp(-WIDTH * (r - LENGTH_A))
            energy += DEPTH_EV * (decay**2 - 2 * decay)
            gradient = 2 * WIDTH * DEPTH_EV * (decay - decay**2) * v / r
            force[i] += gradient
            force[j] -= gradient
            virial += np.outer(v, gradient)
    return energy, force, virial
