"""Tensor operators of the impurity carried from shell to shell, between multiplets.

As in models/physics/impurity/operators.py, with the factors of recoupling.py: the sum over the state s of the new site
becomes one over s_a and s_b, because its spin 1/2 may couple to another older multiplet in the bra than in the ket.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.multiplets.recoupling import DOUBLET, FIRST, SECOND, TRIPLET, Charge, recoupling
from models.physics.impurity.operators import OperatorBlocks, project
from models.physics.impurity.shell import Links, Shell, links, offsets

__all__ = ["IMPURITY_TENSORS", "TensorOperator", "carry_tensor", "pairs_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TensorOperator:
    """The two kinds of pairs that it connects, and D of each between |0>, |s>, |up dn>, in the order of the ket."""

    kinds: tuple[Charge, Charge]
    elements: tuple[tuple[float, ...], tuple[float, ...]]


IMPURITY_TENSORS = {
    "d": TensorOperator(kinds=DOUBLET, elements=((1.0,), (-1.0,))),
    "q": TensorOperator(kinds=DOUBLET, elements=((0.0,), (-1.0,))),  # d_s n_-s
    "s_z": TensorOperator(kinds=TRIPLET, elements=((0.0, math.sqrt(0.5), 0.0), ())),
}


def carry_tensor(
    shells: list[Shell], operator: TensorOperator, want_dd: NDArray[np.bool_]
) -> tuple[list[OperatorBlocks], list[OperatorBlocks]]:
    """The operator at every shell, the bare impurity included, for each kind of pairs; want_dd is (n_shells,)."""
    nothing = np.empty(0)
    first, second = (
        [OperatorBlocks(kx=np.array(start), dk=nothing, dd=nothing, kk=np.array(start))] for start in operator.elements
    )
    old = [pairs_of(shells[0], charge) for charge in operator.kinds]
    most = max(int((shell.n_up - shell.n_dn).max()) for shell in shells)
    tables = [recoupling(operator.kinds, kind, most) for kind in range(2)]
    for previous, shell, dd in zip(shells, shells[1:], want_dd[1:], strict=False):
        new = [pairs_of(shell, charge) for charge in operator.kinds]
        corners = first[-1].kk, second[-1].kk
        for blocks, link, table in zip((first, second), new, tables, strict=True):
            blocks.append(
                carried(
                    previous, old[0], corners[0], old[1], corners[1], shell, link, table.factors, table.source, bool(dd)
                )
            )
        old = new
    return first, second


def pairs_of(shell: Shell, charge: Charge) -> Links:
    """`shell.links` for any charge, also one that lowers N_up and raises N_dn."""
    if min(charge) >= 0:
        return links(shell, charge)
    names = zip(shell.n_up.tolist(), shell.n_dn.tolist(), strict=True)
    index = {name: block for block, name in enumerate(names)}
    bra = np.array([index.get((up - charge[0], dn - charge[1]), -1) for up, dn in index])
    size, keep = shell.size, shell.keep
    n_a, k_a = np.where(bra >= 0, size[bra], 0), np.where(bra >= 0, keep[bra], 0)
    return Links(
        bra=bra, kx=offsets(k_a * size), dk=offsets((n_a - k_a) * keep), dd=offsets((n_a - k_a) * (size - keep)),
        kk=offsets(k_a * keep),
    )  # fmt: skip


@njit(cache=True)
def carried(
    previous: Shell, first: Links, first_kk: Floats, second: Links, second_kk: Floats,
    shell: Shell, new: Links, factors: Floats, source: Ints, want_dd: bool,
) -> OperatorBlocks:  # fmt: skip
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
        for s_a in range(4):
            for s_b in range(4):
                p_a, p_b, kind = shell.parent[a, s_a], shell.parent[b, s_b], source[s_a, s_b]
                if p_a < 0 or p_b < 0 or kind < 0:
                    continue
                m_a, m_b = previous.keep[p_a], previous.keep[p_b]
                factor = factors[s_a, s_b, shell.n_up[b] - shell.n_dn[b]]
                if kind == FIRST:
                    corner = factor * first_kk[first.kk[p_b] : first.kk[p_b + 1]].reshape(m_a, m_b)
                elif kind == SECOND:
                    corner = factor * second_kk[second.kk[p_b] : second.kk[p_b + 1]].reshape(m_a, m_b)
                else:
                    corner = np.ascontiguousarray(
                        factor * second_kk[second.kk[p_a] : second.kk[p_a + 1]].reshape(m_b, m_a).T
                    )
                row_a, row_b = shell.row[a, s_a], shell.row[b, s_b]
                half[row_a : row_a + m_a] += np.dot(corner, vectors_b[row_b : row_b + m_b])
        project(half, shell, a, b, new, blocks)
    return blocks
