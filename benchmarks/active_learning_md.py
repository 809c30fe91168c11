"""Our batched dynamics beside ASE's own Langevin loop, same ensemble, one thread, atom-steps per second of CPU time.

    PYTHONPATH=. python benchmarks/active_learning_md.py [--out benchmarks/active_learning_md.md]

ANI of the size used in the default active learning, weights new (time does not depend on them, dynamics hardly),
rattled fcc cells at 300 K so that no trajectory ends early. Runs are interleaved; the median of their CPU seconds
counts. Other work on the machine inflates all of them.

ours            mean force of the members in one pass (mean_forces), spreads every 20 steps
ASE, lean       ASE's Langevin with the same: a calculator of the mean force, kept pairs, spreads every 20 steps. What
                ours gains over it is the integrator, and cells side by side
ASE, usual      ASE's Langevin with PotentialCalculator, which gives energies, stress and spreads in every step
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

from models.frames import Frames
from models.networks.potentials.ani import ANI
from models.networks.potentials.batched_dynamics import Drive, Dynamics, run_trajectories
from models.networks.potentials.calculator import PotentialCalculator
from models.networks.potentials.ensemble import Ensemble
from models.networks.potentials.graph import Graph
from models.networks.potentials.mean_force import mean_forces
from models.physics.atoms.sampling.driving_paths import Ramp

TEMPERATURE_K = 300.0
CHECK_EVERY = 20
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
        run["ASE, lean"] = ase_loop(ensemble, crystal, arguments.steps, MeanForce)
        run["ASE, usual"] = ase_loop(ensemble, crystal, arguments.steps, PotentialCalculator)
        rates = measured(run, arguments.repeats)
        lines += [
            f"| {n_atoms} | {name} | {rate:,.0f} | {rate / rates['ASE, lean']:.1f} | {rate / rates['ASE, usual']:.1f} |"
            for name, rate in rates.items()
        ]
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
        "| atoms in a cell | loop | atom-steps per CPU second | times ASE, lean | times ASE, usual |\n"
        "|---|---|---|---|---|"
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
        start = Frames.one(
            numbers=crystal.numbers, positions_A=crystal.positions, cell_A=crystal.cell.array, pbc=crystal.pbc
        )
        drives = [
            Drive(
                temperature_K=Ramp(start=TEMPERATURE_K, end=TEMPERATURE_K),
                density_1_A3=Ramp(start=density, end=density),
                rng=np.random.default_rng(i),
            )
            for i in range(n)
        ]
        dynamics = Dynamics(n_steps=steps, check_every=CHECK_EVERY)
        ended = run_trajectories(ensemble, Frames.concatenate([start] * n), drives, dynamics)
        assert (ended.reasons == "finished").all()
        return n * steps * len(crystal)

    return run


class MeanForce(PotentialCalculator):
    """Forces alone, by what our dynamics use, over the pairs that the calculator keeps."""

    implemented_properties = ("forces",)

    def calculate(self, atoms: ase.Atoms, *_: object) -> None:
        self.atoms = atoms.copy()
        self.results = {"forces": mean_forces(self.ensemble, *self.graph_of(atoms)).double().numpy()}

    def graph_of(self, atoms: ase.Atoms) -> tuple[Graph, torch.Tensor]:
        known = self._pairs(atoms)
        vectors = atoms.positions[known.second] - atoms.positions[known.first] + known.offset_A
        return known.graph, torch.from_numpy(vectors).float()

    def spreads(self, atoms: ase.Atoms) -> tuple[torch.Tensor, ...]:
        return self.ensemble.evaluate(*self.graph_of(atoms)).spreads


def ase_loop(
    ensemble: Ensemble, crystal: ase.Atoms, steps: int, calculator: type[PotentialCalculator]
) -> Callable[[], int]:
    def run() -> int:
        atoms = crystal.copy()
        atoms.calc = calculator(ensemble, dtype=torch.float32, skin_A=Dynamics(n_steps=1).skin_A)
        rng = np.random.default_rng(0)
        speed = np.sqrt(ase.units.kB * TEMPERATURE_K / atoms.get_masses())[:, None]
        atoms.set_velocities(speed * rng.standard_normal((len(atoms), 3)))
        dynamics = Langevin(
            atoms, ase.units.fs, temperature_K=TEMPERATURE_K, friction=0.02 / ase.units.fs, fixcm=False, rng=rng
        )
        if calculator is MeanForce:
            dynamics.attach(lambda: atoms.calc.spreads(atoms), interval=CHECK_EVERY)
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
