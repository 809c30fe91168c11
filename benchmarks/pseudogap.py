"""The pseudogap impurity at particle-hole symmetry: critical coupling and the exponent nu of T*, by NRG.

    python benchmarks/pseudogap.py > table.md

Gamma(w) = Gamma_0 |w / D|^r, U = D / 2, eps_d = -U / 2. Prints the fixed points beside their closed forms; 1/nu of
three Lambda beside the expansions at both ends of 0 < r < 1/2; nu of T* on both sides beside 1/nu of the same chain,
and local slopes; what other U and other numbers of states find; and the critical coupling beside its estimate at
small r.
"""

import math
import time

import numpy as np

from models.physics.pseudogap.critical import (
    SIDES,
    CriticalPoint,
    Growth,
    critical_point,
    crossover_temperature,
    fitted_exponent,
    growth,
    matched_distances,
)
from models.physics.pseudogap.expansions import coupling_near_zero, near_one_half, near_zero
from models.physics.pseudogap.flow import (
    FlowSettings,
    PseudogapImpurity,
    fixed_point_entropies,
    fixed_point_moments,
    flow,
)

U = 0.5  # [D]
EXPONENTS = {0.1: 1e-70, 0.15: 1e-55, 0.2: 1e-45, 0.25: 1e-45, 0.3: 1e-45, 0.35: 1e-45, 0.4: 1e-45, 0.45: 1e-45}
CHAINS = {lambda_: FlowSettings(discretization=lambda_, n_keep=n) for lambda_, n in ((9, 120), (6, 150), (4, 250))}
N_DISTANCES, PERIODS = 6, 2


def main() -> None:
    start = time.process_time()
    fixed_points()
    print("\n| r | Gamma_c / D, Lambda = 4 | 1/nu, Lambda = 9 | 6 | 4 | nu | r - r^2/2 | 2 (1 - 2r) | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|")
    found: dict[float, dict[float, tuple[CriticalPoint, Growth]]] = {}
    for r in EXPONENTS:
        before = time.process_time()
        found[r] = {lambda_: measured(r, U, chain) for lambda_, chain in CHAINS.items()}
        inverse = [grown.inverse_exponent for _, grown in found[r].values()]
        columns = [
            f"{r:g}", f"{found[r][4][0].coupling:.7f}", *(f"{x:.5f}" for x in inverse),
            f"{1 / inverse[2]:.4f} +- {abs(inverse[1] - inverse[2]) / inverse[2] ** 2:.4f}", f"{near_zero(r):.5f}",
            f"{near_one_half(r):.3f}", f"{time.process_time() - before:.0f}",
        ]  # fmt: skip
        print(f"| {' | '.join(columns)} |", flush=True)
    both_sides({r: chains[6] for r, chains in found.items()})
    print("\n| r | T chi at Gamma_c: r / 8 | Lambda = 9 | 6 | 4 | S / ln 2: 2r | Lambda = 9 | 6 | 4 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r, chains in found.items():
        moments = [f"{point.effective_moment:.4f}" for point, _ in chains.values()]
        entropies = [f"{point.entropy / math.log(2):.4f}" for point, _ in chains.values()]
        print(f"| {' | '.join([f'{r:g}', f'{r / 8:.4f}', *moments, f'{2 * r:g}', *entropies])} |")
    variants()
    small_exponents()
    print(f"\n{time.process_time() - start:.0f} CPU s.")


def measured(r: float, interaction: float, chain: FlowSettings) -> tuple[CriticalPoint, Growth]:
    lowest = EXPONENTS[r]
    point = critical_point(r, interaction, chain, lowest=lowest, bracket=(1e-3 * interaction, 4 * interaction))
    return point, growth(point, chain, lowest=lowest)


def fixed_points() -> None:
    print(
        "| r | strong coupling: S / (2 r ln 2) | 8 T chi / r | free moment: S / ln 2 | 4 T chi |\n|---|---|---|---|---|"
    )
    for r in EXPONENTS:
        strong = flow(PseudogapImpurity(exponent=r, interaction=0.0, hybridization=0.3), CHAINS[9], 1e-30)
        weak = flow(PseudogapImpurity(exponent=r, interaction=U, hybridization=1e-4), CHAINS[9], 1e-30)
        ratios = [
            f"{getattr(found, name)[-1] / closed(r)[side]:.4f}"
            for side, found in enumerate((strong, weak))
            for name, closed in (("entropy", fixed_point_entropies), ("effective_moment", fixed_point_moments))
        ]
        print(f"| {' | '.join([f'{r:g}', *ratios])} |", flush=True)


def both_sides(found: dict[float, tuple[CriticalPoint, Growth]]) -> None:
    print(
        "\n| r, Lambda = 6 | side | T* / D | nu from T* | nu of 1/nu above | local slopes |\n|---|---|---|---|---|---|"
    )
    for r, (point, grown) in found.items():
        distances = matched_distances(1e-2, grown.inverse_exponent, CHAINS[6], N_DISTANCES, PERIODS)
        for side in SIDES:
            scales = np.array([
                crossover_temperature(point, side, x, CHAINS[6], lowest=EXPONENTS[r]) for x in distances
            ])  # fmt: skip
            fit = fitted_exponent(distances, scales, coupling_error=point.error)
            columns = [
                f"{r:g}", side, f"{scales[0]:.1e} to {scales[-1]:.1e}", f"{fit.exponent:.5f} +- {fit.error:.5f}",
                f"{1 / grown.inverse_exponent:.5f}", ", ".join(f"{x:.4f}" for x in fit.local_slopes),
            ]  # fmt: skip
            print(f"| {' | '.join(columns)} |", flush=True)


def variants() -> None:
    print("\n| r = 0.3: U / D | Lambda | states | z | Gamma_c / D | 1/nu | Lambda-periods with one 1/nu to 1e-6 |")
    print("|---|---|---|---|---|---|---|")
    for interaction, lambda_, n_keep, z in (
        (0.05, 6, 150, 1.0), (0.5, 6, 150, 1.0), (3.0, 6, 150, 1.0), (0.5, 6, 150, 0.5), (0.5, 6, 80, 1.0),
        (0.5, 6, 300, 1.0), (0.5, 4, 400, 1.0), (0.5, 3, 400, 1.0),
    ):  # fmt: skip
        point, grown = measured(0.3, interaction, FlowSettings(discretization=lambda_, n_keep=n_keep, z=z))
        flat = int(np.sum(np.abs(grown.local - grown.inverse_exponent) < 1e-6))
        columns = [
            f"{interaction:g}", f"{lambda_}", f"{n_keep}", f"{z:g}", f"{point.coupling:.7f}",
            f"{grown.inverse_exponent:.7f}", f"{flat}",
        ]  # fmt: skip
        print(f"| {' | '.join(columns)} |", flush=True)


def small_exponents() -> None:
    print("\n| r, Lambda = 9 | 1/nu | (r - 1/nu) / r^2 | Gamma_c / estimate | 1/nu over 2 (1 - 2r) |")
    print("|---|---|---|---|---|")
    lowests = {0.03: 1e-130, 0.05: 1e-110, 0.1: 1e-70, 0.2: 1e-45, 0.4: 1e-45, 0.45: 1e-45, 0.47: 1e-45}
    for r, lowest in lowests.items():
        point = critical_point(r, U, CHAINS[9], lowest=lowest, bracket=(1e-3 * U, 4 * U))
        inverse = growth(point, CHAINS[9], lowest=lowest).inverse_exponent
        columns = [
            f"{r:g}", f"{inverse:.5f}", f"{(r - inverse) / r**2:.3f}",
            f"{point.coupling / coupling_near_zero(r, U):.3f}", f"{inverse / near_one_half(r):.3f}",
        ]  # fmt: skip
        print(f"| {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
