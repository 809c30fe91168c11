"""The embedded solver and NRG Ljubljana through TRIQS, on the same impurities, in the flat band and in three others.

    LATENTLAW_TRIQS_PYTHON=... python benchmarks/triqs.py [--impurities 24] [--finer 4] [--cases NAME ...]

Impurities are drawn as stage `spectra` draws them, from the ranges of params.yaml with seed 20261130, which no dataset
uses; number i is solved at the i mod 3-th of its three temperatures, the first of which is the lowest of the range.
Then two impurities in each bath, where both programs get the same Delta. Both have Lambda 3, 256 states, two z, alpha
0.3 and Sigma = U F / G, and omega is the grid of params.yaml.

Differences are of pi Gamma(omega) A, over both spins: the largest and the mean over omega, |omega| > T / 3 beside the
whole.
Friedel's rule is checked where it applies. CPU seconds of one thread: of TRIQS the child process with all that it
starts, of the embedded solver with its kernels compiled beforehand.

Where the largest difference exceeds 0.01, the --finer worst of them are solved again by both programs with Lambda 2,
500 states, four z and alpha 0.2: which of the first two spectra is the closer one, to either of the finer?

    python benchmarks/triqs.py --store data/spectra.zarr

holds what stage `spectra` has stored with `solver: triqs` against the embedded solver; TRIQS itself is not needed then.
"""

import argparse
import dataclasses
import resource
import time
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.physics.impurity.bath import Bath, NoWeightAtFermiLevel
from models.physics.impurity.friedel import friedel_residual
from models.physics.impurity.hamiltonian import AndersonImpurity, ImpurityInBath
from models.physics.impurity.kondo import kondo_temperature
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver
from models.physics.impurity.solver import ImpuritySolution, ImpuritySolver
from models.physics.impurity.triqs import TriqsSettings, TriqsSolver
from pipeline.impurity.spectra import SpectraParams, draw_hamiltonian, frequency_grid
from pipeline.runtime.params import load_params
from stores.spectra import SPECTRA
from stores.zarr_store import open_store

Floats = NDArray[np.float64]
PARAMS = load_params(SpectraParams, "spectra", Path(__file__).parents[1] / "params.yaml")
DRAWN = dataclasses.replace(PARAMS, seed=20261130, n_held_out=0)
OMEGA = frequency_grid(PARAMS.grid)
OURS = NRGSettings(discretization=3.0, n_keep=256, n_z=2, broadening=0.3)
THEIRS = TriqsSettings(discretization=3.0, n_keep=256, n_z=2, alpha=0.3)
FINER_OURS = NRGSettings(discretization=2.0, n_keep=500, n_z=4, broadening=0.2)
FINER_THEIRS = TriqsSettings(discretization=2.0, n_keep=500, n_z=4, alpha=0.2, time_limit_s=3000.0)
CHEAP = NRGSettings(n_keep=64, n_z=1)  # T_K to some percent, to see where Friedel's rule applies
TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    impurity: AndersonImpurity
    temperature: float
    triqs: ImpuritySolution
    nrg: ImpuritySolution
    triqs_cpu_s: float
    nrg_cpu_s: float

    @property
    def difference(self) -> Floats:
        return difference(self.impurity, self.triqs, self.nrg)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impurities", type=int, default=24)
    parser.add_argument("--finer", type=int, default=4, help="of those that differ, how many are solved finer")
    parser.add_argument("--cases", nargs="*", help="those of the table named, or all")
    parser.add_argument("--store", type=Path, help="spectra that TRIQS has given, in place of all this")
    options = parser.parse_args()
    if options.store:
        print(beside_store(options.store))
        return
    triqs = TriqsSolver(settings=THEIRS).checked()
    print(f"{triqs.versions}\n")
    warm = AndersonImpurity(interaction=0.1, level=-0.03, hybridization=0.02, field=0.01)
    NRGSolver(CHEAP).solve(warm, temperatures=np.array([1e-3]), omega=OMEGA)  # compiles
    print(
        "| case | U, eps_d, Gamma, B | T | max | mean | max, abs(w) > T/3 | n_s | double occupancy "
        "| Friedel TRIQS | ours | CPU s TRIQS | ours |"
    )
    print("|---" * 12 + "|")
    rows = []
    for name, impurity, temperature in cases(options.impurities):
        if options.cases and name not in options.cases:
            continue
        row = compared(name, impurity, temperature, triqs)
        print(line(row), flush=True)
        rows.append(row)
    for word, chosen in (("flat", [r for r in rows if not in_bath(r)]), ("in a bath", [r for r in rows if in_bath(r)])):
        if chosen:
            print(f"\n{word}: {summary(chosen)}")
    worst = sorted((r for r in rows if r.difference.max() > TOLERANCE), key=lambda r: -r.difference.max())
    print(f"\n{len(worst)} of {len(rows)} differ by more than {TOLERANCE}")
    finer(worst[: options.finer])


def beside_store(path: Path) -> str:
    """Largest differences of pi Gamma A_up, and the rows that TRIQS failed at; without mirror images."""
    store = open_store(path, SPECTRA)
    largest, failed = [], []
    for row in np.flatnonzero(~store["mirrored"].values):
        names = ("interaction", "level", "hybridization", "field", "temperature")
        *values, temperature = (float(store[name][row]) for name in names)
        impurity = AndersonImpurity(**dict(zip(names, values, strict=False)))
        ours = NRGSolver(OURS).solve(impurity, temperatures=np.array([temperature]), omega=store["omega"].values)
        if store["status"].values[row]:
            failed.append(f"{store['failure'].values[row]} (clipped from {ours.clipped_up[0]:.3f} by ours)")
        else:
            spectrum = np.pi * impurity.hybridization * ours.spectrum_up[0]
            largest.append(np.abs(spectrum - store["spectrum"].values[row]).max())
    return "\n".join(
        [f"{len(largest)} spectra; max: median {np.median(largest):.4f}, worst {max(largest):.4f}", *failed]
    )


def in_bath(row: Row) -> bool:
    return isinstance(row.impurity, ImpurityInBath)


def cases(n_impurities: int) -> list[tuple[str, AndersonImpurity, float]]:
    found: list[tuple[str, AndersonImpurity, float]] = []
    for index in range(n_impurities):
        drawn = draw_hamiltonian(DRAWN, index)
        found.append((f"drawn {index}", drawn.impurity, drawn.temperatures[index % len(drawn.temperatures)]))
    for name, bath in baths().items():
        for field, temperature in ((0.0, 1e-6), (0.01, 1e-3)):
            impurity = ImpurityInBath(interaction=0.2, level=-0.07, field=field, bath=bath)
            found.append((name, impurity, temperature))
    return found


def baths() -> dict[str, Bath]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoWeightAtFermiLevel)
        gapped = Bath([-1, -0.01, -0.01, 0.01, 0.01, 1], [0.02, 0.02, 0, 0, 0.02, 0.02])
    return {
        "semicircle": Bath.from_function(lambda w: 0.03 * np.sqrt(np.maximum(1 - w**2, 0)), -1, 1),
        "pseudogap, r = .25": Bath.power_law(0.04, 0.25),
        "slope, .01 to .03": Bath([-1, 1], [0.01, 0.03]),
        "gap, .01": gapped,
    }


def compared(name: str, impurity: AndersonImpurity, temperature: float, triqs: TriqsSolver) -> Row:
    theirs, triqs_cpu_s = timed(triqs, impurity, temperature)
    ours, nrg_cpu_s = timed(NRGSolver(OURS), impurity, temperature)
    return Row(name, impurity, temperature, theirs, ours, triqs_cpu_s, nrg_cpu_s)


def timed(solver: ImpuritySolver, impurity: AndersonImpurity, temperature: float) -> tuple[ImpuritySolution, float]:
    """CPU seconds of this process and of the children it waited for."""
    before = cpu_s()
    omega = OMEGA[~np.isin(OMEGA, impurity.divergences())]
    solution = solver.solve(impurity, temperatures=np.array([temperature]), omega=omega)
    return solution, cpu_s() - before


def cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def spectra(solution: ImpuritySolution) -> Floats:
    return np.stack([solution.spectrum_up[0], solution.spectrum_dn[0]])


def difference(impurity: AndersonImpurity, a: ImpuritySolution, b: ImpuritySolution) -> Floats:
    """|pi Gamma(omega) (A - A')|, (2 spins, n_omega)."""
    return np.asarray(-np.pi * impurity.delta(a.omega, 1).imag * np.abs(spectra(a) - spectra(b)))


def line(row: Row) -> str:
    i, delta = row.impurity, row.difference
    outer = np.abs(row.triqs.omega) > row.temperature / 3
    n_s = max(abs(row.triqs.n_up - row.nrg.n_up)[0], abs(row.triqs.n_dn - row.nrg.n_dn)[0])
    both = abs(row.triqs.double_occupancy - row.nrg.double_occupancy)[0]
    residuals = " | ".join(residual(row, solution) for solution in (row.triqs, row.nrg))
    numbers = f"{i.interaction:.3g}, {i.level:.3g}, {i.hybridization:.3g}, {i.field:.3g} | {row.temperature:.2g}"
    return (
        f"| {row.name} | {numbers} | {delta.max():.4f} | {delta.mean():.4f} | {delta[:, outer].max():.4f} "
        f"| {n_s:.1e} | {both:.1e} | {residuals} | {row.triqs_cpu_s:.1f} | {row.nrg_cpu_s:.2f} |"
    )


def residual(row: Row, solution: ImpuritySolution) -> str:
    """Worst |pi Gamma(0) A_s(0) - sin^2(pi N_s)| of both spins."""
    i = row.impurity
    at_zero = i.hybridization
    if isinstance(i, ImpurityInBath):
        at_zero = i.of_spin(1).at_fermi_level
        if not at_zero > 0:
            return "no Gamma(0)"
    scale = max(kondo_temperature(i, CHEAP, lowest_temperature=PARAMS.label_temperature), abs(i.field))
    values = [
        friedel_residual(
            np.pi * at_zero * spectrum[:, solution.omega == 0][:, 0],
            charge,
            solution.temperatures,
            hybridization=at_zero,
            scale=scale,
        )[0]
        for spectrum, charge in (
            (solution.spectrum_up, solution.displaced_charge_up),
            (solution.spectrum_dn, solution.displaced_charge_dn),
        )
    ]
    return f"{np.max(np.abs(values)):.4f}" if np.isfinite(values).all() else "does not apply"


def summary(rows: list[Row]) -> str:
    largest, mean = (np.array([getattr(r.difference, name)() for r in rows]) for name in ("max", "mean"))
    n_s = [
        max(abs(r.triqs.n_up - r.nrg.n_up)[0], abs(r.triqs.n_dn - r.nrg.n_dn)[0]) for r in rows
    ]  # fmt: skip
    theirs, ours = (np.median([getattr(r, name) for r in rows]) for name in ("triqs_cpu_s", "nrg_cpu_s"))
    return (
        f"{len(rows)} rows; max: median {np.median(largest):.4f}, worst {largest.max():.4f}; mean: median "
        f"{np.median(mean):.4f}, worst {mean.max():.4f}; occupation: worst {max(n_s):.1e}; CPU s, median: TRIQS "
        f"{theirs:.1f}, ours {ours:.2f}"
    )


def finer(rows: list[Row]) -> None:
    print("\n| case | T | at omega | finer to finer | TRIQS to finer TRIQS | to finer ours "
          "| ours to finer TRIQS | to finer ours | finer, CPU s TRIQS | ours |")  # fmt: skip
    print("|---" * 10 + "|")
    for row in rows:
        theirs, theirs_s = timed(TriqsSolver(settings=FINER_THEIRS), row.impurity, row.temperature)
        ours, ours_s = timed(NRGSolver(FINER_OURS), row.impurity, row.temperature)
        spread = difference(row.impurity, theirs, ours).max()
        at = row.triqs.omega[np.argmax(row.difference.max(axis=0))]
        distances = [difference(row.impurity, a, b).max() for a in (row.triqs, row.nrg) for b in (theirs, ours)]
        print(
            f"| {row.name} | {row.temperature:.2g} | {at:.2g} | {spread:.4f} | "
            + " | ".join(f"{distance:.4f}" for distance in distances)
            + f" | {theirs_s:.0f} | {ours_s:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
