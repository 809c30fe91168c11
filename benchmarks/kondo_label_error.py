"""How wrong is a label of T_K, does it say so, and what does it cost?

    python benchmarks/kondo_label_error.py [--hybridization 1e-5]

Symmetric model against the exact series of Zlatic and Horvatic, Phys. Rev. B 28, 6904 (1983): chi = sum_n C_n v^n /
(2 pi Gamma), v = U / (pi Gamma), C_n = (2 n - 1) C_(n-1) - (pi/2)^2 C_(n-2). First single chains over Lambda, n_keep, z
and the gap that a cut must fall into, then the extrapolated labels with the errors that they tell. Errors of log T_K in
units of 1e-4; one thread, CPU seconds.
"""

import argparse
import math
import time

import mpmath
import numpy as np

from models.physics.impurity.density_matrix import density_matrix, needs_discarded_pairs
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo_label import KondoLabelSettings, labelled_kondo_temperature
from models.physics.impurity.nrg import Truncation, iterate, last_site
from models.physics.impurity.nrg_solver import one_thread
from models.physics.impurity.operators import IMPURITY_OPERATORS, carry
from models.physics.impurity.thermodynamics import static_susceptibility

RATIOS = (8.0, 15.0, 30.0, 60.0)
CHAINS = [(5.0, 200, 1e-5), (5.0, 200, 1e-2)] + [
    (base, n, 0.1) for base in (5.0, 6.0, 7.0, 8.0) for n in (100, 130, 170, 250)
]
LABELS = [(130, 100), (170, 130), (250, 170)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hybridization", type=float, default=1e-5)
    gamma = parser.parse_args().hybridization
    exact = {ratio: exact_log_ratio(ratio) for ratio in RATIOS}
    chain(impurity(8.0, gamma), 8.0, 64, 0.1, 1.0, 1e-9)  # compile
    print(
        f"Gamma = {gamma:g} D. Errors of log T_K at z = 0.5 and 1, in 1e-4\n| Lambda | n_keep | gap | CPU s | U/Gamma |"
    )
    for base, n_keep, gap in CHAINS:
        start, cells = time.process_time(), []
        for ratio in (RATIOS[0], RATIOS[-1]):
            temperature = gamma * math.exp(exact[ratio]) / 300
            values = [chain(impurity(ratio, gamma), base, n_keep, gap, z, temperature) for z in (0.5, 1.0)]
            cells.append(", ".join(f"{1e4 * (v - math.log(gamma) - exact[ratio]):.1f}" for v in values))
        print(
            f"| {base:g} | {n_keep} | {gap:g} | {(time.process_time() - start) / 4:.2f} | {' | '.join(cells)} |",
            flush=True,
        )
    print("\n| n_keep, n_keep_check | U/Gamma | error | told | CPU s |")
    for n_keep, check in LABELS:
        settings = KondoLabelSettings(discretizations=(6.0, 8.0), n_keep=n_keep, n_keep_check=check)
        for ratio in RATIOS:
            start = time.process_time()
            label = labelled_kondo_temperature(impurity(ratio, gamma), settings, lowest_temperature=1e-18)
            error = math.log(label.value / gamma) - exact[ratio]
            told, seconds = label.error / label.value, time.process_time() - start
            print(
                f"| {n_keep}, {check} | {ratio:g} | {1e4 * error:.1f} | {1e4 * told:.1f} | {seconds:.2f} |", flush=True
            )


def impurity(ratio: float, gamma: float) -> AndersonImpurity:
    return AndersonImpurity(interaction=ratio * gamma, level=-ratio * gamma / 2, hybridization=gamma)


def exact_log_ratio(ratio: float) -> float:
    """log(T_K / Gamma) at U / Gamma = `ratio`, wide band."""
    with mpmath.workdps(1500):
        v = mpmath.mpf(ratio) / mpmath.pi
        before, now, power = mpmath.mpf(1), mpmath.mpf(1), v
        total = before + now * v
        for n in range(2, 400):
            before, now = now, (2 * n - 1) * now - (mpmath.pi / 2) ** 2 * before
            power *= v
            total += now * power
        return float(mpmath.log(mpmath.pi / (2 * total)))


def chain(one: AndersonImpurity, base: float, n_keep: int, gap: float, z: float, temperature: float) -> float:
    """log T_K of one chain, chi extrapolated in T^2 from two temperatures."""
    temperatures = np.array([temperature, 4 * temperature])
    lasts = [last_site(float(t), base) + 1 for t in temperatures]
    with one_thread().limit(limits=1):
        shells = iterate(one, Truncation(discretization=base, n_keep=n_keep, gap=gap), z=z, n_sites=max(lasts))
        s_z = carry(shells, IMPURITY_OPERATORS["s_z"], needs_discarded_pairs(shells, temperatures, lasts))
        low, high = (
            static_susceptibility(shells, density_matrix(shells, float(t), last), s_z, 0.0)
            for t, last in zip(temperatures, lasts, strict=True)
        )
    return -math.log(4 * (low + (low - high) / 15))


if __name__ == "__main__":
    main()
