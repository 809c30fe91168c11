"""An atoms store as training, validation and test set, with what a network has to know of them beforehand.

Reference energies of the elements are fitted to the training energies (models.physics.atoms.reference_energies), as
corrections to those that the store gives. The energy scale is the rms force times 1 A, or where no forces are trained
the standard deviation of the energies per atom.

Above a baseline (models.networks.potentials.baseline) all labels are what it leaves over, references and scale are
fitted to that, and references that the store gives, energies of whole atoms, are not used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt

from models.frames import Frames
from models.laws.groups import split_by_group
from models.settings import settings
from models.training.potentials.ensembles import references_of
from models.training.potentials.potential_loss import PotentialLoss
from stores.atoms import LabelledAtoms, load_atoms

__all__ = ["UNUSED", "SplitParams", "TrainingData", "load_training_data", "unknown_elements"]

TRAIN, VALIDATION, TEST, UNUSED = 0, 1, 2, -1


@settings
class SplitParams:
    """Shares of the labelled configurations; `by` frame treats each as a group of its own."""

    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: NonNegativeInt = 0
    by: Literal["group", "frame"] = "group"

    def __post_init__(self) -> None:
        if not self.validation_fraction + self.test_fraction < 1:
            fractions = f"{self.validation_fraction:g} + {self.test_fraction:g}"
            raise ValueError(f"validation and test fraction: found {fractions}, expected less than 1 together")


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Three sets and their common description."""

    train: Frames
    validation: Frames
    test: Frames  # may be empty
    held_out: Frames  # of the source that was kept from all three; may be empty
    split: NDArray[np.int8]  # of every row of the store: TRAIN, VALIDATION, TEST or UNUSED
    level: str
    species: tuple[int, ...]
    reference_energies_eV: tuple[float, ...]
    energy_scale_eV: float


Difference = Callable[[LabelledAtoms, NDArray[np.bool_]], tuple[Frames, NDArray[np.bool_]]]


def load_training_data(
    store: Path,
    split: SplitParams,
    loss: PotentialLoss,
    *,
    n_train: int | None = None,
    held_out: str | None = None,
    difference: Difference | None = None,
) -> TrainingData:
    """Read, split and check. `n_train` keeps so many training configurations, smaller sets being parts of larger ones;
    `held_out` keeps a source (the first word of `source`, such as a molecule) from all sets. `difference` turns the
    labels of the chosen frames into what a baseline leaves over, and says which frames it has left out.

    Raises ValueError that lists all that stands against training: labels missing, too few groups, elements that only
    the validation or test set has.
    """
    atoms = load_atoms(store)
    frames = atoms.frames
    _check_labels(frames, loss, store)
    group = frames.groups if split.by == "group" else atoms.row
    strange_M = _of_source(store, frames, held_out)
    part = np.full(len(frames), UNUSED, dtype=np.int8)
    try:
        part[~strange_M] = split_by_group(
            group[~strange_M], validation=split.validation_fraction, test=split.test_fraction, seed=split.seed
        )
    except ValueError as error:
        raise ValueError(f"{store}: {error}; where frames are independent of each other, split by frame") from None
    chosen = np.flatnonzero(part == TRAIN)
    if n_train is not None:
        if not 1 <= n_train <= len(chosen):
            raise ValueError(f"{store}: found {len(chosen)} training configurations, expected at least {n_train}")
        order = np.random.default_rng(np.random.SeedSequence(split.seed, spawn_key=(0, 0))).permutation(len(chosen))
        kept = np.sort(chosen[order[:n_train]])
        part[np.setdiff1d(chosen, kept)] = UNUSED
    if difference is not None:
        frames, failed_M = difference(atoms, (part != UNUSED) | strange_M)
        part[failed_M], strange_M = UNUSED, strange_M & ~failed_M
    train, validation, test = (frames.select(part == which) for which in (TRAIN, VALIDATION, TEST))
    outside = frames.select(strange_M)
    named = {"validation": validation, "test": test, "held out": outside}
    strange = {name: unknown_elements(data, train.species) for name, data in named.items()}
    if any(strange.values()):
        listed = "; ".join(f"{name} set: {', '.join(symbols)}" for name, symbols in strange.items() if symbols)
        raise ValueError(
            f"{store}: found elements that no training configuration has ({listed}); expected each element in the "
            "training set: choose another split seed, smaller shares, or add configurations"
        )
    rows = np.full(int(atoms.row.max()) + 1, UNUSED, dtype=np.int8)
    rows[atoms.row] = part
    references = references_of(train, atoms.reference_energies_eV if difference is None else None)
    return TrainingData(
        train=train,
        validation=validation,
        test=test,
        held_out=outside,
        split=rows,
        level=atoms.level,
        species=train.species,
        reference_energies_eV=references,
        energy_scale_eV=_energy_scale(train, references, loss),
    )


def unknown_elements(data: Frames, species: tuple[int, ...]) -> list[str]:
    """Symbols of the elements in `data` that are not among `species`."""
    from ase.data import chemical_symbols

    return [chemical_symbols[number] for number in data.species if number not in species]


def _of_source(store: Path, frames: Frames, name: str | None) -> NDArray[np.bool_]:
    """Configurations whose source begins with this word."""
    if name is None:
        return np.zeros(len(frames), dtype=bool)
    words = [str(source).partition(" ")[0] for source in frames.sources]
    of_source = np.array([word == name for word in words])
    if not of_source.any() or of_source.all():
        raise ValueError(
            f"{store}: held out {name!r}: found sources {sorted(set(words))[:20]}, expected it among others"
        )
    return of_source


def _check_labels(frames: Frames, loss: PotentialLoss, store: Path) -> None:
    labels = {"energy": frames.energies_eV, "forces": frames.forces_eV_A, "stress": frames.stresses_eV_A3}
    weights = {"energy": loss.energy, "forces": loss.forces, "stress": loss.stress}
    problems = [
        f"{name}: found none, expected some because their weight in the loss is {weights[name]:g} "
        f"(weight 0 trains without them)"
        for name, values in labels.items()
        if weights[name] > 0 and np.isnan(values).all()
    ]
    if problems:
        raise ValueError(f"{store}: {'; '.join(problems)}")


def _energy_scale(train: Frames, references: tuple[float, ...], loss: PotentialLoss) -> float:
    if loss.forces > 0:
        scale = float(np.sqrt(np.nanmean(train.forces_eV_A**2)))
    else:
        bound = (train.energies_eV - train.counts(train.species) @ np.array(references)) / train.n_atoms
        scale = float(np.nanstd(bound))
    return scale if scale > 0 else 1.0
