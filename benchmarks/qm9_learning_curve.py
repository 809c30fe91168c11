"""Error of HIP-NN on QM9 against the number of training molecules, energies only.

    make repro STAGE=qm9 && python benchmarks/qm9_learning_curve.py [--sizes 1000 5000 25000]

Atomization energies at 0 K (U0). The test set is 5 % of the groups of equal connectivity, the same for all sizes; the
error is the mean absolute one of a molecule in kcal/mol, as the papers give it. One network each, of 40 features and
the defaults of `latentlaw train-potential` but for what OPTIONS says. Networks that are there are not trained
again.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.units import kcal, mol

from models.networks.potentials.ensemble import load_potential
from models.training.potentials.configurations import with_neighbours
from pipeline.atoms.potential_data import TEST
from stores.atoms import load_atoms

STORE = Path("data/qm9.zarr")
EPOCHS_AND_BATCH = {1000: (150, 16), 5000: (80, 32), 25000: (40, 64), 110000: (40, 128)}
OPTIONS = "--model hipnn --features 40 --cutoff 6.5 --force-weight 0 --energy-weight 1 --learning-rate 0.005"
SPLIT = "--test-fraction 0.05 --validation-fraction 0.02"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 25000], choices=EPOCHS_AND_BATCH)
    arguments = parser.parse_args()
    print("| training molecules | epochs | test molecules | MAE kcal/mol | MAE meV/atom |\n|---|---|---|---|---|")
    for size in arguments.sizes:
        folder = Path(f"runs/qm9_{size}")
        epochs, batch = EPOCHS_AND_BATCH[size]
        if not (folder / "potential.json").is_file():
            folder.parent.mkdir(exist_ok=True)
            sizes = f"--n-train {size} --epochs {epochs} --batch-size {batch} --store {STORE} --out {folder}"
            command = [sys.executable, "-m", "pipeline.cli", "train-potential", *f"{OPTIONS} {SPLIT} {sizes}".split()]
            subprocess.run(command, check=True, stdout=sys.stderr)
        per_molecule, per_atom, n_test = errors(folder)
        print(f"| {size:,} | {epochs} | {n_test:,} | {per_molecule:.2f} | {per_atom:.2f} |", flush=True)


def errors(folder: Path) -> tuple[float, float, int]:
    """Mean absolute error of a molecule [kcal/mol] and of an atom [meV] on the test set, and its size."""
    atoms = load_atoms(STORE)
    test = np.flatnonzero(np.load(folder / "split.npy")[atoms.row] == TEST)
    ensemble = load_potential(folder)
    chosen = atoms.frames.select(test)
    prepared = with_neighbours(chosen, ensemble.members[0].config)
    found = []
    for rows in np.array_split(np.arange(len(test)), max(1, len(test) // 256)):
        batch = prepared.batch(rows)
        found.append(ensemble.evaluate(batch.graph, batch.vectors_H3).energy_M.numpy())
    error = np.abs(np.concatenate(found) - chosen.energies_eV)
    return float(error.mean() / (kcal / mol)), float(1e3 * (error / chosen.n_atoms).mean()), len(test)


if __name__ == "__main__":
    main()
