"""The page of the lane `aluminium`: active learning from disordered starts, and what the potential is worth."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pipeline.atoms.records import ActiveLearningMetrics, Property
from pipeline.atoms.report.frames import draw_cell_on
from pipeline.atoms.report.inputs import AluminiumInputs, read_aluminium
from pipeline.atoms.report.property_section import (
    compared,
    draw_deviations_on,
    measured,
    nearest_deviation,
    percent,
    properties_section,
)
from pipeline.atoms.report.round_section import (
    draw_arms_on,
    draw_control_on,
    percents,
    rounds_section,
    selection_section,
)
from pipeline.report.axes import settle
from pipeline.report.drawing import drawing, new_figure
from pipeline.report.page import KeyNumber, LanePage, LaneReport, csv_table, number, picture
from pipeline.report.registry import headline_numbers, report_page

__all__ = ["aluminium_page", "finding", "headline"]

FAR = 0.1  # relative deviation
STRAINED = {"c44": "C44", "surface_111": "the surface 111", "vacancy_formation": "the formation of a vacancy"}
SHOWN = ("a0", "bulk_modulus", "c11", "c12", "c44", "vacancy_formation", "surface_111", "surface_100", "surface_110")


@headline_numbers("aluminium", order=40)
def headline(root: Path) -> dict[str, int | float | None]:
    """Force RMSE [eV/A] on the frozen test set after the last round of active learning, and with random labels."""
    metrics = ActiveLearningMetrics.read(root)
    return {
        f"{name}_force_eV_A": arm[-1].force_rmse if arm else None
        for name, arm in (("active", metrics.rounds), ("random", metrics.random))
    }


@report_page("aluminium", order=30)
def aluminium_page(root: Path, max_points: int) -> LaneReport:
    """Raises FileNotFoundError for inputs that are missing, ValueError for those of another version."""
    inputs = read_aluminium(root)
    with drawing():
        figure = lead_figure(inputs)
        sections = [rounds_section(inputs), selection_section(inputs), properties_section(inputs)]
        lead = picture(
            figure,
            name="aluminium-lead",
            description="Active learning of aluminium",
            caption="Left, a frame at which the ensemble was uncertain and asked for a label; middle, force error on "
            "the frozen test set against labels, chosen and not"
            + (", mean and 95 % interval over seeds of the control" if inputs.rounds.oracle_control.n_seeds else "")
            + "; right, properties of the final potential relative to others' values.",
        )
    page = LanePage(
        name="aluminium",
        title="Aluminium, learned where the potential is uncertain",
        finding=finding(inputs),
        key_numbers=key_numbers(inputs),
        lead=lead,
        sections=sections,
        provenance=inputs.provenance,
    )
    return LaneReport(page=page, pictures={"aluminium_lane": figure}, tables=plot_tables(inputs.rounds))


def lead_figure(inputs: AluminiumInputs) -> Figure:
    figure = new_figure(12.5, 3.7)
    left, middle, right = figure.subplots(1, 3, width_ratios=(0.75, 1.05, 1.1))
    frames = [(one.round, frame) for one in inputs.details.rounds for frame in one.frames]
    if frames:
        position, frame = max(frames, key=lambda pair: pair[1].spread.force_mean_eV_A or 0.0)
        draw_cell_on(left, *(np.asarray(array) for array in (frame.numbers, frame.positions_A, frame.cell_A)))
        left.set_title(f"uncertain: round {position}, {frame.temperature_K:.0f} K")
    else:
        left.set_axis_off()
    control = inputs.rounds.oracle_control
    if control.n_seeds:
        draw_control_on(middle, control, inputs.details.oracle_control, "force")
        middle.set_title(f"control over {control.n_seeds} seeds")
    else:
        draw_arms_on(middle, inputs.rounds, "force")
    known = [name for name in SHOWN if name in inputs.properties and compared(inputs.properties[name])]
    if known:
        draw_deviations_on(right, inputs.properties, known)
    else:
        right.set_axis_off()
    return settle(figure)


def finding(inputs: AluminiumInputs) -> str:
    """Two or three sentences; every number comes from the metrics."""
    rounds = [r for r in inputs.rounds.rounds if r.force_rmse]
    said = ""
    if len(rounds) > 1:
        said = (
            f"{len(rounds) - 1} active rounds took the force error on the frozen test set from "
            f"{number(rounds[0].force_rmse, 2)} to {number(rounds[-1].force_rmse, 2)} eV/Å with "
            f"{number(rounds[-1].n_labels)} labels. "
        )
    if final := inputs.rounds.final:
        said += f"Trained anew and longer on all of them, the potential reaches {number(final.force_rmse, 2)} eV/Å. "
    control = inputs.rounds.oracle_control
    gain = control.force_gain_all_rounds or control.force_gain
    if gain and gain.mean is not None:
        words = percents(gain)
        sure = gain.low is not None and gain.low > 0
        said += (
            f"Over {number(control.n_seeds)} seeds of the control, choosing labels saves {words} % of the force "
            "error against frames drawn at random from the same trajectories"
            f"{'' if sure else ', which is not resolved from nothing'}. "
        )
    said += nearest_words(inputs.properties) + missed_words(inputs.properties)
    return said.strip() or "No round of active learning was finished."


def nearest_words(records: Mapping[str, Property]) -> str:
    """Lattice constant and bulk modulus beside what the potential was taught, or beside published DFT."""
    for key, whose in (("oracle", "its QM engine"), ("literature_dft", "published DFT")):
        words = [
            f"{what} by {percent(deviation)}"
            for name, what in (("a0", "lattice constant"), ("bulk_modulus", "bulk modulus"))
            if name in records and (deviation := records[name].relative_deviation.get(key)) is not None
        ]
        if words:
            return f"The final potential differs from {whose} in the {' and in the '.join(words)}."
    return ""


def missed_words(records: Mapping[str, Property]) -> str:
    """Where the potential is far off, beside where it is near: nobody should have to search for it."""
    deviations = {name: nearest_deviation(records[name]) for name in STRAINED if name in records}
    words = [f"{STRAINED[name]} by {percent(d)}" for name, d in deviations.items() if d is not None and abs(d) > FAR]
    said = f" It misses {', '.join(words)}." if words else ""
    barrier = records.get("vacancy_migration")
    return said + (" No barrier of vacancy migration was found." if barrier and barrier.value is None else "")


def key_numbers(inputs: AluminiumInputs) -> list[KeyNumber]:
    active = [r for r in inputs.rounds.rounds if r.force_rmse]
    random = [r for r in inputs.rounds.random if r.force_rmse]
    numbers = [
        KeyNumber(value=number(len(inputs.records)), label="labels in all", note=f"{number(inputs.n_failed)} failed")
    ]
    if active:
        numbers.append(
            KeyNumber(
                value=f"{number(active[-1].force_rmse, 2)} eV/Å",
                label="force RMSE on the test set, active",
                note=f"{number(active[-1].n_labels)} labels, {number(len(active) - 1)} rounds",
            )
        )
    if random:
        numbers.append(
            KeyNumber(
                value=f"{number(random[-1].force_rmse, 2)} eV/Å",
                label="the same, random",
                note=f"{number(random[-1].n_labels)} labels, one seed",
            )
        )
    records = inputs.properties
    for name, label in (("a0", "lattice constant"), ("bulk_modulus", "bulk modulus")):
        record = records.get(name)
        if record is not None and record.value is not None:
            unit = {"A": "Å"}.get(record.unit, record.unit)
            measured_value = record.experiment.value if record.experiment else None
            given = {"QM engine": record.oracle, "experiment": measured_value}
            others = [f"{words} {number(value, 4)}" for words, value in given.items() if value is not None]
            value = f"{number(record.value, 4)} {unit}"
            numbers.append(KeyNumber(value=value, label=label, note=", ".join(others)))
    numbers.append(KeyNumber(value=f"{measured(records)} of {len(records)}", label="properties measured"))
    return numbers


def plot_tables(metrics: ActiveLearningMetrics) -> dict[str, str]:
    """For `dvc plots`: force error against labels, of both arms."""
    tables = {}
    for name, arm in (("active", metrics.rounds), ("random", metrics.random)):
        rows = ([r.n_labels, r.force_rmse] for r in arm if r.force_rmse)
        tables[f"labels_{name}"] = csv_table(("n_labels", "force_rmse"), rows)
    return tables
