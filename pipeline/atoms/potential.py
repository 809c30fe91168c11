"""Stage `potential`: networks trained on molecules and on aluminium, and a learning curve.

    reads   params.yaml: potential, data/molecules.zarr, data/aluminium.zarr
    writes  runs/potential/<store>_<model>/      see pipeline.atoms.potential_training
            reports/metrics/potential.json       errors on held-out groups, by store and model
            reports/details/potential.json       test predictions for parity plots, learning curve, histories

Errors are those of the ensemble's mean. A stage that was killed goes on from its checkpoints, with the same weights at
the end.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from models.networks.potentials.potential import POTENTIALS
from pipeline.atoms.potential_data import load_training_data
from pipeline.atoms.potential_params import STORES, PotentialParams
from pipeline.atoms.potential_training import EnsembleJob, Trained, publish, train_ensembles
from pipeline.atoms.records import PotentialDetails, PotentialMetrics
from pipeline.runtime.content_key import content_key
from pipeline.runtime.kept_results import scratch_folder
from pipeline.runtime.params import load_params
from pipeline.runtime.stage import run_stage
from stores.building import building, require_replaceable
from stores.manifest import read_manifest

__all__ = ["main"]

DATA = {"molecules": Path("data/molecules.zarr"), "aluminium": Path("data/aluminium.zarr")}
RUNS = Path("runs/potential")
KIND = "folder of potentials"


def main() -> None:
    params = load_params(PotentialParams, "potential")
    require_replaceable(RUNS, KIND)
    key = content_key("potential", asdict(params), *(read_manifest(path).hash for path in DATA.values()))
    scratch = scratch_folder(f"potential_{key}")
    whole = [_ensemble(store, model, params) for store in STORES for model in params.store(store).networks]
    curve = _curve(params)
    trained = train_ensembles([*whole, *curve], scratch, "potential")
    with building(RUNS, KIND) as workplace:
        for one in trained[: len(whole)]:
            publish(
                one,
                workplace / one.job.name,
                {"store": f"{one.job.name.rpartition('_')[0]}.zarr", "split": asdict(params.split)},
            )
    PotentialMetrics.of(_metrics(trained, params)).write()
    PotentialDetails.of(_details(trained, params)).write()
    for one in trained:  # checkpoints and data; the trainings themselves are kept, as shards are, and their curves
        for file in [path for path in (scratch / one.job.name).rglob("*") if path.is_file()]:
            if not any(curves in file.parents for curves in one.curves):
                file.unlink()


def _ensemble(store: str, model: str, params: PotentialParams, *, fraction: float = 1.0) -> EnsembleJob:
    """The whole training set, or of a part of it one member with the square root of that part of the steps."""
    store_ = params.store(store)
    data = load_training_data(DATA[store], params.split, store_.loss.loss, held_out=store_.held_out)
    if fraction < 1:
        n_train = max(1, round(fraction * len(data.train)))
        data = load_training_data(
            DATA[store], params.split, store_.loss.loss, n_train=n_train, held_out=store_.held_out
        )
    return EnsembleJob(
        name=f"{store}_{model}" + (f"_{len(data.train)}" if fraction < 1 else ""),
        network=POTENTIALS[model].make,
        config=store_.network(model).config(data.species, data.reference_energies_eV, data.energy_scale_eV),
        settings=params.settings(store, model, n_train=len(data.train), share=fraction**0.5),
        n_members=store_.n_members if fraction == 1 else 1,
        seed=params.seed,
        data=data,
        tests={"held_out": data.held_out} if len(data.held_out) else {},
    )


def _curve(params: PotentialParams) -> list[EnsembleJob]:
    curve = params.learning_curve
    return [_ensemble(curve.store, curve.model, params, fraction=fraction) for fraction in curve.fractions]


def _metrics(trained: Sequence[Trained], params: PotentialParams) -> dict[str, Any]:
    metrics = {one.job.name: one.metrics() for one in trained}
    return {
        "stores": {
            store: {model: metrics[f"{store}_{model}"] for model in params.store(store).networks} for store in STORES
        }
    }


def _details(trained: Sequence[Trained], params: PotentialParams) -> dict[str, Any]:
    by_name = {one.job.name: one for one in trained}
    curve, whole = params.learning_curve, f"{params.learning_curve.store}_{params.learning_curve.model}"
    parts = [one for name, one in by_name.items() if name.startswith(f"{whole}_")]
    points = [*(one.metrics() for one in parts), by_name[whole].metrics()]
    keys = ("n_train", "n_members", "energy_mae_meV_atom", "energy_rmse_meV_atom", "force_mae_eV_A", "force_rmse_eV_A")
    return {
        "parity": {name: _parity(one, params.max_points) for name, one in by_name.items() if one not in parts},
        "history": {name: one.histories for name, one in by_name.items()},
        "learning_curve": {
            "store": curve.store,
            "model": curve.model,
            "points": sorted(({key: point[key] for key in keys} for point in points), key=lambda p: p["n_train"]),
        },
    }


def _parity(one: Trained, max_points: int) -> dict[str, Any]:
    """Labels and predictions of the test set, evenly taken: energies per atom above the reference, force components."""
    data, prediction = one.job.data.test, one.predictions["test"]
    reference_M = data.counts(one.job.data.species) @ np.array(one.job.data.reference_energies_eV)
    pairs = {
        "energy_eV_atom": [(e - reference_M) / data.n_atoms for e in (data.energies_eV, prediction.energies_eV)],
        "force_eV_A": [data.forces_eV_A.ravel(), prediction.forces_eV_A.ravel()],
    }
    shown_of = {}
    for name, (label, predicted) in pairs.items():
        known = np.flatnonzero(np.isfinite(label))
        shown = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), max_points)).round().astype(int))]
        shown_of[name] = {"label": label[shown].tolist(), "predicted": predicted[shown].tolist()}
    return shown_of


if __name__ == "__main__":
    run_stage("potential", main, also_explained=(RuntimeError,))
