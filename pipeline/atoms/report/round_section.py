"""Section on the rounds of active learning: error against labels beside random selection, what was chosen and why."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.atoms.records import ActiveLearningMetrics, Control, Gain, RoundDetails, SeedRun
from pipeline.atoms.report.frames import draw_cell_on
from pipeline.atoms.report.inputs import AluminiumInputs
from pipeline.report.axes import at_numbers, logarithmic, settle
from pipeline.report.drawing import CYCLE, INK, MUTED, new_figure
from pipeline.report.page import Block, Notice, Picture, Section, Table, number, picture, value_with_interval

__all__ = [
    "ARMS",
    "control_words",
    "draw_arms_on",
    "draw_control_on",
    "percents",
    "rounds_section",
    "selection_section",
]

ARMS = {"rounds": ("active", CYCLE[0], "o-"), "random": ("random", CYCLE[6], "s--")}
CONTROL_ARMS = ARMS | {"plain": ("plain dynamics", CYCLE[2], "^:")}
AGAINST = {"": "random", "_over_plain": "plain dynamics"}
REASONS = {
    "uncertain": ("stopped: uncertain", CYCLE[0]),
    "finished": ("ran to its end", CYCLE[2]),
    "asked": ("frame asked for", CYCLE[6]),
    "discarded": ("discarded as unphysical", CYCLE[3]),
}
PARTS = {"labels": CYCLE[1], "sampling": CYCLE[2], "training": CYCLE[0]}
QUANTITIES = {"force": ("force RMSE", "eV/Å", 1.0), "energy": ("energy RMSE", "meV/atom", 1e3)}
PLURALS = {"force": "forces", "energy": "energies"}
MAX_SNAPSHOTS = 10


def rounds_section(inputs: AluminiumInputs) -> Section:
    metrics = inputs.rounds
    blocks: list[Block] = [round_table(inputs)]
    figure = new_figure(10.0, 3.6)
    for axes, quantity in zip(figure.subplots(1, 2), QUANTITIES, strict=True):
        draw_arms_on(axes, metrics, quantity)
    blocks.append(
        picture(
            settle(figure),
            name="aluminium-arms",
            description="Error against labels",
            caption=f"The loop itself, labels by {inputs.level}: error of the ensemble's mean on the frozen test "
            "set against the number of labels, both logarithmic, beside a loop that spends as many labels on frames "
            "taken at random from trajectories of the same ensemble. One seed: this alone does not say which is "
            "better. " + arm_words(metrics),
        )
    )
    blocks.append(control_block(inputs))
    return Section(
        anchor="aluminium-rounds",
        title="Rounds",
        introduction="Each round trains an ensemble, lets it drive many trajectories from random-packed cells with "
        "wandering temperature and density, stops those on which its members disagree, and labels what it stopped at. "
        "The test set is labelled once, before the first round, and never trained on.",
        blocks=blocks,
    )


def round_table(inputs: AluminiumInputs) -> Table:
    rows = []
    for arm, (words, *_) in ARMS.items():
        details = {one.round: one for one in getattr(inputs.details, arm)}
        for position, errors in enumerate(getattr(inputs.rounds, arm)):
            round_ = details.get(position)
            rows.append(
                [
                    words,
                    str(position),
                    number(errors.tried) if errors.tried else "\u2013",
                    number(errors.selected),
                    number(errors.n_failed),
                    number(errors.n_labels),
                    number(errors.force_rmse),
                    number(None if errors.energy_rmse is None else 1e3 * errors.energy_rmse),
                    number(round_.thresholds.force_mean_eV_A if round_ and round_.thresholds else None),
                    number((round_ and sum(round_.cpu_s.values())) or None),
                ]
            )
    return Table(
        columns=[
            "arm",
            "round",
            "trajectories",
            "labels spent",
            "failed",
            "trained on",
            "force RMSE [eV/\u2060Å]",
            "energy RMSE [meV/atom]",
            "threshold, mean force spread [eV/Å]",
            "CPU seconds",
        ],
        rows=rows,
        caption="Round 0 is the random-packed start, the same for both arms. Errors are of the ensemble trained after "
        "the labels of the round.",
    )


def draw_arms_on(axes: Axes, metrics: ActiveLearningMetrics, quantity: str) -> None:
    words, unit, factor = QUANTITIES[quantity]
    labels: set[float] = set()
    for arm, (name, colour, style) in ARMS.items():
        rounds = [(r.n_labels, e) for r in getattr(metrics, arm) if (e := getattr(r, f"{quantity}_rmse"))]
        n_labels = [n for n, _ in rounds]
        if rounds:
            axes.plot(n_labels, [factor * error for _, error in rounds], style, color=colour, markersize=5, label=name)
        labels |= set(n_labels)
    axes.set(xlabel="labels trained on", ylabel=f"{words} [{unit}]")
    if labels:
        logarithmic(axes, "y")
        at_numbers(axes, sorted(labels))
        axes.legend()


def arm_words(metrics: ActiveLearningMetrics) -> str:
    active = [r.force_rmse for r in metrics.rounds if r.force_rmse]
    random = [r.force_rmse for r in metrics.random if r.force_rmse]
    if len(active) < 2:
        return ""
    said = f"Force RMSE: {number(active[0])} to {number(active[-1])} eV/Å by active rounds"
    return said + (f", to {number(random[-1])} by random ones." if random else ".")


def control_block(inputs: AluminiumInputs) -> Picture | Notice:
    control = inputs.rounds.oracle_control
    if not control.n_seeds:
        return Notice(text="No control over seeds was run (params: active_learning.control.n_seeds).")
    figure = new_figure(10.0, 3.6)
    for axes, quantity in zip(figure.subplots(1, 2), QUANTITIES, strict=True):
        draw_control_on(axes, control, inputs.details.oracle_control, quantity)
    return picture(
        settle(figure),
        name="aluminium-control",
        description="Active selection against random frames and plain dynamics over seeds",
        caption=f"The control: the same loop with labels by {control.level}, which cost nothing, over "
        f"{number(control.n_seeds)} seeds, each with its own test set, and the same number of labels in all arms. "
        "Random: frames at random times of trajectories by the active arm's own ensemble; plain dynamics: frames at "
        "fixed times of trajectories by its own ensemble. Thin lines are seeds, thick ones their mean, bands 95 % of "
        f"the mean (Student). {control_words(control)} A cheap potential is smoother than the truth, so the gain with "
        "quantum mechanics may differ.",
    )


def control_words(control: Control) -> str:
    """The gains with their intervals, whether these exclude zero, and how many trajectories stayed uncertain."""
    said = []
    for against, whose in AGAINST.items():
        words = []
        for quantity in QUANTITIES:
            for after, when in (("", "after the last round"), ("_all_rounds", "all rounds")):
                gain = getattr(control, f"{quantity}_gain{against}{after}")
                if gain and gain.mean is not None:
                    holds_0 = gain.low is not None and gain.low <= 0 <= gain.high
                    sure = " (not resolved: the interval holds 0)" if holds_0 else ""
                    words.append(f"{PLURALS[quantity]}, {when}: {percents(gain)} %{sure}")
        if words:
            said.append(f"Error saved by choosing, against {whose}, paired by seed: {'; '.join(words)}.")
    if control.uncertain:
        shares = ", ".join(f"{100 * share:.0f}" for share in control.uncertain)
        said.append(f"Uncertain trajectories in the rounds: {shares} %.")
    return " ".join(said)


def percents(gain: Gain) -> str:
    value, low, high = (None if part is None else 100 * part for part in (gain.mean, gain.low, gain.high))
    return value_with_interval(value, low, high, 2)


def draw_control_on(axes: Axes, control: Control, seeds: Mapping[str, SeedRun], quantity: str) -> None:
    words, unit, factor = QUANTITIES[quantity]
    for run in seeds.values():
        points = [(r.n_labels, factor * e) for r in run.rounds if (e := getattr(r, f"{quantity}_rmse"))]
        colour = CONTROL_ARMS["rounds" if run.arm == "active" else run.arm][1]
        axes.plot([n for n, _ in points], [error for _, error in points], color=colour, linewidth=0.7, alpha=0.4)
    labels: set[float] = set()
    for arm, (name, colour, style) in CONTROL_ARMS.items():
        rounds = getattr(control, arm)
        if not rounds:
            continue
        n_labels = [r.n_labels for r in rounds]
        mean, low, high = (
            [factor * x if (x := getattr(getattr(r, f"{quantity}_rmse"), key)) is not None else np.nan for r in rounds]
            for key in ("mean", "low", "high")
        )
        axes.plot(n_labels, mean, style, color=colour, markersize=5, label=f"{name}, mean")
        floor = 0.2 * min(mean)  # an interval that reaches zero has no place on a logarithmic axis
        axes.fill_between(n_labels, np.maximum(low, floor), high, color=colour, alpha=0.18, linewidth=0)
        labels |= set(n_labels)
    axes.set(xlabel="labels trained on", ylabel=f"{words} [{unit}]")
    logarithmic(axes, "y")
    if labels:
        at_numbers(axes, sorted(labels))
    axes.legend()


def selection_section(inputs: AluminiumInputs) -> Section:
    rounds = [one for one in inputs.details.rounds if one.tried]
    blocks: list[Block] = []
    if rounds:
        blocks.append(
            picture(
                settle(draw_selection(rounds)),
                name="aluminium-selection",
                description="Selection",
                caption="Active rounds. Left, how trajectories ended, and how many of the stopped frames were labelled "
                "(dots; duplicates and what exceeds the budget are left). Middle, spread of the members along some "
                "trajectories of the last round, with its threshold (dashed; two more thresholds, on the energy and "
                "on the largest force, stop trajectories too). Right, CPU seconds of the parts.",
            )
        )
    else:
        blocks.append(Notice(text="No active round was made: there is no selection to show."))
    figure = draw_snapshots(inputs)
    if figure is not None:
        blocks.append(
            picture(
                settle(figure),
                name="aluminium-snapshots",
                description="Cells that were labelled",
                caption="Cells that were labelled, from the random-packed start to the frames at which the last "
                "ensemble stopped; T is that of the bath then. Pale atoms are periodic images; scales differ.",
            )
        )
    return Section(
        anchor="aluminium-selection",
        title="Selection",
        introduction="A trajectory stops as soon as the spread of the ensemble passes a threshold, which is set anew "
        "in each round (params: active_learning.thresholds). Frames too close to known ones are not labelled.",
        blocks=blocks,
    )


def draw_selection(rounds: Sequence[RoundDetails]) -> Figure:
    figure = new_figure(10.0, 3.7)
    ended, traces, cost = figure.subplots(1, 3)
    numbers = [one.round for one in rounds]
    bottom = np.zeros(len(rounds))
    for reason, (words, colour) in REASONS.items():
        counts = np.array([one.ended.get(reason, 0) for one in rounds], dtype=float)
        if counts.any():
            ended.bar(numbers, counts, bottom=bottom, color=colour, width=0.6, label=words)
            bottom += counts
    ended.plot(numbers, [one.selected for one in rounds], "o", color=INK, markersize=5, label="labelled")
    ended.set(xlabel="round", ylabel="trajectories", title="how they ended", ylim=(0, 1.45 * max(bottom.max(), 1)))
    ended.legend(loc="upper left", fontsize=7.5)
    last = rounds[-1]
    seen = set()
    for trace in last.traces:
        words, colour = REASONS.get(trace.reason, (trace.reason, CYCLE[6]))
        points = [(s, f) for s, f in zip(trace.step, trace.force_mean, strict=True) if f]
        if points:
            label = None if words in seen else words
            traces.plot(*zip(*points, strict=True), color=colour, linewidth=1.0, alpha=0.8, label=label)
            traces.plot(*points[-1], "o", color=colour, markersize=3.5)
            seen.add(words)
    if last.thresholds and last.thresholds.force_mean_eV_A is not None:
        traces.axhline(last.thresholds.force_mean_eV_A, color=INK, linestyle="--", linewidth=1.0)
    traces.set(xlabel="step", ylabel="mean spread of forces [eV/Å]", title=f"round {last.round}")
    if seen:
        logarithmic(traces, "y")
        traces.legend(fontsize=7.5)
    bottom = np.zeros(len(rounds))
    for part in dict.fromkeys(part for one in rounds for part in one.cpu_s):
        seconds = np.array([one.cpu_s.get(part, 0.0) for one in rounds])
        cost.bar(numbers, seconds, bottom=bottom, width=0.6, color=PARTS.get(part, MUTED), label=part)
        bottom += seconds
    cost.set(xlabel="round", ylabel="CPU seconds", title="time", ylim=(0, 1.3 * max(bottom.max(), 1e-9)))
    cost.legend(loc="upper left")
    for axes in (ended, cost):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False, axis="x")
    return figure


def draw_snapshots(inputs: AluminiumInputs) -> Figure | None:
    shown: list[tuple[str, Any, Any, Any]] = [
        ("start", r.numbers, r.positions_A, r.cell_A) for r in inputs.records if r.source == "bootstrap"
    ][:2]
    rounds = [one for one in inputs.details.rounds if one.frames]
    each = max(1, (MAX_SNAPSHOTS - len(shown)) // max(1, len(rounds)))
    for one in rounds:
        for frame in one.frames[:each]:
            words = f"round {one.round}, T = {frame.temperature_K:.0f} K"
            shown.append((words, frame.numbers, frame.positions_A, frame.cell_A))
    shown = shown[:MAX_SNAPSHOTS]
    if not shown:
        return None
    n_columns = min(5, len(shown))
    figure = new_figure(10.0, 2.3 * -(-len(shown) // n_columns))
    grid = figure.subplots(-(-len(shown) // n_columns), n_columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, (words, numbers, positions, cell) in zip(grid.flat, shown, strict=False):
        draw_cell_on(axes, np.asarray(numbers, dtype=int), np.asarray(positions), np.asarray(cell))
        axes.set_title(words, fontsize=9)
    return figure
