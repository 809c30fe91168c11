"""Solve one Anderson impurity at production settings and write its spectrum.

    latentlaw solve-impurity --interaction 0.2 --level -0.06 --hybridization 0.02 --field 0 --temperature 1e-6 \
        --out spectrum.npz [--plot spectrum.png]
    latentlaw solve-impurity ... --bath gamma.csv --out spectrum.npz

Prints one JSON object: occupations, double occupancy, the spectral weight within the band, how well Friedel's sum rule
is kept (null where T is too high for it), the definitions of T_K (null outside their range; Haldane's are of a flat
band), notes, CPU seconds and the settings. The NPZ holds omega (n,) [D], spectrum_up (n,) and spectrum_dn (n,) [1/D].
Energies are in units of the half bandwidth.
"""

import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from models.physics.impurity.bath import Bath, SpinBaths
from models.physics.impurity.friedel import friedel_residual
from models.physics.impurity.hamiltonian import AndersonImpurity, ImpurityInBath
from models.physics.impurity.kondo import (
    corrected_haldane_kondo_temperature,
    haldane_kondo_temperature,
    half_width_at_half_maximum,
    kondo_temperature,
    outside_haldane_range,
)
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver, Symmetry
from models.physics.impurity.solver import ImpuritySolution, SolverError
from pipeline.commands.options.impurity import ImpurityOptions
from pipeline.runtime.outputs import writing
from stores.spectra import FRIEDEL_LIMIT

__all__ = ["main"]

N_POINTS_PER_SIGN = 400
HIGHEST_OMEGA = 3.0  # [D]


def main(options: ImpurityOptions) -> int:
    impurity, temperature, settings = options.impurity(), options.temperature, options.settings()
    solver = NRGSolver(settings, symmetry=options.symmetry)
    omega = symmetric_grid(temperature, impurity)
    warm_up(impurity, options.symmetry)
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
    record = summary(impurity, settings, solution, cpu_s, options.symmetry)
    if options.bath is not None:
        record["impurity"]["bath"] = str(options.bath)
    for note in record["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(json.dumps(record, indent=2))
    return 0


def symmetric_grid(temperature: float, impurity: AndersonImpurity) -> np.ndarray:
    """+-log grid with zero; it resolves a tenth of the temperature and steps over the edges of the band."""
    lowest = min(temperature / 10, 1e-4)
    positive = np.geomspace(lowest, HIGHEST_OMEGA * max(1.0, impurity.reach), N_POINTS_PER_SIGN)
    positive[np.isin(positive, np.abs(impurity.divergences()))] += 1e-9
    middle = lowest / 1000 if np.isin(0.0, impurity.divergences()) else 0.0
    return np.concatenate([-positive[::-1], [middle], positive])


def warm_up(impurity: AndersonImpurity, symmetry: Symmetry) -> None:
    """Load (or, the first time, compile) the kernels, so that cpu_s is the cost of the solver alone."""
    tiny = NRGSolver(NRGSettings(n_keep=16, n_z=1), symmetry=symmetry)
    for field in (0.0, 0.1) if symmetry == "u1" else (0.0,):
        simple = AndersonImpurity(interaction=0.2, level=-0.1, hybridization=0.1, field=field)
        if isinstance(impurity, ImpurityInBath):
            simple = ImpurityInBath(interaction=0.2, level=-0.1, field=field, bath=Bath.flat(0.1))
        tiny.solve(simple, temperatures=np.array([0.5]), omega=np.array([0.0]))


def write_npz(path: Path, solution: ImpuritySolution) -> None:
    np.savez(path, omega=solution.omega, spectrum_up=solution.spectrum_up[0], spectrum_dn=solution.spectrum_dn[0])


BAND_WEIGHT = 0.99  # of A_s; less than this inside the band is noted


def summary(
    impurity: AndersonImpurity, settings: NRGSettings, solution: ImpuritySolution, cpu_s: float, symmetry: Symmetry
) -> dict[str, Any]:
    u, e, g = impurity.interaction, impurity.level, impurity.hybridization
    baths = impurity.baths if isinstance(impurity, ImpurityInBath) else None
    alike = baths is None or baths.up == baths.dn
    measured = kondo_temperature(impurity, settings, symmetry=symmetry) if alike else math.nan
    outside = outside_haldane_range(u, e, g) if baths is None else ["they are of a flat band"]
    scales = {
        "susceptibility": measured,
        "half_width": half_width_at_half_maximum(solution.omega, solution.spectrum_up[0])
        if impurity.spin_symmetric and (baths is None or baths.up.at_fermi_level != 0)  # else nothing is screened
        else math.nan,
        "haldane": math.nan if outside else haldane_kondo_temperature(u, e, g),
        "haldane_corrected": math.nan if outside else corrected_haldane_kondo_temperature(u, e, g),
    }
    weights = {"up": float(solution.weight_up[0]), "dn": float(solution.weight_dn[0])}
    at_zero = (g, g) if baths is None else (baths.up.at_fermi_level, baths.dn.at_fermi_level)
    residuals = {
        spin: friedel_residual(
            np.pi * gamma * spectrum[:, solution.omega.size // 2], charge, solution.temperatures,
            hybridization=gamma, scale=float(np.fmax(measured, abs(impurity.field))),
        )[0]
        if gamma > 0  # neither a gap nor a step
        else math.nan
        for spin, gamma, spectrum, charge in (
            ("up", at_zero[0], solution.spectrum_up, solution.displaced_charge_up),
            ("dn", at_zero[1], solution.spectrum_dn, solution.displaced_charge_dn),
        )
    }  # fmt: skip
    notes = [f"haldane, haldane_corrected: outside their range: {problem}" for problem in outside]
    if baths is not None:
        notes += notes_of(baths)
    beyond = "at |omega| > 1" if baths is None else "outside of the bath"
    notes += [
        f"A_{spin} has {weight:.3g} of its weight inside the band; the rest is in bound states {beyond}, "
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
        "impurity": {
            "interaction": u,
            "level": e,
            "hybridization": g,
            "field": impurity.field,
            "temperature": float(solution.temperatures[0]),
        },
        "settings": dataclasses.asdict(settings) | {"symmetry": symmetry},
    }


def notes_of(baths: SpinBaths) -> list[str]:
    notes = ["hybridization: of the bath, averaged over its width and the spins"]
    if baths.up != baths.dn:
        notes.append("susceptibility: T_K = 1 / (4 chi) asks for one bath of both spins")
    if not (baths.up.has_fermi_level and baths.dn.has_fermi_level):
        notes.append("no weight of the bath at the Fermi level: nothing screens a spin, the chain ends at the gap")
    elif not (baths.up.at_fermi_level > 0 and baths.dn.at_fermi_level > 0):
        notes.append("friedel_residual: Gamma(0) is zero or a step, the rule is not asked")
    return notes


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def plot(path: Path, impurity: AndersonImpurity, solution: ImpuritySolution) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    in_bath = isinstance(impurity, ImpurityInBath)
    scale = 1.0 if in_bath else math.pi * impurity.hybridization
    figure, (whole, near) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes in (whole, near):
        axes.plot(solution.omega, scale * solution.spectrum_up[0], label="up")
        axes.plot(solution.omega, scale * solution.spectrum_dn[0], "--", label="down")
        axes.set_xlabel(r"$\omega / D$")
        axes.set_ylabel(r"$A(\omega) D$" if in_bath else r"$\pi \Gamma A(\omega)$")
    whole.set_xlim(-1.5 * impurity.reach, 1.5 * impurity.reach)
    lowest = float(solution.omega[solution.omega > 0].min())
    near.set_xscale("symlog", linthresh=lowest)
    decades = 10.0 ** np.arange(0, math.log10(lowest), -2)
    near.set_xticks(np.concatenate([-decades, [0.0], decades]))
    mean = r"\bar\Gamma" if in_bath else r"\Gamma"
    whole.set_title(
        rf"$U={impurity.interaction:g}$, $\epsilon_d={impurity.level:g}$, ${mean}={impurity.hybridization:g}$, "
        rf"$B={impurity.field:g}$, $T={solution.temperatures[0]:g}$"
    )
    near.set_title("the same, logarithmic frequency")
    near.legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
