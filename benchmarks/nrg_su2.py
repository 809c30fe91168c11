"""Spin multiplets beside plain states: the same numbers, CPU seconds of both, and of LAPACK on the blocks of each.

    python benchmarks/nrg_su2.py [--n-keep 250 500 1000] [--runs 3]
    python benchmarks/nrg_su2.py --n-keep 2000 --runs 1

One impurity at B = 0, T = 1e-6, Lambda 3, two z, self-energy included; one thread, CPU seconds, medians of runs taken
in turn, kernels compiled beforehand. Memory is the largest of a process that solves this impurity alone. The floor is
LAPACK's time for random symmetric matrices of the blocks' sizes.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from nrg_speed import FREE, TEMPERATURE
from nrg_speed import chain as plain_chain

from models.physics.impurity.density_matrix import density_matrix, needs_discarded_pairs
from models.physics.impurity.kondo import kondo_temperature
from models.physics.impurity.multiplets.iteration import iterate_multiplets
from models.physics.impurity.multiplets.operators import IMPURITY_TENSORS, carry_tensor
from models.physics.impurity.multiplets.recoupling import DOUBLET
from models.physics.impurity.multiplets.spectra import multiplet_density
from models.physics.impurity.nrg import last_sites
from models.physics.impurity.nrg_solver import HIGHEST, NRGSettings, NRGSolver
from models.physics.impurity.operators import IMPURITY_OPERATORS, carry
from models.physics.impurity.shell import SPIN_UP, Shell
from models.physics.impurity.spectral import FrequencyBins, correlators, pair_bins

GRID = np.geomspace(1e-6, 2, 300)
OMEGA = np.concatenate([-GRID[::-1], GRID])
TEMPERATURES = np.array([TEMPERATURE])
SYMMETRIES = ("u1", "su2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-keep", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory-of", choices=SYMMETRIES, help="solve once, print the largest memory of the process")
    options = parser.parse_args()
    if options.memory_of:
        solve(settings_of(options.n_keep[0]), options.memory_of)
        print(largest_memory_MiB())
        return
    for task in solutions(64).values():
        task()
    print(
        "| n_keep | u1 | su2 | u1 / su2 | T_K label: u1 | su2 | u1 / su2 | floor u1 | floor su2 | su2 / its floor ",
        end="",
    )
    print("| difference | memory u1, su2 [MiB] |\n|" + "---|" * 12)
    for n_keep in options.n_keep:
        row(n_keep, options.runs)
    for n_keep in options.n_keep:
        parts(n_keep, options.runs)


def settings_of(n_keep: int) -> NRGSettings:
    return NRGSettings(discretization=3.0, n_keep=n_keep, n_z=2)


def solve(settings: NRGSettings, symmetry: str) -> np.ndarray:
    solver = NRGSolver(settings, symmetry=symmetry)
    return solver.solve(FREE, temperatures=TEMPERATURES, omega=OMEGA).spectrum_up


def solutions(n_keep: int) -> dict[str, Callable[[], object]]:
    settings = settings_of(n_keep)
    tasks: dict[str, Callable[[], object]] = {}
    for symmetry in SYMMETRIES:
        tasks[symmetry] = lambda symmetry=symmetry: solve(settings, symmetry)
        tasks["label " + symmetry] = lambda symmetry=symmetry: kondo_temperature(FREE, settings, symmetry=symmetry)
    return tasks


def row(n_keep: int, runs: int) -> None:
    blocks = {symmetry: random_blocks(settings_of(n_keep), symmetry) for symmetry in SYMMETRIES}
    floors = {
        "floor " + symmetry: lambda symmetry=symmetry: [np.linalg.eigh(block)[0][0] for block in blocks[symmetry]]
        for symmetry in SYMMETRIES
    }
    s, found = interleaved(solutions(n_keep) | floors, runs)
    one, other = (found[symmetry] for symmetry in SYMMETRIES)
    memory = [memory_of(n_keep, symmetry) for symmetry in SYMMETRIES]
    print(
        f"| {n_keep} | {s['u1']:.2f} | {s['su2']:.2f} | **{s['u1'] / s['su2']:.2f}** | {s['label u1']:.2f} "
        f"| {s['label su2']:.2f} | {s['label u1'] / s['label su2']:.2f} | {s['floor u1']:.2f} | {s['floor su2']:.2f} "
        f"| {s['su2'] / s['floor su2']:.2f} | {np.abs(one - other).max() / one.max():.0e} "
        f"| {memory[0]:.0f}, {memory[1]:.0f} |",
        flush=True,
    )


def interleaved(tasks: Mapping[str, Callable[[], object]], runs: int) -> tuple[dict[str, float], dict]:
    """Median CPU seconds of each, run in turn, and what the last run returned."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    found = {}
    for _ in range(runs):
        for name, task in tasks.items():
            start = time.process_time()
            found[name] = task()
            seconds[name].append(time.process_time() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}, found


def memory_of(n_keep: int, symmetry: str) -> float:
    command = [sys.executable, __file__, "--memory-of", symmetry, "--n-keep", str(n_keep)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def largest_memory_MiB() -> float:
    """Of this process; what getrusage says holds that of the parent too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10


def chain(settings: NRGSettings, symmetry: str, z: float) -> list[Shell]:
    if symmetry == "u1":
        return plain_chain(FREE, settings, z)
    (last,) = last_sites(FREE, TEMPERATURES, settings.discretization, z)
    return iterate_multiplets(FREE, settings.truncation, z=z, n_sites=last)


def random_blocks(settings: NRGSettings, symmetry: str) -> list[np.ndarray]:
    """One symmetric matrix per block that has to be diagonalised; u1 halves and spares blocks by the spin flip."""
    rng, sizes = np.random.default_rng(0), []
    for z in settings.z_values:
        for shell in chain(settings, symmetry, z)[1:]:
            for up, dn, size in zip(shell.n_up, shell.n_dn, shell.size, strict=True):
                if symmetry == "u1" and up == dn:
                    sizes += [size // 2, size - size // 2]
                elif symmetry == "su2" or up > dn:
                    sizes.append(size)
    squares = [rng.standard_normal((n, n)) for n in sizes if n]
    return [a + a.T for a in squares]


def parts(n_keep: int, runs: int) -> None:
    seconds = {symmetry: interleaved(tasks_of(settings_of(n_keep), symmetry), runs)[0] for symmetry in SYMMETRIES}
    print(f"\n| part, one z, n_keep {n_keep} | u1 | su2 | u1 / su2 |\n|---|---|---|---|")
    for name in seconds["u1"]:
        one, other = (seconds[symmetry][name] for symmetry in SYMMETRIES)
        print(f"| {name} | {one:.3f} | {other:.3f} | {one / other:.1f} |", flush=True)


def tasks_of(settings: NRGSettings, symmetry: str) -> dict:
    """Parts of one z."""
    bins = FrequencyBins(lowest=1e-8, highest=HIGHEST, per_decade=settings.bins_per_decade)
    shells = chain(settings, symmetry, 1.0)
    last = len(shells) - 1
    want = needs_discarded_pairs(shells, TEMPERATURES, [last])
    plain = symmetry == "u1"
    charges = (SPIN_UP,) if plain else DOUBLET
    make_density = density_matrix if plain else multiplet_density

    def operators() -> list:
        if plain:
            return [[carry(shells, IMPURITY_OPERATORS[name], want)] for name in ("d_up", "q_up")]
        return [carry_tensor(shells, IMPURITY_TENSORS[name], want) for name in ("d", "q")]

    def spectra() -> None:
        for charge, d, q, of_charge in zip(charges, *known, pairs, strict=True):
            correlators(shells, density, charge, d, q, of_charge, bins)

    known, density = operators(), make_density(shells, TEMPERATURE, last)
    pairs = [pair_bins(shells, charge, want, bins) for charge in charges]
    return {
        "iterate (build blocks, eigh, new-site operators)": lambda: chain(settings, symmetry, 1.0),
        "carry d and q": operators,
        "frequency bins of all pairs": lambda: [pair_bins(shells, charge, want, bins) for charge in charges],
        "density matrix": lambda: make_density(shells, TEMPERATURE, last),
        "correlators G, F, I": spectra,
    }


if __name__ == "__main__":
    main()
