"""Stage `latents`: what does each latent know about the physics?

    reads   params.yaml: latents, data/spectra.zarr, runs/spectrum_vae/
    writes  data/latents.zarr (stores.latents.LATENTS), reports/metrics/latents.json,
            reports/details/latents.json (all associations, words, every seed, every baseline)

Labels (T_K, occupation) are met here for the first time: no choice of network saw them. Two kinds of numbers:

    held out       test Hamiltonians, one of each mirror pair, every seed beside the baselines: what is reported
                   (pipeline.impurity.latent_evaluation)
    associations   all rows, training rows included: a picture of the latent space, in the details alone

over    low_temperature   lowest temperature, no field, and T_K > T: below T the spectrum cannot tell T_K
        full              all spectra; there the energy scale is max(T_K, T, |B|)
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from models.laws.associations import association_report, describe_coordinate
from models.laws.correlation import Interval
from models.laws.groups import whole_groups
from models.laws.held_out import Coordinates, HeldOut
from models.networks.spectra.spectrum_vae import SpectrumVAE
from models.settings import settings
from pipeline.impurity.encoding import Encoded, encode
from pipeline.impurity.latent_evaluation import NETWORK, SUMMARIES, coordinate_sets, held_out_report
from pipeline.impurity.records import LatentsDetails, LatentsMetrics
from pipeline.impurity.subsets import QUANTITY_WORDS, SUBSETS, quantities
from pipeline.runtime.params import load_params
from pipeline.runtime.progress import progress_bar
from pipeline.runtime.stage import run_stage
from stores.building import require_replaceable, store_kind
from stores.latents import LATENTS
from stores.spectra import SPECTRA
from stores.zarr_store import open_store, write_store

__all__ = ["LatentsParams", "main"]

SPECTRA_STORE = Path("data/spectra.zarr")
LATENTS_STORE = Path("data/latents.zarr")
RUNS = Path("runs/spectrum_vae")

Array = NDArray[np.float64]
HEADLINES = {
    "log_T_K": "low_temperature",
    "asymmetry": "low_temperature",
    "n_d": "low_temperature",
    "log_max_scale": "full",
    "field_share": "full",
}


@settings
class LatentsParams:
    """params.yaml: latents."""

    n_bootstrap: NonNegativeInt
    bootstrap_seed: NonNegativeInt
    max_rows: Annotated[int, Field(ge=10)]
    n_folds: Annotated[int, Field(ge=2)]
    n_neighbours: PositiveInt
    traversal_steps: Annotated[int, Field(ge=2)]
    traversal_range: PositiveFloat


def main() -> None:
    params = load_params(LatentsParams, "latents")
    require_replaceable(LATENTS_STORE, store_kind(LATENTS))
    torch.set_num_threads(1)
    spectra = open_store(SPECTRA_STORE, SPECTRA).load()
    selection = json.loads((RUNS / "selection.json").read_text())
    selected, report = [], {}
    with progress_bar("latents", len(SUBSETS), "subsets") as progress:
        for subset in SUBSETS:
            chosen = selection[subset]
            encoded = encode(spectra, RUNS / subset / f"seed_{chosen['seed']}", subset)
            selected.append(encoded)
            report[subset] = _report(encoded, spectra, params)
            report[subset]["held_out"] = _held_out(encoded, spectra, params)
            progress.update()
    write_store(LATENTS_STORE, LATENTS, _dataset(selected, spectra, params))
    LatentsDetails.of({"subsets": report}).write()
    LatentsMetrics.of({"best_abs_spearman": _best_abs_spearman(report)}).write()


def _report(encoded: Encoded, spectra: xr.Dataset, params: LatentsParams) -> dict[str, Any]:
    compared, known = quantities(spectra, encoded.rows, encoded.subset)
    hamiltonian = spectra["hamiltonian"].values[encoded.rows][compared]
    sample = whole_groups(hamiltonian, params.max_rows, params.bootstrap_seed)
    z_NL = encoded.mean[compared][sample]
    report = association_report(
        z_NL,
        encoded.names,
        {name: values[sample] for name, values in known.items()},
        hamiltonian[sample],
        n_bootstrap=params.n_bootstrap,
        n_folds=params.n_folds,
        n_neighbours=params.n_neighbours,
        seed=params.bootstrap_seed,
    )
    mirror = encoded.model.config.architecture == "mirror"
    return {
        "n_rows": int(compared.sum()),
        "associations": report.associations,
        "together": report.together,
        "meaning": [
            describe_coordinate(
                latent,
                _named_once({name: association.spearman for name, association in line.items()}),
                words=QUANTITY_WORDS,
                remarks=(f"It carries {float(kl):.1f} nats a spectrum.", *_mirror_remark(latent, mirror=mirror)),
            )
            for (latent, line), kl in zip(report.table.items(), encoded.kl, strict=True)
        ],
    }


def _mirror_remark(latent: str, *, mirror: bool) -> tuple[str, ...]:
    if not mirror:
        return ()
    even = latent.startswith("even")
    return ("The particle-hole mirror leaves it unchanged." if even else "The particle-hole mirror turns its sign.",)


def _named_once(spearman: dict[str, Interval]) -> dict[str, Interval]:
    """Where T_K is the largest scale of all rows, max(T_K, T, |B|) is no second quantity."""
    same = "log_T_K" in spearman and spearman["log_T_K"] == spearman.get("log_max_scale")
    return {name: interval for name, interval in spearman.items() if not (same and name == "log_max_scale")}


def _held_out(selected: Encoded, spectra: xr.Dataset, params: LatentsParams) -> dict[str, Any]:
    """Quantity -> scored rows -> set of coordinates, for the selected training, all others and the baselines."""
    networks = {NETWORK: _coordinates(selected)}
    for folder in sorted((RUNS / selected.subset).glob("*/")):
        networks[folder.name] = _coordinates(encode(spectra, folder, selected.subset))
    sets = coordinate_sets(
        spectra["spectrum"].values[selected.rows],
        spectra["omega"].values,
        train_N=selected.split == 0,
        config=selected.model.config,
        networks=networks,
    )
    report = held_out_report(
        sets,
        spectra,
        selected.rows,
        selected.split,
        selected.subset,
        n_bootstrap=params.n_bootstrap,
        seed=params.bootstrap_seed,
    )
    return {
        quantity: {rows: {name: _held_out_record(of) for name, of in line.items()} for rows, line in scored.items()}
        for quantity, scored in report.items()
    }


def _coordinates(encoded: Encoded) -> Coordinates:
    return Coordinates(z_NL=encoded.mean, names=tuple(encoded.names))


def _held_out_record(of: HeldOut) -> dict[str, Any]:
    return {
        "coordinate": of.coordinate,
        "spearman": list(of.spearman),
        "ahead": list(of.ahead),
        "n_rows": of.n_rows,
        "n_hamiltonians": of.n_groups,
    }


def _best_abs_spearman(report: dict[str, Any]) -> dict[str, Any]:
    """Per headline quantity the latent that follows it best, and what follows it without learning, on test rows."""
    best: dict[str, Any] = {}
    for quantity, subset in HEADLINES.items():
        scored = report[subset]["held_out"].get(quantity, {})
        if "test" not in scored or NETWORK not in scored["test"]:
            continue
        best[quantity] = {"subset": subset, **report[subset]["together"].get(quantity, {})}
        for rows, line in scored.items():
            network, plain = line[NETWORK], line[SUMMARIES]
            value, low, high = network["spearman"]
            numbers = {
                "value": value,
                "low": low,
                "high": high,
                "n_rows": network["n_rows"],
                "n_hamiltonians": network["n_hamiltonians"],
                "baseline": plain["coordinate"],
                "baseline_value": plain["spearman"][0],
                "ahead": network["ahead"],
            }
            if rows == "test":
                best[quantity] |= {"latent": network["coordinate"], **numbers}
            else:
                best[quantity][rows] = numbers
    return best


def _dataset(selected: list[Encoded], spectra: xr.Dataset, params: LatentsParams) -> xr.Dataset:
    n_latent = max(len(encoded.active) for encoded in selected)
    n_omega = spectra.sizes["omega"]
    shape = (len(selected), n_latent, params.traversal_steps)
    position, decoded = np.full(shape, np.nan), np.full((*shape, n_omega), np.nan, dtype=np.float32)
    kl = np.full(shape[:2], np.nan)
    for i, encoded in enumerate(selected):
        for j, latent in enumerate(encoded.active):
            kl[i, j] = encoded.kl[j]
            position[i, j], decoded[i, j] = traverse(encoded.model, latent, params)
    columns: dict[str, Any] = {
        "subset_index": np.concatenate([np.full(len(e.rows), i, dtype=np.int64) for i, e in enumerate(selected)]),
        "spectrum_row": np.concatenate([e.rows for e in selected]),
        "hamiltonian": np.concatenate([spectra["hamiltonian"].values[e.rows] for e in selected]),
        "split": np.concatenate([e.split for e in selected]),
        "latent_mean": np.concatenate([_padded(e.mean, n_latent) for e in selected]),
        "latent_std": np.concatenate([_padded(e.std, n_latent) for e in selected]),
        "kl": kl,
        "traversal_position": position,
        "traversal_spectrum": decoded,
    }
    attributes = {
        "subsets": json.dumps([e.subset for e in selected]),
        "latent_names": json.dumps({e.subset: e.names for e in selected}, sort_keys=True),
    }
    return LATENTS.dataset(columns | {"omega": spectra["omega"].values}, attributes)


def traverse(model: SpectrumVAE, latent: int, params: LatentsParams) -> tuple[Array, NDArray[np.float32]]:
    """Positions (S,) of one latent, the others at 0, and the spectra (S, W) decoded there."""
    position = np.linspace(-params.traversal_range, params.traversal_range, params.traversal_steps)
    z_SL = torch.zeros(len(position), model.config.n_latent)
    z_SL[:, latent] = torch.from_numpy(position).float()
    with torch.inference_mode():
        return position, model.decode(z_SL).numpy()


def _padded(values: Array, n_columns: int) -> Array:
    return np.pad(values, ((0, 0), (0, n_columns - values.shape[1])), constant_values=np.nan)


if __name__ == "__main__":
    run_stage("latents", main)
