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

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.density_matrix import DensityMatrix
from models.physics.impurity.operators import OperatorBlocks
from models.physics.impurity.shell import Ints, Shell, links

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


@dataclass(frozen=True, kw_only=True)
class PairBins:
    """The bin of E_k - E_i for every stored pair of one charge at one shell; it serves d and q at all temperatures."""

    kx: Bins
    dk: Bins
    dd: Bins


def pair_bins(
    shells: list[Shell], charge: tuple[int, int], want_dd: NDArray[np.bool_], bins: FrequencyBins
) -> list[PairBins]:
    """Bins for each shell; the bare impurity gets empty ones, its pairs being all kept."""
    empty = np.empty(0, np.int32)
    result = [PairBins(kx=empty, dk=empty, dd=empty)]
    for shell, dd in zip(shells[1:], want_dd[1:], strict=True):
        link = links(shell, charge)
        pairs = PairBins(
            kx=np.empty(link.kx[-1], np.int32), dk=np.empty(link.dk[-1], np.int32),
            dd=np.empty(link.dd[-1] if dd else 0, np.int32),
        )  # fmt: skip
        bin_kernel(
            link.bra, link.kx, link.dk, link.dd, shell.size, shell.keep, shell.state, shell.energies,
            float(np.log10(shell.scale / bins.lowest)), bins.per_decade, bins.n_per_sign, pairs.kx, pairs.dk, pairs.dd,
        )  # fmt: skip
        result.append(pairs)
    return result


@njit(cache=True)
def bin_kernel(
    bra: Ints, at_kx: Ints, at_dk: Ints, at_dd: Ints, size: Ints, keep: Ints, state: Ints, energies: Floats,
    log_scale: float, per_decade: int, n: int, kx: Bins, dk: Bins, dd: Bins,
) -> None:  # fmt: skip
    for b in range(size.size):
        a = bra[b]
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
                    position = min(max(position, 0), n - 1)
                index = n + position if gap >= 0 else n - 1 - position
                if i < k_a:
                    kx[at_kx[b] + i * size[b] + k] = index
                elif k < k_b:
                    dk[at_dk[b] + (i - k_a) * k_b + k] = index
                else:
                    dd[at_dd[b] + (i - k_a) * (size[b] - k_b) + k - k_b] = index


def correlators(
    shells: list[Shell], density: DensityMatrix, charge: tuple[int, int],
    d: list[OperatorBlocks], q: list[OperatorBlocks], pairs: list[PairBins], bins: FrequencyBins,
) -> Floats:  # fmt: skip
    """Binned weights of <<d; d+>>, <<q; d+>> and <<q; q+>>: (3, 2 n_per_sign)."""
    histogram = np.zeros((3, 2 * bins.n_per_sign))
    for n in range(1, density.last + 1):
        shell, link = shells[n], links(shells[n], charge)
        thermal = bool(density.weights[n].max() > 0)
        add_spectra(
            link.bra, link.kx, link.dk, link.dd, shell.kept_matrix, shell.size, shell.keep, shell.state,
            density.reduced[n] if n < density.last else np.zeros(shell.kept_matrix[-1]), density.weights[n],
            d[n].kx, d[n].dk, d[n].dd, q[n].kx, q[n].dk, q[n].dd, pairs[n].kx, pairs[n].dk, pairs[n].dd,
            n == density.last, thermal and d[n].dd.size > 0, histogram,
        )  # fmt: skip
    return histogram


@njit(cache=True)
def add_spectra(
    bra: Ints, at_kx: Ints, at_dk: Ints, at_dd: Ints, at_r: Ints, size: Ints, keep: Ints, state: Ints,
    reduced: Floats, weights: Floats, d_kx: Floats, d_dk: Floats, d_dd: Floats, q_kx: Floats, q_dk: Floats,
    q_dd: Floats, bin_kx: Bins, bin_dk: Bins, bin_dd: Bins, is_last: bool, use_dd: bool, histogram: Floats,
) -> None:  # fmt: skip
    for b in range(size.size):
        a = bra[b]
        if a < 0:
            continue
        n_a, n_b, k_a, k_b = size[a], size[b], keep[a], keep[b]
        w_a, w_b = weights[state[a] : state[a + 1]], weights[state[b] : state[b + 1]]
        if k_a > 0:
            d_block = d_kx[at_kx[b] : at_kx[b + 1]].reshape(k_a, n_b)
            q_block = q_kx[at_kx[b] : at_kx[b + 1]].reshape(k_a, n_b)
            index = bin_kx[at_kx[b] : at_kx[b + 1]].reshape(k_a, n_b)
            if is_last:
                for i in range(k_a):
                    for k in range(n_b):
                        add(histogram, index[i, k], d_block[i, k], q_block[i, k], w_a[i] + w_b[k])
            elif k_b < n_b:
                r_a = reduced[at_r[a] : at_r[a + 1]].reshape(k_a, k_a)
                d_right = np.ascontiguousarray(d_block[:, k_b:])
                q_right = np.ascontiguousarray(q_block[:, k_b:])
                rd, rq = np.dot(r_a, d_right), np.dot(r_a, q_right)
                for i in range(k_a):
                    for k in range(n_b - k_b):
                        w = w_b[k_b + k]
                        x, y = d_right[i, k], q_right[i, k]
                        p, r = rd[i, k] + w * x, rq[i, k] + w * y
                        j = index[i, k_b + k]
                        histogram[0, j] += x * p
                        histogram[1, j] += 0.5 * (y * p + x * r)
                        histogram[2, j] += y * r
        if k_b > 0 and k_a < n_a:
            d_low = d_dk[at_dk[b] : at_dk[b + 1]].reshape(n_a - k_a, k_b)
            q_low = q_dk[at_dk[b] : at_dk[b + 1]].reshape(n_a - k_a, k_b)
            index = bin_dk[at_dk[b] : at_dk[b + 1]].reshape(n_a - k_a, k_b)
            if is_last:
                for i in range(n_a - k_a):
                    for k in range(k_b):
                        add(histogram, index[i, k], d_low[i, k], q_low[i, k], w_a[k_a + i] + w_b[k])
            else:
                r_b = reduced[at_r[b] : at_r[b + 1]].reshape(k_b, k_b)
                dr, qr = np.dot(d_low, r_b), np.dot(q_low, r_b)
                for i in range(n_a - k_a):
                    w = w_a[k_a + i]
                    for k in range(k_b):
                        x, y = d_low[i, k], q_low[i, k]
                        p, r = dr[i, k] + w * x, qr[i, k] + w * y
                        j = index[i, k]
                        histogram[0, j] += x * p
                        histogram[1, j] += 0.5 * (y * p + x * r)
                        histogram[2, j] += y * r
        if use_dd and k_a < n_a and k_b < n_b:
            d_far = d_dd[at_dd[b] : at_dd[b + 1]].reshape(n_a - k_a, n_b - k_b)
            q_far = q_dd[at_dd[b] : at_dd[b + 1]].reshape(n_a - k_a, n_b - k_b)
            index = bin_dd[at_dd[b] : at_dd[b + 1]].reshape(n_a - k_a, n_b - k_b)
            for i in range(n_a - k_a):
                for k in range(n_b - k_b):
                    add(histogram, index[i, k], d_far[i, k], q_far[i, k], w_a[k_a + i] + w_b[k_b + k])


@njit(cache=True)
def add(histogram: Floats, j: int, x: float, y: float, w: float) -> None:
    histogram[0, j] += x * x * w
    histogram[1, j] += x * y * w
    histogram[2, j] += y * y * w
