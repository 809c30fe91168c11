"""Section on force training: what forces cost, how exact their gradients are, what is left after equal time."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.atoms.records import EqualTime, GradientErrors, StepCost
from pipeline.atoms.report.inputs import MODELS, AtomsInputs
from pipeline.discover.goals import FORCE_TRAINING
from pipeline.report.axes import logarithmic, settle
from pipeline.report.drawing import CYCLE, INK, MUTED, new_figure
from pipeline.report.page import Block, Notice, Picture, Section, Table, number, picture

__all__ = ["METHODS", "best_ratio", "draw_costs_on", "forces_section"]

METHODS = {
    "double_backward": ("double\u00a0backward", CYCLE[6]),
    "forward_over_reverse": ("forward\u00a0over\u00a0reverse", CYCLE[2]),
    "finite_difference": ("finite\u00a0difference", CYCLE[4]),
}
SYSTEMS = {"organic_molecules": "organic\u00a0molecules", "aluminium_108": "aluminium,\u00a0108\u00a0atoms"}
MODEL_COLOURS = {"hipnn": CYCLE[0], "ani": CYCLE[1]}


def forces_section(inputs: AtomsInputs) -> Section:
    results, details = inputs.force_training.results, inputs.force_training_details
    blocks: list[Block] = [cost_table(results), goal_table(results)]
    if details.gradient_errors:
        blocks.append(
            picture(
                settle(draw_steps(details.gradient_errors)),
                name="atoms-steps",
                description="Step",
                caption="Error of the gradient of the force loss by central differences against the largest "
                "displacement of a component of what is displaced (pair vectors; for ANI its environment vectors), "
                "relative to double backward in float64, as a norm over all weights. Of a smooth network it falls with "
                "the square of the step in float64, until in float32 rounding, which grows as the step shrinks, sets "
                "in (dotted guides: slopes 2 and \u22121). The curvature of ANI's CELU jumps, which spoils "
                "differences until no unit crosses zero. Horizontal: the exact methods in float32. One batch and "
                "random weights for each curve.",
            )
        )
    blocks.append(equal_time_block(details.equal_time))
    return Section(
        anchor="atoms-forces",
        title="Force training",
        introduction="A loss of forces needs the derivative of the forces, which are a derivative themselves, with "
        "respect to the weights. Double backward builds its graph; the two directional methods take one derivative of "
        "the energy gradient along a direction instead. Ratios are to a step that trains energies alone, same batch "
        "and weights, measured in turns in one process.",
        blocks=blocks,
    )


def cost_table(results: Sequence[StepCost]) -> Table:
    rows = [
        [
            MODELS.get(r.model, r.model),
            SYSTEMS.get(r.system, r.system),
            method_words(r.method),
            f"{r.device},\u00a0{r.dtype}",
            number(r.energy_step_ms),
            f"{r.time_ratio:.2f}",
            f"{r.memory_ratio:.2f}",
            number(r.gradient_error, 2),
        ]
        for r in results
    ]
    return Table(
        columns=[
            "model",
            "system",
            "method",
            "device",
            "energy step [ms]",
            "time / energy step",
            "memory / energy step",
            "gradient error",
        ],
        rows=rows,
        caption="Time: median of turns, CPU seconds of one thread or GPU time. Memory: peak of what the step allocates "
        "for tensors. On a busy machine single ratios move by some ten percent.",
    )


def goal_table(results: Sequence[StepCost]) -> Table:
    rows, wanted = [], FORCE_TRAINING
    for device, model, system in dict.fromkeys((r.device, r.model, r.system) for r in results):
        group = [r for r in results if (r.device, r.model, r.system) == (device, model, system)]
        best = min(group, key=lambda r: r.time_ratio)
        directional = [r for r in group if r.method != "double_backward"]
        near = min(directional, key=lambda r: (len(missed(r)), r.time_ratio), default=None)
        rows.append(
            [
                MODELS.get(model, model),
                SYSTEMS.get(system, system),
                device,
                f"{best.time_ratio:.2f}, {method_words(best.method)} " + _mark(best.time_ratio <= wanted.fastest_time),
                "\u2013" if near is None else _directional_words(near) + " " + _mark(not missed(near)),
            ]
        )
    return Table(
        columns=[
            "model",
            "system",
            "device",
            f"fastest method, wanted ≤ {wanted.fastest_time:g} energy steps",
            f"directional method, wanted ≤ {wanted.directional_time:g} steps at "
            f"≤ {wanted.directional_memory:g} \u00d7 memory, error ≤ {number(wanted.gradient_error)}",
        ],
        rows=rows,
        caption="Goals were fixed before anything was measured. Counted in forward passes an energy step is 3, "
        "double backward 6, forward over reverse 7 or 8, a central difference 8.",
    )


def missed(record: StepCost) -> list[str]:
    """What a directional method does not reach."""
    limits = {
        "time_ratio": FORCE_TRAINING.directional_time,
        "memory_ratio": FORCE_TRAINING.directional_memory,
        "gradient_error": FORCE_TRAINING.gradient_error,
    }
    return [key for key, limit in limits.items() if getattr(record, key) > limit]


def draw_steps(errors: Sequence[GradientErrors]) -> Figure:
    systems = list(dict.fromkeys(case.system for case in errors))
    figure = new_figure(10.0, 3.9)
    for axes, system in zip(figure.subplots(1, len(systems), squeeze=False, sharey=True)[0], systems, strict=True):
        draw_steps_on(axes, [case for case in errors if case.system == system])
        axes.set(title=SYSTEMS.get(system, system), xlabel="displacement (pair vectors in Å, ANI: descriptors)")
    figure.axes[0].set_ylabel("relative error of the gradient")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def draw_steps_on(axes: Axes, cases: Sequence[GradientErrors]) -> None:
    anchor: tuple[float, float] | None = None
    rounding: tuple[float, float] | None = None
    for case in cases:
        colour, model = MODEL_COLOURS.get(case.model, CYCLE[6]), MODELS.get(case.model, case.model)
        for dtype, style in (("float64", "o-"), ("float32", "s--")):
            points = sorted(
                (p.displacement, p.error)
                for p in case.points
                if p.dtype == dtype and p.displacement is not None and p.error > 0
            )
            if not points:
                continue
            axes.plot(*zip(*points, strict=True), style, color=colour, markersize=4, label=f"{model}, {dtype}")
            if dtype == "float64" and _falls_as_square(points):
                anchor = max(points) if anchor is None else min(anchor, max(points), key=lambda p: p[1])
            elif dtype == "float32" and len(points) > 2 and points[0][1] > points[1][1]:
                rounding = min(points) if rounding is None else max(rounding, min(points), key=lambda p: p[1])
        for method, style in (("double_backward", "-"), ("forward_over_reverse", ":")):
            exact = [p.error for p in case.points if p.dtype == "float32" and p.method == method]
            if exact and exact[0] > 0:
                name = f"{model}, float32, {METHODS[method][0]}"
                axes.axhline(exact[0], color=colour, linestyle=style, linewidth=0.9, alpha=0.7, label=name)
    for start, slope, factor in ((anchor, 2, 0.25), (rounding, -1, 2.2)):
        if start is not None:
            reach = start[0] * np.array([0.05, 1.0] if slope == 2 else [1.0, 20.0])
            axes.plot(reach, factor * start[1] * (reach / start[0]) ** slope, ":", color=MUTED, linewidth=1.4)
            where = (reach[0] * reach[1]) ** 0.5
            axes.annotate(
                "∝ ε²" if slope == 2 else "∝ 1/ε",
                (where, factor * start[1] * (where / start[0]) ** slope),
                xytext=(6, -12) if slope == 2 else (6, 6),
                textcoords="offset points",
                color=INK,
            )
    logarithmic(axes, "xy")


def _falls_as_square(points: Sequence[tuple[float, float]]) -> bool:
    """Whether the slope between the first and the last step is near 2."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    return x1 > x0 and abs(np.log(y1 / y0) / np.log(x1 / x0) - 2) < 0.4


def equal_time_block(trainings: Sequence[EqualTime]) -> Picture | Notice:
    if not trainings:
        return Notice(text="No trainings of equal time were made (params: force_training.equal_time.seconds).")
    figure = new_figure(10.0, 2.7)
    steps, energy, forces = figure.subplots(1, 3, sharey=True)
    names = [method_words(t.training) for t in trainings]
    colours = [METHODS.get(t.training, ("", MUTED))[1] for t in trainings]
    for axes, key, label in (
        (steps, "steps", "steps made"),
        (energy, "energy_rmse_meV_atom", "energy RMSE [meV/atom]"),
        (forces, "force_rmse_eV_A", "force RMSE [eV/Å]"),
    ):
        values = [float(getattr(t, key)) for t in trainings]
        axes.barh(range(len(names)), values, color=colours, height=0.62)
        for position, value in enumerate(values):
            words = number(int(value)) if key == "steps" else number(value)
            axes.text(value, position, f" {words}", va="center", fontsize=8.5, color=INK)
        axes.set(xlabel=label, xlim=(0, 1.22 * max(values)))
        axes.grid(visible=False, axis="y")
    steps.set_yticks(range(len(names)), names)
    steps.invert_yaxis()
    return picture(
        settle(figure),
        name="atoms-equal-time",
        description="Errors after equal time",
        caption=f"HIP\u2011NN on the molecules after {number(trainings[0].cpu_seconds)} CPU seconds of training by "
        "each method, and by energies alone: what a method is worth in the end. One short run each, so small "
        "differences between methods are noise; the distance to training on energies alone is not.",
    )


def draw_costs_on(axes: Axes, results: Sequence[StepCost]) -> None:
    """Time ratios of all methods on the CPU, as groups of bars."""
    cases = list(dict.fromkeys((r.system, r.model) for r in results))
    methods = [m for m in METHODS if any(r.method == m for r in results)]
    height = 0.8 / max(1, len(methods))
    for m, method in enumerate(methods):
        for position, case in enumerate(cases):
            group = [r for r in results if (r.system, r.model) == case and r.method == method]
            group = [r for r in group if r.device == "cpu"] or group
            if group:
                position_of_bar = position + height * (m - (len(methods) - 1) / 2)
                axes.barh(position_of_bar, group[0].time_ratio, height=0.92 * height, color=METHODS[method][1])
                axes.text(
                    group[0].time_ratio, position_of_bar, f" {group[0].time_ratio:.1f}", va="center", fontsize=7.5
                )
        axes.barh([0], [0], color=METHODS[method][1], label=METHODS[method][0])
    short = {"organic_molecules": "molecules", "aluminium_108": "aluminium"}
    axes.set_yticks(
        range(len(cases)), [f"{MODELS.get(model, model)},\n{short.get(system, system)}" for system, model in cases]
    )
    axes.invert_yaxis()
    axes.axvline(1, color=MUTED, linewidth=0.9)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.15 * max((r.time_ratio for r in results), default=1.0))


def best_ratio(results: Sequence[StepCost]) -> tuple[float, float]:
    """Smallest and largest, over models and systems, of the fastest method's time ratio."""
    fastest: dict[tuple[str, str, str], float] = {}
    for r in results:
        case = (r.device, r.model, r.system)
        fastest[case] = min(fastest.get(case, np.inf), r.time_ratio)
    return min(fastest.values()), max(fastest.values())


def method_words(method: str) -> str:
    return METHODS[method][0] if method in METHODS else method


def _directional_words(record: StepCost) -> str:
    return (
        f"{method_words(record.method)}: {record.time_ratio:.2f} steps, "
        f"{record.memory_ratio:.2f} \u00d7 memory, error {number(record.gradient_error, 2)}"
    )


def _mark(reached: bool) -> str:
    return "✓" if reached else "(not reached)"
