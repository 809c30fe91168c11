"""Which estimator of the self-energy keeps Friedel's sum rule, and at which setting of the NRG?

    python benchmarks/self_energy.py [--hamiltonians 60] [--imaginary-axis | --mixed]

Draws Hamiltonians over the default parameter box (fixed seed), without and with field, and prints
|pi Gamma A_s(0) - sin^2(pi N_s)| at T = 1e-8 for every spin, with N_s of a finite band
(models/physics/impurity/friedel.py), how far the integral of A within the band is from one, and CPU seconds for both
spins. One thread. With --imaginary-axis it prints, instead, Re Sigma(iy) of the impurity that breaks the rule worst,
from the poles as they are: what differs there is truncation, for nothing is broadened.
With --mixed it prints how far the integral of A is from one with Re Sigma of `bulla` and Im Sigma of `kugler`.
"""

import argparse
import dataclasses
import time
from functools import partial

import numpy as np

from models.physics.impurity.friedel import band_integrals, friedel_residual
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo import kondo_temperature
from models.physics.impurity.nrg_solver import (
    NRGSettings,
    NRGSolver,
    binned_correlators,
    self_energies,
    working_grid,
)
from models.physics.impurity.self_energy import bulla_self_energy, causal, kugler_self_energy, spectral_function

SETTINGS = [
    NRGSettings(discretization=4.0, n_keep=64, n_z=1, broadening=0.6),
    NRGSettings(discretization=4.0, n_keep=128, n_z=2, broadening=0.4),
    NRGSettings(discretization=4.0, n_keep=160, n_z=2, broadening=0.4),
    NRGSettings(discretization=4.0, n_keep=256, n_z=3, broadening=0.35),
]
TEMPERATURE = 1e-8
OMEGA = np.array([-0.98, 0.0, 0.98])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hamiltonians", type=int, default=60, help="per field (default 60)")
    parser.add_argument("--imaginary-axis", action="store_true", help="where the difference comes from")
    parser.add_argument("--mixed", action="store_true", help="Re Sigma of bulla with Im Sigma of kugler")
    options = parser.parse_args()
    if options.mixed:
        mixed(options.hamiltonians)
        return
    if options.imaginary_axis:
        imaginary_axis()
        return
    n = options.hamiltonians
    print("| field | Lambda | n_keep | n_z | alpha | estimator | median | 99 % | worst | weight - 1, worst | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for field in (False, True):
        impurities = draw(n, field)
        scales = [
            np.fmax(kondo_temperature(i, NRGSettings(n_keep=128, n_z=1), lowest_temperature=1e-10), i.field)
            for i in impurities
        ]
        for settings in SETTINGS:
            for estimator in ("bulla", "kugler"):
                chosen = dataclasses.replace(settings, self_energy=estimator)
                rows, weights, start = [], [], time.process_time()
                for impurity, scale in zip(impurities, scales, strict=True):
                    found = NRGSolver(chosen).solve(impurity, temperatures=np.array([TEMPERATURE]), omega=OMEGA)
                    for spectrum, charge in (
                        (found.spectrum_up, found.displaced_charge_up),
                        (found.spectrum_dn, found.displaced_charge_dn),
                    ):
                        height = np.pi * impurity.hybridization * spectrum[:, 1]
                        rows += friedel_residual(
                            height, charge, found.temperatures, hybridization=impurity.hybridization, scale=float(scale)
                        ).tolist()
                    weights.append(abs(found.weight_up[0] - 1))
                size = np.abs(rows)
                size = size[np.isfinite(size)]
                s = chosen
                print(
                    f"| {'1e-6 to 0.1' if field else '0'} | {s.discretization} | {s.n_keep} | {s.n_z} | {s.broadening} "
                    f"| {estimator} | {np.median(size):.4f} | {np.quantile(size, 0.99):.4f} | {size.max():.4f} "
                    f"| {max(weights):.4f} | {(time.process_time() - start) / n:.2f} |",
                    flush=True,
                )


def imaginary_axis() -> None:
    impurity = AndersonImpurity(interaction=0.333, level=-0.0215, hybridization=0.00555)
    u = impurity.interaction
    print("| Lambda | n_keep | n_z | first moment - exact | y | Re Sigma(iy), bulla | kugler |")
    print("|---|---|---|---|---|---|---|")
    for base, n_keep, n_z in ((4.0, 128, 2), (4.0, 256, 3), (2.0, 600, 1)):
        settings = NRGSettings(discretization=base, n_keep=n_keep, n_z=n_z)
        raw = binned_correlators(impurity, settings, np.array([1e-6]))
        poles, weights = raw.bins.centres, raw.histograms[0, 0]
        n = float(raw.impurity_weights[0, [1, 3]].sum())
        moment = float(weights[0] @ poles) - impurity.level - u * n
        for y in (1e-5, 1e-3, 1e-1):
            g, f, i = (weights / (1j * y - poles)).sum(axis=1)
            bulla = bulla_self_energy(u, g, f).real
            kugler = kugler_self_energy(u, n, g, f, i).real
            print(f"| {base} | {n_keep} | {n_z} | {moment:.5f} | {y:g} | {bulla:.5f} | {kugler:.5f} |", flush=True)


def mixed(n: int) -> None:
    settings = NRGSettings(n_keep=160, n_z=2, broadening=0.4)
    symmetric = dataclasses.replace(settings, self_energy="kugler")
    deviations = []
    for impurity in draw(n, field=False):
        raw = binned_correlators(impurity, settings, np.array([1e-6]))
        parts = [self_energies(impurity, raw, 0, 1e-6, s)[0] for s in (settings, symmetric)]
        sigma = causal(parts[0].real + 1j * parts[1].imag)
        spectrum = partial(spectral_function, impurity, 1, sigma, working_grid(raw, settings))
        weight, _ = band_integrals(spectrum, impurity.hybridization, lowest=raw.bins.lowest, omega=OMEGA)
        deviations.append(abs(weight - 1))
    print(
        f"{n} Hamiltonians, B = 0, T = 1e-6: |integral of A - 1| is {np.median(deviations):.4f} in the median, "
        f"{max(deviations):.4f} at worst"
    )


def draw(n: int, field: bool) -> list[AndersonImpurity]:
    rng = np.random.default_rng(7)
    impurities = []
    for _ in range(n):
        interaction, hybridization = np.exp(rng.uniform(np.log([0.05, 0.005]), np.log([0.5, 0.06])))
        level = interaction * (rng.uniform(0, 1.5) - 1) / 2
        b = float(np.exp(rng.uniform(np.log(1e-6), np.log(1e-1))))
        impurities.append(
            AndersonImpurity(
                interaction=float(interaction),
                level=float(level),
                hybridization=float(hybridization),
                field=b if field else 0.0,
            )
        )
    return impurities


if __name__ == "__main__":
    main()
