"""Our batched dynamics beside ASE's own Langevin loop, same ensemble, one thread, atom-steps per second of CPU time.

    PYTHONPATH=. python benchmarks/active_learning_md.py [--out benchmarks/active_learning_md.md]

ANI of the size used in the default active learning, weights new (time does not depend on them, dynamics hardly),
rattled fcc cells at 300 K so that no trajectory ends early. Spreads are looked at every 20 steps: ASE's loop gets them
from PotentialCalculator, which evaluates every member in every step. Runs of the two are interleaved; the median of
their CPU seconds counts. Other work on the machine inflates both.
"""

import argparse
import datetime
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ase
import ase.build
import ase.units
import numpy as np
import torch
from ase.md.langevin import Langevin

from models.networks.potentials.ani import ANI
from models.networks.potentials.batched_dynamics import Dynamics, Start, run_trajectories
from models.networks.potentials.calculator import PotentialCalculator
from models.networks.potentials.ensemble import Ensemble
from models.physics.atoms.sampling.driving_paths import Ramp

TEMPERATURE_K = 300.0
CELLS = {8: (2, 1, 1), 32: (2, 2, 2), 108: (3, 3, 3)}


def main() -> None:
    """Print the table, and write it where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ensemble = make_ensemble(arguments.members)
    lines = [head(arguments.members, arguments.steps)]
    for n_atoms, repeat in CELLS.items():
        crystal = rattled(repeat)
        run = {f"ours, {n} side by side": batched(ensemble, crystal, n, arguments.steps) for n in (1, 8, 32)}
        if n_atoms == 108:
            del run["ours, 32 side by side"]
        run["ASE Langevin"] = ase_loop(ensemble, crystal, arguments.steps)
        rates = measured(run, arguments.repeats)
        reference = rates["ASE Langevin"]
        lines += [f"| {n_atoms} | {name} | {rate:,.0f} | {rate / reference:.1f} |" for name, rate in rates.items()]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


def head(members: int, steps: int) -> str:
    return (
        "# Batched dynamics against ASE's loop\n\n"
        f"`PYTHONPATH=. python benchmarks/active_learning_md.py`, {datetime.date.today()}, torch {torch.__version__}, "
        f"ASE {ase.__version__}, {platform.machine()}, one thread. ANI, {members} members, float32, {steps} steps, "
        "spreads every 20.\n\n"
        "| atoms in a cell | loop | atom-steps per CPU second | times ASE |\n|---|---|---|---|"
    )


def make_ensemble(members: int) -> Ensemble:
    torch.manual_seed(0)
    published = ANI.Config.ani1x(species=(13,), energy_scale_eV=0.05)
    config = replace(
        published,
        cutoff_A=6.0,
        radial_shifts_A=tuple(np.linspace(0.9, 5.7, 16).tolist()),
        angular_cutoff_A=4.5,
        hidden=((64, 48, 32),),
    )
    return Ensemble([ANI(config) for _ in range(members)])


def rattled(repeat: tuple[int, int, int]) -> ase.Atoms:
    crystal = ase.build.bulk("Al", "fcc", a=4.05, cubic=True) * repeat
    crystal.rattle(0.05, seed=0)
    return crystal


def batched(ensemble: Ensemble, crystal: ase.Atoms, n: int, steps: int) -> Callable[[], int]:
    density = len(crystal) / crystal.get_volume()

    def run() -> int:
        starts = [
            Start(
                numbers=crystal.numbers,
                masses_u=crystal.get_masses(),
                positions_A=crystal.positions,
                cell_A=crystal.cell.array,
                temperature_K=Ramp(start=TEMPERATURE_K, end=TEMPERATURE_K),
                density_1_A3=Ramp(start=density, end=density),
                rng=np.random.default_rng(i),
            )
            for i in range(n)
        ]
        ended = run_trajectories(ensemble, starts, Dynamics(n_steps=steps, check_every=20))
        assert all(end.reason == "finished" for end in ended)
        return n * steps * len(crystal)

    return run


def ase_loop(ensemble: Ensemble, crystal: ase.Atoms, steps: int) -> Callable[[], int]:
    def run() -> int:
        atoms = crystal.copy()
        atoms.calc = PotentialCalculator(ensemble, dtype=torch.float32, skin_A=0.6)
        rng = np.random.default_rng(0)
        speed = np.sqrt(ase.units.kB * TEMPERATURE_K / atoms.get_masses())[:, None]
        atoms.set_velocities(speed * rng.standard_normal((len(atoms), 3)))
        dynamics = Langevin(
            atoms, ase.units.fs, temperature_K=TEMPERATURE_K, friction=0.02 / ase.units.fs, fixcm=False, rng=rng
        )
        dynamics.run(steps)
        return steps * len(atoms)

    return run


def measured(runs: dict[str, Callable[[], int]], repeats: int) -> dict[str, float]:
    """Median rate of each, interleaved; one run beforehand warms up."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            begun = time.process_time()
            work = run()
            found[name].append(work / (time.process_time() - begun))
    return {name: statistics.median(rates) for name, rates in found.items()}


if __name__ == "__main__":
    main()
