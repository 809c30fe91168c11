"""The page of the lane `microstructures`: maps of micrographs, and what two-point statistics cannot see."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.physics.microstructure.phase_order import PhaseOrder, phase_order
from pipeline.microstructure.embedding_goals import NETWORK, PAIR_STATISTICS
from pipeline.microstructure.records import EmbeddingMetrics
from pipeline.microstructure.report.beyond_section import beyond_section
from pipeline.microstructure.report.inputs import MicrostructureInputs, best_of, read_microstructures
from pipeline.microstructure.report.map_section import (
    METHODS,
    descriptor_words,
    dimension_section,
    draw_image,
    draw_map_on,
    draw_r2_on,
    law_section,
    map_section,
    recovery_section,
)
from pipeline.microstructure.targets import HIDDEN
from pipeline.report.drawing import drawing, new_figure, thinned
from pipeline.report.page import (
    KeyNumber,
    LanePage,
    LaneReport,
    Notice,
    csv_table,
    number,
    picture,
    value_with_interval,
)
from pipeline.report.registry import headline_numbers, report_page
from pipeline.report.replication_table import replication_sections

__all__ = ["finding", "headline", "microstructures_page", "series"]

STEPS = (0.0, 0.33, 0.67, 1.0)


@headline_numbers("microstructures", order=20)
def headline(root: Path) -> dict[str, int | float | None]:
    """Linear R2 of the pretrained network in its better map: hidden order of cells, and mean over lamellae."""
    results = EmbeddingMetrics.read(root).results
    numbers = {}
    for name, generator, parameter in (("hidden_order", HIDDEN, HIDDEN), ("lamellae", "lamellae", "mean")):
        best = [r.linear_r2[parameter] for r in best_of(results, generator, parameter) if r.descriptor == NETWORK]
        numbers[f"{name}_R2"] = best[0] if best else None
    return numbers


@report_page("microstructures", order=40)
def microstructures_page(root: Path, max_points: int) -> LaneReport:
    """Raises FileNotFoundError for inputs that are missing, ValueError for those of another version."""
    inputs = read_microstructures(root)
    with drawing():
        lead = lead_figure(inputs, max_points)
        sections = [
            recovery_section(inputs),
            map_section(inputs, max_points),
            dimension_section(inputs),
            law_section(inputs),
        ]
    page = LanePage(
        name="microstructures",
        title="What two-point statistics cannot see in a micrograph",
        finding=finding(inputs),
        key_numbers=key_numbers(inputs),
        lead=Notice(text="No cells of equal two-point statistics in the data: the lead figure is missing.")
        if lead is None
        else picture(
            lead,
            name="microstructures-lead",
            description="What two-point statistics cannot see",
            caption="Left, one structure of cells whose Fourier phases are made random step by step: the modulus of "
            "its Fourier transform, and with it the two-point correlation, stays the same. Middle, every image at its "
            "place in two maps, coloured by t, which neither map has seen. Right, R² of t, in the better map of each "
            "descriptor, with 95 % intervals; a negative R² is worse than guessing the mean.",
        ),
        sections=[*sections, beyond_section(root), *replication_sections(root, "microstructure")],
        provenance=inputs.provenance,
    )
    return LaneReport(
        page=page,
        pictures={} if lead is None else {"microstructures_lane": lead},
        tables=plot_tables(inputs),
    )


def lead_figure(inputs: MicrostructureInputs, max_points: int) -> Figure | None:
    """Images at four t, two maps, R2: also the picture of the README."""
    records = best_of(inputs.details, HIDDEN, HIDDEN)
    by_name = {record.descriptor: record for record in records}
    if not records:
        return None
    figure = new_figure(12.5, 3.7)
    parts: Any = figure.subfigures(1, 3, width_ratios=(0.92, 1.72, 1.15))
    left, middle, right = parts
    for axes, t, image in zip(left.subplots(2, 2).flat, STEPS, series(inputs), strict=True):
        draw_image(axes, image, f"t = {t:g}")
    left.suptitle("same two-point statistics", fontsize=10.5, fontweight="bold")
    shown = [name for name in ("two_point", NETWORK) if name in by_name] or list(by_name)[:2]
    for axes, name in zip(middle.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        rows, coordinates = inputs.coordinates(HIDDEN, name, by_name[name].method)
        some = thinned(np.arange(len(rows)), max_points)
        draw_map_on(axes, coordinates[some], inputs.column(HIDDEN, rows[some]), label="t")
        axes.set_title(descriptor_words(name))
    axes = right.subplots()
    draw_r2_on(axes, records, HIDDEN)
    axes.set(title="what the maps know of t", xlabel="linear R² of t")
    return figure


def series(inputs: MicrostructureInputs) -> list[NDArray[np.float64]]:
    """One structure at four t, made as the stage makes them: the same random numbers, so t alone changes."""
    settings = inputs.settings["phase_order"]
    shape = (inputs.images.sizes["y"], inputs.images.sizes["x"])
    scale = float(np.sqrt(np.prod(settings["scale_px"])))
    return [
        phase_order(
            PhaseOrder(
                phase_order=t,
                scale_px=scale,
                shape=shape,
                wall_width=settings["wall_width"],
                clip_sigmas=settings["clip_sigmas"],
            ),
            np.random.default_rng(int(inputs.settings["seed"])),
        )
        for t in STEPS
    ]


def finding(inputs: MicrostructureInputs) -> str:
    """One or two sentences; every number comes from the metrics."""
    cells = {r.descriptor: r.linear_r2[HIDDEN] for r in best_of(inputs.results, HIDDEN, HIDDEN)}
    lamellae = {r.descriptor: r for r in best_of(inputs.results, "lamellae", "mean")}
    said = []
    pairs = {name: cells[name] for name in PAIR_STATISTICS if name in cells}
    if NETWORK in cells and pairs:
        said.append(
            "In micrographs whose two-point statistics are equal by construction, the textures of a pretrained CNN "
            f"recover the hidden order with R² {number(cells[NETWORK])}; {_each(pairs)}."
        )
    matched = {r.descriptor: r.linear_r2[HIDDEN] for r in best_of(inputs.results, "matched_order", HIDDEN)}
    pairs = {name: matched[name] for name in PAIR_STATISTICS if name in matched}
    if NETWORK in matched and pairs:
        said.append(
            f"Where the grey levels are equal too, it is {number(matched[NETWORK])}; {_each(pairs)}. What statistics "
            "of level sets see of it: benchmarks/micrographs.md."
        )
    rivals = {name: lamellae[name].linear_r2["mean"] for name in PAIR_STATISTICS if name in lamellae}
    if NETWORK in lamellae and rivals:
        entry = lamellae[NETWORK]
        said.append(
            f"On lamellae, where angle, noise and scale are to be recovered, it reaches "
            f"{value_with_interval(entry.linear_r2['mean'], entry.low, entry.high)}; {_each(rivals)}."
        )
    return " ".join(said) or "No generator was described by both the network and second-order statistics."


def _each(r2: dict[str, float]) -> str:
    """Raw beside centred: no baseline is left out."""
    return ", ".join(f"the {descriptor_words(name)} {number(value, 2)}" for name, value in r2.items())


def key_numbers(inputs: MicrostructureInputs) -> list[KeyNumber]:
    numbers = [KeyNumber(value=number(int(inputs.images.sizes["sample"])), label="synthetic micrographs")]
    for generator, parameter, label in (
        (HIDDEN, HIDDEN, "R² of the hidden order, pretrained CNN"),
        ("lamellae", "mean", "mean R² on lamellae, pretrained CNN"),
    ):
        for record in best_of(inputs.results, generator, parameter):
            if record.descriptor == NETWORK:
                value, low, high = inputs.details_of(record).linear_r2[parameter]
                note = f"95 %: {number(low)} to {number(high)}, {METHODS.get(record.method, record.method)}"
                numbers.append(KeyNumber(value=number(value), label=label, note=note))
    reached = sum(goal.reached for goal in inputs.goals)
    if inputs.goals:
        numbers.append(KeyNumber(value=f"{reached} of {len(inputs.goals)}", label="goals reached", note="see Recovery"))
    return numbers


def plot_tables(inputs: MicrostructureInputs) -> dict[str, str]:
    """For `dvc plots`: R2 against the number of coordinates, of the network and of second-order statistics."""
    tables: dict[str, str] = {}
    for generator, parameter in (("lamellae", "mean"), (HIDDEN, HIDDEN)):
        curves = {
            record.descriptor: [step[parameter] for step in inputs.details_of(record).linear_r2_by_dimension]
            for record in best_of(inputs.results, generator, parameter)
            if record.descriptor in (NETWORK, *PAIR_STATISTICS)
        }
        names = sorted(curves)
        rows = (
            (i + 1, *(curves[name][min(i, len(curves[name]) - 1)] for name in names))
            for i in range(max(map(len, curves.values()), default=0))
        )
        tables[f"recovery_{generator}"] = csv_table(("coordinates", *names), rows)
    return tables
