"""Solve one Anderson impurity at production settings and write its spectrum.

    latentlaw solve-impurity --interaction 0.2 --level -0.06 --hybridization 0.02 --field 0 --temperature 1e-6 \
        --out spectrum.npz [--plot spectrum.png]

Prints one JSON object: occupations, double occupancy, the spectral weight within the band, how well Friedel's sum rule
is kept (null where T is too high for it), the definitions of T_K (null outside their range), notes, CPU seconds and the
settings. The NPZ holds omega (n,) [D], spectrum_up (n,) and spectrum_dn (n,) [1/D]. Energies are in units of the half
bandwidth.
"""

import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from models.physics.impurity.friedel import friedel_residual
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo import (
    corrected_haldane_kondo_temperature,
    haldane_kondo_temperature,
    half_width_at_half_maximum,
    kondo_temperature,
    outside_haldane_range,
)
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver
from models.physics.impurity.solver import ImpuritySolution, SolverError
from pipeline.commands.options.impurity import ImpurityOptions
from pipeline.runtime.outputs import writing
from stores.spectra import FRIEDEL_LIMIT

__all__ = ["main"]

N_POINTS_PER_SIGN = 400
HIGHEST_OMEGA = 3.0  # [D]


def main(options: ImpurityOptions) -> int:
    impurity, temperature, settings = options.impurity(), options.temperature, options.settings()
    solver = NRGSolver(settings)
    omega = symmetric_grid(temperature)
    warm_up()
    start = time.process_time()
    try:
        solution = solver.solve(impurity, temperatures=np.array([temperature]), omega=omega)
    except SolverError as error:
        print(f"solve-impurity: {error}", file=sys.stderr)
        return 1
    cpu_s = time.process_time() - start
    with writing(options.out, overwrite=options.overwrite) as path:
        write_npz(path, solution)
    if options.plot is not None:
        with writing(options.plot, overwrite=options.overwrite) as path:
            plot(path, impurity, solution)
    found = summary(impurity, settings, solution, cpu_s)
    for note in found["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(json.dumps(found, indent=2))
    return 0


def symmetric_grid(temperature: float) -> np.ndarray:
    """+-log grid with zero; it resolves a tenth of the temperature and steps over the band edge."""
    lowest = min(temperature / 10, 1e-4)
    positive = np.geomspace(lowest, HIGHEST_OMEGA, N_POINTS_PER_SIGN)
    positive[positive == 1.0] += 1e-9
    return np.concatenate([-positive[::-1], [0.0], positive])


def warm_up() -> None:
    """Load (or, the first time, compile) the kernels, so that cpu_s is the cost of the solver alone."""
    tiny = NRGSolver(NRGSettings(n_keep=16, n_z=1))
    for field in (0.0, 0.1):
        impurity = AndersonImpurity(interaction=0.2, level=-0.1, hybridization=0.1, field=field)
        tiny.solve(impurity, temperatures=np.array([0.5]), omega=np.array([0.0]))


def write_npz(path: Path, solution: ImpuritySolution) -> None:
    np.savez(path, omega=solution.omega, spectrum_up=solution.spectrum_up[0], spectrum_dn=solution.spectrum_dn[0])


BAND_WEIGHT = 0.99  # of A_s; less than this inside the band is noted


def summary(
    impurity: AndersonImpurity, settings: NRGSettings, solution: ImpuritySolution, cpu_s: float
) -> dict[str, Any]:
    u, e, g = impurity.interaction, impurity.level, impurity.hybridization
    free = impurity.field == 0
    measured = kondo_temperature(impurity, settings)
    outside = outside_haldane_range(u, e, g)
    scales = {
        "susceptibility": measured,
        "half_width": half_width_at_half_maximum(solution.omega, solution.spectrum_up[0]) if free else math.nan,
        "haldane": math.nan if outside else haldane_kondo_temperature(u, e, g),
        "haldane_corrected": math.nan if outside else corrected_haldane_kondo_temperature(u, e, g),
    }
    weights = {"up": float(solution.weight_up[0]), "dn": float(solution.weight_dn[0])}
    residuals = {
        spin: friedel_residual(
            np.pi * g * spectrum[:, solution.omega.size // 2], charge, solution.temperatures,
            hybridization=g, scale=float(np.fmax(measured, abs(impurity.field))),
        )[0]
        for spin, spectrum, charge in (
            ("up", solution.spectrum_up, solution.displaced_charge_up),
            ("dn", solution.spectrum_dn, solution.displaced_charge_dn),
        )
    }  # fmt: skip
    notes = [f"haldane, haldane_corrected: outside their range: {problem}" for problem in outside]
    notes += [
        f"A_{spin} has {weight:.3g} of its weight inside the band; the rest is in bound states at |omega| > 1, "
        "which are lines and no part of the spectrum"
        for spin, weight in weights.items()
        if weight < BAND_WEIGHT
    ]
    notes += [
        f"A_{spin} breaks Friedel's sum rule by {residual:.3g}: expected at most {FRIEDEL_LIMIT:g}; it is no answer, "
        "raise n_keep or n_z"
        for spin, residual in residuals.items()
        if abs(residual) > FRIEDEL_LIMIT
    ]
    return {
        "n_up": float(solution.n_up[0]),
        "n_dn": float(solution.n_dn[0]),
        "double_occupancy": float(solution.double_occupancy[0]),
        "weight_in_band": weights,
        "friedel_residual": {spin: _or_none(float(value)) for spin, value in residuals.items()},
        "kondo_temperature": {name: _or_none(value) for name, value in scales.items()},
        "notes": notes,
        "cpu_s": round(cpu_s, 4),
        "impurity": dataclasses.asdict(impurity) | {"temperature": float(solution.temperatures[0])},
        "settings": dataclasses.asdict(settings),
    }


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def plot(path: Path, impurity: AndersonImpurity, solution: ImpuritySolution) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    scale = math.pi * impurity.hybridization
    figure, (whole, near) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes in (whole, near):
        axes.plot(solution.omega, scale * solution.spectrum_up[0], label="up")
        axes.plot(solution.omega, scale * solution.spectrum_dn[0], "--", label="down")
        axes.set_xlabel(r"$\omega / D$")
        axes.set_ylabel(r"$\pi \Gamma A(\omega)$")
    whole.set_xlim(-1.5, 1.5)
    lowest = float(solution.omega[solution.omega > 0].min())
    near.set_xscale("symlog", linthresh=lowest)
    decades = 10.0 ** np.arange(0, math.log10(lowest), -2)
    near.set_xticks(np.concatenate([-decades, [0.0], decades]))
    whole.set_title(
        rf"$U={impurity.interaction:g}$, $\epsilon_d={impurity.level:g}$, $\Gamma={impurity.hybridization:g}$, "
        rf"$B={impurity.field:g}$, $T={solution.temperatures[0]:g}$"
    )
    near.set_title("the same, logarithmic frequency")
    near.legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
