"""The page of the lane `spectra`: from impurity spectra over latents to the formula of the Kondo temperature."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pipeline.impurity.report.impurity_figures import draw_examples_on, symlog_frequency_axis
from pipeline.impurity.report.impurity_section import examples_of_regimes, impurity_section, solver_words
from pipeline.impurity.report.inputs import Lane, read_lane
from pipeline.impurity.report.latent_section import MapPlane, latent_section, map_plane
from pipeline.impurity.report.law_figures import draw_law_on
from pipeline.impurity.report.law_section import found_laws, law_section, law_words, read_table
from pipeline.impurity.report.seed_section import seed_section
from pipeline.report.drawing import drawing, inline_svg, new_figure
from pipeline.report.latent_figures import draw_latent_map
from pipeline.report.page import KeyNumber, LanePage, LaneReport, Picture, number, r_squared, value_with_interval
from pipeline.report.plot_tables import latent_table, law_table, pareto_tables, training_tables

__all__ = ["finding", "spectra_lane"]


def spectra_lane(root: Path, max_points: int) -> LaneReport:
    """Everything the report shows of this lane. Raises FileNotFoundError for inputs that are missing."""
    lane = read_lane(root)
    best = lane.metrics["latents"]["best_abs_spearman"]
    subset = str(best["log_T_K"]["subset"]) if "log_T_K" in best else next(iter(lane.latents))
    plane = map_plane(lane.latents[subset], lane.spectra, lane.metrics["latents"]["subsets"][subset], max_points)
    laws = found_laws(lane.metrics["formula"])
    with drawing():
        picture = lane_picture(lane, plane)
        page = lane_page(lane, picture, max_points=max_points)
    chosen = {name: curves[str(lane.selection[name]["seed"])] for name, curves in lane.training.items()}
    fronts = read_table(lane.formula_folder / "fronts.csv")
    return LaneReport(
        page=page,
        pictures={"spectra_lane": picture},
        tables={
            **training_tables(chosen),
            **pareto_tables(fronts, str(laws[0]["engine"]) if laws else ""),
            **latent_table(plane),
            **law_table(lane.laws),
        },
    )


def lane_page(lane: Lane, picture: Figure, *, max_points: int) -> LanePage:
    facts = lane.metrics["spectra"]
    sections = [
        impurity_section(lane.spectra, solver=facts["solver"], max_points=max_points),
        latent_section(lane.latents, lane.spectra, lane.metrics["latents"], max_points=max_points),
        seed_section(lane.metrics["spectrum_vae"], lane.metrics["latents"], lane.selection, lane.training),
        law_section(
            lane.laws, lane.metrics["formula"], lane.formula_folder, measured_by=solver_words(facts["kondo_solver"])
        ),
    ]
    return LanePage(
        name="spectra",
        title="The Kondo temperature, found in spectra",
        finding=finding(lane.metrics),
        key_numbers=key_numbers(lane.metrics),
        lead=Picture(
            svg=inline_svg(picture, name="lead", description="The lane in one picture"),
            caption="Left, spectra of three regimes, on the logarithmic grid which the network sees. Middle, every "
            "spectrum at its place in the plane of two learned latents, coloured by the Kondo temperature, which the "
            "network never saw. Right, the found formula against measured Kondo temperatures.",
        ),
        sections=sections,
        provenance=lane.provenance,
    )


def finding(metrics: Mapping[str, Any]) -> str:
    """One sentence; every number comes from the metrics or the store."""
    spectra, best, formula = metrics["spectra"], metrics["latents"]["best_abs_spearman"], metrics["formula"]
    laws = found_laws(formula)
    correction = formula["correction_resolved"]
    start = (
        f"From {number(int(spectra['n_spectra']))} impurity spectra, an autoencoder that never saw a physical label "
    )
    if not {"log_T_K", "asymmetry"} <= set(best):
        start += "found no active latent that could be judged; "
    else:
        tk, asymmetry = best["log_T_K"], best["asymmetry"]
        same = (tk["latent"], tk["subset"]) == (asymmetry["latent"], asymmetry["subset"])
        start += (
            f"drew a latent that {follows(tk['value'])} log T_K (|Spearman| {number(tk['value'])}), and "
            f"{'the same one' if same else 'another that'} {follows(asymmetry['value'])} the asymmetry "
            f"({number(asymmetry['value'])}); "
        )
    if not laws:
        return f"{start}no formula for the Kondo temperature was selected."
    coefficient = value_with_interval(correction["coefficient"], correction["low"], correction["high"])
    resolved = correction.get("resolved", correction["low"] > 0 or correction["high"] < 0)
    return (
        f"{start}symbolic regression on Kondo temperatures measured by {solver_words(spectra['kondo_solver'])} finds "
        f"{' and '.join(map(told, laws))}; "
        f"the correction πΓ/2U is "
        f"{'resolved' if resolved else 'not resolved'}: coefficient {coefficient}, expected "
        f"{number(correction['expected'])}."
    )


def told(law: Mapping[str, Any]) -> str:
    return f"{law_words(law)} ({law['engine']}, R² {r_squared(law['r2_extrapolation'])} beyond the training range)"


def follows(value: float) -> str:
    """Words for a rank correlation, by fixed thresholds."""
    return "follows" if value >= 0.9 else "loosely follows" if value >= 0.7 else "hardly follows"


def key_numbers(metrics: Mapping[str, Any]) -> list[KeyNumber]:
    spectra, vae, best = metrics["spectra"], metrics["spectrum_vae"], metrics["latents"]["best_abs_spearman"]
    laws = found_laws(metrics["formula"])
    numbers = [
        KeyNumber(
            value=number(int(spectra["n_spectra"])),
            label=f"spectra by {solver_words(spectra['solver'])}",
            note=f"{number(int(spectra['n_failed']))} failed",
        ),
        KeyNumber(
            value=number(vae["test_mae"], 2), label="test error of πΓA(ω)", note="mean absolute, unseen Hamiltonians"
        ),
        KeyNumber(value=number(vae["active_latents"]), label="active latents, all data", note="found, not set"),
    ]
    for quantity, words in (("log_T_K", "log T_K"), ("asymmetry", "the asymmetry")):
        if found := best.get(quantity):
            label = f"|Spearman|, one latent with {words}"
            numbers.append(KeyNumber(value=number(found["value"]), label=label, note=interval(found)))
    if laws:
        value = r_squared(laws[0]["r2_extrapolation"])
        numbers.append(KeyNumber(value=value, label="R² of the found law", note="beyond its training range"))
    return numbers


def interval(found: Mapping[str, Any]) -> str:
    if found.get("low") is None or found.get("high") is None:
        return ""
    return f"95 %: {number(found['low'])} to {number(found['high'])}"


def lane_picture(lane: Lane, plane: MapPlane | None) -> Figure:
    """Spectra, latent map, law: also the picture of the README."""
    figure = new_figure(11.0, 3.8)
    spectra, latents, law = figure.subplots(1, 3, width_ratios=(1.05, 1.15, 1))
    examples = examples_of_regimes(lane.spectra)
    if examples:
        draw_examples_on(spectra, lane.spectra.omega, examples)
        for line, example in zip(spectra.get_lines(), examples, strict=True):
            line.set_label(example.name)
        spectra.legend(loc="upper left", fontsize=8)
        spectra.set_ylim(0, 1.3)
    symlog_frequency_axis(spectra, lane.spectra.omega)
    spectra.set(title="simulated: πΓA(ω)", ylabel="πΓA(ω)", xlabel="ω / D")
    if plane is not None:
        draw_latent_map(latents, plane.x, plane.y, plane.scale, label=plane.scale_label)
        latents.set(xlabel=plane.x_name, ylabel=plane.y_name)
    latents.set_title("learned: two latents")
    if lane.laws.measured.size:
        draw_law_on(law, lane.laws.measured, {"Haldane": lane.laws.haldane, "found": lane.laws.found})
    law.set_title("found: the law of T$_K$")
    return figure
