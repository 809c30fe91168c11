"""Solve the Hubbard model in dynamical mean-field theory and write its local spectrum.

    latentlaw dmft --interaction 2 --temperature 1e-5 --out metal.npz [--filling 0.9] [--lattice cubic] \
        [--plot metal.png]

Prints one line for each iteration on stderr and one JSON object on stdout. `spectrum_at_fermi_level`: A(0) D, for a
metal what Luttinger's rule expects of it, rho(mu - Re Sigma(0)) D, which is 2/pi on the half-filled Bethe lattice, and
that of free electrons of this filling.
`filling`: asked for; of the impurity's density matrix; 2 int f(w) A(w) dw of the lattice; and 2 int rho(e) de up to
e = mu - Re Sigma(0), Luttinger's, null without quasiparticles. The NPZ holds omega, spectrum, self_energy, bath and
chemical_potential. Without convergence the last iterate is written and the exit status is 1. Iterations are kept in
FILE.npz.iterations until the self-consistency is reached. Energies are in units of the half bandwidth D.
"""

import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.physics.dmft.hubbard import (
    HubbardSolution,
    Iteration,
    MeanFieldSettings,
    frequency_grid,
    quasiparticle_weight,
    solve_hubbard,
)
from models.physics.dmft.lattice import BetheLattice, DensityOfStates, Lattice
from models.physics.impurity.nrg_solver import NRGSettings, Symmetry
from pipeline.commands.kept_iterations import KeptIterations
from pipeline.commands.options.dmft import FARTHEST, DMFTOptions
from pipeline.runtime.interrupts import interrupted
from pipeline.runtime.outputs import writing
from pipeline.runtime.stage import INTERRUPTED

__all__ = ["main"]

Floats = NDArray[np.float64]
FILLING_LIMIT = 0.02  # electrons per site, between impurity and lattice; more is noted
FERMI_LEVEL_LIMIT = 0.05  # of A(0), relative to Luttinger's rule
SUM_RULE_LIMIT = 0.01
INSULATING = 0.02  # [1/D] A(0) below this is that of a gap
MOST_SIGMA = 2.0  # [U] that a picture shows: the self-energy of an insulator has a pole
N_BAND = 6001  # points of the density of states


def main(options: DMFTOptions) -> int:
    lattice, settings, iterations = options.lattice_model(), options.settings(), options.kept_iterations()
    warm_up(options.symmetry)
    kept = iterations.read()
    if kept:
        say(f"{len(kept)} iterations of an earlier run are taken from {iterations.folder}")
    start = time.process_time()
    made: list[Iteration] = []
    try:
        solution = solve_hubbard(
            options.interaction, options.temperature, lattice, settings,
            filling=options.filling, start=options.start, kept=kept, keep=reported(options, iterations, made),
            symmetry=options.symmetry,
        )  # fmt: skip
    except (KeyboardInterrupt, SystemError) as error:
        if not interrupted(error):
            raise
        say(
            f"interrupted. {len(kept) + len(made)} iterations are kept in {iterations.folder}: run the same command "
            "again to go on"
        )
        return INTERRUPTED
    cpu_s = time.process_time() - start
    with writing(options.out, overwrite=options.overwrite) as path:
        write_npz(path, solution)
    if options.plot is not None:
        with writing(options.plot, overwrite=options.overwrite) as path:
            plot(path, options, lattice, solution)
    results = summary(options, lattice, solution)
    for note in results["notes"]:
        print(f"note: {note}", file=sys.stderr)
    n_reused = len(solution.changes) - len(made)
    record = {
        "n_reused": n_reused,
        "cpu_s": round(cpu_s, 4),
        "settings": dataclasses.asdict(settings) | {"symmetry": options.symmetry},
    }
    print(json.dumps(results | record, indent=2))
    if not solution.converged:
        say(
            f"not converged: {solution.problem}. {options.out} holds the last iterate, and the iterations are kept in "
            f"{iterations.folder}: to go on, run again with --overwrite and more than --max-iterations "
            f"{options.max_iterations}, or a larger --tolerance"
        )
        return 1
    iterations.remove()
    return 0


def warm_up(symmetry: Symmetry) -> None:
    """Load (or, the first time, compile) the kernels, so that CPU seconds are those of the solver alone."""
    tiny = MeanFieldSettings(nrg=NRGSettings(n_keep=16, n_z=1), tolerance=1.0, max_iterations=1, mixing=1.0, n_mixed=1)
    solve_hubbard(1.0, 0.5, BetheLattice(), tiny, symmetry=symmetry)


def reported(options: DMFTOptions, iterations: KeptIterations, made: list[Iteration]) -> Callable[[Iteration], None]:
    """Keeps each iteration on disk, appends it to `made`, then says how far it is."""
    omega = frequency_grid(options.interaction, options.temperature)
    before = time.process_time()

    def report(iteration: Iteration) -> None:
        nonlocal before
        iterations.keep(iteration)
        made.append(iteration)
        z = quasiparticle_weight(omega, iteration.self_energy.real, options.temperature)
        now = time.process_time()
        weight = f"Z {z:.4f}" if math.isfinite(z) else "no quasiparticles"
        say(f"iteration {iterations.n_kept}: change {iteration.change:.2e}, {weight}, {now - before:.1f} CPU s")
        before = now

    return report


def say(sentence: str) -> None:
    print(f"dmft: {sentence}", file=sys.stderr, flush=True)


def write_npz(path: Path, solution: HubbardSolution) -> None:
    np.savez(
        path,
        omega=solution.omega,
        spectrum=solution.spectrum,
        self_energy=solution.self_energy,
        bath=solution.bath,
        chemical_potential=np.float64(solution.chemical_potential),
    )


class Band(NamedTuple):
    """The lattice without interaction, of one spin."""

    energy: Floats  # (N_BAND,) [D]
    density: Floats  # rho [1/D]

    @property
    def filling(self) -> Floats:
        """Of both spins, up to each energy."""
        below = np.concatenate([[0.0], np.cumsum((self.density[1:] + self.density[:-1]) / 2 * np.diff(self.energy))])
        return np.asarray(2 * below / below[-1])

    def fermi_energy(self, filling: float) -> float:
        return float(np.interp(filling, self.filling, self.energy))


def band_of(lattice: Lattice) -> Band:
    edge = FARTHEST if isinstance(lattice, DensityOfStates) else 1.0
    energy = np.linspace(-edge, edge, N_BAND)
    return Band(energy, density_at(lattice, energy))


def density_at(lattice: Lattice, energy: Floats) -> Floats:
    """rho [1/D], same shape."""
    zeta = np.asarray(energy + 1e-12j, dtype=np.complex128)
    return np.asarray(np.maximum(-lattice.green_function(zeta).imag / np.pi, 0.0))


def at_zero(values: NDArray[Any]) -> Any:  # noqa: ANN401 - real or complex
    """Mean of the two points beside w = 0 of a symmetric grid without 0."""
    middle = values.size // 2
    return values[middle - 1 : middle + 1].mean()


def summary(options: DMFTOptions, lattice: Lattice, solution: HubbardSolution) -> dict[str, Any]:
    z, height = solution.quasiparticle_weight, float(at_zero(solution.spectrum))
    metal = math.isfinite(z)
    edge = solution.chemical_potential - float(at_zero(solution.self_energy).real)
    expected = float(density_at(lattice, np.array([edge]))[0]) if metal else None
    band = band_of(lattice)
    free = float(density_at(lattice, np.array([band.fermi_energy(options.filling)]))[0])
    luttinger = float(np.interp(edge, band.energy, band.filling)) if metal else None
    norm = float(np.trapezoid(solution.spectrum, solution.omega))
    return {
        "converged": solution.converged,
        "problem": solution.problem,
        "interaction": options.interaction,
        "temperature": options.temperature,
        "lattice": options.lattice,
        "start": options.start,
        "filling": {
            "asked": options.filling,
            "impurity": solution.filling,
            "lattice": solution.lattice_filling,
            "luttinger": luttinger,
        },
        "chemical_potential": solution.chemical_potential,
        "quasiparticle_weight": z if metal else None,
        "double_occupancy": solution.double_occupancy,
        "spectrum_at_fermi_level": {"found": height, "expected": expected, "free_electrons": free},
        "sum_rule": norm,
        "notes": notes_of(solution, height, expected, luttinger, norm),
        "n_iterations": len(solution.changes),
        "changes": solution.changes,
    }


def notes_of(
    solution: HubbardSolution, height: float, expected: float | None, luttinger: float | None, norm: float
) -> list[str]:
    notes = [f"not converged: {solution.problem}"] if solution.problem else []
    if expected is None and height < INSULATING:
        notes.append(f"insulator: A(0) D = {height:.2g}, no quasiparticles")
    elif expected is None:
        notes.append(
            f"no quasiparticle weight was found though A(0) D = {height:.3g}: there is one only where T is far below "
            "Z D; Luttinger's rule is not looked at"
        )
    elif abs(height - expected) > FERMI_LEVEL_LIMIT * expected:
        notes.append(
            f"A(0) D is {height:.3g}, Luttinger's rule expects {expected:.3g} within {FERMI_LEVEL_LIMIT:.0%}: T is not "
            "far enough below Z D, or n_keep or n_z are too small"
        )
    if (apart := abs(solution.lattice_filling - solution.filling)) > FILLING_LIMIT:
        notes.append(
            f"the fillings of lattice and impurity are {apart:.2g} apart, expected at most {FILLING_LIMIT:g}: the "
            "broadening moves weight across the Fermi level; that of the impurity is not broadened"
        )
    if luttinger is not None and (apart := abs(luttinger - solution.filling)) > FILLING_LIMIT:
        notes.append(
            f"Luttinger's filling, of free electrons up to mu - Re Sigma(0), is {apart:.2g} from that of the impurity, "
            f"expected at most {FILLING_LIMIT:g}: raise n_keep or n_z, or lower T"
        )
    if abs(norm - 1) > SUM_RULE_LIMIT:
        notes.append(f"the spectrum has the weight {norm:.4g}, expected 1 within {SUM_RULE_LIMIT:g}")
    return notes


def plot(path: Path, options: DMFTOptions, lattice: Lattice, solution: HubbardSolution) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    band = band_of(lattice)
    fermi = band.fermi_energy(options.filling)
    omega, sigma = solution.omega, solution.self_energy - options.interaction * solution.filling / 2
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(band.energy - fermi, band.density, "--", color="0.5", label="$U=0$")
    left.plot(omega, solution.spectrum, color="C0", label=f"$U={options.interaction:g}\\,D$")
    left.set_ylabel(r"$A(\omega)\,D$")
    left.set_ylim(0, None)
    right.plot(omega, sigma.real, color="C0", label=r"Re $\Sigma(\omega) - Un/2$")
    right.plot(omega, sigma.imag, "--", color="C1", label=r"Im $\Sigma(\omega)$")
    right.set_ylabel(r"$\Sigma(\omega) / D$")
    reach = MOST_SIGMA * max(options.interaction, 1e-3)
    bottom, top = right.get_ylim()
    right.set_ylim(max(bottom, -reach), min(top, reach))
    seen = omega[solution.spectrum > 0.01 * solution.spectrum.max()]
    low, high = min(-1.0 - fermi, float(seen[0])) - 0.3, max(1.0 - fermi, float(seen[-1])) + 0.3
    for axes in (left, right):
        axes.set_xlim(low, high)
        axes.axvline(0, color="0.8", linewidth=0.8, zorder=0)
        axes.set_xlabel(r"$\omega / D$")
        axes.legend(frameon=False)
    z = solution.quasiparticle_weight
    left.set_title(
        f"{lattice_name(options)}, $n={options.filling:g}$, T = {options.temperature:g} D"
        + ("" if solution.converged else ", not converged")
    )
    right.set_title(f"$Z={z:.3f}$" if math.isfinite(z) else "no quasiparticles")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def lattice_name(options: DMFTOptions) -> str:
    return f"{options.lattice.capitalize()} lattice" if options.lattice_file is None else options.lattice_file.name
