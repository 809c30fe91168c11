"""How accurate is which NRG setting, and what does it cost?

    python benchmarks/nrg_convergence.py [--hamiltonians 8]

Draws Hamiltonians over the default parameter box (fixed seed), solves each with the settings below and compares
pi Gamma A(w) on the default 333-point grid with the finest setting. One thread, CPU seconds, medians.
"""

import argparse
import time

import numpy as np

from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver

REFERENCE = NRGSettings(discretization=2.5, n_keep=900, n_z=4, broadening=0.3)
SETTINGS = [
    NRGSettings(discretization=lambda_, n_keep=n_keep, n_z=n_z, broadening=alpha)
    for lambda_, n_z, alpha in ((3.0, 1, 0.6), (3.0, 2, 0.35), (4.0, 2, 0.4), (4.0, 3, 0.35), (5.0, 3, 0.4))
    for n_keep in (128, 200, 256, 512)
]
TEMPERATURES = np.array([1e-6, 1e-3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hamiltonians", type=int, default=8)
    impurities = draw(parser.parse_args().hamiltonians)
    positive = np.geomspace(1e-5, 2, 166)
    omega = np.concatenate([-positive[::-1], [0.0], positive])
    solve(impurities[:1], REFERENCE, omega)  # compile
    reference, _ = solve(impurities, REFERENCE, omega)
    print(f"{len(impurities)} Hamiltonians, half of them at B = 0; T = {TEMPERATURES.tolist()}; reference {REFERENCE}")
    print("Error of pi Gamma A on the grid, mean over w: median and worst Hamiltonian; then the worst point; CPU s.")
    print("| Lambda | n_keep | n_z | alpha | median | worst | point | B = 0 | B > 0 |")
    print("|---|---|---|---|---|---|---|---|---|")
    free = np.array([impurity.field == 0 for impurity in impurities])
    for s in SETTINGS:
        spectra, seconds = solve(impurities, s, omega)
        error = np.abs(spectra - reference)
        mean = error.mean(axis=(1, 2, 3))
        print(
            f"| {s.discretization} | {s.n_keep} | {s.n_z} | {s.broadening} | {np.median(mean):.4f} | {mean.max():.4f} "
            f"| {error.max():.3f} | {np.median(seconds[free]):.2f} | {np.median(seconds[~free]):.2f} |",
            flush=True,
        )


def draw(n: int) -> list[AndersonImpurity]:
    rng = np.random.default_rng(7)
    impurities = []
    for k in range(n):
        interaction, hybridization = np.exp(rng.uniform(np.log([0.05, 0.005]), np.log([0.5, 0.06])))
        level = interaction * (rng.uniform(0, 1.5) - 1) / 2
        field = 0.0 if k % 2 == 0 else float(np.exp(rng.uniform(np.log(1e-5), np.log(1e-1))))
        impurities.append(
            AndersonImpurity(interaction=interaction, level=level, hybridization=hybridization, field=field)
        )
    return impurities


def solve(
    impurities: list[AndersonImpurity], settings: NRGSettings, omega: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    spectra, seconds = [], []
    for impurity in impurities:
        start = time.process_time()
        solution = NRGSolver(settings).solve(impurity, temperatures=TEMPERATURES, omega=omega)
        seconds.append(time.process_time() - start)
        spectra.append(np.pi * impurity.hybridization * np.stack([solution.spectrum_up, solution.spectrum_dn]))
    return np.array(spectra), np.array(seconds)


if __name__ == "__main__":
    main()
