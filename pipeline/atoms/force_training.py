"""Stage `force_training`: what forces cost in training, by three methods, side by side in one run.

    reads   params.yaml: force_training, data/molecules.zarr
    writes  reports/metrics/force_training.json   {"results": one record for each model, system, method, device, dtype}
            reports/details/force_training.json   gradient error against the step of the finite difference, in float32
                                                  and float64; errors after trainings of equal time

Batches: organic molecules of the G2 collection (their mean is 9 atoms), and fcc aluminium cells of 108 atoms, both
rattled. A ratio compares a step that trains energies and forces with one that trains energies alone, same batch and
weights. The error of a gradient is that of the force loss alone, against double backward in float64, as a norm over all
weights: with the energy loss added it would look ten times smaller.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, get_args

import torch

from models.networks.potentials.potential import POTENTIALS, PotentialNetwork
from models.training.potentials.configurations import ConfigurationSet, with_neighbours
from models.training.potentials.forces import DISPLACEMENT, Method, accumulate_gradients
from models.training.potentials.labelled import Labelled
from models.training.potentials.potential_loss import PotentialLoss
from models.training.potentials.step_cost import step_costs
from pipeline.atoms.equal_time import train_for_equal_times
from pipeline.atoms.force_training_params import ForceTrainingParams
from pipeline.atoms.force_training_systems import aluminium_cells, organic_molecules
from pipeline.atoms.records import ForceTrainingDetails, ForceTrainingMetrics
from pipeline.runtime.execution import load_execution, run_tasks
from pipeline.runtime.params import load_params
from pipeline.runtime.stage import run_stage

__all__ = ["main"]

METHODS: tuple[Method, ...] = get_args(Method)
ENERGY = PotentialLoss(energy=1.0, forces=0.0)
BOTH = PotentialLoss(energy=1.0, forces=0.1)
FORCES = PotentialLoss(energy=0.0, forces=1.0)
SYSTEMS = ("organic_molecules", "aluminium_108")


class Case(NamedTuple):
    """One model on one system."""

    model: str
    system: str


def main() -> None:
    params = load_params(ForceTrainingParams, "force_training")
    cases = [Case(model, system) for system in SYSTEMS for model in getattr(params, system).networks]
    results, errors = [], []
    # One worker, so that nothing runs beside what is timed; a worker, for its settings of memory and threads.
    alone = replace(load_execution(), scheduler="local", workers=1)
    for index, measured in run_tasks(partial(measure, params=params), cases, alone):
        if isinstance(measured, Exception):
            raise measured
        results += measured["results"]
        errors.append({**cases[index]._asdict(), "points": measured["errors"]})
        for record in measured["results"]:
            print(_line(record), flush=True)
    trainings = train_for_equal_times(params.equal_time, METHODS, seed=params.seed)
    ForceTrainingDetails.of({"gradient_errors": errors, "equal_time": trainings}).write()
    ForceTrainingMetrics.of({"results": results}).write()


def measure(case: Case, *, params: ForceTrainingParams) -> dict[str, Any]:
    """Cost ratios and gradient errors of one model on one system, on every device that is there."""
    torch.set_num_threads(1)
    system = getattr(params, case.system)
    make = organic_molecules if case.system == "organic_molecules" else aluminium_cells
    data = make(system.n_configurations, rattle_A=system.rattle_A, seed=params.seed)
    config = system.networks[case.model].config(data.species, [0.0] * len(data.species), 1.0)
    torch.manual_seed(params.seed)
    network = _with_forces(POTENTIALS[case.model].make(config))
    sets = {dtype: with_neighbours(data, config, dtype) for dtype in (torch.float32, torch.float64)}
    few = list(range(min(len(data), params.n_configurations_error)))
    errors = gradient_errors(network, sets, few, params.displacements)
    at_default = {(e["dtype"], e["method"]): e["error"] for e in errors if e["displacement"] in (None, DISPLACEMENT)}
    results = []
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        batch = sets[torch.float32].batch(list(range(len(data)))).to(device=device)
        costs = step_costs(_steps(network.float().to(device), batch), n_repeats=params.n_repeats, device=device)
        base = costs["energy"]
        for method in METHODS:
            results.append(
                {
                    **case._asdict(),
                    "method": method,
                    "device": device,
                    "dtype": "float32",
                    "time_ratio": costs[method].seconds / base.seconds,
                    "memory_ratio": costs[method].peak_memory_MiB / base.peak_memory_MiB,
                    "gradient_error": at_default["float32", method],
                    "energy_step_ms": 1e3 * base.seconds,
                    "step_ms": 1e3 * costs[method].seconds,
                    "energy_step_MiB": base.peak_memory_MiB,
                    "n_atoms": batch.graph.n_atoms,
                    "n_pairs": batch.graph.n_pairs,
                    "n_weights": sum(weight.numel() for weight in network.parameters()),
                }
            )
    return {"results": results, "errors": errors}


def gradient_errors(
    network: PotentialNetwork,
    sets: dict[torch.dtype, ConfigurationSet],
    rows: Sequence[int],
    displacements: Sequence[float],
) -> list[dict[str, Any]]:
    """Relative distance of every method's gradient of the force loss from double backward in float64."""
    exact = _gradient(network.double(), sets[torch.float64].batch(rows), method="double_backward")
    errors: list[dict[str, Any]] = []
    for dtype, configurations in sets.items():
        batch = configurations.batch(rows)
        network = network.to(dtype)
        ways: list[tuple[Method, float | None]] = [("double_backward", None), ("forward_over_reverse", None)]
        steps = sorted({*displacements, DISPLACEMENT}, reverse=True)
        ways += [("finite_difference", step) for step in steps]
        for method, step in ways:
            options: dict[str, Any] = {} if step is None else {"displacement": step}
            error = _gradient(network, batch, method=method, **options).double() - exact
            relative = float(error.norm() / exact.norm())
            name = str(dtype).removeprefix("torch.")
            errors.append({"dtype": name, "method": method, "displacement": step, "error": relative})
    return errors


def _gradient(network: PotentialNetwork, batch: Labelled, **options: Any) -> torch.Tensor:  # noqa: ANN401
    network.zero_grad()
    accumulate_gradients(network, batch, FORCES, **options)
    gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in network.parameters()]
    return torch.cat([gradient.flatten() for gradient in gradients]).clone()


def _with_forces(network: PotentialNetwork) -> PotentialNetwork:
    """HIP-NN's readouts of higher terms begin small, so that a fresh network has next to no forces: enlarge them."""
    with torch.no_grad():
        for readout in getattr(network, "readouts", ()):
            torch.nn.init.xavier_normal_(readout.weight)
    return network


def _steps(network: PotentialNetwork, batch: Labelled) -> dict[str, Callable[[], object]]:
    def step(loss: PotentialLoss, method: Method) -> object:
        network.zero_grad()
        return accumulate_gradients(network, batch, loss, method=method)

    steps: dict[str, Callable[[], object]] = {"energy": partial(step, ENERGY, METHODS[0])}
    for method in METHODS:
        steps[method] = partial(step, BOTH, method)
    return steps


def _line(record: dict[str, Any]) -> str:
    return (
        f"force_training: {record['model']:5s} {record['system']:17s} {record['method']:20s} {record['device']} "
        f"{record['step_ms']:7.1f} ms = {record['time_ratio']:.2f} energy steps, "
        f"{record['memory_ratio']:.2f} of the memory, gradient error {record['gradient_error']:.1e}"
    )


if __name__ == "__main__":
    run_stage("force_training", main)
