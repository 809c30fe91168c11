"""The Mott transition of the half-filled Hubbard model on the Bethe lattice, and doped metals, by NRG in DMFT.

    python benchmarks/hubbard.py > table.md

Prints Z(U), the double occupancy and the pinning of A(0) on the metallic branch at T = 1e-6 D beside the formula of
Brinkman and Rice, Z = 1 - (U / U_BR)^2, U_BR = 8 |e_0| = 32 / (3 pi) D; which starts lead to an insulator; and how well
doped metals keep Luttinger's rule.
"""

import time

import numpy as np

from models.physics.dmft.hubbard import HubbardSolution, MeanFieldSettings, solve_hubbard
from models.physics.dmft.lattice import BetheLattice
from models.physics.impurity.nrg_solver import NRGSettings
from pipeline.hubbard.hubbard import filling_below

TEMPERATURE = 1e-6  # [D]
METALS = (0.5, 1.0, 1.5, 2.0, 2.5, 2.7, 2.8)  # U [D]
INSULATORS = (2.1, 2.2, 2.3, 2.4, 2.5, 3.0)
DOPED = ((2.0, 0.7), (2.0, 0.9), (3.5, 0.9), (4.0, 0.8))
BRINKMAN_RICE = 32 / (3 * np.pi)
NRG = NRGSettings(discretization=4.0, n_keep=250, n_z=2, broadening=0.4)
SETTINGS = MeanFieldSettings(nrg=NRG, tolerance=2e-3, max_iterations=60, mixing=0.8, n_mixed=4)


def main() -> None:
    start = time.process_time()
    print("| U / D | Z | Brinkman-Rice | double occupancy | (pi/2) A(0) D | iterations | last change |")
    print("|---|---|---|---|---|---|---|")
    found = []
    for u in METALS:
        metal = solve_hubbard(u, TEMPERATURE, BetheLattice(), SETTINGS)
        found.append(metal.quasiparticle_weight)
        columns = [
            f"{u:g}", f"{found[-1]:.3f}", f"{1 - (u / BRINKMAN_RICE) ** 2:.3f}", f"{metal.double_occupancy:.4f}",
            f"{middle(metal):.4f}", str(len(metal.changes)), f"{metal.changes[-1]:.1e}",
        ]  # fmt: skip
        print(f"| {' | '.join(columns)} |", flush=True)
    slope, level = np.polyfit(METALS[-2:], found[-2:], 1)
    print(f"\nStraight line through the last two: Z = 0 at U = {-level / slope:.2f} D.\n")
    print("| U / D, from the insulator | (pi/2) A(0) D | iterations | last change |\n|---|---|---|---|")
    for u in INSULATORS:
        made = solve_hubbard(u, TEMPERATURE, BetheLattice(), SETTINGS, start="insulator")
        print(f"| {u:g} | {middle(made):.4f} | {len(made.changes)} | {made.changes[-1]:.1e} |", flush=True)
    print("\n| U / D | n | n by Luttinger's rule | n of the lattice spectrum | Z | iterations | last change |")
    print("|---|---|---|---|---|---|---|")
    for u, n in DOPED:
        metal = solve_hubbard(u, TEMPERATURE, BetheLattice(), SETTINGS, filling=n)
        edge = metal.chemical_potential - metal.self_energy.real[np.abs(metal.omega).argmin()]
        columns = [
            f"{u:g}", f"{metal.filling:.3f}", f"{float(filling_below(edge)):.3f}", f"{metal.lattice_filling:.3f}",
            f"{metal.quasiparticle_weight:.3f}", str(len(metal.changes)), f"{metal.changes[-1]:.1e}",
        ]  # fmt: skip
        print(f"| {' | '.join(columns)} |", flush=True)
    print(f"\n{time.process_time() - start:.0f} CPU s.")


def middle(solution: HubbardSolution) -> float:
    """(pi/2) A(0) D: 1 in a Fermi liquid."""
    return float(np.pi / 2 * solution.spectrum[np.abs(solution.omega).argmin()])


if __name__ == "__main__":
    main()
