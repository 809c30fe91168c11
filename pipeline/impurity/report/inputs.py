"""What the page of the lane `spectra` is drawn from: stores, metrics and tables of its stages."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline.impurity.report.impurity_section import SpectrumTable, read_spectra
from pipeline.impurity.report.law_section import LawTable, read_laws
from pipeline.runtime.params import read_section
from stores.kondo_temperatures import KONDO_TEMPERATURES
from stores.latents import LATENTS, SubsetLatents, read_latents
from stores.manifest import read_manifest
from stores.outcome import OK
from stores.spectra import SPECTRA
from stores.zarr_store import open_store

__all__ = ["Lane", "read_lane"]

FloatArray = NDArray[np.float64]
STAGES = ("spectrum_vae", "latents", "formula")
DETAILED = ("latents", "formula")
PARAMS = ("spectra", "kondo_temperatures", "spectrum_vae", "latents", "formula")


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Everything the page is drawn from."""

    spectra: SpectrumTable
    laws: LawTable
    latents: Mapping[str, SubsetLatents]
    metrics: Mapping[str, Any]  # stage -> contents of reports/metrics/<stage>.json; "spectra" -> what the stores say
    selection: Mapping[str, Any]  # runs/spectrum_vae/selection.json
    training: Mapping[str, Mapping[str, FloatArray]]  # subset -> seed -> (n_steps, 2): step, validation error
    formula_folder: Path
    provenance: list[tuple[str, str]]


def read_lane(root: Path) -> Lane:
    """Raises FileNotFoundError that lists every input which is missing, with the stage that makes it."""
    needed = {f"data/{name}.zarr": name for name in ("spectra", "kondo_temperatures", "latents")}
    needed |= {f"reports/metrics/{stage}.json": stage for stage in STAGES}
    needed |= {f"reports/formula/{name}.csv": "formula" for name in ("laws", "fronts")}
    needed |= {f"reports/details/{stage}.json": stage for stage in DETAILED}
    needed |= {"runs/spectrum_vae/selection.json": "spectrum_vae"}
    missing = [
        f"{path} (make it with `dvc repro {stage}`)" for path, stage in needed.items() if not (root / path).exists()
    ]
    if missing:
        raise FileNotFoundError("report: found no " + "; no ".join(missing))
    spectra = open_store(root / "data/spectra.zarr", SPECTRA)
    latents = open_store(root / "data/latents.zarr", LATENTS)
    kondo = open_store(root / "data/kondo_temperatures.zarr", KONDO_TEMPERATURES)
    params = {name: read_section(name, root / "params.yaml") for name in PARAMS}
    metrics = {stage: read_metrics(root, stage) for stage in STAGES}
    return Lane(
        spectra=read_spectra(spectra),
        laws=read_laws(root / "reports/formula/laws.csv"),
        latents={name: read_latents(root / "data/latents.zarr", name) for name in json.loads(latents.attrs["subsets"])},
        metrics={"spectra": facts_of(spectra, kondo), **metrics},
        selection=json.loads((root / "runs/spectrum_vae/selection.json").read_text()),
        training=read_training(root / "runs/spectrum_vae", metrics["spectrum_vae"]),
        formula_folder=root / "reports/formula",
        provenance=[
            ("spectra", read_manifest(root / "data/spectra.zarr").hash),
            ("solver", f"{spectra.attrs['solver']} {spectra.attrs['settings']}"),
            ("Kondo temperatures", read_manifest(root / "data/kondo_temperatures.zarr").hash),
            ("their solver", f"{kondo.attrs['solver']} {kondo.attrs['settings']}"),
            ("latents", read_manifest(root / "data/latents.zarr").hash),
            ("params", hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()),
        ],
    )


def facts_of(spectra: xr.Dataset, kondo: xr.Dataset) -> dict[str, Any]:
    """Counts and solvers as the stores tell them: the rows may be a user's own, whatever the stage last counted."""
    status = spectra["status"].values
    return {
        "n_spectra": int(status.size),
        "n_failed": int((status != OK).sum()),
        "solver": str(spectra.attrs["solver"]),
        "kondo_solver": str(kondo.attrs["solver"]),
    }


def read_metrics(root: Path, stage: str) -> dict[str, Any]:
    """The metrics of a stage, joined with its details, which are too many for `dvc metrics show`."""
    found: dict[str, Any] = json.loads((root / f"reports/metrics/{stage}.json").read_text())
    if stage in DETAILED:
        found |= json.loads((root / f"reports/details/{stage}.json").read_text())
    return found


def read_training(runs: Path, metrics: Mapping[str, Any]) -> dict[str, dict[str, FloatArray]]:
    """Validation error against training step, as DVCLive logged it, of every seed at the chosen beta."""
    return {
        subset: {
            seed: np.loadtxt(runs / subset / f"seed_{seed}/live/plots/metrics/mae.tsv", skiprows=1, ndmin=2)
            for seed in told["seeds"]
        }
        for subset, told in metrics["subsets"].items()
    }
