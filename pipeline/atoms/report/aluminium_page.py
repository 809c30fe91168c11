"""The page of the lane `aluminium`: active learning from disordered starts, and what the potential is worth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pipeline.atoms.report.aluminium_inputs import AluminiumInputs, read_aluminium
from pipeline.atoms.report.axes import figure_svg, settle
from pipeline.atoms.report.frames import draw_cell_on
from pipeline.atoms.report.property_section import (
    compared,
    draw_deviations_on,
    measured,
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
from pipeline.report.drawing import drawing, new_figure
from pipeline.report.page import KeyNumber, LanePage, LaneReport, Picture, number
from pipeline.report.plot_tables import table

__all__ = ["aluminium_lane", "finding"]

SHOWN = ("a0", "bulk_modulus", "c11", "c12", "c44", "vacancy_formation", "surface_111", "surface_100", "surface_110")


def aluminium_lane(root: Path, max_points: int) -> LaneReport:
    """Everything the report shows of this lane. Raises FileNotFoundError for inputs that are missing."""
    inputs = read_aluminium(root)
    with drawing():
        picture = lane_picture(inputs)
        sections = [rounds_section(inputs), selection_section(inputs), properties_section(inputs)]
        lead = Picture(
            svg=figure_svg(picture, name="aluminium-lead", description="Active learning of aluminium"),
            caption="Left, a frame at which the ensemble was unsure and asked for a label; middle, force error on the "
            "frozen test set against labels, chosen and random"
            + (", mean and 95 % interval over seeds of the control" if inputs.rounds.get("oracle_control") else "")
            + "; right, properties of the final potential relative to others' values.",
        )
    page = LanePage(
        name="aluminium",
        title="Aluminium, learned from where the potential is unsure",
        finding=finding(inputs),
        key_numbers=key_numbers(inputs),
        lead=lead,
        sections=sections,
        provenance=inputs.provenance,
    )
    return LaneReport(page=page, pictures={"aluminium_lane": picture}, tables=plot_tables(inputs.rounds))


def lane_picture(inputs: AluminiumInputs) -> Figure:
    figure = new_figure(12.5, 3.7)
    left, middle, right = figure.subplots(1, 3, width_ratios=(0.75, 1.05, 1.1))
    frames = [(told, f) for told in inputs.details.get("rounds", []) for f in told.get("frames", [])]
    if frames:
        told, frame = max(frames, key=lambda pair: pair[1]["spread"]["force_mean_eV_A"] or 0.0)
        arrays = (np.asarray(frame[key]) for key in ("numbers", "positions_A", "cell_A"))
        draw_cell_on(left, *arrays)
        left.set_title(f"unsure: round {told['round']}, {frame['temperature_K']:.0f} K")
    else:
        left.set_axis_off()
    control = inputs.rounds.get("oracle_control") or {}
    if control:
        draw_control_on(middle, control, inputs.details.get("oracle_control", {}), "force")
        middle.set_title(f"control over {control['n_seeds']} seeds")
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
    rounds = [r for r in inputs.rounds.get("rounds", []) if r["force_rmse"]]
    said = ""
    if len(rounds) > 1:
        said = (
            f"{len(rounds) - 1} active rounds took the force error on the frozen test set from "
            f"{number(rounds[0]['force_rmse'], 2)} to {number(rounds[-1]['force_rmse'], 2)} eV/Å with "
            f"{number(rounds[-1]['n_labels'])} labels. "
        )
    if final := inputs.rounds.get("final"):
        said += f"Trained anew and longer on all of them, the potential reaches {number(final['force_rmse'], 2)} eV/Å. "
    control = inputs.rounds.get("oracle_control") or {}
    gain = control.get("force_gain_all_rounds") or control.get("force_gain")
    if gain and gain["mean"] is not None:
        words = percents(gain)
        sure = gain["low"] is not None and gain["low"] > 0
        said += (
            f"Over {number(control['n_seeds'])} seeds of the control, choosing labels saves {words} % of the force "
            f"error against drawing them{'' if sure else ', which is not resolved from nothing'}. "
        )
    said += nearest_words(inputs.properties)
    return said.strip() or "No round of active learning was finished."


def nearest_words(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Lattice constant and bulk modulus beside what the potential was taught, or beside published DFT."""
    for key, whose in (("oracle", "its QM engine"), ("literature_dft", "published DFT")):
        words = [
            f"{what} by {percent(deviation)}"
            for name, what in (("a0", "lattice constant"), ("bulk_modulus", "bulk modulus"))
            if name in records and (deviation := records[name]["relative_deviation"].get(key)) is not None
        ]
        if words:
            return f"The final potential differs from {whose} in the {' and in the '.join(words)}."
    return ""


def key_numbers(inputs: AluminiumInputs) -> list[KeyNumber]:
    active = [r for r in inputs.rounds.get("rounds", []) if r["force_rmse"]]
    random = [r for r in inputs.rounds.get("random", []) if r["force_rmse"]]
    numbers = [
        KeyNumber(value=number(len(inputs.records)), label="labels in all", note=f"{number(inputs.n_failed)} failed")
    ]
    if active:
        numbers.append(
            KeyNumber(
                value=f"{number(active[-1]['force_rmse'], 2)} eV/Å",
                label="force RMSE on the test set, active",
                note=f"{number(active[-1]['n_labels'])} labels, {number(len(active) - 1)} rounds",
            )
        )
    if random:
        numbers.append(
            KeyNumber(
                value=f"{number(random[-1]['force_rmse'], 2)} eV/Å",
                label="the same, random",
                note=f"{number(random[-1]['n_labels'])} labels, one seed",
            )
        )
    records = inputs.properties
    for name, label in (("a0", "lattice constant"), ("bulk_modulus", "bulk modulus")):
        record = records.get(name)
        if record is not None and record["value"] is not None:
            unit = {"A": "Å"}.get(record["unit"], record["unit"])
            others = [
                f"{words} {number(value if not isinstance(value, Mapping) else value['value'], 4)}"
                for key, words in (("oracle", "QM engine"), ("experiment", "experiment"))
                if (value := record[key]) is not None
            ]
            value = f"{number(record['value'], 4)} {unit}"
            numbers.append(KeyNumber(value=value, label=label, note=", ".join(others)))
    numbers.append(KeyNumber(value=f"{measured(records)} of {len(records)}", label="properties measured"))
    return numbers


def plot_tables(rounds: Mapping[str, Any]) -> dict[str, str]:
    """For `dvc plots`: force error against labels, of both arms."""
    found = {}
    for arm, name in (("rounds", "active"), ("random", "random")):
        rows = ([r["n_labels"], r["force_rmse"]] for r in rounds.get(arm, []) if r["force_rmse"])
        found[f"labels_{name}"] = table(("n_labels", "force_rmse"), rows)
    return found
