"""The full density matrix of the chain in the complete basis of discarded states.

Weichselbaum and von Delft, Phys. Rev. Lett. 99, 076402 (2007):

    rho = sum_n sum_(s in D_n) |s>_n w_n,s <s|_n (x) 1,      w_n,s = 4^(N-n) e^(-E_n,s / T) / Z,

where everything is discarded at the last shell N and 4^(N-n) counts the sites still to come (w_n,s is the weight of a
discarded state with all of them together). What the shells after n hold, traced over their newer sites, is a matrix
among the kept states of shell n, block by block:

    R_(n-1)[p] = sum_(b, s: parent(b, s) = p)  U_b[s]  (R_n[b] (+) diag w_n)  U_b[s]^T.

At the bare impurity R is diagonal and gives the occupations.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.shell import Ints, Shell

__all__ = ["DensityMatrix", "density_matrix", "needs_discarded_pairs"]

Floats = NDArray[np.float64]
NEGLIGIBLE_LOG_WEIGHT = -40.0  # e^-40 = 4e-18: below double precision beside a total of one


@dataclass(frozen=True, kw_only=True)
class DensityMatrix:
    """rho at one temperature for a chain that ends at shells[last]."""

    temperature: float  # [D]
    last: int  # index into the shells (0 is the bare impurity)
    weights: list[Floats]  # per shell: w of its discarded states, 0 for kept ones, (n_states,)
    reduced: list[Floats]  # per shell: R among kept states, flat like Shell.kept_matrix; empty at the last shell
    log_z: float  # ln Z with energies measured from the ground state of the last shell
    energy: float  # <H> above that ground state [D]

    @property
    def impurity_weights(self) -> Floats:
        """Probabilities of |0>, |up>, |dn>, |up dn>, (4,)."""
        return self.reduced[0]


def density_matrix(shells: list[Shell], temperature: float, last: int) -> DensityMatrix:
    """Raises ValueError where `last` is no shell of the chain."""
    if not 1 <= last < len(shells):
        raise ValueError(f"last shell {last}: expected 1 to {len(shells) - 1}, or a longer chain")
    ground = ground_energies(shells, last)
    logs, energies, discarded = [], [], []
    for n in range(1, last + 1):
        shell = shells[n]
        out = np.ones(shell.energies.size, bool) if n == last else ~shell.kept
        energy = ground[n] + shell.scale * shell.energies[out]
        energies.append(energy)
        logs.append((last - n) * math.log(4) - energy / temperature)
        discarded.append(out)
    top = max(float(log.max()) for log in logs if log.size)
    log_z = top + math.log(math.fsum(float(np.exp(log - top).sum()) for log in logs))
    weights = [np.zeros(4)]
    for shell, log, out in zip(shells[1:], logs, discarded, strict=False):
        weight = np.zeros(shell.energies.size)
        weight[out] = np.exp(log - log_z)
        weights.append(weight)
    energy = math.fsum(float(w[out] @ e) for w, out, e in zip(weights[1:], discarded, energies, strict=True))
    return DensityMatrix(
        temperature=temperature, last=last, weights=weights, reduced=trace_back(shells, weights, last),
        log_z=log_z, energy=energy,
    )  # fmt: skip


def ground_energies(shells: list[Shell], last: int) -> list[float]:
    """Ground state of each shell above that of shell `last` [D]; summed from the end, where the steps are smallest."""
    ground = [0.0] * (last + 1)
    for n in range(last - 1, -1, -1):
        ground[n] = ground[n + 1] - shells[n + 1].scale * shells[n + 1].shift
    return ground


def needs_discarded_pairs(shells: list[Shell], temperatures: Floats, lasts: list[int]) -> NDArray[np.bool_]:
    """Shells whose discarded states carry weight at one of the temperatures, or end a chain: (n_shells,)."""
    need = np.zeros(len(shells), bool)
    for temperature, last in zip(temperatures, lasts, strict=True):
        need[last] = True
        for n in range(1, last):
            out = ~shells[n].kept
            if out.any():
                lowest = shells[n].scale * shells[n].energies[out].min()
                need[n] |= (last - n) * math.log(4) - lowest / temperature > NEGLIGIBLE_LOG_WEIGHT
    return need


def trace_back(shells: list[Shell], weights: list[Floats], last: int) -> list[Floats]:
    reduced: list[Floats] = [np.empty(0)]
    for n in range(last, 0, -1):
        shell, old = shells[n], shells[n - 1]
        keep = np.zeros_like(shell.keep) if n == last else shell.keep
        kept_matrix = np.zeros_like(shell.kept_matrix) if n == last else shell.kept_matrix
        traced = trace_kernel(
            reduced[-1], kept_matrix, weights[n], bool(weights[n].max() > 0), shell.size, keep, shell.parent,
            shell.row, shell.state, shell.matrix, shell.vectors, old.keep, old.kept_matrix,
        )  # fmt: skip
        reduced.append(traced)
    return reduced[::-1]


@njit(cache=True)
def trace_kernel(
    reduced: Floats, at: Ints, weights: Floats, any_weight: bool, size: Ints, keep: Ints, parent: Ints,
    row: Ints, state: Ints, matrix: Ints, vectors: Floats, old_keep: Ints, old_at: Ints,
) -> Floats:  # fmt: skip
    result = np.zeros(old_at[-1])
    for b in range(size.size):
        n, k = size[b], keep[b]
        used = n if any_weight else k
        if used == 0:
            continue
        eigen = vectors[matrix[b] : matrix[b + 1]].reshape(n, n)
        eigen_used = np.ascontiguousarray(eigen[:, :used])  # (n, used)
        weighted = np.empty((n, used))  # U (R (+) diag w)
        if k > 0:
            block = reduced[at[b] : at[b + 1]].reshape(k, k)
            weighted[:, :k] = np.dot(np.ascontiguousarray(eigen[:, :k]), block)
        for i in range(n):
            for j in range(k, used):
                weighted[i, j] = eigen_used[i, j] * weights[state[b] + j]
        for s in range(4):
            p = parent[b, s]
            if p < 0:
                continue
            m = old_keep[p]
            left = weighted[row[b, s] : row[b, s] + m]
            right = eigen_used[row[b, s] : row[b, s] + m]
            target = result[old_at[p] : old_at[p + 1]].reshape(m, m)
            target += np.dot(left, right.T)
    return result
