"""Energies of single atoms that explain most of the energy of molecules: what a potential does not have to learn.

    E_m  ~  sum_Z  n_mZ e_Z

n_mZ is how many atoms of element Z configuration m has. `least_squares` minimises the squared residual, `robust`
Huber's loss of it (iteratively reweighted least squares), so that a few wrong labels do not move the rest. The residual
counts per atom, |E_m - sum n e| / n_m, or large cells would outweigh small molecules.

Compositions often leave e_Z open: of one molecule only sum_Z n_Z e_Z is known, and of C_nH_2n not how much of the sum
belongs to carbon. Energies of neutral atoms grow like Z^2.4, so those nearest to one multiple of it are taken (minimum
norm of e_Z / Z^2.4 less that multiple). They explain the given compositions as well as any others do, and come near
those of atoms where all electrons count, but they mean nothing for compositions outside of the span of the given.
`determined` says which elements this concerns.

`b3lyp_atoms` gives the energies of single atoms at B3LYP/6-31G(2df,p), the level of QM9, as they are usually given for
0 K; at 298.15 K and 1 atm an ideal gas of atoms adds

    U  =  E + 3/2 k T          H  =  E + 5/2 k T          G  =  H - T S
    S  =  k [ ln( (2 pi m k T / h^2)^(3/2) k T / p ) + 5/2 + ln g ]        Sackur and Tetrode, g = spin multiplicity
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ReferenceEnergies", "b3lyp_atoms", "least_squares", "robust"]

FloatArray = NDArray[np.float64]

HARTREE_EV = 27.211386245988
B3LYP_HARTREE = {1: -0.500273, 6: -37.846772, 7: -54.583861, 8: -75.064579, 9: -99.718730}
MULTIPLICITY = {1: 2, 6: 3, 7: 4, 8: 3, 9: 2}
MASS_U = {1: 1.00783, 6: 12.0, 7: 14.00307, 8: 15.99491, 9: 18.99840}  # of the most abundant isotope
TEMPERATURE_K = 298.15
PRESSURE_PA = 101325.0
HUBER = 1.345  # in robust standard deviations: 95 % efficient on normal residuals
N_ITERATIONS = 100


@dataclass(frozen=True, kw_only=True)
class ReferenceEnergies:
    """One energy per element, and which of them the compositions determine."""

    numbers: NDArray[np.int64]  # (n_elements,) atomic numbers, ascending
    energies_eV: FloatArray  # (n_elements,)
    determined: NDArray[np.bool_]  # (n_elements,) False: compositions leave a choice
    residual_eV_atom: float  # mean |E - sum n e| / n over the configurations

    def as_mapping(self) -> dict[int, float]:
        """Atomic number -> eV."""
        return {int(z): float(e) for z, e in zip(self.numbers, self.energies_eV, strict=True)}


def least_squares(numbers: NDArray[np.int64], counts: NDArray[np.int64], energies_eV: FloatArray) -> ReferenceEnergies:
    """Least-squares energies of `numbers` (n_elements,) from `counts` (n_configs, n_elements) and `energies_eV`.

    Raises ValueError where a number is not finite or an element never occurs.
    """
    _check(numbers, counts, energies_eV)
    return _solve(numbers, counts, energies_eV, np.ones(len(energies_eV)))


def robust(numbers: NDArray[np.int64], counts: NDArray[np.int64], energies_eV: FloatArray) -> ReferenceEnergies:
    """Huber's energies: residuals beyond 1.345 robust standard deviations count linearly. Same arguments and errors."""
    _check(numbers, counts, energies_eV)
    n_atoms = counts.sum(axis=1)
    weights = np.ones(len(energies_eV))
    references = _solve(numbers, counts, energies_eV, weights)
    for _ in range(N_ITERATIONS):
        residual = (energies_eV - counts @ references.energies_eV) / n_atoms
        width = HUBER * 1.4826 * float(np.median(np.abs(residual)))
        if width <= 1e-12 * float(np.abs(energies_eV / n_atoms).max()):
            return references
        weights = np.minimum(1.0, width / np.maximum(np.abs(residual), width))
        before, references = references, _solve(numbers, counts, energies_eV, weights)
        if np.allclose(references.energies_eV, before.energies_eV, rtol=1e-10, atol=1e-8):
            return references
    return references


def b3lyp_atoms(kind: str) -> dict[int, float]:
    """Energy of single atoms of QM9's elements [eV]; `kind` is U0, electronic, U, H or G. Raises ValueError."""
    from scipy.constants import Boltzmann, Planck, atomic_mass, electron_volt

    if kind not in ("U0", "electronic", "U", "H", "G"):
        raise ValueError(f"kind: found {kind!r}, expected U0, electronic, U, H or G")
    heat = Boltzmann * TEMPERATURE_K  # [J]
    energies = {}
    for number, energy in B3LYP_HARTREE.items():
        waves = (2 * np.pi * MASS_U[number] * atomic_mass * heat / Planck**2) ** 1.5
        entropy = np.log(waves * heat / PRESSURE_PA) + 2.5 + np.log(MULTIPLICITY[number])  # [k]
        thermal = {"U0": 0.0, "electronic": 0.0, "U": 1.5, "H": 2.5, "G": 2.5 - entropy}[kind]
        energies[number] = float(energy * HARTREE_EV + thermal * heat / electron_volt)
    return energies


def _check(numbers: NDArray[np.int64], counts: NDArray[np.int64], energies_eV: FloatArray) -> None:
    problems = []
    if counts.shape != (len(energies_eV), len(numbers)) or not counts.size:
        problems.append(
            f"counts: found shape {counts.shape}, expected {(len(energies_eV), len(numbers))} and some rows"
        )
    elif absent := [int(z) for z, total in zip(numbers, counts.sum(axis=0), strict=True) if total == 0]:
        problems.append(f"counts: found no atom of the elements {absent}; leave them out")
    elif (empty := np.flatnonzero(counts.sum(axis=1) == 0)).size:
        problems.append(f"counts: found configurations without atoms: {empty[:8].tolist()}")
    if (bad := np.flatnonzero(~np.isfinite(energies_eV))).size:
        problems.append(f"energies_eV: found {bad.size} that are not finite, first {bad[0]}; leave them out")
    if problems:
        raise ValueError("reference energies: " + "; ".join(problems))


def _solve(
    numbers: NDArray[np.int64], counts: NDArray[np.int64], energies_eV: FloatArray, weights: FloatArray
) -> ReferenceEnergies:
    """Weighted least squares per atom, nearest to a multiple of Z^2.4 where compositions leave a choice."""
    size = numbers.astype(np.float64) ** 2.4  # (n_elements,)
    n_atoms = counts.sum(axis=1)
    root = np.sqrt(weights)
    matrix = (counts / n_atoms[:, None]) * root[:, None] * size
    left, values, right = np.linalg.svd(matrix, full_matrices=len(matrix) < len(size))
    values = np.concatenate([values, np.zeros(len(size) - len(values))])
    kept = values > values.max() * 1e-7
    wanted, of_ones = energies_eV / n_atoms * root, matrix.sum(axis=1)
    multiple = float(wanted @ of_ones / (of_ones @ of_ones))
    image = left[:, : kept.sum()].T @ (wanted - multiple * of_ones)
    scaled = multiple + right[kept].T @ (image / values[kept])
    # An element is determined where no direction that the compositions leave open changes its energy.
    determined = (np.abs(right[~kept]) < 1e-6).all(axis=0)
    energies = scaled * size
    residual = np.abs(energies_eV - counts @ energies) / n_atoms
    return ReferenceEnergies(
        numbers=np.asarray(numbers, dtype=np.int64),
        energies_eV=energies,
        determined=np.asarray(determined),
        residual_eV_atom=float(residual.mean()),
    )
