"""How well a star stands for its bath: the averaging condition of Zitko and Pruschke against Campo and Oliveira's rule.

    python benchmarks/bath.py

A free level (U = 0, eps_d = -.02) in each bath, Lambda = 4. The star with the level is diagonalised as it is, without
NRG, and averaged over n_z values of z. Its cumulative spectral weight and its occupation at T = 0 are held against the
exact ones, from Delta of the continuous bath; and CPU seconds of one chain of 30 sites.
"""

import time
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.bath import Bath, NoWeightAtFermiLevel, Pieces, value_of
from models.physics.impurity.bath_chain import bath_chain
from models.physics.impurity.discretization import Interval, discretized, representative_energy
from models.physics.impurity.friedel import integration_mesh

Floats = NDArray[np.float64]
LAMBDA, LEVEL = 4.0, -0.02


def baths() -> dict[str, Bath]:
    rng = np.random.default_rng(1)
    points = np.concatenate([-np.geomspace(1e-4, 1, 40)[::-1], np.geomspace(1e-4, 0.8, 40)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoWeightAtFermiLevel)
        gapped = Bath([-1, -0.1, -0.1, 0.1, 0.1, 1], [0.05, 0.05, 0, 0, 0.05, 0.05])
    return {
        "flat": Bath.flat(0.05),
        "semicircle": Bath.from_function(lambda w: 0.1 * np.sqrt(np.maximum(1 - w**2, 0)), -1, 1),
        "box, -.6 to 1": Bath.flat(0.05, -0.6, 1.0),
        "pseudogap, r = .25": Bath.power_law(0.05, 0.25),
        "gapped, .1": gapped,
        "noisy grid": Bath(points, 0.05 * rng.uniform(0.3, 1.7, points.size)),
    }


def campo_oliveira(interval: Interval, lambda_: float) -> float:
    """w / int Gamma(e) / e de."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    p = interval.pieces
    half = 0.5 * np.log(p.high / p.low)
    points = p.low[:, None] * np.exp(half[:, None] * (1 + nodes))
    columns = Pieces(*(column[:, None] for column in p))
    return float(interval.weight / np.sum(half * (value_of(columns, points) @ weights)))


def exact(bath: Bath) -> tuple[Floats, Floats]:
    """Mesh and cumulative weight of A."""
    mesh = integration_mesh(bath, 1e-9)
    inverse = mesh - LEVEL - bath.delta(mesh)
    inverse = inverse.real + 1j * np.maximum(inverse.imag, 0.0)
    weight = -(np.diff(np.log(inverse)) / np.diff(inverse)).imag / np.pi * np.diff(mesh)
    return mesh, np.concatenate([[0.0], np.cumsum(weight)])


def errors(bath: Bath, n_z: int, rule: Callable[[Interval, float], float]) -> tuple[float, float]:
    """Root mean square error of the cumulative weight, and error of the occupation."""
    positive = np.geomspace(1e-4, 0.9, 60)
    probes = np.concatenate([-positive[::-1], positive])
    mesh, cumulative = exact(bath)
    found, occupation = np.zeros(probes.size), 0.0
    for k in range(n_z):
        star = discretized(bath, LAMBDA, (k + 1) / n_z, 20, rule)
        coupling = np.sqrt(star.weights / np.pi)
        matrix = np.diag(np.concatenate([[LEVEL], star.energies]))
        matrix[0, 1:] = matrix[1:, 0] = coupling
        energies, vectors = np.linalg.eigh(matrix)
        weights = vectors[0] ** 2
        occupation += float(weights[energies < 0].sum()) / n_z
        found += np.array([weights[energies <= x].sum() for x in probes]) / n_z
    rms = float(np.sqrt(np.mean((found - np.interp(probes, mesh, cumulative)) ** 2)))
    return rms, occupation - float(np.interp(0.0, mesh, cumulative))


def main() -> None:
    print("| bath | n_z | cumulative weight: Zitko-Pruschke | Campo-Oliveira | <n>: Zitko-Pruschke | Campo-Oliveira |")
    print("|---|---|---|---|---|---|")
    for name, bath in baths().items():
        for n_z in (2, 8, 32):
            (rms, n), (rms_co, n_co) = (errors(bath, n_z, rule) for rule in (representative_energy, campo_oliveira))
            print(f"| {name} | {n_z} | {rms:.4f} | {rms_co:.4f} | {n:+.1e} | {n_co:+.1e} |", flush=True)
    print("\n| bath | points | chain of 30 sites, CPU s |\n|---|---|---|")
    for name, bath in baths().items():
        start = time.process_time()
        bath_chain(bath, LAMBDA, 0.5, 30)
        print(f"| {name} | {bath.omega.size} | {time.process_time() - start:.2f} |", flush=True)


if __name__ == "__main__":
    main()
