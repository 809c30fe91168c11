"""Train a potential on any atoms store.

    latentlaw train-potential --store data/molecules.zarr --model hipnn --out runs/mine --members 4

Splits by group; all is measured on groups that no member saw. The same command again goes on where it was stopped (on
the same data and code). pipeline.atoms.potential_training says what OUT holds; `latentlaw predict` uses it.

Above a baseline the networks learn what it leaves over (pipeline.atoms.baseline_labels); its own errors are the sizes
of these labels. A potential may be gone on from (pipeline.atoms.fine_tuning).
"""

import json
import math
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.frames import Frames
from models.networks.potentials.baseline import Baseline, named_baseline
from models.networks.potentials.ensemble import about_potential
from models.networks.potentials.potential import POTENTIALS
from models.training.potentials.potential_loss import PotentialLoss
from models.training.potentials.potential_settings import PotentialSettings, whole_validations
from pipeline.atoms.baseline_labels import BaselineLabels, baseline_problems
from pipeline.atoms.fine_tuning import Source, source_of
from pipeline.atoms.potential_data import TrainingData, load_training_data, unknown_elements
from pipeline.atoms.potential_training import EnsembleJob, measured, publish, train_ensembles
from pipeline.commands.options.potentials import TrainOptions
from pipeline.runtime.content_key import content_key
from pipeline.runtime.records import plain
from stores.atomic import write_text
from stores.atoms import load_atoms
from stores.manifest import read_manifest

__all__ = ["main", "train"]

SCRATCH = Path(".cache/potential")
N_VALIDATIONS = 40
FILES = ("pipeline/atoms/baseline_labels.py", "pipeline/atoms/fine_tuning.py")
METALS = {3, 4, 11, 12, 13, 19, 20, *range(21, 32), 37, 38, *range(39, 51), 55, 56, *range(57, 84)}


def main(options: TrainOptions) -> int:
    try:
        metrics = train(options)
    except RuntimeError as error:  # the trainings that failed, each with its reason
        print(f"train-potential: {error}", file=sys.stderr)
        return 1
    for name, errors in [("test groups", metrics), *metrics.items()]:
        if isinstance(errors, dict) and "force_mae_eV_A" in errors:
            print(_sentence(name, errors, above=_baseline_name(options.out)))
    print(f"train-potential: wrote {options.out}")
    return 0


def train(options: TrainOptions) -> dict[str, Any]:
    """All that the command does; returns the metrics. Raises ValueError, before any training, for what is wrong."""
    split, loss = options.split_params(), options.potential_loss()
    source = _source(options)
    baseline = _baseline(options, source, loss)
    labels = (
        None
        if baseline is None
        else BaselineLabels(baseline=baseline, stress=loss.stress > 0, drop_bad=options.drop_bad)
    )
    data = load_training_data(
        options.store,
        split,
        loss,
        n_train=options.n_train,
        held_out=options.hold_out,
        difference=None if labels is None else partial(labels.difference, where=str(options.store)),
    )
    if source is not None:
        data = source.data(data, refit=options.refit_references)
    tests = _test_sets(options.test_store, data, labels)
    tests |= {options.hold_out: data.held_out} if options.hold_out else {}
    config, network = _network(options, data, source)
    scratch = SCRATCH / _content_key(options, network, baseline, source)
    settings = _settings(options, data, config, scratch)
    job = EnsembleJob(
        name="potential",
        network=POTENTIALS[options.network_name()].make,
        config=config,
        settings=settings,
        n_members=options.members,
        seed=options.seed,
        data=data,
        tests=tests,
        starts=[] if source is None else source.weights(options.members, settings.torch_dtype),
    )
    before = {} if source is None else _source_metrics(source, job)
    (trained,) = train_ensembles([job], scratch, "train_potential")
    info = {"store": str(options.store), "split": asdict(split), "network": network, **before}
    publish(trained, options.out, info, baseline)
    shutil.rmtree(scratch)
    return trained.metrics()


def _baseline_name(folder: Path) -> str | None:
    """As the folder tells it."""
    record = about_potential(folder).get("baseline")
    return None if record is None else str(record.get("calculator", "the potential beneath"))


def _source(options: TrainOptions) -> Source | None:
    if options.source is None:
        return None
    source = source_of(options.source, allow_baseline=options.allow_baseline or "")
    if problems := source.problems(model=options.model, cutoff_A=options.cutoff, width=options.features):
        raise ValueError("\n  ".join(problems))
    if (n_members := len(source.ensemble.members)) < options.members:
        print(
            f"train-potential: {options.members} members start from {n_members}, taken in turn: those of one start "
            "differ in the order of their batches alone, and their spread says less",
            flush=True,
        )
    return source


def _baseline(options: TrainOptions, source: Source | None, loss: PotentialLoss) -> Baseline | None:
    """Raises ValueError, before anything is computed, for one that lacks what the loss asks for."""
    if options.baseline is not None:
        allowed = options.allow_baseline or ""
        baseline = named_baseline(options.baseline, options.baseline_arguments(), allowed=allowed)
    elif source is not None and source.ensemble.baseline is not None:
        baseline = source.ensemble.baseline
    else:
        return None
    if problems := baseline_problems(baseline, loss):
        raise ValueError("\n  ".join(problems))
    return baseline


def _test_sets(stores: Sequence[Path], data: TrainingData, labels: BaselineLabels | None) -> dict[str, Frames]:
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
        if labels is not None:
            everything = np.ones(len(atoms.frames), dtype=bool)
            left, failed = labels.difference(atoms, everything, f"--test-store {path}")
            sets[path.stem] = left.select(~failed)
    return sets


def _network(options: TrainOptions, data: TrainingData, source: Source | None) -> tuple[Any, dict[str, Any]]:
    """The Config of the network, and what of it is a matter of choice."""
    if source is not None:
        config = replace(source.config, reference_energies_eV=data.reference_energies_eV)
        return config, source.ensemble.info.get("network", {})
    metal = set(data.species) <= METALS
    network = options.network(metal=metal)
    return network.config(data.species, data.reference_energies_eV, data.energy_scale_eV), asdict(network)


def _source_metrics(source: Source, job: EnsembleJob) -> dict[str, Any]:
    """Where a training began: the source, and its errors on the same test sets."""
    errors = {name: measured(source.predictions(frames), frames, job.data) for name, frames in job.test_sets.items()}
    for name, of_set in errors.items():
        said = f"before, {'test groups' if name == 'test' else name}"
        print(_sentence(said, of_set, above=_baseline_name(source.folder)))
    return {"from": {"folder": str(source.folder), "hash": source.hash, "metrics": errors}}


def _settings(options: TrainOptions, data: TrainingData, config: Any, scratch: Path) -> PotentialSettings:  # noqa: ANN401
    """Settings with as many epochs as were asked for, or as the minutes hold."""
    settings = options.settings()
    if options.minutes is not None:
        measured = scratch / "epochs.json"  # measured once, or a resumed training would be another
        if not measured.is_file():
            epochs = _epochs_within(options.minutes, options.network_name(), settings, data, config)
            write_text(measured, json.dumps(epochs))
        settings = replace(settings, max_epochs=json.loads(measured.read_text()))
    epochs, every = whole_validations(settings.max_epochs, N_VALIDATIONS if settings.schedule == "one_cycle" else 10**9)
    return replace(settings, max_epochs=epochs, validate_every=every)


def _epochs_within(
    minutes: float,
    model: str,
    settings: PotentialSettings,
    data: TrainingData,
    config: Any,  # noqa: ANN401 - of that network
) -> int:
    """Epochs of one member in this time on an idle device, from a few steps of its own."""
    import torch

    from models.training.potentials.configurations import with_neighbours
    from models.training.potentials.forces import accumulate_gradients

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


def _content_key(
    options: TrainOptions, network: dict[str, Any], baseline: Baseline | None, source: Source | None
) -> str:
    """Names what the training depends on: the same command finds its checkpoints again."""
    asked = {field.name: str(getattr(options, field.name)) for field in fields(options) if field.name != "out"}
    manifests = [read_manifest(path).hash for path in (options.store, *options.test_store)]
    beneath = [baseline.record if baseline else None, source.hash if source else None]
    command = ("pipeline/commands/train_potential.py", "pipeline/commands/options/potentials.py", *FILES)
    return content_key("potential", asked, network, manifests, beneath, also=command)


def _sentence(name: str, errors: dict[str, Any], *, above: str | None = None) -> str:
    shown = plain(errors)
    size = "mean size of the forces" if above is None else f"{above} alone"
    return (
        f"{name}: energy MAE {shown['energy_mae_meV_atom']:.3g} meV/atom, force MAE {shown['force_mae_eV_A']:.3g} eV/A "
        f"({size} {shown['force_mean_abs_eV_A']:.3g})"
        if shown["force_mae_eV_A"] is not None
        else f"{name}: energy MAE {shown['energy_mae_meV_atom']:.3g} meV/atom"
    )
