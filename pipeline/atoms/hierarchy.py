"""Stage `hierarchy`: does the hierarchy of HIP-NN know where it errs, and what do its features mean?

    reads   params.yaml: hierarchy, runs/potential/molecules_hipnn, data/molecules.zarr
    writes  reports/metrics/hierarchy.json     rank correlation, risk-coverage, calibration: [quantity][estimate][set]
            reports/details/hierarchy.json     the curves, points for scatter plots, sizes of the terms, latents

Errors are those of the ensemble's mean: of the energy per atom, and of the force on an atom. Estimates beside them:

    spread             standard deviation over the members, of the energy per atom or the force
    hierarchicality    R_i of an atom, its mean over the atoms of a configuration; a member needs no other
    last_term          |E^n| of the highest n, of the atom, root mean square over the atoms of a configuration

Sets: `held_out` are the test groups of the training, `out_of_distribution` the configurations of sources that training
was not given at all; `told_apart` is the AUROC of one against the other. The one scale which makes an
estimate a standard deviation is fitted on the validation groups.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from models.frames import Frames
from models.laws.uncertainty import auroc, calibration, calibration_scale, rank_correlation, risk_coverage
from models.networks.potentials.ensemble import Ensemble, load_potential
from models.networks.potentials.graph import Configuration, collate
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.neighbours import find_neighbours
from models.settings import settings
from pipeline.atoms.hierarchy_latents import LatentReportSettings, latent_report
from pipeline.atoms.potential_data import TEST, UNUSED, VALIDATION
from pipeline.atoms.records import HierarchyDetails, HierarchyMetrics
from pipeline.runtime.params import load_params
from pipeline.runtime.stage import run_stage
from stores.atoms import ATOMS, LabelledAtoms, load_atoms
from stores.zarr_store import open_store

__all__ = ["HierarchyParams", "main"]

POTENTIAL = Path("runs/potential/molecules_hipnn")
STORE = Path("data/molecules.zarr")
SETS = {"validation": VALIDATION, "held_out": TEST, "out_of_distribution": UNUSED}
BATCH = 64
FloatArray = NDArray[np.float64]


@settings
class HierarchyParams:
    """Section `hierarchy` of params.yaml."""

    seed: NonNegativeInt
    n_bootstrap: NonNegativeInt
    max_points: PositiveInt  # of a curve in the details
    features_per_quantity: PositiveInt
    max_atoms: Annotated[int, Field(ge=10)]
    n_folds: Annotated[int, Field(ge=2)]
    n_neighbours: PositiveInt


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Errors of one quantity in one set, and what was said of them beforehand. N rows."""

    error_NC: FloatArray  # (N, 1) energy per atom [eV], (N, 3) force [eV/A]
    estimates: dict[str, FloatArray]  # (N,) each
    group_N: NDArray[np.int64]

    @property
    def size_N(self) -> FloatArray:
        """Length of the error."""
        return np.asarray(np.linalg.norm(self.error_NC, axis=1), dtype=np.float64)


def main() -> None:
    params = load_params(HierarchyParams, "hierarchy")
    ensemble = _hierarchical(load_potential(POTENTIAL)).to(dtype=torch.float64)
    atoms = load_atoms(STORE)
    part = _split(atoms)
    sets = {name: atoms.frames.select(part == which) for name, which in SETS.items() if (part == which).any()}
    configurations = {name: _configurations(data, ensemble.cutoff_A) for name, data in sets.items()}
    judged, terms = {}, {}
    for name, data in sets.items():
        judged[name], terms[name] = _judge(ensemble, data, configurations[name])
    metrics, curves = _figures(judged, params)
    latents = _latents(ensemble, sets, configurations, params)
    HierarchyMetrics.of(metrics | {"sets": _sizes(sets), "latents": latents.get("best")}).write()
    HierarchyDetails.of(curves | {"terms": terms, "latents": latents}).write()


def _hierarchical(ensemble: Ensemble) -> Ensemble:
    problems = []
    if not isinstance(ensemble.members[0], HIPNN):
        problems.append(f"found a {type(ensemble.members[0]).__name__}, expected HIP-NN, which has a hierarchy")
    if len(ensemble.members) < 2:
        problems.append("found one member, expected at least 2: one has no spread (potential.molecules.n_members)")
    if problems:
        raise ValueError(f"{POTENTIAL}: " + "; ".join(problems))
    return ensemble


def _split(atoms: LabelledAtoms) -> NDArray[np.int8]:
    """Part of each labelled configuration."""
    split = np.load(POTENTIAL / "split.npy")
    n_rows = open_store(STORE, ATOMS).sizes["config"]
    if len(split) > n_rows or atoms.row.max() >= len(split):
        raise ValueError(
            f"{POTENTIAL}/split.npy: found {len(split)} rows, {STORE} has {n_rows}; expected the potential of this "
            "store: train it again (dvc repro potential)"
        )
    part = np.asarray(split[atoms.row])
    for name in ("validation", "held_out"):
        if not (part == SETS[name]).any():
            raise ValueError(f"{POTENTIAL}/split.npy: found no {name} configuration, expected some; raise its fraction")
    return part


def _configurations(frames: Frames, cutoff_A: float) -> list[Configuration]:
    made = []
    for frame in frames:
        near = find_neighbours(frame.positions_A, frame.cells_A[0], frame.pbc[0], cutoff_A)
        made.append(
            Configuration(
                numbers=frame.numbers, positions_A=frame.positions_A, cell_A=frame.cells_A[0], neighbours=near
            )
        )
    return made


def _judge(
    ensemble: Ensemble, data: Frames, configurations: list[Configuration]
) -> tuple[dict[str, Judged], dict[str, Any]]:
    """Errors and estimates of energies and forces, and how large the terms of the hierarchy are."""
    predictions = [
        ensemble.evaluate(*collate(configurations[start : start + BATCH], torch.float64))
        for start in range(0, len(configurations), BATCH)
    ]
    terms_ENT = torch.cat([f.terms_ENT for f in predictions], dim=1)
    last_N = terms_ENT[:, :, -1].square().mean(dim=0).sqrt().numpy()
    r_N = torch.cat([f.hierarchicality_N for f in predictions]).numpy()
    config_N = data.frame_of_atoms

    def mean_over_atoms(values_N: FloatArray) -> FloatArray:
        return np.bincount(config_N, weights=values_N) / data.n_atoms

    energy = torch.cat([f.energy_M for f in predictions]).numpy()
    forces = torch.cat([f.forces_N3 for f in predictions]).numpy()
    spread_N3 = torch.cat([f.forces_spread_N3 for f in predictions]).numpy()
    energies = Judged(
        error_NC=((energy - data.energies_eV) / data.n_atoms)[:, None],
        estimates={
            "spread": torch.cat([f.energy_spread_per_atom_M for f in predictions]).numpy(),
            "hierarchicality": mean_over_atoms(r_N),
            "last_term": np.sqrt(mean_over_atoms(last_N**2)),
        },
        group_N=data.groups,
    )
    of_atoms = Judged(
        error_NC=forces - data.forces_eV_A,
        estimates={"spread": np.sqrt((spread_N3**2).mean(axis=1)), "hierarchicality": r_N, "last_term": last_N},
        group_N=np.repeat(data.groups, data.n_atoms),
    )
    terms = {
        "rms_eV": terms_ENT.square().mean(dim=(0, 1)).sqrt().tolist(),
        "hierarchicality_mean": float(r_N.mean()),
    }
    judged = {"energy": _finite(energies), "forces": _finite(of_atoms)}
    return {name: one for name, one in judged.items() if len(one.group_N)}, terms


def _finite(judged: Judged) -> Judged:
    """Rows that have a label."""
    kept = np.isfinite(judged.error_NC).all(axis=1)
    return Judged(
        error_NC=judged.error_NC[kept],
        estimates={name: values[kept] for name, values in judged.estimates.items()},
        group_N=judged.group_N[kept],
    )


def _figures(
    judged: dict[str, dict[str, Judged]], params: HierarchyParams
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Numbers and curves, [quantity][estimate][set]."""
    numbers: dict[str, dict[str, Any]] = {}
    curves: dict[str, dict[str, Any]] = {}
    for quantity, fitting in judged["validation"].items():
        numbers[quantity], curves[quantity] = {}, {}
        for estimate in fitting.estimates:
            scale = calibration_scale(_components(fitting, estimate), fitting.error_NC.ravel())
            numbers[quantity][estimate] = {"scale": scale}
            curves[quantity][estimate] = {}
            for name in ("held_out", "out_of_distribution"):
                if quantity in judged.get(name, {}):
                    figures, curve = _figure(judged[name][quantity], estimate, scale, params)
                    numbers[quantity][estimate][name] = figures
                    curves[quantity][estimate][name] = curve
            parts = [judged[n][quantity] for n in ("held_out", "out_of_distribution") if quantity in judged.get(n, {})]
            if len(parts) == 2:
                numbers[quantity][estimate]["told_apart"] = auroc(*(p.estimates[estimate] for p in parts))
    return numbers, curves


def _figure(
    judged: Judged, estimate: str, scale: float, params: HierarchyParams
) -> tuple[dict[str, Any], dict[str, Any]]:
    u_N, size_N = judged.estimates[estimate], judged.size_N
    ranked = rank_correlation(u_N, size_N, judged.group_N, n_bootstrap=params.n_bootstrap, seed=params.seed)
    risk = risk_coverage(u_N, size_N)
    calibrated = calibration(scale * _components(judged, estimate), judged.error_NC.ravel())
    shown = _evenly(len(size_N), params.max_points)
    points = np.random.default_rng(params.seed).permutation(len(size_N))[: params.max_points]
    figures = {
        "spearman": list(ranked),
        "mean_error": risk.random_area,
        "area": risk.area,
        "oracle_area": risk.oracle_area,
        "relative_excess": risk.relative_excess,
        "miscalibration": calibrated.miscalibration,
        "n": len(size_N),
    }
    curve = {
        "coverage": risk.coverage_N[shown].tolist(),
        "risk": risk.risk_N[shown].tolist(),
        "oracle_risk": risk_coverage(size_N, size_N).risk_N[shown].tolist(),
        "expected": calibrated.expected_P.tolist(),
        "observed": calibrated.observed_P.tolist(),
        "estimate": u_N[points].tolist(),
        "error": size_N[points].tolist(),
    }
    return figures, curve


def _components(judged: Judged, estimate: str) -> FloatArray:
    """The estimate beside every component of the error."""
    return np.repeat(judged.estimates[estimate], judged.error_NC.shape[1])


def _evenly(n: int, n_shown: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, n_shown)).round().astype(np.int64))


def _latents(
    ensemble: Ensemble,
    sets: dict[str, Frames],
    configurations: dict[str, list[Configuration]],
    params: HierarchyParams,
) -> dict[str, Any]:
    """Of the first member, on the held-out groups."""
    model = ensemble.members[0]
    assert isinstance(model, HIPNN)
    settings = LatentReportSettings(
        features_per_quantity=params.features_per_quantity,
        max_atoms=params.max_atoms,
        n_bootstrap=params.n_bootstrap,
        n_folds=params.n_folds,
        n_neighbours=params.n_neighbours,
        seed=params.seed,
    )
    return latent_report(model, configurations["held_out"], sets["held_out"], settings)


def _sizes(sets: dict[str, Frames]) -> dict[str, Any]:
    return {
        name: {
            "n_configs": len(frames),
            "n_atoms": len(frames.numbers),
            "sources": sorted({str(source) for source in frames.sources}),
        }
        for name, frames in sets.items()
    }


if __name__ == "__main__":
    run_stage("hierarchy", main)
