"""The page of the lane `spectra`: from impurity spectra over latents to the formula of the Kondo temperature."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.params import read_section
from pipeline.report_pages.drawing import drawing, inline_svg, new_figure
from pipeline.report_pages.impurity_figures import draw_examples_on, symlog_frequency_axis
from pipeline.report_pages.impurity_section import SpectrumTable, examples_of_regimes, impurity_section, read_spectra
from pipeline.report_pages.latent_figures import draw_latent_map
from pipeline.report_pages.latent_section import latent_section, map_plane
from pipeline.report_pages.law_figures import draw_law_on
from pipeline.report_pages.law_section import LawTable, found_law, law_section, law_words, read_laws, read_table
from pipeline.report_pages.page import KeyNumber, LanePage, Picture, number, value_with_interval
from pipeline.report_pages.plot_tables import (
    write_latent_table,
    write_law_table,
    write_pareto_tables,
    write_training_tables,
)
from pipeline.report_pages.seed_section import seed_section
from stores.kondo_temperatures import KONDO_TEMPERATURES
from stores.latents import LATENTS, SubsetLatents, read_latents
from stores.spectra import SPECTRA
from stores.zarr_store import open_store, read_manifest

__all__ = ["Lane", "finding", "lane_page", "lane_picture", "read_lane", "write_plot_tables"]

FloatArray = NDArray[np.float64]

PARAMS = ("spectra", "kondo_temperatures", "spectrum_vae", "latents", "formula")


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Everything the page is drawn from."""

    spectra: SpectrumTable
    laws: LawTable
    latents: Mapping[str, SubsetLatents]
    metrics: Mapping[str, Any]  # stage -> contents of reports/metrics/<stage>.json
    selection: Mapping[str, Any]  # runs/spectrum_vae/selection.json
    training: Mapping[str, Mapping[str, FloatArray]]  # subset -> seed -> (n_steps, 2): step, validation error
    formula_folder: Path
    provenance: list[tuple[str, str]]


def read_lane(root: Path) -> Lane:
    """Raises FileNotFoundError that lists every input which is missing, with the stage that makes it."""
    stages = ("spectra", "spectrum_vae", "latents", "formula")
    needed = {f"data/{name}.zarr": name for name in ("spectra", "kondo_temperatures", "latents")}
    needed |= {f"reports/metrics/{stage}.json": stage for stage in stages}
    needed |= {f"reports/formula/{name}.csv": "formula" for name in ("laws", "fronts")}
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
    metrics = {stage: read_metrics(root, stage) for stage in stages}
    return Lane(
        spectra=read_spectra(spectra),
        laws=read_laws(root / "reports/formula/laws.csv"),
        latents={name: read_latents(root / "data/latents.zarr", name) for name in json.loads(latents.attrs["subsets"])},
        metrics=metrics,
        selection=json.loads((root / "runs/spectrum_vae/selection.json").read_text()),
        training=read_training(root / "runs/spectrum_vae", metrics["spectrum_vae"]),
        formula_folder=root / "reports/formula",
        provenance=[
            ("spectra", str(metrics["spectra"]["hash"])),
            ("solver", f"{spectra.attrs['solver']} {spectra.attrs['settings']}"),
            ("Kondo temperatures", read_manifest(root / "data/kondo_temperatures.zarr").hash),
            ("their solver", f"{kondo.attrs['solver']} {kondo.attrs['settings']}"),
            ("latents", read_manifest(root / "data/latents.zarr").hash),
            ("params", hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()),
        ],
    )


def read_metrics(root: Path, stage: str) -> dict[str, Any]:
    """The metrics of a stage, with the details that are too many for `dvc metrics show` where it keeps them apart."""
    found: dict[str, Any] = json.loads((root / f"reports/metrics/{stage}.json").read_text())
    details = root / f"reports/details/{stage}.json"
    return found | json.loads(details.read_text()) if details.exists() else found


def read_training(runs: Path, metrics: Mapping[str, Any]) -> dict[str, dict[str, FloatArray]]:
    """Validation error against training step, as DVCLive logged it, of every seed at the chosen beta."""
    return {
        subset: {
            seed: np.loadtxt(runs / subset / f"seed_{seed}/live/plots/metrics/mae.tsv", skiprows=1, ndmin=2)
            for seed in told["seeds"]
        }
        for subset, told in metrics["subsets"].items()
    }


def write_plot_tables(lane: Lane, folder: Path, *, max_points: int) -> None:
    subset, chosen = best_subset(lane), lane.selection
    plane = map_plane(lane.latents[subset], lane.spectra, lane.metrics["latents"]["subsets"][subset], max_points)
    law = found_law(lane.metrics["formula"])
    write_training_tables(folder, {name: curves[str(chosen[name]["seed"])] for name, curves in lane.training.items()})
    write_pareto_tables(folder, read_table(lane.formula_folder / "fronts.csv"), law["engine"] if law else "")
    write_latent_table(folder, plane)
    write_law_table(folder, lane.laws)


def best_subset(lane: Lane) -> str:
    return str(lane.metrics["latents"]["best_abs_spearman"]["log_T_K"]["subset"])


def lane_page(lane: Lane, *, max_points: int) -> LanePage:
    with drawing():
        sections = [
            impurity_section(lane.spectra, max_points=max_points),
            latent_section(lane.latents, lane.spectra, lane.metrics["latents"], max_points=max_points),
            seed_section(lane.metrics["spectrum_vae"], lane.metrics["latents"], lane.selection, lane.training),
            law_section(lane.laws, lane.metrics["formula"], lane.formula_folder),
        ]
        lead = inline_svg(lane_picture(lane, max_points=max_points), name="lead", description="The lane in one picture")
    return LanePage(
        name="spectra",
        title="The Kondo temperature, found in spectra",
        finding=finding(lane.metrics),
        key_numbers=key_numbers(lane.metrics),
        lead=Picture(
            svg=lead,
            caption="Left, spectra of three regimes, on the logarithmic grid which the network sees. Middle, every "
            "spectrum at its place in the plane of two learned latents, coloured by the Kondo temperature, which the "
            "network never saw. Right, the found formula against Kondo temperatures measured by NRG.",
        ),
        sections=sections,
        provenance=lane.provenance,
    )


def finding(metrics: Mapping[str, Any]) -> str:
    """One sentence; every number comes from the metrics."""
    spectra, best, formula = metrics["spectra"], metrics["latents"]["best_abs_spearman"], metrics["formula"]
    tk, asymmetry = best["log_T_K"], best["asymmetry"]
    law = found_law(formula)
    correction = formula["correction_resolved"]
    same = tk["latent"] == asymmetry["latent"] and tk["subset"] == asymmetry["subset"]
    start = (
        f"From {number(int(spectra['n_spectra']))} impurity spectra, an autoencoder that never saw a physical label "
        f"drew a latent that {follows(tk['value'])} log T_K (|Spearman| {number(tk['value'])}), and "
        f"{'the same one' if same else 'another that'} {follows(asymmetry['value'])} the asymmetry "
        f"({number(asymmetry['value'])}); "
    )
    if law is None:
        return f"{start}no formula for the Kondo temperature was selected."
    coefficient = value_with_interval(correction["coefficient"], correction["low"], correction["high"])
    resolved = correction.get("resolved", correction["low"] > 0 or correction["high"] < 0)
    return (
        f"{start}symbolic regression on Kondo temperatures measured by NRG finds {law_words(law['matches'])} (R² "
        f"{number(law['r2_extrapolation'], 4)} beyond the training range), and the correction πΓ/2U is "
        f"{'resolved' if resolved else 'not resolved'}: coefficient {coefficient}, expected "
        f"{number(correction['expected'])}."
    )


def follows(value: float) -> str:
    """Words for a rank correlation, by fixed thresholds."""
    return "follows" if value >= 0.9 else "loosely follows" if value >= 0.7 else "hardly follows"


def key_numbers(metrics: Mapping[str, Any]) -> list[KeyNumber]:
    spectra, vae, best = metrics["spectra"], metrics["spectrum_vae"], metrics["latents"]["best_abs_spearman"]
    law = found_law(metrics["formula"])
    tk, asymmetry = best["log_T_K"], best["asymmetry"]
    numbers = [
        KeyNumber(
            value=number(int(spectra["n_spectra"])),
            label="spectra by NRG",
            note=f"{number(int(spectra['n_failed']))} failed",
        ),
        KeyNumber(
            value=number(vae["test_mae"], 2), label="test error of πΓA(ω)", note="mean absolute, unseen Hamiltonians"
        ),
        KeyNumber(value=number(vae["active_latents"]), label="active latents, all data", note="found, not set"),
        KeyNumber(value=number(tk["value"]), label="|Spearman|, one latent with log T_K", note=interval(tk)),
        KeyNumber(
            value=number(asymmetry["value"]),
            label="|Spearman|, one latent with the asymmetry",
            note=interval(asymmetry),
        ),
    ]
    if law is not None:
        numbers.append(
            KeyNumber(
                value=number(law["r2_extrapolation"], 4), label="R² of the found law", note="beyond its training range"
            )
        )
    return numbers


def interval(found: Mapping[str, Any]) -> str:
    if found.get("low") is None or found.get("high") is None:
        return ""
    return f"95 %: {number(found['low'])} to {number(found['high'])}"


def lane_picture(lane: Lane, *, max_points: int) -> Figure:
    """Spectra, latent map, law: also the picture of the README."""
    figure = new_figure(11.0, 3.8)
    spectra, latents, law = figure.subplots(1, 3, width_ratios=(1.05, 1.15, 1))
    examples = examples_of_regimes(lane.spectra)
    if examples:
        draw_examples_on(spectra, lane.spectra.omega, examples)
        for line, example in zip(spectra.get_lines(), examples, strict=True):
            line.set_label(example.name)
        spectra.legend(loc="upper left", fontsize=8)
    symlog_frequency_axis(spectra, lane.spectra.omega)
    spectra.set(title="simulated: πΓA(ω)", ylabel="πΓA(ω)", xlabel="ω / D")
    subset = best_subset(lane)
    plane = map_plane(lane.latents[subset], lane.spectra, lane.metrics["latents"]["subsets"][subset], max_points)
    if plane is not None:
        draw_latent_map(latents, plane.x, plane.y, plane.scale, label=plane.scale_label)
        latents.set(xlabel=plane.x_name, ylabel=plane.y_name)
    latents.set_title("learned: two latents")
    if lane.laws.measured.size:
        draw_law_on(law, lane.laws.measured, {"Haldane": lane.laws.haldane, "found": lane.laws.found})
    law.set_title("found: the law of T$_K$")
    return figure
