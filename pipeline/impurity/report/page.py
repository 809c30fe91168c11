"""The page of impurity spectra: from spectra over latents to the formula of the Kondo temperature."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.discover.records import Formula
from pipeline.impurity.records import (
    BestLatent,
    Coefficient,
    FormulaDetails,
    FormulaMetrics,
    GeneralVerdict,
    LatentsDetails,
    LatentsMetrics,
    PseudogapMetrics,
    Selection,
    SpectraMetrics,
    SpectrumVAEMetrics,
)
from pipeline.impurity.report.latent_section import MapPlane, draw_latent_map, latent_section, map_plane
from pipeline.impurity.report.law_section import (
    LawTable,
    Rows,
    draw_law_on,
    general_words,
    law_section,
    read_laws,
    read_table,
    selected_laws,
)
from pipeline.impurity.report.pseudogap_section import pseudogap_section
from pipeline.impurity.report.seed_section import seed_section
from pipeline.impurity.report.spectra_section import (
    SpectrumTable,
    draw_examples_on,
    examples_of_regimes,
    read_spectra,
    solver_words,
    spectra_section,
    symlog_frequency_axis,
)
from pipeline.report.drawing import drawing, new_figure
from pipeline.report.inputs import params_hash, require
from pipeline.report.page import (
    KeyNumber,
    LanePage,
    LaneReport,
    csv_table,
    number,
    picture,
    r_squared,
    value_with_interval,
)
from pipeline.report.registry import headline_numbers, report_page
from pipeline.report.replication_table import replication_sections
from stores.kondo_temperatures import KONDO_TEMPERATURES
from stores.latents import LATENTS, SubsetLatents, read_latents
from stores.manifest import read_manifest
from stores.outcome import OK
from stores.spectra import SPECTRA
from stores.zarr_store import open_store

__all__ = ["Facts", "ImpurityInputs", "finding", "key_numbers", "read_impurity", "spectra_page"]

FloatArray = NDArray[np.float64]
PARAMS = ("spectra", "kondo_temperatures", "spectrum_vae", "latents", "formula", "pseudogap")
STORES = {"spectra": SPECTRA, "kondo_temperatures": KONDO_TEMPERATURES, "latents": LATENTS}
FILES = ("reports/formula/laws.csv", "reports/formula/fronts.csv")
RECORDS = (
    SpectrumVAEMetrics, LatentsMetrics, FormulaMetrics, LatentsDetails, FormulaDetails, Selection, PseudogapMetrics,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Counts and solvers as the stores state them: the rows may be a user's own, whatever the stage last counted."""

    n_spectra: int
    n_failed: int
    solver: str
    kondo_solver: str


@dataclass(frozen=True, kw_only=True)
class ImpurityInputs:
    """Everything the page is drawn from."""

    facts: Facts
    spectra: SpectrumTable
    laws: LawTable
    fronts: Rows
    latents: Mapping[str, SubsetLatents]  # by subset, as the next four
    reports: LatentsDetails
    vae: SpectrumVAEMetrics
    selection: Selection
    training: Mapping[str, Mapping[str, FloatArray]]  # subset -> seed -> (n_steps, 2): step, validation error
    best: Mapping[str, BestLatent]
    formula: FormulaMetrics
    formula_details: FormulaDetails
    pseudogap: PseudogapMetrics
    provenance: list[tuple[str, str]]


@headline_numbers("spectra", order=10)
def headline(root: Path) -> dict[str, int | float | None]:
    """Of spectra, latents and law.

    n_spectra        spectra of impurities in the store
    friedel_99       99th percentile of the difference between pi Gamma A(0) and Friedel's sum rule
    T_K_corr         |Spearman| of one latent variable and log T_K, test Hamiltonians, low temperatures
    n_d_corr         |Spearman| of another latent variable and the occupation, the same rows, no mirror images
    T_K_exponent     fitted coefficient of eps_d (eps_d + U) / (U Gamma) in log T_K; Haldane: pi/2
    T_K_prefactor    fitted coefficient of log(U / Gamma); Haldane: 1/2
    T_K_correction   fitted coefficient of Gamma / U, which Haldane's law lacks; Bethe ansatz: pi/2
    """
    spectra, best = SpectraMetrics.read(root), LatentsMetrics.read(root).best_abs_spearman
    fit = FormulaDetails.read(root).coefficient_test
    return {
        "n_spectra": spectra.n_spectra,
        "friedel_99": spectra.friedel.percentile_99,
        "T_K_corr": best["log_T_K"].value if "log_T_K" in best else None,
        "n_d_corr": best["n_d"].value if "n_d" in best else None,
        **{f"T_K_{term}": fit[term].coefficient for term in ("exponent", "prefactor", "correction")},
    }


@report_page("spectra", order=10)
def spectra_page(root: Path, max_points: int) -> LaneReport:
    """Raises FileNotFoundError for inputs that are missing, ValueError for those of another version."""
    inputs = read_impurity(root)
    subset = inputs.best["log_T_K"].subset if "log_T_K" in inputs.best else next(iter(inputs.latents))
    plane = map_plane(inputs.latents[subset], inputs.spectra, inputs.reports.subsets[subset], max_points)
    laws = selected_laws(inputs.formula.results, inputs.formula_details.engine_choice.ran)
    with drawing():
        lead = lead_figure(inputs, plane)
        sections = [
            spectra_section(inputs.spectra, solver=inputs.facts.solver, max_points=max_points),
            latent_section(inputs.latents, inputs.spectra, inputs.best, inputs.reports.subsets, max_points=max_points),
            seed_section(inputs.vae.subsets, inputs.reports.subsets, inputs.selection.root, inputs.training),
            law_section(
                inputs.laws,
                inputs.formula,
                inputs.formula_details,
                inputs.fronts,
                measured_by=solver_words(inputs.facts.kondo_solver),
            ),
            pseudogap_section(inputs.pseudogap),
        ]
        sections[2:2] = replication_sections(root, "impurity")
        page = LanePage(
            name="spectra",
            title="The Kondo temperature, found in spectra",
            finding=finding(inputs.facts, inputs.best, inputs.formula.general, inputs.formula.correction_resolved),
            key_numbers=key_numbers(inputs.facts, inputs.vae, inputs.best, laws),
            lead=picture(
                lead,
                name="lead",
                description="The lane in one picture",
                caption="Left, spectra of three regimes, on the logarithmic grid which the network sees. Middle, every "
                "spectrum at its place in the plane of two learned latents, coloured by the Kondo temperature, which "
                "the network never saw. Right, the found formula against measured Kondo temperatures.",
            ),
            sections=sections,
            provenance=inputs.provenance,
        )
    return LaneReport(
        page=page,
        pictures={"spectra_lane": lead},
        tables=plot_tables(inputs, plane, laws[0].engine if laws else ""),
    )


def read_impurity(root: Path) -> ImpurityInputs:
    paths = {f"data/{name}.zarr": name for name in STORES}
    require(root, paths | dict.fromkeys(FILES, "formula"), RECORDS)
    stores = {name: open_store(root / f"data/{name}.zarr", schema) for name, schema in STORES.items()}
    spectra, kondo = stores["spectra"], stores["kondo_temperatures"]
    vae = SpectrumVAEMetrics.read(root)
    hashes = {name: read_manifest(root / path).hash for path, name in paths.items()}
    return ImpurityInputs(
        facts=facts_of(spectra, kondo),
        spectra=read_spectra(spectra),
        laws=read_laws(root / FILES[0]),
        fronts=read_table(root / FILES[1]),
        latents={
            name: read_latents(root / "data/latents.zarr", name)
            for name in json.loads(stores["latents"].attrs["subsets"])
        },
        reports=LatentsDetails.read(root),
        vae=vae,
        selection=Selection.read(root),
        training=read_training(root / "runs/spectrum_vae", vae),
        best=LatentsMetrics.read(root).best_abs_spearman,
        formula=FormulaMetrics.read(root),
        formula_details=FormulaDetails.read(root),
        pseudogap=PseudogapMetrics.read(root),
        provenance=[
            ("spectra", hashes["spectra"]),
            ("solver", f"{spectra.attrs['solver']} {spectra.attrs['settings']}"),
            ("Kondo temperatures", hashes["kondo_temperatures"]),
            ("their solver", f"{kondo.attrs['solver']} {kondo.attrs['settings']}"),
            ("latents", hashes["latents"]),
            ("params", params_hash(root, PARAMS)),
        ],
    )


def facts_of(spectra: xr.Dataset, kondo: xr.Dataset) -> Facts:
    status = spectra["status"].values
    return Facts(
        n_spectra=int(status.size),
        n_failed=int((status != OK).sum()),
        solver=str(spectra.attrs["solver"]),
        kondo_solver=str(kondo.attrs["solver"]),
    )


def read_training(runs: Path, vae: SpectrumVAEMetrics) -> dict[str, dict[str, FloatArray]]:
    """Validation error against training step, as DVCLive logged it, of every seed at the chosen beta."""
    return {
        subset: {
            seed: np.loadtxt(runs / subset / f"seed_{seed}/live/plots/metrics/mae.tsv", skiprows=1, ndmin=2)
            for seed in trained.seeds
        }
        for subset, trained in vae.subsets.items()
    }


def finding(
    facts: Facts, best: Mapping[str, BestLatent], general: Sequence[GeneralVerdict], correction: Coefficient
) -> str:
    """One sentence; every number comes from the metrics or the store."""
    start = f"From {number(facts.n_spectra)} impurity spectra, an autoencoder that never saw a physical label "
    if not {"log_T_K", "n_d"} <= set(best):
        start += "found no active latent that could be scored on test Hamiltonians; "
    else:
        tk, occupation = best["log_T_K"], best["n_d"]
        same = (tk.latent, tk.subset) == (occupation.latent, occupation.subset)
        start += (
            f"drew a latent that {follows(tk.value)} log T_K (|Spearman| {number(tk.value)} on test Hamiltonians, "
            f"where the {tk.baseline.replace('_', ' ')} of the curve alone has {number(tk.baseline_value)}), "
            f"and {'the same one' if same else 'another that'} {follows(occupation.value)} the occupation "
            f"({number(occupation.value)}); "
        )
    if not general:
        return f"{start}no general engine searched for a formula of the Kondo temperature."
    first = general[0]
    formula = f"symbolic regression ({first.engine}), given energies and their units alone, {general_words(first)}"
    return (
        f"{start}on {number(first.n_rows)} Kondo temperatures measured by {solver_words(facts.kondo_solver)}, {formula}"
        f"; a fit of the "
        f"coefficients of Haldane's law with the correction πΓ/2U "
        f"{'resolves' if correction.resolved else 'does not resolve'} that term: "
        f"{value_with_interval(correction.coefficient, correction.low, correction.high)}, expected "
        f"{number(correction.expected)}."
    )


def follows(value: float) -> str:
    """Words for a rank correlation, by fixed thresholds."""
    return "follows" if value >= 0.9 else "loosely follows" if value >= 0.7 else "hardly follows"


def key_numbers(
    facts: Facts, vae: SpectrumVAEMetrics, best: Mapping[str, BestLatent], laws: Sequence[Formula]
) -> list[KeyNumber]:
    numbers = [
        KeyNumber(
            value=number(facts.n_spectra),
            label=f"spectra by {solver_words(facts.solver)}",
            note=f"{number(facts.n_failed)} failed",
        ),
        KeyNumber(
            value=number(vae.test_mae, 2), label="test error of πΓA(ω)", note="mean absolute, unseen Hamiltonians"
        ),
        KeyNumber(value=number(vae.active_latents), label="active latents, all data", note="found, not set"),
    ]
    for quantity, words in (("log_T_K", "log T_K"), ("n_d", "the occupation")):
        if row := best.get(quantity):
            note = "" if row.low is None or row.high is None else f"95 %: {number(row.low)} to {number(row.high)}"
            numbers.append(KeyNumber(value=number(row.value), label=f"|Spearman|, one latent with {words}", note=note))
    if laws:
        value = r_squared(laws[0].r2_extrapolation)
        numbers.append(KeyNumber(value=value, label="R² of the found law", note="beyond its training range"))
    return numbers


def lead_figure(inputs: ImpurityInputs, plane: MapPlane | None) -> Figure:
    """Spectra, latent map, law: also the picture of the README."""
    figure = new_figure(11.0, 3.8)
    spectra, latents, law = figure.subplots(1, 3, width_ratios=(1.05, 1.15, 1))
    examples = examples_of_regimes(inputs.spectra)
    if examples:
        draw_examples_on(spectra, inputs.spectra.omega, examples)
        for line, example in zip(spectra.get_lines(), examples, strict=True):
            line.set_label(example.name)
        spectra.legend(loc="upper left", fontsize=8)
        spectra.set_ylim(0, 1.3)
    symlog_frequency_axis(spectra, inputs.spectra.omega)
    spectra.set(title="simulated: πΓA(ω)", ylabel="πΓA(ω)", xlabel="ω / D")
    if plane is not None:
        draw_latent_map(latents, plane.x, plane.y, plane.scale, label=plane.scale_label)
        latents.set(xlabel=plane.x_name, ylabel=plane.y_name)
    latents.set_title("learned: two latents")
    if inputs.laws.measured.size:
        draw_law_on(law, inputs.laws.measured, {"Haldane": inputs.laws.haldane, "found": inputs.laws.found})
    law.set_title("found: the law of T$_K$")
    return figure


def plot_tables(inputs: ImpurityInputs, plane: MapPlane | None, engine: str) -> dict[str, str]:
    """For `dvc plots`.

    training_<subset>   step, mae              validation error of the chosen training
    pareto_<target>     complexity, loss       front of the chosen engine in the first encoding; empty: no search
    latents             log10_scale, latent_scale, asymmetry, latent_asymmetry     the two latents nearest to both
    laws                measured, found, haldane, haldane_corrected                log10 T_K / D
    """
    tables = {
        f"training_{subset}": csv_table(("step", "mae"), curves[str(inputs.selection.root[subset].seed)])
        for subset, curves in inputs.training.items()
    }
    for target in ("nrg", "latent"):
        latent = [row for row in inputs.fronts if row["target"] == target and row["engine"] == engine]
        first = [row for row in latent if row["encoding"] == latent[0]["encoding"]]
        rows = ((float(row["complexity"]), float(row["loss"])) for row in first)
        tables[f"pareto_{target}"] = csv_table(("complexity", "loss"), rows)
    columns = [] if plane is None else [plane.scale, plane.x, plane.asymmetry, plane.y]
    known = (row for row in zip(*columns, strict=True) if np.isfinite(row).all())
    tables["latents"] = csv_table(("log10_scale", "latent_scale", "asymmetry", "latent_asymmetry"), known)
    names = ("measured", "found", "haldane", "haldane_corrected")
    laws = [getattr(inputs.laws, name) / np.log(10) for name in names]
    return tables | {"laws": csv_table(names, zip(*laws, strict=True))}
