"""How accurate is the default dataset, regime by regime, beyond its box, and against an independent code?

    python benchmarks/dataset_accuracy.py --regimes [--each 3]
    python benchmarks/dataset_accuracy.py --friedel [--hamiltonians 200]
    python benchmarks/dataset_accuracy.py --reference FOLDER

All with `spectra.nrg` of params.yaml, Hamiltonians drawn from seed 20261129, which no dataset uses. One thread.

--regimes compares with Lambda 3, 500 states, four z, alpha 0.3 (T_K: two z) at T = 1e-6 and 1e-3: pi Gamma A over the
default 333 frequencies, occupation, T_K; both settings' residual of Friedel's rule; the first moment of the poles and
of A less eps_s + U <n_-s>, and the tail of Sigma beside U^2 <n_-s>(1 - <n_-s>) / omega.
--friedel checks the rule and the clipped Im Sigma at T = 1e-6 over the default box and over a shifted one, at B = 0.
--reference compares with spectra of NRG Ljubljana (Lambda 2, up to 2,000 states, four z, alpha 0.3) in FOLDER: one
index.json and one npz per case with arrays w and A_sigma_up, A_sigma_dn. Their Friedel residual is told beside.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from models.physics.impurity.broadening import log_grid
from models.physics.impurity.friedel import band_integrals, friedel_residual
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo import kondo_temperature
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver, binned_correlators, self_energies, working_grid
from models.physics.impurity.self_energy import causal, spectral_function
from models.physics.impurity.solver import ImpuritySolution
from pipeline.impurity.spectra import SpectraParams, frequency_grid
from pipeline.runtime.params import load_params

PARAMS = load_params(SpectraParams, "spectra", Path(__file__).parents[1] / "params.yaml")
OMEGA = frequency_grid(PARAMS.grid)
CONVERGED = NRGSettings(discretization=3.0, n_keep=500, n_z=4, broadening=0.3)
CHEAP = NRGSettings(n_keep=64, n_z=1)  # T_K to some percent, to see where Friedel's rule applies
TEMPERATURES = np.array([1e-6, 1e-3])
SEED = 20261129


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regimes", action="store_true")
    parser.add_argument("--each", type=int, default=3, help="Hamiltonians per regime (default 3)")
    parser.add_argument("--friedel", action="store_true")
    parser.add_argument("--hamiltonians", type=int, default=200, help="per box (default 200)")
    parser.add_argument("--reference", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.regimes:
        regimes(options.each)
    if options.friedel:
        friedel(options.hamiltonians)
    if options.reference:
        reference(options.reference)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw(rng: np.random.Generator, u: tuple[float, float], gamma: tuple[float, float], x: tuple[float, float],
         field: tuple[float, float] | None = None) -> AndersonImpurity:  # fmt: skip
    """U, Gamma, B log-uniform, x = (U + 2 eps_d) / U uniform."""
    interaction, hybridization = _log_uniform(rng, *u), _log_uniform(rng, *gamma)
    level = interaction * (float(rng.uniform(*x)) - 1) / 2
    b = 0.0 if field is None else _log_uniform(rng, *field)
    return AndersonImpurity(interaction=interaction, level=level, hybridization=hybridization, field=b)


Condition = Callable[[AndersonImpurity], bool]
BOX_U, BOX_GAMMA = PARAMS.sampling.interaction, PARAMS.sampling.hybridization
REGIMES: dict[str, tuple[dict[str, tuple[float, float]], Condition]] = {
    "Kondo": ({"x": (0.0, 0.5)}, lambda i: 4 < i.interaction / i.hybridization < 20),
    "edge of the moment": ({"x": (0.75, 0.95)}, lambda i: i.interaction / i.hybridization > 20),
    "mixed valence": ({"x": (0.0, 1.5)}, lambda i: abs(i.level) < i.hybridization),
    "empty orbital": ({"x": (0.0, 1.5)}, lambda i: i.level > 2 * i.hybridization),
    "finite field": ({"x": (0.0, 1.5), "field": (1e-4, 0.1)}, lambda i: i.interaction / i.hybridization > 4),
    "deep asymmetry": ({"x": (1.5, 2.5)}, lambda i: i.interaction / i.hybridization > 10),
    "U > 2 D": ({"x": (0.3, 1.3), "u": (2.0, 6.0), "gamma": (0.02, 0.2)}, lambda i: True),
}


def regimes(each: int) -> None:
    print("| regime | mean, median | mean, worst | point, worst | n_d | T_K | Friedel | Friedel, converged "
          "| M1 of poles | M1 of A | tail of Sigma |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for number, (name, (ranges, condition)) in enumerate(REGIMES.items()):
        rng = np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(number,)))
        chosen: list[AndersonImpurity] = []
        while len(chosen) < each:
            impurity = draw(rng, **{"u": BOX_U, "gamma": BOX_GAMMA} | ranges)  # type: ignore[arg-type]
            if condition(impurity):
                chosen.append(impurity)
        rows = [compare(impurity) for impurity in chosen]
        worst = {key: _worst(row[key] for row in rows) for key in rows[0]}
        print(
            f"| {name} | {np.median([row['mean'] for row in rows]):.4f} | {worst['mean']:.4f} | {worst['point']:.3f} "
            f"| {worst['n_d']:.1e} | {worst['kondo']:.4f} | {worst['friedel']:.4f} | {worst['friedel_converged']:.4f} "
            f"| {worst['poles']:.1e} | {worst['moment']:.1e} | {worst['tail']:.3f} |",
            flush=True,
        )


def _worst(values: Iterator[float]) -> float:
    finite = [abs(value) for value in values if np.isfinite(value)]
    return max(finite, default=np.nan)


def compare(impurity: AndersonImpurity) -> dict[str, float]:
    scale = np.pi * impurity.hybridization
    solved, finer = (
        NRGSolver(nrg).solve(impurity, temperatures=TEMPERATURES, omega=OMEGA) for nrg in (PARAMS.nrg, CONVERGED)
    )
    error = scale * np.abs(
        np.stack([solved.spectrum_up, solved.spectrum_dn]) - np.stack([finer.spectrum_up, finer.spectrum_dn])
    )
    free = dataclasses.replace(impurity, field=0.0)
    label, finer_label = (
        kondo_temperature(free, nrg, lowest_temperature=PARAMS.label_temperature)
        for nrg in (PARAMS.nrg, dataclasses.replace(CONVERGED, n_z=2))
    )
    return {
        "mean": error.mean(axis=2).max(),
        "point": error.max(),
        "n_d": float(np.abs(solved.n_up + solved.n_dn - finer.n_up - finer.n_dn).max()),
        "kondo": label / finer_label - 1,
        "friedel": _residual(impurity, solved, label),
        "friedel_converged": _residual(impurity, finer, label),
    } | moments(impurity)


def _residual(impurity: AndersonImpurity, solution: ImpuritySolution, label: float) -> float:
    """Worst |pi Gamma A_s(0) - sin^2(pi N_s)| of both spins where the rule applies, NaN where it never does."""
    values = np.concatenate(
        [
            friedel_residual(
                np.pi * impurity.hybridization * spectrum[:, solution.omega.size // 2],
                charge,
                solution.temperatures,
                hybridization=impurity.hybridization,
                scale=float(np.fmax(label, abs(impurity.field))),
            )
            for spectrum, charge in (
                (solution.spectrum_up, solution.displaced_charge_up),
                (solution.spectrum_dn, solution.displaced_charge_dn),
            )
        ]
    )
    return _worst(iter(values))


def moments(impurity: AndersonImpurity) -> dict[str, float]:
    """At the dataset's setting and T = 1e-6, worst spin; the moment of A is NaN where the band holds < 0.99 of it."""
    nrg, u = PARAMS.nrg, impurity.interaction
    raw = binned_correlators(impurity, nrg, TEMPERATURES[:1])
    grid = working_grid(raw, nrg)
    omega, sigma = log_grid(*grid), self_energies(impurity, raw, 0, float(TEMPERATURES[0]), nrg)
    _, up, dn, both = raw.impurity_weights[0]
    mesh = np.geomspace(1e-8, 1 - 1e-9, 20_000)
    mesh = np.concatenate([-mesh[::-1], mesh])
    found: dict[str, list[float]] = {"poles": [], "moment": [], "tail": []}
    for s, n in enumerate((dn + both, up + both)):
        exact = impurity.level - (1 - 2 * s) * impurity.field / 2 + u * n
        found["poles"].append(float(raw.histograms[0, s, 0] @ raw.bins.centres) - exact)
        a_s = partial(spectral_function, impurity, 1 - 2 * s, causal(sigma[s]), grid)
        weight, _ = band_integrals(a_s, impurity.hybridization, lowest=raw.bins.lowest, omega=np.array([-0.999, 0.999]))
        found["moment"].append(float(np.trapezoid(mesh * a_s(mesh), mesh)) - exact if weight > 0.99 else np.nan)
        far = np.abs(omega) > 15
        found["tail"].append(float(np.mean((sigma[s].real - u * n)[far] * omega[far]) / (u**2 * n * (1 - n)) - 1))
    return {name: _worst(iter(values)) for name, values in found.items()}


SHIFTED = {"u": (0.3, 2.5), "gamma": (0.01, 1.0), "x": (0.0, 2.5)}


def friedel(n: int) -> None:
    boxes = {"default": {"u": BOX_U, "gamma": BOX_GAMMA, "x": PARAMS.sampling.asymmetry}, "shifted": SHIFTED}
    print(
        "| box | rows | median | 99 % | worst | U, eps_d, Gamma of the worst | clipped Im Sigma / Gamma, 99 % | worst |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for number, (name, ranges) in enumerate(boxes.items()):
        rng = np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(100 + number,)))
        residuals, clipped, impurities = [], [], []
        for _ in range(n):
            impurity = draw(rng, **ranges)
            label = kondo_temperature(impurity, CHEAP, lowest_temperature=PARAMS.label_temperature)
            found = NRGSolver(PARAMS.nrg).solve(impurity, temperatures=TEMPERATURES[:1], omega=OMEGA)
            residuals.append(_residual(impurity, found, label))
            clipped.append(max(found.clipped_up[0], found.clipped_dn[0]))
            impurities.append(impurity)
        size = np.array(residuals)
        worst = impurities[int(np.nanargmax(size))]
        size = size[np.isfinite(size)]
        print(
            f"| {name} | {size.size} of {n} | {np.median(size):.4f} | {np.quantile(size, 0.99):.4f} | {size.max():.4f} "
            f"| {worst.interaction:.3f}, {worst.level:.3f}, {worst.hybridization:.4f} "
            f"| {np.quantile(clipped, 0.99):.4f} | {max(clipped):.4f} |",
            flush=True,
        )


def reference(folder: Path) -> None:
    print("| case | U, eps_d, Gamma, B, T | mean | point | at omega | mean, abs(omega) < 0.03 | n_d "
          "| Friedel | Friedel, reference |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for case in json.loads((folder / "index.json").read_text())["cases"]:
        arrays = np.load(folder / f"{case['name']}.npz")
        # There the energy of the field is +B S_z.
        impurity = AndersonImpurity(
            interaction=case["U"], level=case["eps_d"], hybridization=case["Gamma"], field=-case["B"]
        )
        temperature, scale = np.array([case["T"]]), np.pi * impurity.hybridization
        omega = arrays["w"].real[np.abs(arrays["w"].real) < 0.98]
        grid = np.union1d(omega, [0.0])
        found = NRGSolver(PARAMS.nrg).solve(impurity, temperatures=temperature, omega=grid)
        inside = np.isin(grid, omega)
        spectra = np.stack([found.spectrum_up[0], found.spectrum_dn[0]])[:, inside]
        others = np.stack([np.interp(omega, arrays["w"].real, arrays[f"A_sigma_{spin}"]) for spin in ("up", "dn")])
        # Per decade of frequency, as the stored grid has it, from T / 3 on.
        seen = np.abs(omega) > case["T"] / 3
        error = scale * np.abs(spectra - others) * seen
        label = kondo_temperature(
            dataclasses.replace(impurity, field=0.0), PARAMS.nrg, lowest_temperature=PARAMS.label_temperature
        )
        at_zero = case["results"].get("piGammaA_sigma_at0", {})
        charges = np.sin(np.pi * np.array([found.displaced_charge_up[0], found.displaced_charge_dn[0]])) ** 2
        applies = np.isfinite(_residual(impurity, found, label))
        theirs = (
            max(abs(at_zero[spin] - c) for spin, c in zip(("up", "dn"), charges, strict=True)) if at_zero else np.nan
        )
        near = seen & (np.abs(omega) < 0.03)
        print(
            f"| {case['name']} | {case['U']}, {case['eps_d']}, {case['Gamma']}, {-case['B']:g}, {case['T']:g} "
            f"| {error[:, seen].mean():.4f} | {error.max():.4f} | {omega[int(error.max(axis=0).argmax())]:.2g} "
            f"| {error[:, near].mean():.4f} "
            f"| {abs(found.n_up[0] + found.n_dn[0] - case['results']['n_d']):.1e} "
            f"| {_residual(impurity, found, label):.4f} | {theirs if applies else np.nan:.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
