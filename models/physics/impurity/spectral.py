"""Spectral functions from the full density matrix, binned on a logarithmic frequency axis.

In the complete basis an operator is its matrix elements between states of one shell of which at least one is
discarded. With A, B lowering the charge by one,

    A_AB(w) = sum_n sum_(i bra, k ket, not both kept)  A_ik [R B + B R]_ik  delta(w - (E_k - E_i)),

R = R_n among kept states (+) diag w_n among discarded ones. The sum rule sum A_AB = <{A, B+}> holds by construction.
Three functions are made at once: G from <<d; d+>>, F from <<q; d+>> and I from <<q; q+>>, with q_s = d_s n_-s.
Truncation makes <<q; d+>> and <<d; q+>> differ a little; F is their mean, which keeps the particle-hole mirror exact.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.density_matrix import DensityMatrix
from models.physics.impurity.operators import OperatorBlocks
from models.physics.impurity.shell import Links, Shell, links

__all__ = ["FrequencyBins", "PairBins", "correlators", "pair_bins"]

Floats = NDArray[np.float64]
Bins = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class FrequencyBins:
    """Logarithmic bins: indices 0 to n - 1 for -highest ... -lowest, n to 2 n - 1 for lowest ... highest."""

    lowest: float  # [D]
    highest: float  # [D]
    per_decade: int

    @property
    def n_per_sign(self) -> int:
        return round(math.log10(self.highest / self.lowest) * self.per_decade) + 1

    @property
    def positive(self) -> Floats:
        """Bin centres, (n_per_sign,) [D]."""
        return np.asarray(self.lowest * 10 ** (np.arange(self.n_per_sign) / self.per_decade))

    @property
    def centres(self) -> Floats:
        """(2 n_per_sign,) ascending [D]."""
        return np.concatenate([-self.positive[::-1], self.positive])


class PairBins(NamedTuple):
    """The bin of E_k - E_i for every stored pair of one charge at one shell; it serves d and q at all temperatures."""

    kx: Bins
    dk: Bins
    dd: Bins


def pair_bins(
    shells: list[Shell], charge: tuple[int, int], want_dd: NDArray[np.bool_], bins: FrequencyBins
) -> list[PairBins]:
    """Bins for each shell; the bare impurity gets empty ones, its pairs being all kept."""
    empty = np.empty(0, np.int32)
    result = [PairBins(empty, empty, empty)]
    for shell, dd in zip(shells[1:], want_dd[1:], strict=True):
        log_scale = float(np.log10(shell.scale / bins.lowest))
        result.append(bins_of_gaps(shell, links(shell, charge), log_scale, bins.per_decade, bins.n_per_sign, bool(dd)))
    return result


@njit(cache=True)
def bins_of_gaps(
    shell: Shell, link: Links, log_scale: float, per_decade: int, n_per_sign: int, want_dd: bool
) -> PairBins:
    size, keep, state, energies = shell.size, shell.keep, shell.state, shell.energies
    kx, dk = np.empty(link.kx[-1], np.int32), np.empty(link.dk[-1], np.int32)
    dd = np.empty(link.dd[-1] if want_dd else 0, np.int32)
    for b in range(size.size):
        a = link.bra[b]
        if a < 0:
            continue
        k_a, k_b = keep[a], keep[b]
        for i in range(size[a]):
            if i >= k_a and k_b == 0 and dd.size == 0:
                break
            for k in range(size[b]):
                if i >= k_a and k >= k_b and dd.size == 0:
                    break
                gap = energies[state[b] + k] - energies[state[a] + i]
                size_of_gap = abs(gap)
                if size_of_gap < 1e-300:
                    position = 0
                else:
                    position = int(np.floor((np.log10(size_of_gap) + log_scale) * per_decade + 0.5))
                    position = min(max(position, 0), n_per_sign - 1)
                index = n_per_sign + position if gap >= 0 else n_per_sign - 1 - position
                if i < k_a:
                    kx[link.kx[b] + i * size[b] + k] = index
                elif k < k_b:
                    dk[link.dk[b] + (i - k_a) * k_b + k] = index
                else:
                    dd[link.dd[b] + (i - k_a) * (size[b] - k_b) + k - k_b] = index
    return PairBins(kx, dk, dd)


def correlators(
    shells: list[Shell], density: DensityMatrix, charge: tuple[int, int],
    d: list[OperatorBlocks], q: list[OperatorBlocks], pairs: list[PairBins], bins: FrequencyBins,
) -> Floats:  # fmt: skip
    """Binned weights of <<d; d+>>, <<q; d+>> and <<q; q+>>: (3, 2 n_per_sign)."""
    histogram = np.zeros((3, 2 * bins.n_per_sign))
    for n in range(1, density.last + 1):
        link, weights, reduced = links(shells[n], charge), density.weights[n], density.reduced[n]
        add_spectra(histogram, shells[n], link, reduced, weights, d[n], q[n], pairs[n], n == density.last)
    return histogram


@njit(cache=True)
def add_spectra(
    histogram: Floats, shell: Shell, link: Links, reduced: Floats, weights: Floats,
    d: OperatorBlocks, q: OperatorBlocks, pairs: PairBins, is_last: bool,
) -> None:  # fmt: skip
    use_dd = weights.max() > 0 and d.dd.size > 0
    for b in range(shell.size.size):
        a = link.bra[b]
        if a < 0:
            continue
        n_a, n_b, k_a, k_b = shell.size[a], shell.size[b], shell.keep[a], shell.keep[b]
        w_a, w_b = weights[shell.state[a] : shell.state[a + 1]], weights[shell.state[b] : shell.state[b + 1]]
        if k_a > 0:
            kx = slice(link.kx[b], link.kx[b + 1])
            d_kx, q_kx = d.kx[kx].reshape(k_a, n_b), q.kx[kx].reshape(k_a, n_b)
            index = pairs.kx[kx].reshape(k_a, n_b)
            if is_last:
                add_pairs(histogram, index, d_kx, q_kx, w_a, w_b)
            elif k_b < n_b:
                r = reduced[shell.kept_matrix[a] : shell.kept_matrix[a + 1]].reshape(k_a, k_a)
                d_kd, q_kd = np.ascontiguousarray(d_kx[:, k_b:]), np.ascontiguousarray(q_kx[:, k_b:])
                add_traced_pairs(
                    histogram, index[:, k_b:], d_kd, q_kd, np.dot(r, d_kd), np.dot(r, q_kd), w_a, w_b[k_b:]
                )
        if k_b > 0 and k_a < n_a:
            dk = slice(link.dk[b], link.dk[b + 1])
            d_dk, q_dk = d.dk[dk].reshape(n_a - k_a, k_b), q.dk[dk].reshape(n_a - k_a, k_b)
            index = pairs.dk[dk].reshape(n_a - k_a, k_b)
            if is_last:
                add_pairs(histogram, index, d_dk, q_dk, w_a[k_a:], w_b)
            else:
                r = reduced[shell.kept_matrix[b] : shell.kept_matrix[b + 1]].reshape(k_b, k_b)
                add_traced_pairs(histogram, index, d_dk, q_dk, np.dot(d_dk, r), np.dot(q_dk, r), w_a[k_a:], w_b)
        if use_dd and k_a < n_a and k_b < n_b:
            dd, shape = slice(link.dd[b], link.dd[b + 1]), (n_a - k_a, n_b - k_b)
            index = pairs.dd[dd].reshape(shape)
            add_pairs(histogram, index, d.dd[dd].reshape(shape), q.dd[dd].reshape(shape), w_a[k_a:], w_b[k_b:])


@njit(cache=True)
def add_pairs(histogram: Floats, index: Bins, d: Floats, q: Floats, w_bra: Floats, w_ket: Floats) -> None:
    """Pairs of states that are all discarded: R is diagonal."""
    for i in range(d.shape[0]):
        for k in range(d.shape[1]):
            j, w, x, y = index[i, k], w_bra[i] + w_ket[k], d[i, k], q[i, k]
            histogram[0, j] += x * x * w
            histogram[1, j] += x * y * w
            histogram[2, j] += y * y * w


@njit(cache=True)
def add_traced_pairs(
    histogram: Floats, index: Bins, d: Floats, q: Floats, rd: Floats, rq: Floats, w_bra: Floats, w_ket: Floats
) -> None:
    """Pairs of a kept and a discarded state; `rd` and `rq` are the parts of [R d + d R] that the kept state brings."""
    for i in range(d.shape[0]):
        for k in range(d.shape[1]):
            j, w, x, y = index[i, k], w_bra[i] + w_ket[k], d[i, k], q[i, k]
            p, r = rd[i, k] + w * x, rq[i, k] + w * y
            histogram[0, j] += x * p
            histogram[1, j] += 0.5 * (y * p + x * r)
            histogram[2, j] += y * r
