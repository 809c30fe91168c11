"""What one impurity costs, where the time goes, and how far that is from the floor.

    python benchmarks/nrg_speed.py [--runs 7]

CPU seconds of one thread, medians; both spins and the self-energy included, kernels compiled beforehand. The floor is
the time LAPACK takes to diagonalise the same blocks, called once each on random symmetric matrices of their sizes
(which cost what the blocks themselves cost, see the results).
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from models.physics.impurity.density_matrix import density_matrix, needs_discarded_pairs
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo import kondo_temperature
from models.physics.impurity.nrg import iterate, last_site
from models.physics.impurity.nrg_solver import HIGHEST, NRGSettings, NRGSolver
from models.physics.impurity.operators import IMPURITY_OPERATORS, carry
from models.physics.impurity.shell import SPIN_DN, SPIN_UP, Shell
from models.physics.impurity.spectral import FrequencyBins, correlators, pair_bins

TEMPERATURE = 1e-6
TILTED = AndersonImpurity(interaction=0.2, level=-0.06, hybridization=0.02, field=0.02)
FREE = AndersonImpurity(interaction=0.2, level=-0.06, hybridization=0.02)
CASES = [
    ("Lambda 3, n_keep 256, n_z 2, B > 0", TILTED, NRGSettings(discretization=3.0, n_keep=256, n_z=2)),
    ("Lambda 3, n_keep 256, n_z 2, B = 0", FREE, NRGSettings(discretization=3.0, n_keep=256, n_z=2)),
    ("Lambda 3, n_keep 128, n_z 1, B > 0", TILTED, NRGSettings(discretization=3.0, n_keep=128, n_z=1, broadening=0.6)),
    ("Lambda 3, n_keep 128, n_z 1, B = 0", FREE, NRGSettings(discretization=3.0, n_keep=128, n_z=1, broadening=0.6)),
    ("production, B > 0", TILTED, NRGSettings()),
    ("production, B = 0", FREE, NRGSettings()),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    print("| case | first T | each further T | T_K label | LAPACK floor | first T / floor |")
    print("|---|---|---|---|---|---|")
    for name, impurity, settings in CASES:
        row(name, impurity, settings, runs)
    print()
    shares(TILTED, CASES[0][2], runs)


def row(name: str, impurity: AndersonImpurity, settings: NRGSettings, runs: int) -> None:
    omega = np.concatenate([-np.geomspace(1e-5, 2, 166)[::-1], [0.0], np.geomspace(1e-5, 2, 166)])
    solver = NRGSolver(settings)
    few, many = np.array([TEMPERATURE]), TEMPERATURE * np.array([1.0, 1.1, 1.2, 1.3, 1.4])

    def floor() -> None:
        for matrix in matrices:
            np.linalg.eigh(matrix)

    matrices = random_blocks(impurity, settings)
    tasks = {
        "one": lambda: solver.solve(impurity, temperatures=few, omega=omega),
        "five": lambda: solver.solve(impurity, temperatures=many, omega=omega),
        "label": lambda: kondo_temperature(impurity, settings),
        "floor": floor,
    }
    seconds = interleaved(tasks, runs)
    further = (seconds["five"] - seconds["one"]) / 4
    print(
        f"| {name} | {seconds['one']:.3f} | {further:.3f} | {seconds['label']:.3f} | {seconds['floor']:.3f} "
        f"| {seconds['one'] / seconds['floor']:.1f} |",
        flush=True,
    )


def interleaved(tasks: dict, runs: int) -> dict[str, float]:
    """Median CPU seconds of each, run in turn so that a noisy machine hits all alike; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for k in range(runs + 1):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            if k:
                seconds[name].append(time.process_time() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def random_blocks(impurity: AndersonImpurity, settings: NRGSettings) -> list[np.ndarray]:
    """One symmetric matrix per block that has to be diagonalised; at B = 0 half and spin-flipped blocks are spared."""
    rng = np.random.default_rng(0)
    sizes = []
    for z in settings.z_values:
        for shell in chain(impurity, settings, z)[1:]:
            for up, dn, size in zip(shell.n_up, shell.n_dn, shell.size, strict=True):
                if impurity.field != 0 or up > dn:
                    sizes.append(size)
                elif up == dn:
                    sizes += [size // 2, size - size // 2]
    squares = [rng.standard_normal((n, n)) for n in sizes if n]
    return [a + a.T for a in squares]


def chain(impurity: AndersonImpurity, settings: NRGSettings, z: float) -> list[Shell]:
    n_sites = last_site(TEMPERATURE, settings.discretization) + 1
    return iterate(impurity, settings.truncation, z=z, n_sites=n_sites)


def shares(impurity: AndersonImpurity, settings: NRGSettings, runs: int) -> None:
    """Parts of one z at one temperature."""
    shells = chain(impurity, settings, 1.0)
    last, temperatures = len(shells) - 1, np.array([TEMPERATURE])
    want = needs_discarded_pairs(shells, temperatures, [last])
    bins = FrequencyBins(lowest=1e-8, highest=HIGHEST, per_decade=settings.bins_per_decade)
    operators = {name: carry(shells, IMPURITY_OPERATORS[name], want) for name in ("d_up", "q_up", "d_dn", "q_dn")}
    pairs = {charge: pair_bins(shells, charge, want, bins) for charge in (SPIN_UP, SPIN_DN)}
    density = density_matrix(shells, TEMPERATURE, last)

    def spectra() -> None:
        for spin, charge in (("up", SPIN_UP), ("dn", SPIN_DN)):
            correlators(shells, density, charge, operators["d_" + spin], operators["q_" + spin], pairs[charge], bins)

    seconds = interleaved(
        {
            "iterate (build blocks, eigh, new-site operators)": lambda: chain(impurity, settings, 1.0),
            "carry d and q, both spins": lambda: [carry(shells, IMPURITY_OPERATORS[n], want) for n in operators],
            "frequency bins of all pairs": lambda: [pair_bins(shells, c, want, bins) for c in pairs],
            "density matrix": lambda: density_matrix(shells, TEMPERATURE, last),
            "correlators G, F, I": spectra,
        },
        runs,
    )
    total = sum(seconds.values())
    print("| part, one z | CPU s | share |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.4f} | {100 * value / total:.0f} % |")


if __name__ == "__main__":
    main()
