"""Energy and forces of a very large rattled fcc aluminium crystal, in bounded memory on the CPU.

    python benchmarks/million_atoms.py [--repeats 63] [--models hipnn ani] [--chunk-atoms 8000] [--threads 1]

63 repeats of the four-atom cell are 1,000,188 atoms. HIP-NN has one interaction layer, 20 features, 20 sensitivities
and a cutoff of 6.5 A, ANI the shape of ANI-Al; weights are random, which changes nothing in time or memory. Each model
runs in a process of its own, which prints one line: atoms/s of wall and of CPU time, and the peak of its resident
memory; the crystal, float64 positions and results are part of it. A crystal of `--check` repeats is evaluated whole and
in chunks, in float64, and the largest difference of a force is printed.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import ase.build
import numpy as np
import torch

from models.networks.potentials.ani import ANI
from models.networks.potentials.chunked import evaluate_in_chunks
from models.networks.potentials.ensemble import Ensemble
from models.networks.potentials.graph import Configuration, collate
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.neighbours import find_neighbours

LATTICE_A, RATTLE_A = 4.05, 0.1


def main() -> None:
    options = _parser().parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options)))
        return
    print("| model | atoms | precision | chunk | atoms/s | atoms/CPU s | CPU s | peak RSS | chunked - whole, eV/A |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.models:
        command = [sys.executable, __file__, *sys.argv[1:], "--child", name]
        record = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        n, wall, cpu = record["atoms"], record["wall_s"], record["cpu_s"]
        memory = f"{record['rss_gb']:.2f} GB (start {record['start_gb']:.2f})"
        print(
            f"| {name} | {n:,} | {options.precision} | {options.chunk_atoms:,} | {n / wall:,.0f} | {n / cpu:,.0f} "
            f"| {cpu:.0f} | {memory} | {record['difference']:.1e} of {record['force']:.2f} |"
        )


def measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    """One model in this process."""
    torch.set_num_threads(options.threads)
    ensemble = Ensemble([network(name)])
    difference, force = compared(ensemble, options)
    crystal = rattled(options.repeats)
    dtype = getattr(torch, options.precision)
    few = rattled(options.check)
    evaluate_in_chunks(ensemble, few.numbers, few.positions, few.cell.array, few.pbc, dtype=dtype)  # compiles kernels
    start_gb, wall, cpu = _peak_gb(), time.perf_counter(), time.process_time()
    found = evaluate_in_chunks(
        ensemble,
        crystal.numbers,
        crystal.positions,
        crystal.cell.array,
        crystal.pbc,
        chunk_atoms=options.chunk_atoms,
        dtype=dtype,
    )
    assert bool(torch.isfinite(found.forces_N3).all())
    return {
        "atoms": len(crystal),
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "start_gb": start_gb,
        "rss_gb": _peak_gb(),
        "difference": difference,
        "force": force,
    }


def network(name: str) -> HIPNN | ANI:
    torch.manual_seed(0)
    if name == "ani":
        return ANI(ANI.Config.ani_al())
    return HIPNN(HIPNN.Config(species=(13,), n_interactions=1))


def rattled(repeats: int) -> ase.Atoms:
    crystal = ase.build.bulk("Al", a=LATTICE_A, cubic=True) * (repeats, repeats, repeats)
    crystal.positions += RATTLE_A * np.random.default_rng(0).normal(size=crystal.positions.shape)
    return crystal


def compared(ensemble: Ensemble, options: argparse.Namespace) -> tuple[float, float]:
    """Largest difference of a force between chunks and the whole, float64, and the largest force."""
    crystal = rattled(options.check)
    cell = crystal.cell.array
    near = find_neighbours(crystal.positions, cell, crystal.pbc, ensemble.cutoff_A)
    whole = Configuration(numbers=crystal.numbers, positions_A=crystal.positions, cell_A=cell, neighbours=near)
    expected = ensemble.to(dtype=torch.float64).evaluate(*collate([whole], torch.float64)).forces_N3
    found = evaluate_in_chunks(
        ensemble, crystal.numbers, crystal.positions, cell, crystal.pbc, chunk_atoms=len(crystal) // 7
    )
    return float((found.forces_N3 - expected).abs().max()), float(expected.abs().max())


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Energy and forces of a million atoms in bounded memory.")
    parser.add_argument(
        "--repeats", type=int, default=20, help="of the cubic cell, 63 are a million atoms (%(default)s)"
    )
    parser.add_argument("--models", nargs="+", choices=("hipnn", "ani"), default=["hipnn", "ani"])
    parser.add_argument("--chunk-atoms", type=int, default=8000)
    parser.add_argument("--precision", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", type=int, default=6, help="repeats of the crystal that is also evaluated whole")
    parser.add_argument("--child", choices=("hipnn", "ani"), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
