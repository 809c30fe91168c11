"""Train a potential on any atoms store.

    latentlaw train-potential --store data/molecules.zarr --model hipnn --out runs/mine --members 4

Splits by group; all is measured on groups that no member saw. The same command again goes on where it was stopped (on
the same data and code). pipeline.atoms.potential_training says what OUT holds; `latentlaw predict` uses it.
"""

import json
import math
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from models.frames import Frames
from models.networks.potentials.potential import POTENTIALS, ArchitectureSettings
from models.training.potentials.potential_settings import PotentialSettings, whole_validations
from pipeline.atoms.potential_data import TrainingData, load_training_data, unknown_elements
from pipeline.atoms.potential_training import EnsembleJob, publish, train_ensembles
from pipeline.commands.options.potentials import TrainOptions
from pipeline.runtime.content_key import content_key
from pipeline.runtime.records import plain
from stores.atomic import write_text
from stores.atoms import load_atoms
from stores.manifest import read_manifest

__all__ = ["main", "train"]

SCRATCH = Path(".cache/potential")
N_VALIDATIONS = 40
METALS = {3, 4, 11, 12, 13, 19, 20, *range(21, 32), 37, 38, *range(39, 51), 55, 56, *range(57, 84)}


def main(options: TrainOptions) -> int:
    try:
        metrics = train(options)
    except RuntimeError as error:  # the trainings that failed, each with its reason
        print(f"train-potential: {error}", file=sys.stderr)
        return 1
    for name, errors in [("test groups", metrics), *metrics.items()]:
        if isinstance(errors, dict) and "force_mae_eV_A" in errors:
            print(_sentence(name, errors))
    print(f"train-potential: wrote {options.out}")
    return 0


def train(options: TrainOptions) -> dict[str, Any]:
    """All that the command does; returns the metrics. Raises ValueError, before any training, for what is wrong."""
    split, loss = options.split_params(), options.potential_loss()
    data = load_training_data(options.store, split, loss, n_train=options.n_train, held_out=options.hold_out)
    tests = _test_sets(options.test_store, data) | ({options.hold_out: data.held_out} if options.hold_out else {})
    network = _network(options, data)
    scratch = SCRATCH / _content_key(options, network)
    settings = _settings(options, data, network, scratch)
    job = EnsembleJob(
        name="potential",
        network=POTENTIALS[options.model].make,
        config=network.config(data.species, data.reference_energies_eV, data.energy_scale_eV),
        settings=settings,
        n_members=options.members,
        seed=options.seed,
        data=data,
        tests=tests,
    )
    (trained,) = train_ensembles([job], scratch, "train_potential")
    publish(trained, options.out, {"store": str(options.store), "split": asdict(split), "network": asdict(network)})
    shutil.rmtree(scratch)
    return trained.metrics()


def _test_sets(stores: Sequence[Path], data: TrainingData) -> dict[str, Frames]:
    sets = {}
    for path in stores:
        atoms = load_atoms(path)
        problems = []
        if strange := unknown_elements(atoms.frames, data.species):
            problems.append(f"found elements {', '.join(strange)} that the training set does not have; remove them")
        if atoms.level != data.level:
            problems.append(f"found level {atoms.level!r}, expected that of the training store, {data.level!r}")
        if path.stem in sets or path.stem == "test":
            problems.append(f"found the name {path.stem!r} twice (or 'test', which is taken); rename the folder")
        if problems:
            raise ValueError(f"--test-store {path}: " + "; ".join(problems))
        sets[path.stem] = atoms.frames
    return sets


def _network(options: TrainOptions, data: TrainingData) -> ArchitectureSettings:
    metal = set(data.species) <= METALS
    return options.network(metal=metal)


def _settings(
    options: TrainOptions, data: TrainingData, network: ArchitectureSettings, scratch: Path
) -> PotentialSettings:
    """Settings with as many epochs as were asked for, or as the minutes hold."""
    settings = options.settings()
    if options.minutes is not None:
        measured = scratch / "epochs.json"  # measured once, or a resumed training would be another
        if not measured.is_file():
            epochs = _epochs_within(options.minutes, options.model, settings, data, network)
            write_text(measured, json.dumps(epochs))
        settings = replace(settings, max_epochs=json.loads(measured.read_text()))
    epochs, every = whole_validations(settings.max_epochs, N_VALIDATIONS if settings.schedule == "one_cycle" else 10**9)
    return replace(settings, max_epochs=epochs, validate_every=every)


def _epochs_within(
    minutes: float, model: str, settings: PotentialSettings, data: TrainingData, network: ArchitectureSettings
) -> int:
    """Epochs of one member in this time on an idle device, from a few steps of its own."""
    import torch

    from models.training.potentials.configurations import with_neighbours
    from models.training.potentials.forces import accumulate_gradients

    config = network.config(data.species, data.reference_energies_eV, data.energy_scale_eV)
    n_batch = min(settings.batch_size, len(data.train))
    few = data.train.select(range(n_batch))
    labelled = with_neighbours(few, config, settings.torch_dtype).batch(range(n_batch))
    potential = POTENTIALS[model].make(config)
    if settings.dtype == "float64":
        potential = potential.double()
    if torch.cuda.is_available():
        potential, labelled = potential.cuda(), labelled.to("cuda")
    seconds = []
    for _ in range(8):  # the first ones compile kernels
        start = time.perf_counter()
        float(accumulate_gradients(potential, labelled, settings.loss, method=settings.method).total)
        seconds.append(time.perf_counter() - start)
    of_step = 1.3 * sorted(seconds)[len(seconds) // 2]  # optimiser, batches and validation come on top
    return max(1, math.floor(60 * minutes / (of_step * max(1, len(data.train) // n_batch))))


def _content_key(options: TrainOptions, network: ArchitectureSettings) -> str:
    """Names what the training depends on: the same command finds its checkpoints again."""
    asked = {field.name: str(getattr(options, field.name)) for field in fields(options) if field.name != "out"}
    manifests = [read_manifest(path).hash for path in (options.store, *options.test_store)]
    command = ("pipeline/commands/train_potential.py", "pipeline/commands/options/potentials.py")
    return content_key("potential", asked, asdict(network), manifests, also=command)


def _sentence(name: str, errors: dict[str, Any]) -> str:
    shown = plain(errors)
    return (
        f"{name}: energy MAE {shown['energy_mae_meV_atom']:.3g} meV/atom, force MAE {shown['force_mae_eV_A']:.3g} eV/A "
        f"(mean size of the forces {shown['force_mean_abs_eV_A']:.3g})"
        if shown["force_mae_eV_A"] is not None
        else f"{name}: energy MAE {shown['energy_mae_meV_atom']:.3g} meV/atom"
    )
