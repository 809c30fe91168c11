"""Brute-force exact diagonalisation of the impurity with a few bath sites, the oracle of the tests.

Operators are matrices in the full Fock space (Jordan-Wigner), so that nothing is shared with the NRG: not the blocks,
not the signs, not the recursion. Size 4^(1 + n_sites): three bath sites are the practical limit.
"""

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.hamiltonian import AndersonImpurity

__all__ = ["ExactChain"]

Floats = NDArray[np.float64]


class ExactChain:
    """Eigenstates of the impurity coupled to a chain with the given hoppings (first one: impurity to site 0) [D].

    hoppings, and levels of the sites (0 unless given): (n_sites,) for both spins or (2, n_sites) for up and dn.
    """

    def __init__(self, impurity: AndersonImpurity, hoppings: Floats, levels: Floats | None = None) -> None:
        n_sites = hoppings.shape[-1]
        hoppings = np.broadcast_to(hoppings, (2, n_sites))
        levels = np.zeros((2, n_sites)) if levels is None else np.broadcast_to(levels, (2, n_sites))
        annihilate = fermions(2 * (1 + n_sites))
        up, dn = annihilate[0::2], annihilate[1::2]  # site order: impurity, 0, 1, ...
        n_up, n_dn = up[0].T @ up[0], dn[0].T @ dn[0]
        hamiltonian = (
            impurity.level * (n_up + n_dn) + impurity.interaction * n_up @ n_dn - impurity.field * (n_up - n_dn) / 2
        )
        for spin, f in enumerate((up, dn)):
            for site in range(n_sites):
                bond = hoppings[spin, site] * f[site + 1].T @ f[site]
                hamiltonian = hamiltonian + bond + bond.T + levels[spin, site] * f[site + 1].T @ f[site + 1]
        self.energies, self.states = np.linalg.eigh(hamiltonian)
        self.energies -= self.energies[0]
        self.operators = {
            "d_up": up[0],
            "d_dn": dn[0],
            "q_up": up[0] @ n_dn,
            "q_dn": dn[0] @ n_up,
            "n_up": n_up,
            "n_dn": n_dn,
            "double_occupancy": n_up @ n_dn,
            "s_z": (n_up - n_dn) / 2,
        }

    def weights(self, temperature: float) -> Floats:
        """Boltzmann weights, (n_states,)."""
        boltzmann = np.exp(-self.energies / temperature)
        return np.asarray(boltzmann / boltzmann.sum())

    def matrix(self, name: str) -> Floats:
        """An operator between eigenstates, (n_states, n_states)."""
        return np.asarray(self.states.T @ self.operators[name] @ self.states)

    def average(self, name: str, temperature: float) -> float:
        return float(np.diag(self.matrix(name)) @ self.weights(temperature))

    def matsubara(self, left: str, right: str, temperature: float, frequencies: Floats) -> NDArray[np.complex128]:
        """<<left; right+>>(i w) of two fermionic operators, (n_frequencies,)."""
        w = self.weights(temperature)
        residues = self.matrix(left) * self.matrix(right) * (w[:, None] + w[None, :])
        poles = self.energies[None, :] - self.energies[:, None]
        return np.array([np.sum(residues / (1j * f - poles)) for f in frequencies])

    def static_susceptibility(self, name: str, temperature: float) -> float:
        """d<O>/dh for H -> H - h O [1/D]."""
        w, o = self.weights(temperature), self.matrix(name)
        gaps = self.energies[None, :] - self.energies[:, None]
        same = np.abs(gaps) < 1e-9 * temperature
        difference = w[:, None] - w[None, :]
        kernel = np.where(same, w[:, None] / temperature, difference / np.where(same, 1.0, gaps))
        return float(np.sum(o**2 * kernel) - (np.diag(o) @ w) ** 2 / temperature)


def fermions(n_orbitals: int) -> list[Floats]:
    """Jordan-Wigner annihilation matrices, each (2^n, 2^n)."""
    lower, string = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, -1.0]])
    result: list[Floats] = []
    for k in range(n_orbitals):
        matrix = np.eye(1)
        for _ in range(k):
            matrix = np.kron(matrix, string)
        result.append(np.asarray(np.kron(np.kron(matrix, lower), np.eye(2 ** (n_orbitals - k - 1))), np.float64))
    return result
