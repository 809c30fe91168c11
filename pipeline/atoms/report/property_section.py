"""Section on properties of the final potential: beside its oracle, published calculations and experiment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.atoms.records import Property, PropertyCurve
from pipeline.atoms.report.frames import draw_cell_on
from pipeline.atoms.report.inputs import AluminiumInputs
from pipeline.report.axes import settle
from pipeline.report.drawing import CYCLE, INK, MUTED, new_figure
from pipeline.report.page import Block, Notice, Picture, Section, Table, number, picture

__all__ = ["compared", "draw_deviations_on", "measured", "nearest_deviation", "percent", "properties_section"]

OTHERS = {  # column -> words, colour, mark
    "oracle": ("QM engine", CYCLE[0], "o"),
    "literature_dft": ("published DFT", CYCLE[1], "D"),
    "experiment": ("experiment", CYCLE[2], "s"),
}
NOT_COMPARED = ("phonon_lowest", "melt_temperature")  # about zero; a condition
FURTHEST = 60.0  # % shown; farther deviations are drawn at the edge with their number
WORDS = {
    "a0": "lattice constant",
    "bulk_modulus": "bulk modulus",
    "bulk_modulus_derivative": "its pressure derivative",
    "local_bulk_modulus": "bulk modulus, small strain",
    "c11": "C11",
    "c12": "C12",
    "c44": "C44",
    "hcp_c_over_a": "hcp c/a",
    "melt_rdf_first_peak": "melt, first peak of g(r)",
    "melt_rdf_first_peak_height": "melt, its height",
}
Records = Mapping[str, Property]


def properties_section(inputs: AluminiumInputs) -> Section:
    records = inputs.properties
    sources = sources_of(records)
    blocks: list[Block] = []
    if shown := [name for name in records if name not in NOT_COMPARED and compared(records[name])]:
        figure = new_figure(10.0, 1.2 + 0.24 * len(shown))
        draw_deviations_on(figure.subplots(), records, shown)
        blocks.append(
            picture(
                settle(figure),
                name="aluminium-deviations",
                description="Relative deviations of properties",
                caption=f"(value \u2212 other) / |other|. Deviations beyond {FURTHEST:g} % stand at the edge with "
                "their numbers, from the edge inwards. What the potential was taught is its QM engine, "
                "so that is what it can be blamed for; how far the engine itself is from other calculations and "
                "from experiment is in the table. Where energies nearly cancel, a small difference is a large relative "
                "one.",
            )
        )
    blocks.append(property_table(records, sources))
    failures = [record.failure for record in records.values() if record.failure]
    if failures:
        blocks.append(Notice(text="Not measured. " + "; ".join(dict.fromkeys(failures)) + "."))
    if sources:
        blocks.append(source_table(records, sources))
    blocks += curve_blocks(inputs)
    return Section(
        anchor="aluminium-properties",
        title="Properties",
        introduction=introduction(records),
        blocks=blocks,
    )


def introduction(records: Records) -> str:
    levels = sorted({r.oracle_level for r in records.values() if r.oracle_level})
    return (
        "What the final ensemble says of aluminium, measured in the same way as of any other calculator. None of the "
        "cells were in its training set on purpose: with default parameters it has seen disordered cells alone."
        + (f" Its QM engine: {'; '.join(levels)}." if levels else "")
    )


def property_table(records: Records, sources: Sequence[str]) -> Table:
    rows = []
    for name, record in records.items():
        if record.family == "compression":
            continue
        deviation = record.relative_deviation
        rows.append(
            [
                words_of(name),
                unit_words(record.unit),
                number(record.value, 4),
                number(record.oracle, 4),
                *(
                    "\u2013" if values is None else f"{number(values.value, 4)} [{sources.index(values.source) + 1}]"
                    for values in (record.literature_dft, record.experiment)
                ),
                *("\u2013" if name in NOT_COMPARED else percent(deviation.get(key)) for key in OTHERS),
            ]
        )
    return Table(
        columns=[
            "property",
            "unit",
            "potential",
            "QM engine",
            "published DFT",
            "experiment",
            "deviation from engine",
            "from DFT",
            "from experiment",
        ],
        rows=rows,
        caption="Numbers in brackets point to the sources below. Calculated values hold at 0 K without zero-point "
        "motion, measured ones as stated there. A dash: not measured, or nothing was "
        "found to cite. Compressed cells are in the last figure.",
    )


def sources_of(records: Records) -> list[str]:
    """In the order in which the table names them."""
    published = [values for record in records.values() for values in (record.literature_dft, record.experiment)]
    return list(dict.fromkeys(values.source for values in published if values is not None))


def source_table(records: Records, sources: Sequence[str]) -> Table:
    rows = []
    for position, source in enumerate(sources, start=1):
        cited: dict[str, list[str]] = {}
        for name, record in records.items():
            for values in (record.literature_dft, record.experiment):
                if values is not None and values.source == source:
                    conditions = values.conditions.replace("+-", "±").replace("A^3", "Å³")
                    cited.setdefault(conditions, []).append(words_of(name))
        parts = [f"{', '.join(names)}{': ' if conditions else ''}{conditions}" for conditions, names in cited.items()]
        rows.append([str(position), source, "; ".join(parts)])
    return Table(columns=["", "source", "of what"], rows=rows, caption="Where the published numbers stand.")


def compared(record: Property) -> bool:
    """Whether a relative deviation says something: not of compressed cells, whose energies pass through zero."""
    return record.family != "compression" and any(record.relative_deviation.get(key) is not None for key in OTHERS)


def nearest_deviation(record: Property) -> float | None:
    """Relative, from the first there is of QM engine, published DFT and experiment."""
    known = [record.relative_deviation.get(key) for key in OTHERS]
    return next((value for value in known if value is not None), None)


def measured(records: Records) -> int:
    return sum(record.value is not None for record in records.values())


def draw_deviations_on(axes: Axes, records: Records, shown: Sequence[str]) -> None:
    """One line for each property with something to compare to; far deviations at the edge, with their number."""
    largest = max(
        (abs(100 * d) for name in shown for d in records[name].relative_deviation.values() if d is not None),
        default=10.0,
    )
    edge = min(FURTHEST, 1.15 * largest)
    beyond: dict[tuple[int, int], list[float]] = {}
    for key, (words, colour, mark) in OTHERS.items():
        x, y = [], []
        for row, name in enumerate(shown):
            if (deviation := records[name].relative_deviation.get(key)) is None:
                continue
            percent_off = 100 * deviation
            if abs(percent_off) > edge:
                side = 1 if percent_off > 0 else -1
                at_edge = beyond.setdefault((row, side), [])
                percent_off = side * edge * (1 - 0.05 * len(at_edge))
                at_edge.append(deviation)
            x.append(percent_off)
            y.append(row)
        if x:
            axes.plot(x, y, mark, color=colour, markersize=5.5, alpha=0.85, label=words, clip_on=False)
    for (row, side), deviations in beyond.items():
        text = ", ".join(f"{100 * d:+.0f}".replace("-", "\u2212") for d in deviations)
        axes.annotate(
            f"{text} %",
            (side * edge * (1 - 0.05 * (len(deviations) - 1)), row),
            xytext=(-7 * side, 0),
            textcoords="offset points",
            ha="right" if side > 0 else "left",
            va="center",
            fontsize=7.5,
            color=INK,
        )
    axes.axvline(0, color=MUTED, linewidth=1.0)
    axes.set_yticks(range(len(shown)), [words_of(name) for name in shown])
    axes.set(xlabel="deviation of the potential [%]", xlim=(-edge, edge), ylim=(len(shown) - 0.4, -0.6))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handletextpad=0.1)


def curve_blocks(inputs: AluminiumInputs) -> list[Picture]:
    blocks = []
    figure = draw_curves(inputs)
    if figure is not None:
        blocks.append(
            picture(
                settle(figure),
                name="aluminium-curves",
                description="Energy and volume, phonons",
                caption="Left, energy of the fcc crystal against its volume, from the minimum. Right, phonons; "
                "frequencies below zero are imaginary, which means an unstable crystal. Dashed: the QM engine, where "
                "it was measured with the same settings.",
            )
        )
    melt = inputs.curves.get("melt")
    if melt and melt.curve:
        blocks.append(
            picture(
                settle(draw_melt(melt, inputs.properties)),
                name="aluminium-melt",
                description="The melt",
                caption="The melt by molecular dynamics with the potential at zero pressure: last frame, and radial "
                "distribution. The cell is small, so g(r) ends at half its edge, and diffusion is underestimated.",
            )
        )
    compressed = draw_compression(inputs.properties)
    if compressed is not None:
        blocks.append(
            picture(
                settle(compressed),
                name="aluminium-compression",
                description="Compressed cells",
                caption="Pressure and energy of compressed cells, which no thermodynamic path of the training reached "
                "on purpose: filled, the potential; open, its QM engine where there is one.",
            )
        )
    return blocks


def draw_curves(inputs: AluminiumInputs) -> Figure | None:
    energies, waves = inputs.curves.get("equation_of_state"), inputs.curves.get("phonons")
    if not (energies or waves):
        return None
    figure = new_figure(10.0, 3.7)
    left, right = figure.subplots(1, 2)
    for curves, axes, draw in ((energies, left, _energies_on), (waves, right, _phonons_on)):
        if not curves:
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=INK)
            continue
        for values, style, colour, label in reversed(_both(curves)):
            draw(axes, values, style, colour, label)
        axes.legend()
    left.set(xlabel="volume [Å³/atom]", ylabel="energy above the minimum [meV/atom]", title="equation of state")
    right.set(ylabel="frequency [THz]", title="phonons")
    return figure


def _both(curves: PropertyCurve) -> list[tuple[Mapping[str, Any], str, str, str]]:
    """Curve, style, colour and name of the potential and of its QM engine, where there are such."""
    both = ((curves.curve, "-", CYCLE[0], "potential"), (curves.oracle_curve, "--", CYCLE[1], "QM engine"))
    return [(curve, style, colour, label) for curve, style, colour, label in both if curve]


def _energies_on(axes: Axes, curve: Mapping[str, Any], style: str, colour: str, label: str) -> None:
    energy = np.asarray(curve["energy_eV"], dtype=float)
    axes.plot(curve["volume_A3"], 1e3 * (energy - energy.min()), f"o{style}", color=colour, markersize=4, label=label)


def _phonons_on(axes: Axes, curve: Mapping[str, Any], style: str, colour: str, label: str) -> None:
    for branch, frequencies in enumerate(curve["frequencies_THz"]):
        name = label if branch == 0 else None
        axes.plot(
            np.asarray(curve["distance"]) / curve["ticks"][-1],
            frequencies,
            style,
            color=colour,
            linewidth=1.3,
            label=name,
        )
    names = ["Γ" if name == "Gamma" else "U|K" if name == "K" else name for name in curve["labels"]]
    axes.set_xticks(np.asarray(curve["ticks"]) / curve["ticks"][-1], names)
    axes.set_xlim(0, 1)
    axes.axhline(0, color=MUTED, linewidth=0.9)


def draw_melt(melt: PropertyCurve, records: Records) -> Figure:
    figure = new_figure(10.0, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    curve = melt.curve
    positions = np.asarray(curve["positions_A"], dtype=float)
    cell = np.asarray(curve["cell_A"], dtype=float)
    draw_cell_on(left, np.full(len(positions), 13), positions, np.diag(cell) if cell.ndim == 1 else cell, images=False)
    temperature = records["melt_temperature"].value if "melt_temperature" in records else None
    left.set_title(f"{len(positions)} atoms" + (f" at {temperature:.0f} K" if temperature else ""))
    for values, style, colour, label in _both(melt):
        right.plot(values["r_A"], values["g"], style, color=colour, label=label)
    right.axhline(1, color=MUTED, linewidth=0.9)
    right.set(xlabel="r [Å]", ylabel="g(r)", title="radial distribution", ylim=(0, None))
    right.legend()
    return figure


def draw_compression(records: Records) -> Figure | None:
    by_phase: dict[str, list[tuple[float, str]]] = {}
    for name in records:
        if name.startswith("compressed_") and name.endswith("_pressure"):
            phase, ratio = name.removeprefix("compressed_").removesuffix("_pressure").rsplit("_", 1)
            by_phase.setdefault(phase, []).append((float(ratio), name))
    if not any(records[name].value is not None for values in by_phase.values() for _, name in values):
        return None
    figure = new_figure(10.0, 3.4)
    for axes, ending, label in zip(
        figure.subplots(1, 2), ("_pressure", "_energy"), ("pressure [GPa]", "energy above fcc [eV/atom]"), strict=True
    ):
        for (phase, values), colour in zip(by_phase.items(), CYCLE, strict=False):
            for key, fill, style in (("value", "full", "-"), ("oracle", "none", "--")):
                points = [
                    (ratio, value)
                    for ratio, name in sorted(values)
                    if (value := getattr(records[name.removesuffix("_pressure") + ending], key)) is not None
                ]
                if points:
                    x, y = zip(*points, strict=True)
                    words = phase if key == "value" else f"{phase}, QM engine"
                    axes.plot(x, y, f"o{style}", color=colour, fillstyle=fill, markersize=5, linewidth=1.1, label=words)
        axes.set(xlabel="V / V₀", ylabel=label)
        axes.axhline(0, color=MUTED, linewidth=0.9)
    figure.axes[0].legend()
    return figure


def words_of(name: str) -> str:
    return WORDS.get(name, name.replace("_", " "))


def unit_words(unit: str) -> str:
    written = unit.replace("A^3", "Å³").replace("A^2", "Å²").replace("m^2", "m²").replace("1e-6", "10⁻⁶")
    return {"1": "", "A": "Å"}.get(unit, written)


def percent(value: float | None) -> str:
    return "\u2013" if value is None else f"{100 * value:+.1f}\u00a0%".replace("-", "\u2212")
