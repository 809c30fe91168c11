"""What do the atomic features of HIP-NN know of chemistry? The latent report, on atoms instead of spectra.

A feature is one column of a block's output, "block 1 feature 3". Quantities of an atom:

    charge                 Mulliken charge of the labels [e], where the engine gave it
    charge_beyond_element  the same less its mean over the element
    coordination           neighbours nearer than `BOND` times the sum of covalent radii
    is_H, is_C ...         element, 0 or 1

For each quantity the features of largest |Spearman| are chosen on some groups of atoms and reported on others, so that
choosing among many does not flatter.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray

from models.frames import Frames
from models.laws.associations import association_report, describe_coordinate
from models.laws.correlation import spearman
from models.laws.groups import group_folds, whole_groups
from models.networks.potentials.graph import Configuration, collate
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.neighbours import find_neighbours

__all__ = ["LatentReportSettings", "atomic_quantities", "latent_report"]

BOND = 1.25
WORDS = {
    "charge": "the Mulliken charge",
    "charge_beyond_element": "the Mulliken charge within an element",
    "coordination": "the coordination number",
}
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LatentReportSettings:
    """How many features are reported for each quantity, and how firmly."""

    features_per_quantity: int
    max_atoms: int
    n_bootstrap: int
    n_folds: int
    n_neighbours: int
    seed: int


def latent_report(
    model: HIPNN, configurations: list[Configuration], frames: Frames, settings: LatentReportSettings
) -> dict[str, Any]:
    """Associations of the chosen features, what they say together, and both in words; {} for too few groups."""
    group_N = np.repeat(frames.groups, frames.n_atoms)
    atoms_N = whole_groups(group_N, settings.max_atoms, settings.seed)
    known = {name: values[atoms_N] for name, values in atomic_quantities(frames).items()}
    group_N = group_N[atoms_N]
    if len(np.unique(group_N)) < 2 * max(3, settings.n_folds):
        return {}
    blocks = [z_NF[atoms_N] for z_NF in _features(model, configurations)]
    choosing_N = group_folds(group_N, 2, settings.seed) == 0
    names, columns = [], []
    for number, z_NF in enumerate(blocks, start=1):
        for feature in range(z_NF.shape[1]):
            names.append(f"block {number} feature {feature + 1}")
            columns.append(z_NF[:, feature])
    chosen = _chosen(columns, known, choosing_N, settings.features_per_quantity)
    reported_N = ~choosing_N
    report = association_report(
        np.column_stack([columns[index] for index in chosen])[reported_N],
        [names[index] for index in chosen],
        {name: values[reported_N] for name, values in known.items()},
        group_N[reported_N],
        n_bootstrap=settings.n_bootstrap,
        n_folds=settings.n_folds,
        n_neighbours=settings.n_neighbours,
        seed=settings.seed,
    )
    words = WORDS | {name: f"being {name.removeprefix('is_')} or not" for name in known if name.startswith("is_")}
    return {
        "n_atoms": int(reported_N.sum()),
        "associations": report.associations,
        "together": report.together,
        "meaning": [
            describe_coordinate(name, {q: association.spearman for q, association in line.items()}, words=words)
            for name, line in report.table.items()
        ],
        "best": _best(report.associations),
    }


def atomic_quantities(frames: Frames) -> dict[str, FloatArray]:
    """Quantities of every atom (N,); constant ones are left out."""
    known: dict[str, FloatArray] = {}
    if np.isfinite(frames.charges_e).all():
        known["charge"] = frames.charges_e
        element_N = np.unique(frames.numbers, return_inverse=True)[1]
        mean = np.bincount(element_N, weights=frames.charges_e) / np.bincount(element_N)
        known["charge_beyond_element"] = frames.charges_e - mean[element_N]
    known["coordination"] = np.concatenate([_coordination(frame) for frame in frames])
    for number in np.unique(frames.numbers):
        known[f"is_{chemical_symbols[number]}"] = (frames.numbers == number).astype(np.float64)
    return {name: values for name, values in known.items() if np.ptp(values) > 0}


def _coordination(frame: Frames) -> FloatArray:
    radius, position, cell = covalent_radii[frame.numbers], frame.positions_A, frame.cells_A[0]
    near = find_neighbours(position, cell, frame.pbc[0], 2 * BOND * float(radius.max()))
    apart = np.linalg.norm(position[near.second] - position[near.first] + near.shift @ cell, axis=1)
    bonded = apart < BOND * (radius[near.first] + radius[near.second])
    ends = np.concatenate([near.first[bonded], near.second[bonded]])
    return np.bincount(ends, minlength=len(radius)).astype(np.float64)


def _features(model: HIPNN, configurations: list[Configuration]) -> list[FloatArray]:
    """Of all atoms after each block, (N, F)."""
    batches: list[list[FloatArray]] = []
    dtype = next(model.parameters()).dtype
    for start in range(0, len(configurations), 64):
        with torch.no_grad():
            z = model.features(*collate(configurations[start : start + 64], dtype))[1:]
        batches.append([z_NF.double().numpy() for z_NF in z])
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _chosen(
    columns: list[FloatArray], known: dict[str, FloatArray], rows_N: NDArray[np.bool_], per_quantity: int
) -> list[int]:
    chosen: set[int] = set()
    for values in known.values():
        strength = [abs(spearman(column[rows_N], values[rows_N])) for column in columns]
        chosen |= set(np.argsort(strength)[::-1][:per_quantity].tolist())
    return sorted(chosen)


def _best(associations: dict[str, dict[str, dict[str, list[float]]]]) -> dict[str, Any]:
    """Per quantity the feature that follows it best."""
    best: dict[str, Any] = {}
    for feature, line in associations.items():
        for quantity, measures in line.items():
            value, low, high = measures["spearman"]
            if quantity not in best or abs(value) > abs(best[quantity]["spearman"]):
                best[quantity] = {"feature": feature, "spearman": value, "low": low, "high": high}
    return best
