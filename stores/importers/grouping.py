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
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["POLICIES", "check_policy", "connectivity", "group_numbers"]

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
    files: IntArray,
    labels: IntArray,
    compositions: IntArray,
    connectivities: Callable[[], Iterable[str]],
) -> tuple[IntArray, str]:
    """Group of each configuration, numbered as they first occur, and the policy that was used.

    The arrays (n_configs,) tell by equal numbers what is the same; a label below zero is none. `connectivities` gives
    the `connectivity` of each configuration.
    """
    check_policy(policy)
    n_configs = len(files)
    if policy == "auto" and (labels >= 0).all() and np.unique(labels).size >= min(LEAST_GROUPS, n_configs):
        policy = "label"
    if policy == "auto":
        length = min(DEFAULT_BLOCK, max(1, (n_configs - 1) // (LEAST_GROUPS - 1)))
        policy = "composition" if np.unique(compositions).size >= ENOUGH_COMPOSITIONS else f"block:{length}"
    if policy == "label" and (labels < 0).any():
        raise ValueError(f"group: found {(labels < 0).sum()} configurations without a label; choose another")
    if policy == "record":
        return np.arange(n_configs), policy
    if policy.startswith("block:"):
        within = _numbered(np.column_stack([files, labels, compositions]))
        return _numbered(np.column_stack([within, _occurrence(within) // int(policy.partition(":")[2])])), policy
    if policy == "connectivity":
        seen: dict[str, int] = {}
        return np.array([seen.setdefault(text, len(seen)) for text in connectivities()], dtype=np.int64), policy
    return _numbered({"label": labels, "file": files, "composition": compositions}[policy][:, None]), policy


def _numbered(rows: IntArray) -> IntArray:
    """Number of each row (n, k), equal for equal rows, counted as they first occur."""
    _, first, number = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[number.ravel()])


def _occurrence(numbers: IntArray) -> IntArray:
    """How many times each number stood there before."""
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers))
    position = np.empty_like(order)
    position[order] = np.arange(len(numbers)) - (ends - np.bincount(numbers))[numbers[order]]
    return position


def connectivity(numbers: IntArray, positions_A: NDArray[np.float64]) -> str:
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
