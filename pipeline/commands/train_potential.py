"""Train a potential on any atoms store.

    python -m pipeline.commands.train_potential --store data/molecules.zarr --model hipnn --out runs/mine --members 4
    latentlaw train-potential --store qm9.zarr --model hipnn --out runs/qm9 --force-weight 0 --minutes 60
    latentlaw train-potential --store a.zarr --model ani --out runs/a --test-fraction 0 --test-store b.zarr

Splits by group; all is measured on groups that no member saw. The same command again goes on where it was stopped (on
the same data and code). What OUT holds is told in pipeline.atoms.potential_training; pipeline.commands.predict uses it.
"""

import argparse
import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from models.frames import Frames
from models.networks.potentials.ani import ANIParams
from models.networks.potentials.hipnn import HIPNNParams
from models.training.potentials.potential_loss import PotentialLoss
from models.training.potentials.potential_settings import PotentialSettings, whole_validations
from pipeline.atoms.potential_data import (
    SplitParams,
    TrainingData,
    load_training_data,
    unknown_elements,
)
from pipeline.atoms.potential_params import NETWORKS
from pipeline.atoms.potential_training import KIND, EnsembleJob, publish, train_ensembles
from pipeline.runtime.command_line import CommandParser, message_of
from pipeline.runtime.dependencies import stage_code
from pipeline.runtime.outputs import OutputFolder
from pipeline.runtime.shards import content_key
from pipeline.runtime.stage import plain, run_stage
from stores.atoms import load_atoms
from stores.zarr_store import read_manifest

__all__ = ["main", "train"]

NetworkParams = HIPNNParams | ANIParams
SCRATCH = Path(".cache/potential")
N_VALIDATIONS = 40
LEARNING_RATES = {"hipnn": 1e-2, "ani": 3e-3}
METALS = {3, 4, 11, 12, 13, 19, 20, *range(21, 32), 37, 38, *range(39, 51), 55, 56, *range(57, 84)}
CUTOFFS = "5.5 of hipnn, 5.2 of ani; of metals 7"
COARSE_MIN_A, COARSE_MAX_A = 1.25, 7.0  # HIP-NN on metals, after its ANI-Al example


def main(arguments: list[str] | None = None) -> None:
    options = _parser().read(arguments, _problems)
    metrics = train(options)
    for name, found in [("test groups", metrics), *metrics.items()]:
        if isinstance(found, dict) and "force_mae_eV_A" in found:
            print(_sentence(name, found))
    print(f"train_potential: wrote {options.out}")


def train(options: argparse.Namespace) -> dict[str, Any]:
    """All that the command does; returns the metrics. Raises ValueError, before any training, for what is wrong."""
    split, loss = _split(options), _loss(options)
    data = load_training_data(options.store, split, loss, n_train=options.n_train, held_out=options.hold_out)
    tests = _test_sets(options.test_store, data) | ({options.hold_out: data.held_out} if options.hold_out else {})
    network = _network(options, data)
    scratch = SCRATCH / _content_key(options, split, loss, network)
    settings = _settings(options, loss, data, network, scratch)
    job = EnsembleJob(
        name="potential",
        network=NETWORKS[options.model],
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


def _problems(options: argparse.Namespace) -> list[str]:
    """All that is wrong whatever the store holds."""
    problems = message_of(lambda: _split(options))
    return problems + message_of(lambda: _asked_settings(options, _loss(options)))


def _split(options: argparse.Namespace) -> SplitParams:
    return SplitParams(
        validation_fraction=options.validation_fraction,
        test_fraction=options.test_fraction,
        seed=options.split_seed,
        by=options.split,
    )


def _loss(options: argparse.Namespace) -> PotentialLoss:
    return PotentialLoss(
        energy=options.energy_weight,
        forces=options.force_weight,
        stress=options.stress_weight,
        hierarchicality=options.hierarchicality_weight if options.model == "hipnn" else 0.0,
        kind=options.loss,
    )


def _test_sets(stores: Sequence[Path], data: TrainingData) -> dict[str, Frames]:
    found = {}
    for path in stores:
        atoms = load_atoms(path)
        problems = []
        if strange := unknown_elements(atoms.frames, data.species):
            problems.append(f"found elements {', '.join(strange)} that the training set does not have; remove them")
        if atoms.level != data.level:
            problems.append(f"found level {atoms.level!r}, expected that of the training store, {data.level!r}")
        if path.stem in found or path.stem == "test":
            problems.append(f"found the name {path.stem!r} twice (or 'test', which is taken); rename the folder")
        if problems:
            raise ValueError(f"--test-store {path}: " + "; ".join(problems))
        found[path.stem] = atoms.frames
    return found


def _network(options: argparse.Namespace, data: TrainingData) -> NetworkParams:
    metal = set(data.species) <= METALS
    if options.model == "ani":
        ani = ANIParams(preset="ani_al", cutoff_A=7.0, angular_cutoff_A=5.0) if metal else ANIParams()
        ani = replace(ani, cutoff_A=options.cutoff or ani.cutoff_A)
        return replace(ani, angular_cutoff_A=min(ani.angular_cutoff_A, ani.cutoff_A))
    cutoff = options.cutoff or (COARSE_MAX_A if metal else HIPNNParams().cutoff_A)
    return HIPNNParams(
        cutoff_A=cutoff,
        soft_min_A=COARSE_MIN_A if metal else HIPNNParams().soft_min_A,
        soft_max_A=cutoff * 0.85,
        n_features=options.features,
        n_interactions=1 if metal else 2,
    )


def _settings(
    options: argparse.Namespace,
    loss: PotentialLoss,
    data: TrainingData,
    network: NetworkParams,
    scratch: Path,
) -> PotentialSettings:
    """Settings with as many epochs as were asked for, or as the minutes hold."""
    settings = _asked_settings(options, loss)
    if options.minutes is not None:
        told = scratch / "epochs.json"  # measured once, or a resumed training would be another
        if not told.is_file():
            scratch.mkdir(parents=True, exist_ok=True)
            epochs = _epochs_within(options.minutes, options.model, settings, data, network)
            told.with_suffix(".tmp").write_text(json.dumps(epochs))
            os.replace(told.with_suffix(".tmp"), told)
        settings = replace(settings, max_epochs=json.loads(told.read_text()))
    epochs, every = whole_validations(settings.max_epochs, N_VALIDATIONS if settings.schedule == "one_cycle" else 10**9)
    return replace(settings, max_epochs=epochs, validate_every=every)


def _asked_settings(options: argparse.Namespace, loss: PotentialLoss) -> PotentialSettings:
    """As the options name them."""
    return PotentialSettings(
        loss=loss,
        method=options.method,
        schedule=options.schedule,
        learning_rate=options.learning_rate or LEARNING_RATES[options.model],
        batch_size=options.batch_size,
        max_batch_size=options.max_batch_size,
        patience=options.patience,
        termination_patience=options.termination_patience or 10**9,
        max_epochs=options.epochs,
        l2=options.l2,
        gradient_clip=options.gradient_clip,
        ema_decay=options.ema_decay,
        dtype=options.dtype,
        autocast=options.autocast,
        tf32=options.tf32,
        compile=options.compile,
    )


def _epochs_within(
    minutes: float, model: str, settings: PotentialSettings, data: TrainingData, network: NetworkParams
) -> int:
    """Epochs of one member in this time on an idle device, from a few steps of its own."""
    import torch

    from models.training.potentials.configurations import with_neighbours
    from models.training.potentials.forces import accumulate_gradients

    config = network.config(data.species, data.reference_energies_eV, data.energy_scale_eV)
    n_batch = min(settings.batch_size, len(data.train))
    few = data.train.select(range(n_batch))
    labelled = with_neighbours(few, config, settings.torch_dtype).batch(range(n_batch))
    potential = NETWORKS[model](config)
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


def _content_key(options: argparse.Namespace, split: SplitParams, loss: PotentialLoss, network: NetworkParams) -> str:
    """Names what the training depends on: the same command finds its checkpoints again."""
    root = Path(__file__).resolve().parents[2]
    sources = [root / file for file in stage_code(root, "train_potential")]
    told = {key: str(value) for key, value in vars(options).items() if key != "out"}
    manifests = [read_manifest(path).hash for path in (options.store, *options.test_store)]
    return content_key([told, asdict(split), asdict(loss), asdict(network), manifests], sources)[:16]


def _sentence(name: str, found: dict[str, Any]) -> str:
    told = plain(found)
    return (
        f"{name}: energy MAE {told['energy_mae_meV_atom']:.3g} meV/atom, force MAE {told['force_mae_eV_A']:.3g} eV/A "
        f"(mean size of the forces {told['force_mean_abs_eV_A']:.3g})"
        if told["force_mae_eV_A"] is not None
        else f"{name}: energy MAE {told['energy_mae_meV_atom']:.3g} meV/atom"
    )


def _parser() -> CommandParser:
    parser = CommandParser(description="Train a potential on an atoms store.", inputs=("store", "test_store"))
    add, number, loss = parser.add_argument, parser.add_number, PotentialLoss()
    add(
        "--store",
        type=Path,
        required=True,
        help="an atoms store (pipeline.commands.import_dataset makes one of other formats)",
    )
    add("--model", choices=tuple(NETWORKS), required=True, help="the network")
    parser.add_output("--out", OutputFolder(kind=KIND), "folder of the trained potential", metavar="MODEL_DIR")
    number("--members", int, "networks that differ in their seed; their spread is the uncertainty", default=1, low=1)
    number("--seed", int, "of the first member", default=0, low=0)
    number("--epochs", int, "passes over the training set", default=100, low=1)
    number("--minutes", float, "as many epochs as one member fits in", unit="min", above=0, unset="--epochs")
    number("--batch-size", int, "configurations in a step", default=4, low=1)
    number("--learning-rate", float, "largest one", above=0, unset="0.01 of hipnn, 0.003 of ani")
    add("--schedule", choices=("one_cycle", "plateau"), default="one_cycle", help="plateau: HIP-NN's, open-ended")
    number("--max-batch-size", int, "of plateau, in configurations", default=128, low=1)
    number("--patience", int, "of plateau, in epochs", default=25, low=0)
    number("--termination-patience", int, "stop after so many epochs without a new best; 0: never", default=0, low=0)
    methods = ("double_backward", "forward_over_reverse", "finite_difference")
    add("--method", choices=methods, default="double_backward", help="gradient of the force loss; all agree")
    number("--energy-weight", float, "of the energy error per atom, in eV", default=3.0, low=0)
    number("--force-weight", float, "of the errors of force components, in eV/A", default=loss.forces, low=0)
    number("--stress-weight", float, "of the errors of the virial per atom, in eV", default=0.0, low=0)
    number("--hierarchicality-weight", float, "of HIP-NN's regulariser", default=1e-4, low=0)
    add("--loss", choices=("squared", "huber", "rmse_mae"), default="squared", help="what is made of an error")
    number("--l2", float, "weight of the squared weights", default=0.0, low=0)
    number("--ema-decay", float, "moving average of the weights, per step; 0: none", default=0.99, low=0, below=1)
    number("--gradient-clip", float, "largest norm of the gradient; 0: any", default=10.0, low=0)
    number("--cutoff", float, "largest distance of neighbours", unit="A", above=0, metavar="A", unset=CUTOFFS)
    number("--features", int, "width of HIP-NN", default=20, low=1)
    add("--split", choices=("group", "frame"), default="group", help="frame: every configuration by itself")
    number("--validation-fraction", float, "of the groups", default=0.1, above=0, below=1)
    number("--test-fraction", float, "of the groups", default=0.1, low=0, below=1)
    number("--split-seed", int, "of the split", default=0, low=0)
    source = "keep a source (its first word, such as a molecule) from all sets (default: none)"
    add("--hold-out", metavar="SOURCE", help=source)
    number("--n-train", int, "keep so many training configurations", low=1, unset="all")
    add(
        "--test-store",
        type=Path,
        action="append",
        default=[],
        metavar="STORE",
        help="measured too; may be repeated (default: none)",
    )
    add("--dtype", choices=("float32", "float64"), default="float32", help="of the network")
    add("--autocast", action="store_true", help="matrix products in bfloat16")
    add("--tf32", action="store_true", help="matrix products in TF32, on GPUs that have it")
    add("--compile", action="store_true", help="torch.compile; energies alone or finite_difference")
    return parser


if __name__ == "__main__":
    run_stage("train_potential", main, also_told=(RuntimeError,))
