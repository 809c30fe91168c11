"""The block structure of one NRG shell: which states it holds and which operator blocks connect them.

A shell is the impurity plus the first chain sites. Its states fall into blocks of fixed (N_up, N_dn). A block's product
basis is |r>|s>: a state r kept in the previous shell, times one of the four states s of the new site,

    s = 0: empty, 1: up, 2: dn, 3: up dn = f+_up f+_dn |0>,

ordered by s; its eigenstates are sorted by energy, kept (K) states first, discarded (D) states after. All blocks of a
kind live one after the other in a flat array, because a few hundred small matrices are cheapest for compiled loops
that way. An operator that lowers (N_up, N_dn) by `charge` has, per ket block b, one matrix from b to the bra block.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["DIAGONAL", "SPIN_DN", "SPIN_UP", "Links", "Shell", "impurity_shell", "kept_blocks", "links", "next_blocks"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
SPIN_UP, SPIN_DN, DIAGONAL = (1, 0), (0, 1), (0, 0)


@dataclass(frozen=True, kw_only=True)
class Shell:
    """One shell after diagonalisation; energies are in units of `scale` above this shell's ground state."""

    scale: float  # omega_n [D]
    shift: float  # ground-state energy before it was set to zero, in units of scale
    n_up: Ints  # (n_blocks,)
    n_dn: Ints  # (n_blocks,)
    size: Ints  # (n_blocks,) states
    keep: Ints  # (n_blocks,) kept states, the first of each block
    parent: Ints  # (n_blocks, 4) block of the previous shell that state s of the new site is attached to, or -1
    row: Ints  # (n_blocks, 4) first row of that parent's states in the product basis
    energies: Floats  # (n_states,)
    vectors: Floats  # (sum size^2,) row-major (product basis, eigenstate)

    @cached_property
    def state(self) -> Ints:
        """First state of each block, and the number of states: (n_blocks + 1,)."""
        return offsets(self.size)

    @cached_property
    def matrix(self) -> Ints:
        """First element of each block's size x size matrix: (n_blocks + 1,)."""
        return offsets(self.size**2)

    @cached_property
    def kept_matrix(self) -> Ints:
        """First element of each block's keep x keep matrix: (n_blocks + 1,)."""
        return offsets(self.keep**2)

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """Whether a state is kept: (n_states,)."""
        block = np.repeat(np.arange(self.size.size), self.size)
        return (np.arange(self.energies.size) - self.state[block]) < self.keep[block]


@dataclass(frozen=True, kw_only=True)
class Links:
    """Where an operator of one charge has its blocks: bra block of each ket block (or -1) and flat offsets.

    A block is stored in three pieces: kept bras x all kets (KX), discarded bras x kept kets (DK), discarded x
    discarded (DD); and its kept x kept corner once more (KK), which is what the next shell needs.
    """

    bra: Ints
    kx: Ints
    dk: Ints
    dd: Ints
    kk: Ints


def offsets(sizes: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


def impurity_shell(energies: Floats, scale: float) -> Shell:
    """The bare impurity, its four states |0>, |up>, |dn>, |up dn> as four blocks; energies (4,) [D]."""
    return Shell(
        scale=scale,
        shift=float(energies.min()) / scale,
        n_up=np.array([0, 1, 0, 1]),
        n_dn=np.array([0, 0, 1, 1]),
        size=np.ones(4, np.int64),
        keep=np.ones(4, np.int64),
        parent=np.full((4, 4), -1),
        row=np.zeros((4, 4), np.int64),
        energies=(energies - energies.min()) / scale,
        vectors=np.ones(4),
    )


@njit(cache=True)
def next_blocks(n_up: Ints, n_dn: Ints, keep: Ints) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Blocks of the shell that grows out of the kept states of this one: n_up, n_dn, size, parent, row."""
    top_up, top_dn = n_up.max() + 2, n_dn.max() + 2
    previous = np.full((top_up, top_dn), -1)
    for b in range(n_up.size):
        if keep[b] > 0:
            previous[n_up[b], n_dn[b]] = b
    up = np.empty(top_up * top_dn, np.int64)
    dn = np.empty_like(up)
    size = np.empty_like(up)
    parent = np.full((top_up * top_dn, 4), -1)
    row = np.zeros((top_up * top_dn, 4), np.int64)
    n_blocks = 0
    for u in range(top_up):
        for d in range(top_dn):
            total = 0
            for s in range(4):
                pu, pd = u - s % 2, d - s // 2
                p = previous[pu, pd] if pu >= 0 and pd >= 0 else -1
                parent[n_blocks, s] = p
                row[n_blocks, s] = total
                if p >= 0:
                    total += keep[p]
            if total > 0:
                up[n_blocks], dn[n_blocks], size[n_blocks] = u, d, total
                n_blocks += 1
    return up[:n_blocks], dn[:n_blocks], size[:n_blocks], parent[:n_blocks], row[:n_blocks]


@njit(cache=True)
def bra_blocks(n_up: Ints, n_dn: Ints, lower_up: int, lower_dn: int) -> Ints:
    where = np.full((n_up.max() + 1, n_dn.max() + 1), -1)
    for b in range(n_up.size):
        where[n_up[b], n_dn[b]] = b
    bra = np.full(n_up.size, -1)
    for b in range(n_up.size):
        u, d = n_up[b] - lower_up, n_dn[b] - lower_dn
        if u >= 0 and d >= 0:
            bra[b] = where[u, d]
    return bra


def links(shell: Shell, charge: tuple[int, int]) -> Links:
    """The blocks of an operator that lowers (N_up, N_dn) by `charge`."""
    bra = bra_blocks(shell.n_up, shell.n_dn, *charge)
    exists = bra >= 0
    keep_bra, keep_ket = np.where(exists, shell.keep[bra], 0), np.where(exists, shell.keep, 0)
    drop_bra = np.where(exists, shell.size[bra], 0) - keep_bra
    size_ket = np.where(exists, shell.size, 0)
    return Links(
        bra=bra,
        kx=offsets(keep_bra * size_ket),
        dk=offsets(drop_bra * keep_ket),
        dd=offsets(drop_bra * (size_ket - keep_ket)),
        kk=offsets(keep_bra * keep_ket),
    )


def kept_blocks(energies: Floats, size: Ints, n_keep: int, gap: float) -> Ints:
    """How many states of each block survive: the n_keep lowest, and as many more as lie within `gap` of the last."""
    if energies.size <= n_keep:
        return size.copy()
    ordered = np.sort(energies)
    gaps = np.diff(ordered[n_keep - 1 :]) > gap
    last = n_keep + int(np.argmax(gaps)) if gaps.any() else energies.size
    if last == energies.size:
        return size.copy()
    block = np.repeat(np.arange(size.size), size)
    threshold = 0.5 * (ordered[last - 1] + ordered[last])
    return np.bincount(block[energies < threshold], minlength=size.size)
