"""Impurity operators carried from shell to shell.

In the product basis an impurity operator acts on the older part alone and leaves the new site as it is, so between the
eigenstates of shell n it reads, with U the eigenvectors and s the state of the new site,

    O_n[a, b] = sum_s U_a[s]^T  O_(n-1)[parent(a, s), parent(b, s)]  U_b[s].

Only the kept corner KK of O_(n-1) enters. Spectra need KD and DK at every shell and DD only where discarded states are
thermally occupied, so DD, more than half of the work, is made where `want_dd` asks for it.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.shell import DIAGONAL, SPIN_DN, SPIN_UP, Ints, Links, Shell, links

__all__ = ["IMPURITY_OPERATORS", "ImpurityOperator", "OperatorBlocks", "carry"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ImpurityOperator:
    """How far it lowers (N_up, N_dn), and its elements between |0>, |up>, |dn>, |up dn>, in the order of the ket."""

    charge: tuple[int, int]
    elements: tuple[float, ...]


IMPURITY_OPERATORS = {
    "d_up": ImpurityOperator(charge=SPIN_UP, elements=(1.0, 1.0)),
    "d_dn": ImpurityOperator(charge=SPIN_DN, elements=(1.0, -1.0)),
    "q_up": ImpurityOperator(charge=SPIN_UP, elements=(0.0, 1.0)),  # d_up n_dn
    "q_dn": ImpurityOperator(charge=SPIN_DN, elements=(0.0, -1.0)),  # d_dn n_up
    "s_z": ImpurityOperator(charge=DIAGONAL, elements=(0.0, 0.5, -0.5, 0.0)),
    "n_d": ImpurityOperator(charge=DIAGONAL, elements=(0.0, 1.0, 1.0, 2.0)),
}


@dataclass(frozen=True, kw_only=True)
class OperatorBlocks:
    """One operator at one shell, in the four pieces of `Links`; `dd` is empty where it was not wanted."""

    kx: Floats
    dk: Floats
    dd: Floats
    kk: Floats


def carry(shells: list[Shell], operator: ImpurityOperator, want_dd: NDArray[np.bool_]) -> list[OperatorBlocks]:
    """The operator at every shell, the bare impurity included; want_dd is (n_shells,)."""
    start = np.array(operator.elements)
    blocks = [OperatorBlocks(kx=start, dk=np.empty(0), dd=np.empty(0), kk=start)]
    old = links(shells[0], operator.charge)
    for previous, shell, dd in zip(shells, shells[1:], want_dd[1:], strict=False):
        new = links(shell, operator.charge)
        blocks.append(carried(previous, shell, old, new, blocks[-1].kk, bool(dd)))
        old = new
    return blocks


def carried(previous: Shell, shell: Shell, old: Links, new: Links, old_kk: Floats, want_dd: bool) -> OperatorBlocks:
    kx, dk, kk = np.empty(new.kx[-1]), np.empty(new.dk[-1]), np.empty(new.kk[-1])
    dd = np.empty(new.dd[-1] if want_dd else 0)
    carry_kernel(
        old.bra, old.kk, old_kk, previous.keep,
        new.bra, new.kx, new.dk, new.dd, new.kk, shell.size, shell.keep, shell.parent, shell.row,
        shell.matrix, shell.vectors, kx, dk, dd, kk, want_dd,
    )  # fmt: skip
    return OperatorBlocks(kx=kx, dk=dk, dd=dd, kk=kk)


@njit(cache=True)
def carry_kernel(
    old_bra: Ints, old_at: Ints, old_kk: Floats, old_keep: Ints,
    bra: Ints, at_kx: Ints, at_dk: Ints, at_dd: Ints, at_kk: Ints, size: Ints, keep: Ints, parent: Ints, row: Ints,
    matrix: Ints, vectors: Floats, kx: Floats, dk: Floats, dd: Floats, kk: Floats, want_dd: bool,
) -> None:  # fmt: skip
    for b in range(size.size):
        a = bra[b]
        if a < 0:
            continue
        n_a, n_b, k_a, k_b = size[a], size[b], keep[a], keep[b]
        vectors_a = vectors[matrix[a] : matrix[a + 1]].reshape(n_a, n_a)
        vectors_b = vectors[matrix[b] : matrix[b + 1]].reshape(n_b, n_b)
        half = np.zeros((n_a, n_b))  # O_(n-1) U_b, rows in the product basis of the bra
        for s in range(4):
            p_a, p_b = parent[a, s], parent[b, s]
            if p_a < 0 or p_b < 0 or old_bra[p_b] != p_a:
                continue
            m_a, m_b = old_keep[p_a], old_keep[p_b]
            corner = old_kk[old_at[p_b] : old_at[p_b + 1]].reshape(m_a, m_b)
            half[row[a, s] : row[a, s] + m_a] = np.dot(corner, vectors_b[row[b, s] : row[b, s] + m_b])
        block = kx[at_kx[b] : at_kx[b + 1]].reshape(k_a, n_b)
        rows = np.ascontiguousarray(vectors_a.T)
        if k_a > 0:
            np.dot(rows[:k_a], half, block)
            kk[at_kk[b] : at_kk[b + 1]].reshape(k_a, k_b)[:] = block[:, :k_b]
        if k_a < n_a:
            if k_b > 0:
                left = np.ascontiguousarray(half[:, :k_b])
                np.dot(rows[k_a:], left, dk[at_dk[b] : at_dk[b + 1]].reshape(n_a - k_a, k_b))
            if want_dd and k_b < n_b:
                right = np.ascontiguousarray(half[:, k_b:])
                np.dot(rows[k_a:], right, dd[at_dd[b] : at_dd[b + 1]].reshape(n_a - k_a, n_b - k_b))
