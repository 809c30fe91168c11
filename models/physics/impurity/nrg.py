"""Wilson's iteration: add chain sites one by one, diagonalise block by block, keep the low-energy states.

    H_n = sqrt(Lambda) H_(n-1) + (t_(n-1) / omega_n) sum_s (f+_n,s f_(n-1),s + h.c.),       omega_n = Lambda^(-n/2)

in units of omega_n, with f_(-1) = d and t_(-1) = V sqrt(2 rho) = sqrt(2 Gamma / pi). Of another bath the hoppings and
omega_n come from bath_chain.py: they may depend on the spin, sites have energies, sum_s e_n,s (f+_n,s f_n,s - 1/2), and
omega_(n-1) / omega_n takes the place of sqrt(Lambda). Creation operators of older sites stand to the left, so an
operator of the new site picks up (-1)^N of the older part, one of the impurity nothing.

At zero field, and with one bath for both spins, the spin flip P (up <-> dn on every site; |up dn> -> -|up dn>)
commutes with H. Then only blocks with N_up >= N_dn are diagonalised, those with N_up = N_dn as their two halves P = +1
and P = -1, and the others are copied.

Bulla, Costi, Pruschke, Rev. Mod. Phys. 80, 395 (2008); the states that are thrown away at each step are a complete
basis of the whole chain (Anders and Schiller, Phys. Rev. Lett. 95, 196801 (2005)), which the spectra build on.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.bath_chain import spin_chains
from models.physics.impurity.hamiltonian import AndersonImpurity, ImpurityInBath
from models.physics.impurity.shell import (
    SPIN_DN,
    SPIN_UP,
    Blocks,
    Ints,
    Links,
    Shell,
    completed,
    impurity_shell,
    links,
    next_blocks,
)
from models.physics.impurity.wilson_chain import wilson_chain

__all__ = ["Chain", "Truncation", "chain_of", "iterate", "last_site", "last_sites"]

Floats = NDArray[np.float64]
# f_s between the four states of its site, (bra, ket, sign)
NEW_SITE = {SPIN_UP: ((0, 1, 1), (2, 3, 1)), SPIN_DN: ((0, 2, 1), (1, 3, -1))}


@dataclass(frozen=True, kw_only=True)
class Truncation:
    """Lambda, the number of kept states, and the gap (in units of omega_n) that a cut must fall into."""

    discretization: float
    n_keep: int
    gap: float = 1e-5

    def __post_init__(self) -> None:
        problems = []
        if not (math.isfinite(self.discretization) and self.discretization > 1):
            problems.append(f"discretization (Lambda) = {self.discretization!r}: expected a finite number > 1")
        if self.n_keep < 16:
            problems.append(f"n_keep = {self.n_keep!r}: expected at least 16 kept states")
        if not (math.isfinite(self.gap) and self.gap >= 0):
            problems.append(f"gap = {self.gap!r}: expected a finite number >= 0")
        if problems:
            raise ValueError("Truncation: " + "; ".join(problems))


def last_site(temperature: float, discretization: float) -> int:
    """Last chain site for this temperature: omega_n there is Lambda^-3 T, below it nothing changes any more."""
    return max(4, math.ceil(2 * math.log(1 / temperature) / math.log(discretization)) + 6)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What the impurity is coupled to; up and dn in the rows, [D]."""

    hoppings: Floats  # (2, n_sites) to site n from the one before, the first from the impurity
    levels: Floats  # (2, n_sites)
    ratios: Floats  # (n_sites,) omega_(n-1) / omega_n
    first_scale: float  # omega_(-1)

    @property
    def n_sites(self) -> int:
        return int(self.ratios.size)


def chain_of(impurity: AndersonImpurity, discretization: float, z: float, n_sites: int) -> Chain:
    """At most n_sites, fewer where a gap of the bath ends the chain."""
    root = math.sqrt(discretization)
    if not isinstance(impurity, ImpurityInBath):
        hoppings = np.concatenate(
            [[math.sqrt(2 * impurity.hybridization / math.pi)], wilson_chain(discretization, z, n_sites)]
        )
        return Chain(
            hoppings=np.array([hoppings, hoppings]), levels=np.zeros((2, n_sites)), ratios=np.full(n_sites, root),
            first_scale=root,
        )  # fmt: skip
    chains = spin_chains(impurity.baths, discretization, z, n_sites)
    pair, scales = (chains.up, chains.dn), chains.scales
    return Chain(
        hoppings=np.array([np.concatenate([[c.coupling], c.hoppings]) for c in pair]),
        levels=np.array([c.levels for c in pair]),
        ratios=np.concatenate([[root], scales[:-1] / scales[1:]]), first_scale=float(root * scales[0]),
    )  # fmt: skip


def last_sites(impurity: AndersonImpurity, temperatures: Floats, discretization: float, z: float) -> list[int]:
    """The shell where the chain of each temperature ends: `last_site` + 1, or the end of the chain before."""
    if not isinstance(impurity, ImpurityInBath):
        return [last_site(float(t), discretization) + 1 for t in temperatures]
    most = [last_site(min(float(t) / impurity.reach, 1.0), discretization) + 1 for t in temperatures]
    scales = spin_chains(impurity.baths, discretization, z, max(most)).scales
    enough = [int(np.sum(scales > 1.000001 * t / discretization**3)) + 1 for t in temperatures]
    return [min(max(e, 5), m, scales.size) for e, m in zip(enough, most, strict=True)]


def iterate(impurity: AndersonImpurity, truncation: Truncation, *, z: float, n_sites: int) -> list[Shell]:
    """Diagonalise the impurity with 1, 2 ... n_sites chain sites; returns [bare impurity, shell 0, shell 1, ...].

    `keep` of the last shell says what would have been kept, so that any shell can be the end of a shorter chain. A
    bath with a gap at the Fermi level may end before n_sites.
    """
    chain = chain_of(impurity, truncation.discretization, z, n_sites)
    zeeman = impurity.field / 2
    levels = np.array(
        [0.0, impurity.level - zeeman, impurity.level + zeeman, 2 * impurity.level + impurity.interaction]
    )
    shell = impurity_shell(levels, scale=chain.first_scale)
    hop_up, hop_dn = np.array([1.0, 1.0]), np.array([1.0, -1.0])  # d_up and d_dn, blocks in ket order
    shells = [shell]
    for n in range(chain.n_sites):
        shell = grow(shell, hop_up, hop_dn, chain, n, truncation, spin_symmetric=impurity.spin_symmetric)
        old = shells[-1]
        hop_up, hop_dn = (new_site_operator(shell, old, links(shell, s), NEW_SITE[s]) for s in (SPIN_UP, SPIN_DN))
        shells.append(shell)
    return shells


def grow(
    old: Shell, hop_up: Floats, hop_dn: Floats, chain: Chain, n: int, truncation: Truncation, *, spin_symmetric: bool
) -> Shell:
    """Site n more; `hop_up` and `hop_dn` are f_s of the last site between kept states."""
    ratio = float(chain.ratios[n])
    scale = old.scale / ratio
    blocks = next_blocks(old)
    hop_up, hop_dn = chain.hoppings[0, n] / scale * hop_up, chain.hoppings[1, n] / scale * hop_dn
    up, dn = chain.levels[:, n] / scale
    # from the middle of the site's four states, which is what the density matrix takes sites to come for
    site = np.array([-(up + dn), up - dn, dn - up, up + dn]) / 2
    energies, vectors, parity = diagonalise(
        old, blocks, ratio, site, links(old, SPIN_UP), hop_up, links(old, SPIN_DN), hop_dn, spin_symmetric
    )
    shift = float(energies.min())
    energies -= shift
    keep = kept_states(energies, blocks.size, truncation.n_keep, truncation.gap)
    return completed(blocks, keep, energies, vectors, parity, scale=scale, shift=shift)


def kept_states(energies: Floats, size: Ints, n_keep: int, gap: float) -> Ints:
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


@njit(cache=True)
def diagonalise(
    old: Shell, blocks: Blocks, ratio: float, site: Floats,
    up: Links, hop_up: Floats, dn: Links, hop_dn: Floats, spin_symmetric: bool,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Eigenvalues, eigenvectors (row-major, ascending energy) and P parity of all blocks.

    ratio: omega_(n-1) / omega_n; site: energies of the new site's four states, (4,).
    """
    n_up, n_dn, size = blocks.n_up, blocks.n_dn, blocks.size
    n_blocks = size.size
    first = np.zeros(n_blocks + 1, np.int64)
    matrix = np.zeros(n_blocks + 1, np.int64)
    for b in range(n_blocks):
        first[b + 1] = first[b] + size[b]
        matrix[b + 1] = matrix[b] + size[b] * size[b]
    energies = np.empty(first[n_blocks])
    parity = np.ones(first[n_blocks])
    vectors = np.empty(matrix[n_blocks])
    most = max(n_up.max(), n_dn.max()) + 1
    index = np.full((most, most), -1)
    for b in range(n_blocks):
        index[n_up[b], n_dn[b]] = b
    for b in range(n_blocks):
        if spin_symmetric and n_up[b] < n_dn[b]:
            continue
        n = size[b]
        hamiltonian = np.zeros((n, n))
        for s in range(4):
            p, row = blocks.parent[b, s], blocks.row[b, s]
            if p >= 0:
                for i in range(old.keep[p]):
                    hamiltonian[row + i, row + i] = ratio * old.energies[old.state[p] + i] + site[s]
        # f+_new f_old moves an electron of the older part (ket: site state s) onto the new site (bra: site state t)
        for s, t, sign in ((0, 1, 1.0), (2, 3, 1.0)):
            add_hopping(hamiltonian, b, s, t, sign, old, blocks, up, hop_up)
        for s, t, sign in ((0, 2, 1.0), (1, 3, -1.0)):
            add_hopping(hamiltonian, b, s, t, sign, old, blocks, dn, hop_dn)
        block = vectors[matrix[b] : matrix[b + 1]].reshape(n, n)
        states = slice(first[b], first[b + 1])
        if spin_symmetric and n_up[b] == n_dn[b]:
            split_by_parity(hamiltonian, b, old, blocks, energies[states], block, parity[states])
        else:
            values, columns = np.linalg.eigh(hamiltonian)
            energies[states] = values
            block[:] = columns
    if spin_symmetric:
        for b in range(n_blocks):
            if n_up[b] < n_dn[b]:
                m = index[n_dn[b], n_up[b]]
                n = size[b]
                energies[first[b] : first[b + 1]] = energies[first[m] : first[m + 1]]
                source = vectors[matrix[m] : matrix[m + 1]].reshape(n, n)
                target = vectors[matrix[b] : matrix[b + 1]].reshape(n, n)
                for s in range(4):
                    t = (0, 2, 1, 3)[s]
                    p = blocks.parent[b, t]
                    if p >= 0:
                        for i in range(old.keep[p]):
                            sign = old.parity[old.state[p] + i] * (-1.0 if s == 3 else 1.0)
                            target[blocks.row[b, t] + i] = sign * source[blocks.row[m, s] + i]
    return energies, vectors, parity


@njit(cache=True)
def add_hopping(
    hamiltonian: Floats, b: int, s: int, t: int, sign: float, old: Shell, blocks: Blocks, link: Links, hop: Floats
) -> None:
    ket_parent, bra_parent = blocks.parent[b, s], blocks.parent[b, t]
    if ket_parent < 0 or bra_parent < 0 or link.bra[ket_parent] != bra_parent:
        return
    sign *= 1.0 - 2.0 * ((old.n_up[bra_parent] + old.n_dn[bra_parent]) % 2)
    start, n_ket = link.kk[ket_parent], old.keep[ket_parent]
    ket_row, bra_row = blocks.row[b, s], blocks.row[b, t]
    for i in range(old.keep[bra_parent]):
        for j in range(n_ket):
            element = sign * hop[start + i * n_ket + j]
            hamiltonian[bra_row + i, ket_row + j] = element
            hamiltonian[ket_row + j, bra_row + i] = element


@njit(cache=True)
def split_by_parity(
    hamiltonian: Floats, b: int, old: Shell, blocks: Blocks, energies: Floats, vectors: Floats, parity: Floats
) -> None:
    """Diagonalise a block with N_up = N_dn in its P = +1 and P = -1 halves; fills energies, vectors, parity.

    The new site's up and dn states pair up as (|r>|up> +- P|r>|dn>) / sqrt(2); P|up dn> = -|up dn> flips the parity.
    """
    parent, row = blocks.parent[b], blocks.row[b]
    n = energies.size
    values = np.empty(n)
    columns = np.zeros((n, n))
    signs = np.empty(n)
    done = 0
    for target in (1.0, -1.0):
        rows = np.empty(n, np.int64)
        n_rows = 0
        for s in (0, 1, 3):
            p = parent[s]
            if p < 0:
                continue
            for i in range(old.keep[p]):
                if s == 1 or (old.parity[old.state[p] + i] * (1.0 if s == 0 else -1.0)) * target > 0:
                    rows[n_rows] = row[s] + i
                    n_rows += 1
        if n_rows == 0:
            continue
        paired = np.zeros(n_rows, np.bool_)
        for i in range(n_rows):
            paired[i] = parent[1] >= 0 and row[1] <= rows[i] < row[1] + old.keep[parent[1]]
        half = np.empty((n_rows, n_rows))
        for i in range(n_rows):
            for j in range(n_rows):
                half[i, j] = hamiltonian[rows[i], rows[j]] * (np.sqrt(2.0) if paired[i] != paired[j] else 1.0)
        half_values, half_columns = np.linalg.eigh(half)
        for i in range(n_rows):
            if paired[i]:
                other = rows[i] - row[1] + row[2]
                for j in range(n_rows):
                    columns[rows[i], done + j] = half_columns[i, j] * np.sqrt(0.5)
                    columns[other, done + j] = target * half_columns[i, j] * np.sqrt(0.5)
            else:
                for j in range(n_rows):
                    columns[rows[i], done + j] = half_columns[i, j]
        values[done : done + n_rows] = half_values
        signs[done : done + n_rows] = target
        done += n_rows
    order = np.argsort(values, kind="mergesort")
    for k in range(n):
        energies[k] = values[order[k]]
        parity[k] = signs[order[k]]
        vectors[:, k] = columns[:, order[k]]


@njit(cache=True)
def new_site_operator(shell: Shell, old: Shell, link: Links, elements: tuple[tuple[int, int, int], ...]) -> Floats:
    """f_s of the newest site between kept states, blocks in the order of link.kk; elements: (bra, ket, sign)."""
    kept_corner = np.zeros(link.kk[-1])
    for b in range(shell.size.size):
        a = link.bra[b]
        if a < 0 or shell.keep[a] == 0 or shell.keep[b] == 0:
            continue
        n_a, n_b, k_a, k_b = shell.size[a], shell.size[b], shell.keep[a], shell.keep[b]
        vectors_a = shell.vectors[shell.matrix[a] : shell.matrix[a + 1]].reshape(n_a, n_a)
        vectors_b = shell.vectors[shell.matrix[b] : shell.matrix[b + 1]].reshape(n_b, n_b)
        block = kept_corner[link.kk[b] : link.kk[b + 1]].reshape(k_a, k_b)
        for t, s, exchange in elements:
            p = shell.parent[b, s]
            if p < 0 or shell.parent[a, t] != p:
                continue
            sign = exchange * (1.0 - 2.0 * ((old.n_up[p] + old.n_dn[p]) % 2))
            row_a, row_b = shell.row[a, t], shell.row[b, s]
            left = sign * vectors_a[row_a : row_a + old.keep[p], :k_a]
            right = np.ascontiguousarray(vectors_b[row_b : row_b + old.keep[p], :k_b])
            block += np.dot(left.T, right)
    return kept_corner
