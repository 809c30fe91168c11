"""Solve one Anderson impurity at production settings and write its spectrum.

    python -m pipeline.solve_impurity --interaction 0.2 --level -0.06 --hybridization 0.02 --field 0 \
        --temperature 1e-6 --out spectrum.npz [--plot spectrum.png] [--overwrite]

Prints one JSON object: occupations, double occupancy, the definitions of T_K, CPU seconds and the settings. The NPZ
holds omega (n,) [D], spectrum_up (n,) and spectrum_dn (n,) [1/D]. Energies are in units of the half bandwidth.
"""

import argparse
import dataclasses
import json
import math
import sys
import time
from pathlib import Path

import numpy as np

from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo import (
    corrected_haldane_kondo_temperature,
    haldane_kondo_temperature,
    half_width_at_half_maximum,
    kondo_temperature,
)
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver
from models.physics.impurity.solver import ImpuritySolution, SolverError
from pipeline.command_line import CommandParser, OptionsError, message_of
from pipeline.outputs import OutputFile, writing

__all__ = ["main"]

N_POINTS_PER_SIGN = 400
HIGHEST_OMEGA = 3.0  # [D]


def main(arguments: list[str] | None = None) -> int:
    try:
        options = parser().read(arguments, problems)
    except OptionsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    impurity, temperature, settings = impurity_of(options), options.temperature, settings_of(options)
    solver = NRGSolver(settings)
    omega = symmetric_grid(temperature)
    warm_up()
    start = time.process_time()
    try:
        solution = solver.solve(impurity, temperatures=np.array([temperature]), omega=omega)
    except SolverError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    cpu_s = time.process_time() - start
    with writing(options.out, overwrite=options.overwrite) as path:
        write_npz(path, solution)
    if options.plot is not None:
        with writing(options.plot, overwrite=options.overwrite) as path:
            plot(path, impurity, solution)
    print(json.dumps(summary(impurity, settings, solution, cpu_s), indent=2))
    return 0


SETTINGS = {
    "discretization": "Lambda > 1 of the logarithmic grid",
    "n_keep": "states kept, from 16 on",
    "n_z": "shifted grids to average over, from 1 on",
    "broadening": "alpha > 0, width of the logarithmic Gaussian",
}


def parser() -> CommandParser:
    result = CommandParser(description="Spectrum of one Anderson impurity; energies in half bandwidths D.")
    result.add_number("--interaction", float, "U", unit="D", required=True)
    result.add_number("--level", float, "eps_d", unit="D", required=True)
    result.add_number("--hybridization", float, "Gamma", unit="D", required=True, above=0)
    result.add_number("--temperature", float, "T", unit="D", required=True, above=0)
    result.add_number("--field", float, "B, in H = ... - B S_z", unit="D", default=0.0)
    result.add_output("--out", OutputFile(suffixes=(".npz",)), "NPZ file to write", metavar="FILE.npz")
    result.add_output(
        "--plot", OutputFile(suffixes=(".png", ".svg", ".pdf")), "picture to write", metavar="FILE.png", required=False
    )
    defaults = NRGSettings()
    for name, what in SETTINGS.items():
        value = getattr(defaults, name)
        result.add_number(f"--{name.replace('_', '-')}", type(value), what, default=value)
    return result


def problems(options: argparse.Namespace) -> list[str]:
    """Everything wrong with the request that single numbers do not tell."""
    return [*message_of(lambda: impurity_of(options)), *message_of(lambda: settings_of(options))]


def impurity_of(options: argparse.Namespace) -> AndersonImpurity:
    return AndersonImpurity(
        interaction=options.interaction,
        level=options.level,
        hybridization=options.hybridization,
        field=options.field,
    )


def settings_of(options: argparse.Namespace) -> NRGSettings:
    return dataclasses.replace(NRGSettings(), **{name: getattr(options, name) for name in SETTINGS})


def symmetric_grid(temperature: float) -> np.ndarray:
    """+-log grid with zero; it resolves a tenth of the temperature and steps over the band edge."""
    lowest = min(temperature / 10, 1e-4)
    positive = np.geomspace(lowest, HIGHEST_OMEGA, N_POINTS_PER_SIGN)
    positive[positive == 1.0] += 1e-9
    return np.concatenate([-positive[::-1], [0.0], positive])


def warm_up() -> None:
    """Load (or, the first time, compile) the kernels, so that cpu_s tells the solver's own cost."""
    tiny = NRGSolver(NRGSettings(n_keep=16, n_z=1))
    for field in (0.0, 0.1):
        impurity = AndersonImpurity(interaction=0.2, level=-0.1, hybridization=0.1, field=field)
        tiny.solve(impurity, temperatures=np.array([0.5]), omega=np.array([0.0]))


def write_npz(path: Path, solution: ImpuritySolution) -> None:
    np.savez(path, omega=solution.omega, spectrum_up=solution.spectrum_up[0], spectrum_dn=solution.spectrum_dn[0])


def summary(
    impurity: AndersonImpurity, settings: NRGSettings, solution: ImpuritySolution, cpu_s: float
) -> dict[str, object]:
    u, e, g = impurity.interaction, impurity.level, impurity.hybridization
    free = impurity.field == 0
    scales = {
        "susceptibility": kondo_temperature(impurity, settings),
        "half_width": half_width_at_half_maximum(solution.omega, solution.spectrum_up[0]) if free else math.nan,
        "haldane": haldane_kondo_temperature(u, e, g),
        "haldane_corrected": corrected_haldane_kondo_temperature(u, e, g),
    }
    return {
        "n_up": float(solution.n_up[0]),
        "n_dn": float(solution.n_dn[0]),
        "double_occupancy": float(solution.double_occupancy[0]),
        "kondo_temperature": {name: value if math.isfinite(value) else None for name, value in scales.items()},
        "cpu_s": round(cpu_s, 4),
        "impurity": dataclasses.asdict(impurity) | {"temperature": float(solution.temperatures[0])},
        "settings": dataclasses.asdict(settings),
    }


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


if __name__ == "__main__":
    sys.exit(main())
