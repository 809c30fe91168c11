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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.shell import Shell

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
        """Probabilities of |0>, |up>, |dn>, |up dn>, (4,); of |0>, |s>, |up dn>, (3,), where states are multiplets."""
        return self.reduced[0]


def density_matrix(
    shells: list[Shell], temperature: float, last: int, *, multiplicities: Sequence[Floats] | None = None
) -> DensityMatrix:
    """Raises ValueError where `last` is no shell of the chain.

    multiplicities: per shell, how many states of one energy each state stands for, (n_states,); `weights` and
    `reduced` are of all of them.
    """
    if not 1 <= last < len(shells):
        raise ValueError(f"last shell {last}: expected 1 to {len(shells) - 1}, or a longer chain")
    ground = ground_energies(shells, last)
    logs, energies, discarded = [], [], []
    for n in range(1, last + 1):
        shell = shells[n]
        out = np.ones(shell.energies.size, bool) if n == last else ~shell.kept
        energy = ground[n] + shell.scale * shell.energies[out]
        energies.append(energy)
        log = (last - n) * math.log(4) - energy / temperature
        logs.append(log if multiplicities is None else log + np.log(multiplicities[n][out]))
        discarded.append(out)
    top = max(float(log.max()) for log in logs if log.size)
    log_z = top + math.log(math.fsum(float(np.exp(log - top).sum()) for log in logs))
    weights = [np.zeros(shells[0].energies.size)]
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
        reduced.append(traced(shells[n - 1], shells[n], reduced[-1], weights[n], n == last))
    return reduced[::-1]


@njit(cache=True)
def traced(old: Shell, shell: Shell, reduced: Floats, weights: Floats, is_last: bool) -> Floats:
    result = np.zeros(old.kept_matrix[-1])
    any_weight = weights.max() > 0
    for b in range(shell.size.size):
        n, k = shell.size[b], 0 if is_last else shell.keep[b]
        used = n if any_weight else k
        if used == 0:
            continue
        eigen = shell.vectors[shell.matrix[b] : shell.matrix[b + 1]].reshape(n, n)
        eigen_used = np.ascontiguousarray(eigen[:, :used])  # (n, used)
        weighted = np.empty((n, used))  # U (R (+) diag w)
        if k > 0:
            block = reduced[shell.kept_matrix[b] : shell.kept_matrix[b + 1]].reshape(k, k)
            weighted[:, :k] = np.dot(np.ascontiguousarray(eigen[:, :k]), block)
        w = weights[shell.state[b] : shell.state[b + 1]]
        for i in range(n):
            for j in range(k, used):
                weighted[i, j] = eigen_used[i, j] * w[j]
        for s in range(4):
            p, row = shell.parent[b, s], shell.row[b, s]
            if p < 0:
                continue
            m = old.keep[p]
            target = result[old.kept_matrix[p] : old.kept_matrix[p + 1]].reshape(m, m)
            target += np.dot(weighted[row : row + m], eigen_used[row : row + m].T)
    return result
