"""The block structure of one NRG shell: which states it holds and which operator blocks connect them.

A shell is the impurity plus the first chain sites. Its states fall into blocks of fixed (N_up, N_dn). A block's product
basis is |r>|s>: a state r kept in the previous shell, times one of the four states s of the new site,

    s = 0: empty, 1: up, 2: dn, 3: up dn = f+_up f+_dn |0>,

ordered by s; its eigenstates are sorted by energy, kept (K) states first, discarded (D) states after. All blocks of a
kind live one after the other in a flat array, because a few hundred small matrices are cheapest for compiled loops
that way. An operator that lowers (N_up, N_dn) by `charge` has, per ket block b, one matrix from b to the bra block.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "DIAGONAL",
    "SPIN_DN",
    "SPIN_UP",
    "Blocks",
    "Links",
    "Shell",
    "completed",
    "impurity_shell",
    "links",
    "next_blocks",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
SPIN_UP, SPIN_DN, DIAGONAL = (1, 0), (0, 1), (0, 0)


class Blocks(NamedTuple):
    """Product basis of a shell, before diagonalisation."""

    n_up: Ints  # (n_blocks,)
    n_dn: Ints  # (n_blocks,)
    size: Ints  # (n_blocks,) states
    parent: Ints  # (n_blocks, 4) block of the previous shell that state s of the new site is attached to, or -1
    row: Ints  # (n_blocks, 4) first row of that parent's states in the product basis


class Shell(NamedTuple):
    """One shell after diagonalisation; energies are in units of `scale` above this shell's ground state."""

    scale: float  # omega_n [D]
    shift: float  # ground-state energy before it was set to zero, in units of scale
    n_up: Ints  # the five fields of Blocks
    n_dn: Ints
    size: Ints
    parent: Ints
    row: Ints
    keep: Ints  # (n_blocks,) kept states, the first of each block
    state: Ints  # (n_blocks + 1,) first state of each block, and the number of states
    matrix: Ints  # (n_blocks + 1,) first element of each block's size x size matrix
    kept_matrix: Ints  # (n_blocks + 1,) first element of each block's keep x keep matrix
    energies: Floats  # (n_states,)
    parity: Floats  # (n_states,) eigenvalue of the spin flip P where N_up = N_dn and it is a symmetry, else 1
    kept: NDArray[np.bool_]  # (n_states,)
    vectors: Floats  # (sum size^2,) row-major (product basis, eigenstate)


class Links(NamedTuple):
    """Where an operator of one charge has its blocks: bra block of each ket block (or -1) and flat offsets.

    A block is stored in three pieces: kept bras x all kets (KX), discarded bras x kept kets (DK), discarded x
    discarded (DD); and its kept x kept corner once more (KK), which is what the next shell needs.
    """

    bra: Ints  # (n_blocks,)
    kx: Ints  # (n_blocks + 1,) each
    dk: Ints
    dd: Ints
    kk: Ints


def completed(
    blocks: Blocks, keep: Ints, energies: Floats, vectors: Floats, parity: Floats, *, scale: float, shift: float
) -> Shell:
    """The shell with these eigenstates and its offsets."""
    state = offsets(blocks.size)
    block = np.repeat(np.arange(blocks.size.size), blocks.size)
    return Shell(
        **blocks._asdict(), scale=scale, shift=shift, keep=keep, energies=energies, vectors=vectors,
        parity=parity, state=state, matrix=offsets(blocks.size**2), kept_matrix=offsets(keep**2),
        kept=np.arange(energies.size) - state[block] < keep[block],
    )  # fmt: skip


def offsets(sizes: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


def impurity_shell(energies: Floats, scale: float) -> Shell:
    """The bare impurity, its four states |0>, |up>, |dn>, |up dn> as four blocks; energies (4,) [D]."""
    one = np.ones(4, np.int64)
    blocks = Blocks(
        n_up=np.array([0, 1, 0, 1]), n_dn=np.array([0, 0, 1, 1]), size=one,
        parent=np.full((4, 4), -1), row=np.zeros((4, 4), np.int64),
    )  # fmt: skip
    lowest, parity = float(energies.min()), np.array([1.0, 1.0, 1.0, -1.0])
    return completed(blocks, one, (energies - lowest) / scale, np.ones(4), parity, scale=scale, shift=lowest / scale)


@njit(cache=True)
def next_blocks(old: Shell) -> Blocks:
    """Blocks of the shell that grows out of the kept states of this one."""
    top_up, top_dn = old.n_up.max() + 2, old.n_dn.max() + 2
    previous = np.full((top_up, top_dn), -1)
    for b in range(old.n_up.size):
        if old.keep[b] > 0:
            previous[old.n_up[b], old.n_dn[b]] = b
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
                    total += old.keep[p]
            if total > 0:
                up[n_blocks], dn[n_blocks], size[n_blocks] = u, d, total
                n_blocks += 1
    return Blocks(up[:n_blocks], dn[:n_blocks], size[:n_blocks], parent[:n_blocks], row[:n_blocks])


@njit(cache=True)
def links(shell: Shell, charge: tuple[int, int]) -> Links:
    """The blocks of an operator that lowers (N_up, N_dn) by `charge`."""
    n_up, n_dn, size, keep = shell.n_up, shell.n_dn, shell.size, shell.keep
    index = np.full((n_up.max() + 1, n_dn.max() + 1), -1)
    for b in range(size.size):
        index[n_up[b], n_dn[b]] = b
    bra = np.full(size.size, -1)
    kx, dk, dd, kk = np.zeros((4, size.size + 1), np.int64)
    for b in range(size.size):
        up, dn = n_up[b] - charge[0], n_dn[b] - charge[1]
        a = index[up, dn] if up >= 0 and dn >= 0 else -1
        bra[b] = a
        n_a, k_a = (size[a], keep[a]) if a >= 0 else (0, 0)
        kx[b + 1] = kx[b] + k_a * size[b]
        dk[b + 1] = dk[b] + (n_a - k_a) * keep[b]
        dd[b + 1] = dd[b] + (n_a - k_a) * (size[b] - keep[b])
        kk[b + 1] = kk[b] + k_a * keep[b]
    return Links(bra, kx, dk, dd, kk)
