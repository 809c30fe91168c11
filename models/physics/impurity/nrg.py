"""Wilson's iteration: add chain sites one by one, diagonalise block by block, keep the low-energy states.

    H_n = sqrt(Lambda) H_(n-1) + (t_(n-1) / omega_n) sum_s (f+_n,s f_(n-1),s + h.c.),       omega_n = Lambda^(-n/2)

in units of omega_n, with f_(-1) = d and t_(-1) = V sqrt(2 rho) = sqrt(2 Gamma / pi). Creation operators of older sites
stand to the left, so an operator of the new site picks up (-1)^N of the older part, one of the impurity nothing.

At zero field the spin flip P (up <-> dn on every site; |up dn> -> -|up dn>) commutes with H. Then only blocks with
N_up >= N_dn are diagonalised, those with N_up = N_dn as their two halves P = +1 and P = -1, and the others are copied.

Bulla, Costi, Pruschke, Rev. Mod. Phys. 80, 395 (2008); the states that are thrown away at each step are a complete
basis of the whole chain (Anders and Schiller, Phys. Rev. Lett. 95, 196801 (2005)), which the spectra build on.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.shell import (
    SPIN_DN,
    SPIN_UP,
    Ints,
    Shell,
    impurity_shell,
    kept_blocks,
    links,
    next_blocks,
)
from models.physics.impurity.wilson_chain import wilson_chain

__all__ = ["Truncation", "iterate", "last_site"]

Floats = NDArray[np.float64]


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


def iterate(impurity: AndersonImpurity, truncation: Truncation, *, z: float, n_sites: int) -> list[Shell]:
    """Diagonalise the impurity with 1, 2 ... n_sites chain sites; returns [bare impurity, shell 0, shell 1, ...].

    `keep` of the last shell says what would have been kept, so that any shell can be the end of a shorter chain.
    """
    base = truncation.discretization
    hoppings = np.concatenate([[math.sqrt(2 * impurity.hybridization / math.pi)], wilson_chain(base, z, n_sites)])
    zeeman = impurity.field / 2
    levels = np.array(
        [0.0, impurity.level - zeeman, impurity.level + zeeman, 2 * impurity.level + impurity.interaction]
    )
    shell, parity = impurity_shell(levels, scale=math.sqrt(base)), np.array([1.0, 1.0, 1.0, -1.0])
    hop_up, hop_dn = np.array([1.0, 1.0]), np.array([1.0, -1.0])  # d_up and d_dn, blocks in ket order
    shells = [shell]
    for site in range(n_sites):
        shell, parity = grow(shell, hop_up, hop_dn, parity, hoppings[site], truncation, mirrored=impurity.field == 0)
        hop_up, hop_dn = new_site_operator(shell, shells[-1], SPIN_UP), new_site_operator(shell, shells[-1], SPIN_DN)
        shells.append(shell)
    return shells


def grow(
    old: Shell,
    hop_up: Floats,
    hop_dn: Floats,
    parity: Floats,
    hopping: float,
    truncation: Truncation,
    *,
    mirrored: bool,
) -> tuple[Shell, Floats]:
    """One site more; `parity` is the P eigenvalue of each state of a block with N_up = N_dn, 1 elsewhere."""
    root = math.sqrt(truncation.discretization)
    scale = old.scale / root
    n_up, n_dn, size, parent, row = next_blocks(old.n_up, old.n_dn, old.keep)
    up, dn = links(old, SPIN_UP), links(old, SPIN_DN)
    energies, vectors, new_parity = diagonalise(
        n_up, n_dn, size, parent, row,
        old.n_up + old.n_dn, old.keep, old.state, root * old.energies, parity,
        hopping / scale * hop_up, up.bra, up.kk, hopping / scale * hop_dn, dn.bra, dn.kk, mirrored,
    )  # fmt: skip
    shift = float(energies.min())
    energies -= shift
    keep = kept_blocks(energies, size, truncation.n_keep, truncation.gap)
    shell = Shell(
        scale=scale, shift=shift, n_up=n_up, n_dn=n_dn, size=size, keep=keep,
        parent=parent, row=row, energies=energies, vectors=vectors,
    )  # fmt: skip
    return shell, new_parity


@njit(cache=True)
def diagonalise(
    n_up: Ints, n_dn: Ints, size: Ints, parent: Ints, row: Ints,
    old_charge: Ints, old_keep: Ints, old_state: Ints, old_energies: Floats, old_parity: Floats,
    hop_up: Floats, bra_up: Ints, at_up: Ints, hop_dn: Floats, bra_dn: Ints, at_dn: Ints, mirrored: bool,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Eigenvalues, eigenvectors (row-major blocks, ascending energy) and P parity of all blocks of a shell."""
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
    where = np.full((most, most), -1)
    for b in range(n_blocks):
        where[n_up[b], n_dn[b]] = b
    for b in range(n_blocks):
        if mirrored and n_up[b] < n_dn[b]:
            continue
        n = size[b]
        hamiltonian = np.zeros((n, n))
        for s in range(4):
            p = parent[b, s]
            if p >= 0:
                for i in range(old_keep[p]):
                    hamiltonian[row[b, s] + i, row[b, s] + i] = old_energies[old_state[p] + i]
        # f+_new f_old moves an electron of the older part (ket: site state s) onto the new site (bra: site state t)
        for s, t, sign in ((0, 1, 1.0), (2, 3, 1.0)):
            add_hopping(hamiltonian, b, s, t, sign, parent, row, old_charge, old_keep, hop_up, bra_up, at_up)
        for s, t, sign in ((0, 2, 1.0), (1, 3, -1.0)):
            add_hopping(hamiltonian, b, s, t, sign, parent, row, old_charge, old_keep, hop_dn, bra_dn, at_dn)
        block = vectors[matrix[b] : matrix[b + 1]].reshape(n, n)
        if mirrored and n_up[b] == n_dn[b]:
            split_by_parity(
                hamiltonian, b, parent, row, old_keep, old_state, old_parity,
                energies[first[b] : first[b + 1]], block, parity[first[b] : first[b + 1]],
            )  # fmt: skip
        else:
            values, columns = np.linalg.eigh(hamiltonian)
            energies[first[b] : first[b + 1]] = values
            block[:] = columns
    if mirrored:
        for b in range(n_blocks):
            if n_up[b] < n_dn[b]:
                m = where[n_dn[b], n_up[b]]
                n = size[b]
                energies[first[b] : first[b + 1]] = energies[first[m] : first[m + 1]]
                source = vectors[matrix[m] : matrix[m + 1]].reshape(n, n)
                target = vectors[matrix[b] : matrix[b + 1]].reshape(n, n)
                for s in range(4):
                    t = (0, 2, 1, 3)[s]
                    p = parent[b, t]
                    if p >= 0:
                        for i in range(old_keep[p]):
                            sign = old_parity[old_state[p] + i] * (-1.0 if s == 3 else 1.0)
                            target[row[b, t] + i] = sign * source[row[m, s] + i]
    return energies, vectors, parity


@njit(cache=True)
def add_hopping(
    hamiltonian: Floats, b: int, s: int, t: int, sign: float, parent: Ints, row: Ints,
    old_charge: Ints, old_keep: Ints, hop: Floats, bra: Ints, at: Ints,
) -> None:  # fmt: skip
    ket_parent, bra_parent = parent[b, s], parent[b, t]
    if ket_parent < 0 or bra_parent < 0 or bra[ket_parent] != bra_parent:
        return
    sign *= 1.0 - 2.0 * (old_charge[bra_parent] % 2)
    start, n_ket = at[ket_parent], old_keep[ket_parent]
    for i in range(old_keep[bra_parent]):
        for j in range(n_ket):
            element = sign * hop[start + i * n_ket + j]
            hamiltonian[row[b, t] + i, row[b, s] + j] = element
            hamiltonian[row[b, s] + j, row[b, t] + i] = element


@njit(cache=True)
def split_by_parity(
    hamiltonian: Floats, b: int, parent: Ints, row: Ints, old_keep: Ints, old_state: Ints, old_parity: Floats,
    energies: Floats, vectors: Floats, parity: Floats,
) -> None:  # fmt: skip
    """Diagonalise a block with N_up = N_dn in its P = +1 and P = -1 halves; fills energies, vectors, parity.

    The new site's up and dn states pair up as (|r>|up> +- P|r>|dn>) / sqrt(2); P|up dn> = -|up dn> flips the parity.
    """
    n = energies.size
    values = np.empty(n)
    columns = np.zeros((n, n))
    signs = np.empty(n)
    done = 0
    for target in (1.0, -1.0):
        rows = np.empty(n, np.int64)
        n_rows = 0
        for s in (0, 1, 3):
            p = parent[b, s]
            if p < 0:
                continue
            for i in range(old_keep[p]):
                if s == 1 or (old_parity[old_state[p] + i] * (1.0 if s == 0 else -1.0)) * target > 0:
                    rows[n_rows] = row[b, s] + i
                    n_rows += 1
        if n_rows == 0:
            continue
        paired = np.zeros(n_rows, np.bool_)
        for i in range(n_rows):
            paired[i] = parent[b, 1] >= 0 and row[b, 1] <= rows[i] < row[b, 1] + old_keep[parent[b, 1]]
        half = np.empty((n_rows, n_rows))
        for i in range(n_rows):
            for j in range(n_rows):
                half[i, j] = hamiltonian[rows[i], rows[j]] * (np.sqrt(2.0) if paired[i] != paired[j] else 1.0)
        half_values, half_columns = np.linalg.eigh(half)
        for i in range(n_rows):
            if paired[i]:
                other = rows[i] - row[b, 1] + row[b, 2]
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


def new_site_operator(shell: Shell, old: Shell, charge: tuple[int, int]) -> Floats:
    """f_s of the newest site between kept states, blocks in the order of links(shell, charge).kk."""
    link = links(shell, charge)
    pairs = np.array([[0, 1, 1], [2, 3, 1]] if charge == SPIN_UP else [[0, 2, 1], [1, 3, -1]])
    return site_operator_kernel(
        pairs, link.bra, link.kk, shell.size, shell.keep, shell.parent, shell.row,
        shell.matrix, shell.vectors, old.n_up + old.n_dn, old.keep,
    )  # fmt: skip


@njit(cache=True)
def site_operator_kernel(
    pairs: Ints, bra: Ints, at: Ints, size: Ints, keep: Ints, parent: Ints, row: Ints,
    matrix: Ints, vectors: Floats, old_charge: Ints, old_keep: Ints,
) -> Floats:  # fmt: skip
    kept_corner = np.zeros(at[-1])
    for b in range(size.size):
        a = bra[b]
        if a < 0 or keep[a] == 0 or keep[b] == 0:
            continue
        vectors_a = vectors[matrix[a] : matrix[a + 1]].reshape(size[a], size[a])
        vectors_b = vectors[matrix[b] : matrix[b + 1]].reshape(size[b], size[b])
        block = kept_corner[at[b] : at[b + 1]].reshape(keep[a], keep[b])
        for pair in range(2):
            t, s = pairs[pair, 0], pairs[pair, 1]
            p = parent[b, s]
            if p < 0 or parent[a, t] != p:
                continue
            sign = pairs[pair, 2] * (1.0 - 2.0 * (old_charge[p] % 2))
            left = sign * vectors_a[row[a, t] : row[a, t] + old_keep[p], : keep[a]]
            right = np.ascontiguousarray(vectors_b[row[b, s] : row[b, s] + old_keep[p], : keep[b]])
            block += np.dot(left.T, right)
    return kept_corner
