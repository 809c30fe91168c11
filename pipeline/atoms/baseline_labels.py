"""Labels less a baseline's: what a network trained above it has to learn.

    E - E_baseline,   F - F_baseline,   stress - stress_baseline        of each configuration

The baseline of a configuration is a task of its own (pipeline.runtime.execution), computed once and kept:

    .cache/baseline/KEY/<sha256 of elements, positions and cell>.task       KEY tells the baseline and its version

whatever store, split or training asks for it. Failures are not kept.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ase
import numpy as np
from numpy.typing import NDArray

from models.frames import FloatArray, Frames
from models.networks.potentials.baseline import Baseline
from models.training.potentials.potential_loss import PotentialLoss
from pipeline.runtime.content_key import content_key
from pipeline.runtime.execution import load_execution, run_tasks
from pipeline.runtime.kept_results import ResultFiles
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.result_arrays import Arrays
from stores.atoms import LabelledAtoms

__all__ = ["BaselineLabels", "baseline_problems"]

KEPT = Path(".cache/baseline")
CODE = ("models/networks/potentials/baseline.py", "pipeline/atoms/baseline_labels.py")
N_SHOWN = 10


def baseline_problems(baseline: Baseline, loss: PotentialLoss) -> list[str]:
    """What the loss asks for and this baseline does not give; computes nothing."""
    if loss.stress > 0 and (lacking := baseline.lacks(["stress"])):
        return [
            f"--baseline: found {baseline.name} without {lacking[0]}, expected it because its weight in the loss is "
            f"{loss.stress:g}; choose a baseline that has it, or --stress-weight 0"
        ]
    return []


@dataclass(frozen=True, kw_only=True)
class BaselineLabels:
    """Takes the labels of this baseline from those of frames."""

    baseline: Baseline
    stress: bool  # is trained
    drop_bad: bool  # leave out what the baseline fails at, or stop

    def difference(
        self, atoms: LabelledAtoms, wanted_M: NDArray[np.bool_], where: str
    ) -> tuple[Frames, NDArray[np.bool_]]:
        """All frames, those of the mask with labels less the baseline's; and which of these it failed at.

        `where` begins the message of the ValueError that names every failure by its row in the store, unless they are
        dropped.
        """
        frames, rows = atoms.frames, np.flatnonzero(wanted_M)
        labels, failures = self._labels(frames, rows)
        if failures and not self.drop_bad:
            shown = [f"record {atoms.row[row]}: {text}" for row, text in list(failures.items())[:N_SHOWN]]
            more = [f"and {len(failures) - N_SHOWN} more"] if len(failures) > N_SHOWN else []
            raise ValueError(
                f"{where}: the baseline failed at {len(failures)} of {len(rows)} configurations; take them out of the "
                "data, or leave them out with --drop-bad\n  " + "\n  ".join([*shown, *more])
            )
        if failures:
            print(
                f"{where}: left out {len(failures)} of {len(rows)} configurations at which the baseline failed, first "
                f"record {atoms.row[next(iter(failures))]}: {next(iter(failures.values()))}",
                flush=True,
            )
        failed_M = np.zeros(len(frames), dtype=bool)
        failed_M[list(failures)] = True
        return _less(frames, labels, stress=self.stress), failed_M

    def _labels(self, frames: Frames, rows: NDArray[np.int64]) -> tuple[dict[int, Arrays], dict[int, str]]:
        """By row: what the baseline says, and why it says nothing."""
        kept = ResultFiles(KEPT / content_key(None, self.baseline.record, also=CODE))
        structures = {int(row): frames[int(row)] for row in rows}
        names = {row: _name(frame) for row, frame in structures.items()}
        labels = {row: label for row, name in names.items() if (label := kept.find(name)) is not None}
        missing = [row for row in structures if row not in labels]
        failures: dict[int, str] = {}
        if not missing:
            return labels, failures
        items = [(self.baseline, structures[row]) for row in missing]
        with progress_bar("baseline", len(structures), "configurations", done_before=len(labels)) as progress:
            for index, result in run_tasks(_label, items, load_execution()):
                row = missing[index]
                if isinstance(result, ValueError):
                    failures[row] = str(result)
                elif isinstance(result, Exception):
                    raise result
                else:
                    kept.write(names[row], result)
                    labels[row] = result
                progress.update(1)
        return labels, dict(sorted(failures.items()))


def _label(item: tuple[Baseline, Frames]) -> Arrays:
    """Of one frame, whatever was computed before it."""
    baseline, frame = item
    atoms = ase.Atoms(numbers=frame.numbers, positions=frame.positions_A, cell=frame.cells_A[0], pbc=frame.pbc[0])
    label = baseline.label(atoms)
    stress = np.full((3, 3), np.nan) if label.stress_eV_A3 is None else label.stress_eV_A3
    return {"energy_eV": np.array(label.energy_eV), "forces_eV_A": label.forces_eV_A, "stress_eV_A3": stress}


def _name(frame: Frames) -> str:
    """Tells all that a baseline is given."""
    parts = (frame.numbers.astype(np.int64), frame.positions_A, frame.cells_A, frame.pbc)
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()[:32]


def _less(frames: Frames, labels: Mapping[int, Arrays], *, stress: bool) -> Frames:
    energies, forces, stresses = frames.energies_eV.copy(), frames.forces_eV_A.copy(), frames.stresses_eV_A3.copy()
    if not stress:
        stresses[:] = np.nan  # nobody asks for them, and not every baseline has them
    first: Sequence[int] = frames.first_atom.tolist()
    for row, label in labels.items():
        energies[row] -= label["energy_eV"]
        frame_forces: FloatArray = forces[first[row] : first[row] + int(frames.n_atoms[row])]
        frame_forces -= label["forces_eV_A"]
        stresses[row] -= label["stress_eV_A3"]
    return replace(frames, energies_eV=energies, forces_eV_A=forces, stresses_eV_A3=stresses)
