"""Impurity operators carried from shell to shell.

In the product basis an impurity operator acts on the older part alone and leaves the new site as it is, so between the
eigenstates of shell n it reads, with U the eigenvectors and s the state of the new site,

    O_n[a, b] = sum_s U_a[s]^T  O_(n-1)[parent(a, s), parent(b, s)]  U_b[s].

Only the kept corner KK of O_(n-1) enters. Spectra need KD and DK at every shell and DD only where discarded states are
thermally occupied, so DD, more than half of the work, is made where `want_dd` asks for it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.shell import DIAGONAL, SPIN_DN, SPIN_UP, Links, Shell, links

__all__ = ["IMPURITY_OPERATORS", "ImpurityOperator", "OperatorBlocks", "carry", "project"]

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


class OperatorBlocks(NamedTuple):
    """Elements of one operator at one shell, in the four pieces of `Links`; `dd` is empty where it was not wanted."""

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
        blocks.append(carried(previous, old, blocks[-1].kk, shell, new, bool(dd)))
        old = new
    return blocks


@njit(cache=True)
def carried(previous: Shell, old: Links, old_kk: Floats, shell: Shell, new: Links, want_dd: bool) -> OperatorBlocks:
    blocks = OperatorBlocks(
        np.empty(new.kx[-1]), np.empty(new.dk[-1]), np.empty(new.dd[-1] if want_dd else 0), np.empty(new.kk[-1])
    )
    for b in range(shell.size.size):
        a = new.bra[b]
        if a < 0:
            continue
        n_a, n_b = shell.size[a], shell.size[b]
        vectors_b = shell.vectors[shell.matrix[b] : shell.matrix[b + 1]].reshape(n_b, n_b)
        half = np.zeros((n_a, n_b))  # O_(n-1) U_b, rows in the product basis of the bra
        for s in range(4):
            p_a, p_b = shell.parent[a, s], shell.parent[b, s]
            if p_a < 0 or p_b < 0 or old.bra[p_b] != p_a:
                continue
            m_a, m_b = previous.keep[p_a], previous.keep[p_b]
            corner = old_kk[old.kk[p_b] : old.kk[p_b + 1]].reshape(m_a, m_b)
            row_a, row_b = shell.row[a, s], shell.row[b, s]
            half[row_a : row_a + m_a] = np.dot(corner, vectors_b[row_b : row_b + m_b])
        project(half, shell, a, b, new, blocks)
    return blocks


@njit(cache=True)
def project(half: Floats, shell: Shell, a: int, b: int, new: Links, blocks: OperatorBlocks) -> None:
    """Fill the pieces of ket block b with U_a^T half; `half` is O_(n-1) U_b, (size of a, size of b)."""
    n_a, n_b, k_a, k_b = shell.size[a], shell.size[b], shell.keep[a], shell.keep[b]
    block = blocks.kx[new.kx[b] : new.kx[b + 1]].reshape(k_a, n_b)
    rows = np.ascontiguousarray(shell.vectors[shell.matrix[a] : shell.matrix[a + 1]].reshape(n_a, n_a).T)
    if k_a > 0:
        np.dot(rows[:k_a], half, block)
        blocks.kk[new.kk[b] : new.kk[b + 1]].reshape(k_a, k_b)[:] = block[:, :k_b]
    if k_a < n_a:
        if k_b > 0:
            left = np.ascontiguousarray(half[:, :k_b])
            np.dot(rows[k_a:], left, blocks.dk[new.dk[b] : new.dk[b + 1]].reshape(n_a - k_a, k_b))
        if blocks.dd.size > 0 and k_b < n_b:
            right = np.ascontiguousarray(half[:, k_b:])
            np.dot(rows[k_a:], right, blocks.dd[new.dd[b] : new.dd[b + 1]].reshape(n_a - k_a, n_b - k_b))
