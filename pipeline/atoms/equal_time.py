"""A network trained on the molecules store for the same CPU time by every way to train forces, and on energies alone.

What a method is worth shows in the error that it leaves after that time, not in the cost of its step.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from models.networks.potentials.potential import POTENTIALS
from models.training.batches import EpochBatches
from models.training.potentials.configurations import with_neighbours
from models.training.potentials.ensembles import errors_of, predict
from models.training.potentials.forces import Method, accumulate_gradients
from models.training.potentials.potential_loss import PotentialLoss
from pipeline.atoms.force_training_params import EqualTimeParams
from pipeline.atoms.potential_data import TrainingData, load_training_data
from pipeline.runtime.execution import load_execution, run_tasks

__all__ = ["train_for_equal_times"]

STORE = Path("data/molecules.zarr")


class Way(NamedTuple):
    """What is trained, and how."""

    name: str
    method: Method
    forces: bool


def train_for_equal_times(params: EqualTimeParams, methods: Sequence[Method], *, seed: int) -> list[dict[str, Any]]:
    """Errors on the test groups and steps made, one record for each method and one for energies alone."""
    if params.seconds == 0:
        return []
    ways = [Way("energies only", methods[0], False), *(Way(method, method, True) for method in methods)]
    loss = PotentialLoss(energy=params.energy_weight, forces=params.force_weight)
    data = load_training_data(STORE, params.split, loss)
    alone = replace(load_execution(), scheduler="local", workers=1)
    task = partial(train_one, params=params, data=data, seed=seed)
    records: dict[int, dict[str, Any]] = {}
    for index, record in run_tasks(task, ways, alone):
        if isinstance(record, Exception):
            raise record
        records[index] = record
    return [records[index] for index in range(len(ways))]


def train_one(way: Way, *, params: EqualTimeParams, data: TrainingData, seed: int) -> dict[str, Any]:
    """Adam with a learning rate that falls to zero as the time runs out."""
    torch.set_num_threads(1)
    config = params.network.settings.config(data.species, data.reference_energies_eV, data.energy_scale_eV)
    torch.manual_seed(seed)
    network = POTENTIALS[params.network.name].make(config)
    train, test = (with_neighbours(part, config) for part in (data.train, data.test))
    loss = PotentialLoss(energy=params.energy_weight, forces=params.force_weight if way.forces else 0.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=params.learning_rate)
    batches = EpochBatches(len(train), params.batch_size, seed=seed)
    warm = train.batch(list(range(min(len(train), params.batch_size))))
    accumulate_gradients(network, warm, loss, method=way.method)  # what is made once is not counted
    start, n_steps, epoch = time.thread_time(), 0, 0
    while (spent := (time.thread_time() - start) / params.seconds) < 1:
        batches.set_epoch(epoch)
        for rows in batches:
            spent = (time.thread_time() - start) / params.seconds
            for group in optimizer.param_groups:
                group["lr"] = params.learning_rate * max(0.0, 1 - spent)
            optimizer.zero_grad()
            accumulate_gradients(network, train.batch(rows), loss, method=way.method)
            optimizer.step()
            n_steps += 1
            if spent >= 1:
                break
        epoch += 1
    errors = errors_of(predict(network, test, len(test)), data.test)
    return {
        "training": way.name,
        "cpu_seconds": params.seconds,
        "steps": n_steps,
        "energy_rmse_meV_atom": 1e3 * errors.energy_rmse_eV_atom,
        "force_rmse_eV_A": errors.force_rmse_eV_A,
    }
