"""Wilson's iteration with one state for each spin multiplet: U(1) of the charge, SU(2) of the spin.

At zero field, and with one bath for both spins, the 2S + 1 states of a multiplet have one energy, and the Hamiltonian
one block for each (N, S). A multiplet is named by its highest weight, S_z = S, so a block has (N_up, N_dn) with
N_up - N_dn = 2S >= 0 and everything that nrg.py and shell.py say of blocks, parents and offsets holds: the site's
states s = 1 and 2 stand for its spin 1/2 coupled to an older multiplet of spin S - 1/2 and S + 1/2. Coupling

    |p, S_p; 1/2; S, m> = sum_s CG(S_p, m - s; 1/2, s | S, m) |p, m - s>|s>

puts factors beside the matrix elements of nrg.py, whose signs stay. With D of recoupling.py for f of the last site,

    H:   f+_new f between site states 0 and 1 or 2, and between 1 or 2 and 3:    D sqrt(2 / (2S + 1))
    f of the new site, bra 0:    sqrt((2 S_ket + 1) / 2);        ket 3:          sqrt((2 S_bra + 1) / 2)

Weichselbaum, Ann. Phys. 327, 2972 (2012), has the general case. Truncation counts states, not multiplets, and keeps
what nrg.py keeps.
"""

from math import sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.nrg import NEW_SITE, Chain, Truncation, add_hopping, chain_of, kept_states
from models.physics.impurity.shell import (
    SPIN_DN,
    SPIN_UP,
    Blocks,
    Links,
    Shell,
    completed,
    links,
    next_blocks,
    offsets,
)

__all__ = ["check_spin_symmetry", "iterate_multiplets", "multiplicity"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def check_spin_symmetry(impurity: AndersonImpurity) -> None:
    """Raises ValueError where up and dn differ."""
    if impurity.field != 0:
        raise ValueError(f"symmetry su2: found B = {impurity.field:g}, expected 0: take symmetry u1, or no field")
    if not impurity.spin_symmetric:
        raise ValueError("symmetry su2: found baths that differ between the spins, expected one: take symmetry u1")


def multiplicity(shell: Shell | Blocks) -> Ints:
    """2S + 1 of each block, (n_blocks,)."""
    return shell.n_up - shell.n_dn + 1


def iterate_multiplets(impurity: AndersonImpurity, truncation: Truncation, *, z: float, n_sites: int) -> list[Shell]:
    """`nrg.iterate` with one state for each multiplet; ValueError where up and dn differ."""
    check_spin_symmetry(impurity)
    chain = chain_of(impurity, truncation.discretization, z, n_sites)
    levels = np.array([0.0, impurity.level, 2 * impurity.level + impurity.interaction])
    shell = impurity_multiplets(levels, scale=chain.first_scale)
    hop_up, hop_dn = np.array([1.0]), np.array([-1.0])  # d between |0> and |s>, and between |s> and |up dn>
    shells = [shell]
    for n in range(chain.n_sites):
        shell = grow(shell, hop_up, hop_dn, chain, n, truncation)
        old = shells[-1]
        hop_up, hop_dn = (
            new_site_multiplets(shell, old, links(shell, charge), NEW_SITE[charge]) for charge in (SPIN_UP, SPIN_DN)
        )
        shells.append(shell)
    return shells


def impurity_multiplets(energies: Floats, scale: float) -> Shell:
    """The bare impurity, its multiplets |0>, |s>, |up dn> as three blocks; energies (3,) [D]."""
    one, lowest = np.ones(3, np.int64), float(energies.min())
    blocks = Blocks(
        n_up=np.array([0, 1, 1]), n_dn=np.array([0, 0, 1]), size=one,
        parent=np.full((3, 4), -1), row=np.zeros((3, 4), np.int64),
    )  # fmt: skip
    return completed(
        blocks, one, (energies - lowest) / scale, np.ones(3), np.ones(3), scale=scale, shift=lowest / scale
    )


def grow(old: Shell, hop_up: Floats, hop_dn: Floats, chain: Chain, n: int, truncation: Truncation) -> Shell:
    """Site n more; `hop_up` and `hop_dn` are D of f of the last site between kept multiplets."""
    ratio = float(chain.ratios[n])
    scale = old.scale / ratio
    candidates = next_blocks(old)
    blocks = Blocks(*(field[candidates.n_up >= candidates.n_dn] for field in candidates))
    hopping, level = chain.hoppings[0, n] / scale, chain.levels[0, n] / scale
    energies, vectors = diagonalise_multiplets(
        old, blocks, offsets(blocks.size), offsets(blocks.size**2), ratio, np.array([-level, 0.0, 0.0, level]),
        links(old, SPIN_UP), hopping * hop_up, links(old, SPIN_DN), hopping * hop_dn,
    )  # fmt: skip
    shift = float(energies.min())
    energies -= shift
    states = multiplicity(blocks)
    every = np.repeat(energies, np.repeat(states, blocks.size))
    keep = kept_states(every, blocks.size * states, truncation.n_keep, truncation.gap) // states
    return completed(blocks, keep, energies, vectors, np.ones(energies.size), scale=scale, shift=shift)


@njit(cache=True)
def diagonalise_multiplets(
    old: Shell, blocks: Blocks, first: Ints, matrix: Ints, ratio: float, site: Floats,
    up: Links, hop_up: Floats, dn: Links, hop_dn: Floats,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Eigenvalues and eigenvectors (row-major, ascending energy) of all blocks; arguments of `nrg.diagonalise`."""
    energies, vectors = np.empty(first[-1]), np.empty(matrix[-1])
    for b in range(blocks.size.size):
        n = blocks.size[b]
        hamiltonian = np.zeros((n, n))
        for s in range(4):
            p, row = blocks.parent[b, s], blocks.row[b, s]
            if p >= 0:
                for i in range(old.keep[p]):
                    hamiltonian[row + i, row + i] = ratio * old.energies[old.state[p] + i] + site[s]
        factor = sqrt(2.0 / (blocks.n_up[b] - blocks.n_dn[b] + 1))
        add_hopping(hamiltonian, b, 0, 1, factor, old, blocks, up, hop_up)
        add_hopping(hamiltonian, b, 2, 3, factor, old, blocks, up, hop_up)
        add_hopping(hamiltonian, b, 0, 2, factor, old, blocks, dn, hop_dn)
        add_hopping(hamiltonian, b, 1, 3, -factor, old, blocks, dn, hop_dn)
        values, columns = np.linalg.eigh(hamiltonian)
        energies[first[b] : first[b + 1]] = values
        vectors[matrix[b] : matrix[b + 1]].reshape(n, n)[:] = columns
    return energies, vectors


@njit(cache=True)
def new_site_multiplets(shell: Shell, old: Shell, link: Links, elements: tuple[tuple[int, int, int], ...]) -> Floats:
    """D of f of the newest site between kept multiplets, in the order of link.kk; elements: (bra, ket, sign)."""
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
            coupled = b if t == 0 else a  # the one whose site has a spin
            sign = exchange * (1.0 - 2.0 * ((old.n_up[p] + old.n_dn[p]) % 2))
            factor = sign * sqrt((shell.n_up[coupled] - shell.n_dn[coupled] + 1) / 2.0)
            row_a, row_b = shell.row[a, t], shell.row[b, s]
            left = factor * vectors_a[row_a : row_a + old.keep[p], :k_a]
            right = np.ascontiguousarray(vectors_b[row_b : row_b + old.keep[p], :k_b])
            block += np.dot(left.T, right)
    return kept_corner
