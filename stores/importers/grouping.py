"""Which imported configurations belong together, so that a split never separates them.

    label          what the format names: the group of an HDF5 file, an info key of extxyz, the InChI of QM9
    file           all configurations of one file
    block:N        N consecutive configurations of one composition in one file, and of one label where it names some:
                   parts of one trajectory
    composition    all configurations with the same atoms
    connectivity   all with the same bonds (Weisfeiler and Lehman's hash of the graph of covalent bonds): copies and
                   conformers of one molecule. Of open systems; about a millisecond each
    record         every configuration by itself: frames of a trajectory are then torn apart

    auto           label where the format names three or more, the fewest groups for training; else composition where
                   there are at least 20 of them; else block:10, or shorter blocks where they would be fewer than three

Blocks are a compromise: the frames on both sides of a border are nearly copies. Take N as large as the number of blocks
allows, some twenty at least.
"""

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["POLICIES", "check_policy", "group_numbers"]

POLICIES = ("auto", "label", "file", "block:N", "composition", "connectivity", "record")
ENOUGH_COMPOSITIONS = 20
DEFAULT_BLOCK = 10
LEAST_GROUPS = 3  # training, validation and test
BOND = 1.3  # a bond is shorter than this times the sum of covalent radii
N_ROUNDS = 4

IntArray = NDArray[np.int64]


def check_policy(policy: str) -> None:
    """Raise ValueError for a policy that is not known."""
    if policy not in POLICIES[:3] + POLICIES[4:] and not re.fullmatch(r"block:[1-9][0-9]*", policy):
        raise ValueError(f"group: found {policy!r}, expected one of {', '.join(POLICIES)} with a number N")


def group_numbers(
    policy: str,
    *,
    files: Sequence[str],
    labels: Sequence[str],
    numbers: IntArray,
    positions_A: NDArray[np.float64],
    n_atoms: IntArray,
) -> tuple[IntArray, str]:
    """Group of each configuration, numbered as they first occur, and the policy that was used."""
    check_policy(policy)
    if policy == "auto" and all(labels) and len(set(labels)) >= min(LEAST_GROUPS, len(labels)):
        policy = "label"
    by_composition = policy in ("auto", "composition") or policy.startswith("block:")
    compositions = _compositions(numbers, n_atoms) if by_composition else []
    if policy == "auto":
        length = min(DEFAULT_BLOCK, max(1, (len(n_atoms) - 1) // (LEAST_GROUPS - 1)))
        policy = "composition" if len(set(compositions)) >= ENOUGH_COMPOSITIONS else f"block:{length}"
    if policy == "label" and not all(labels):
        raise ValueError(f"group: found {sum(not x for x in labels)} configurations without a label; choose another")
    keys: Sequence[object]
    if policy.startswith("block:"):
        within = [f"{file} {label}" for file, label in zip(files, labels, strict=True)]
        keys = _blocks(within, compositions, int(policy.partition(":")[2]))
    elif policy == "connectivity":
        ends = np.cumsum(n_atoms)
        keys = [
            _connectivity(numbers[end - n : end], positions_A[end - n : end])
            for end, n in zip(ends, n_atoms, strict=True)
        ]
    else:
        keys = {"label": labels, "file": files, "composition": compositions, "record": range(len(n_atoms))}[policy]
    first: dict[object, int] = {}
    return np.array([first.setdefault(key, len(first)) for key in keys], dtype=np.int64), policy


def _compositions(numbers: IntArray, n_atoms: IntArray) -> list[bytes]:
    ends = np.cumsum(n_atoms)
    return [np.sort(numbers[end - n : end]).tobytes() for end, n in zip(ends, n_atoms, strict=True)]


def _blocks(files: Sequence[str], compositions: Sequence[bytes], length: int) -> list[tuple[str, bytes, int]]:
    seen: dict[tuple[str, bytes], int] = {}
    keys = []
    for file, composition in zip(files, compositions, strict=True):
        position = seen.get((file, composition), 0)
        seen[file, composition] = position + 1
        keys.append((file, composition, position // length))
    return keys


def _connectivity(numbers: IntArray, positions_A: NDArray[np.float64]) -> str:
    """Weisfeiler-Lehman hash of the graph of bonds: equal for equal graphs, whatever the order of atoms."""
    from ase.data import covalent_radii

    radii = covalent_radii[numbers]
    distance = np.linalg.norm(positions_A[None, :] - positions_A[:, None], axis=2)
    bonded = distance < BOND * (radii[None, :] + radii[:, None])
    np.fill_diagonal(bonded, False)
    neighbours = [np.flatnonzero(row) for row in bonded]
    words = [str(number) for number in numbers]
    for _ in range(N_ROUNDS):
        words = [
            _hash(words[atom] + ":" + ",".join(sorted(words[j] for j in near))) for atom, near in enumerate(neighbours)
        ]
    return _hash(" ".join(sorted(words)))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
