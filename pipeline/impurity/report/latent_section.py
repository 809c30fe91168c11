"""Section on what the network found: maps and traversals of its latents, which latent is what, in words and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.discover.goals import LATENTS, LatentGoals
from pipeline.discover.records import Measures
from pipeline.impurity.records import BestLatent, HeldOutSet, SubsetReport
from pipeline.impurity.report.spectra_section import SpectrumTable, symlog_frequency_axis
from pipeline.report.axes import draw_association
from pipeline.report.drawing import CYCLE, INK, SEQUENTIAL, WARM, new_figure, thinned
from pipeline.report.layout import physics
from pipeline.report.page import Block, Notice, Picture, Section, Table, number, picture, value_with_interval
from stores.latents import SubsetLatents

__all__ = ["QUANTITIES", "SUBSET_WORDS", "MapPlane", "draw_latent_map", "latent_section", "map_plane"]

FloatArray = NDArray[np.float64]

# quantity of LatentsMetrics -> words, label in a figure
QUANTITIES = {
    "log_T_K": ("log T_K", "log T$_K$"),
    "asymmetry": ("asymmetry (U + 2ε_d)/Γ", "(U + 2ε$_d$)/Γ"),
    "n_d": ("occupation n_d", "n$_d$"),
    "log_max_scale": ("log max(T_K, T, |B|)", "log max(T$_K$,T,|B|)"),
    "log_interaction": ("log U", "log U"),
    "log_hybridization": ("log Γ", "log Γ"),
    "interaction_over_hybridization": ("U/Γ", "U/Γ"),
    "field_share": ("B/(|B| + T + T_K)", "B/(|B|+T+T$_K$)"),
    "level": ("ε_d", "ε$_d$"),
    "field": ("B", "B"),
    "log_temperature": ("log T", "log T"),
}
SUBSET_WORDS = {
    "low_temperature": "lowest temperature, no field",
    "full": "all temperatures and fields",
}
ROW_WORDS = {  # subset, scored rows
    ("low_temperature", "test"): "low T",
    ("low_temperature", "local_moment"): "low T, local moments",
    ("full", "test"): "all T, B",
    ("full", "local_moment"): "all T, B, local moments",
}
SET_WORDS = {
    "network": "network",
    "summaries": "summaries of the curve",
    "principal_components": "PCA",
    "principal_components_cumulative": "PCA of cumulated weight",
    "untrained": "before training",
    "autoencoder": "plain AE",
    "beta_vae": "plain β-VAE",
}
NAMED = ("network", "summaries")  # sets whose coordinate is named in the table
MEASURES = ("spearman", "pearson", "distance_correlation", "mutual_information")


def latent_section(
    latents: Mapping[str, SubsetLatents],
    table: SpectrumTable,
    best: Mapping[str, BestLatent],
    reports: Mapping[str, SubsetReport],
    *,
    max_points: int,
) -> Section:
    blocks: list[Block] = [_reached(best), _beside_baselines(reports)]
    for subset, kept in latents.items():
        blocks += _subset_blocks(subset, kept, table, reports[subset], max_points)
    return Section(
        anchor="spectra-latents",
        title="Latents",
        introduction="A variational autoencoder compresses each spectrum into a few numbers. It sees spectra only; "
        "no parameter and no Kondo temperature enters a training or the choice among the trainings. The form of its "
        "objective and the default weights in it were chosen on data of the default seed, with labels in sight.",
        blocks=blocks,
    )


@dataclass(frozen=True, kw_only=True)
class MapPlane:
    """Two latents of one network as the axes of a map, and what colours it (NaN where not measured), all (n_rows,)."""

    x: FloatArray
    y: FloatArray
    x_name: str
    y_name: str
    scale: FloatArray
    scale_label: str
    asymmetry: FloatArray


def map_plane(kept: SubsetLatents, table: SpectrumTable, report: SubsetReport, max_points: int) -> MapPlane | None:
    """The latents which follow the energy scale and the asymmetry best; None where fewer than two are active."""
    if len(kept.names) < 2:
        return None
    associations = report.associations
    scale = "log_T_K" if any("log_T_K" in line for line in associations.values()) else "log_max_scale"
    x = max(range(len(kept.names)), key=lambda i: abs(_value(associations, kept.names[i], scale)))
    others = [i for i in range(len(kept.names)) if i != x]
    y = max(others, key=lambda i: abs(_value(associations, kept.names[i], "asymmetry")))
    row_of = np.full(int(max(table.row.max(initial=0), kept.spectrum_row.max(initial=0))) + 1, -1)
    row_of[table.row] = np.arange(table.row.size)
    shown = thinned(np.flatnonzero(row_of[kept.spectrum_row] >= 0), max_points)
    rows = row_of[kept.spectrum_row[shown]]
    tk, temperature = table.kondo_temperature[rows], table.temperature[rows]
    if scale == "log_T_K":
        energy, label = np.where(tk > temperature, tk, np.nan), "log$_{10}$ T$_K$ / D"
    else:
        energy = np.fmax(np.fmax(tk, temperature), np.abs(table.field[rows]))
        label = "log$_{10}$ max(T$_K$, T, |B|) / D"
    return MapPlane(
        x=kept.mean[shown, x],
        y=kept.mean[shown, y],
        x_name=f"latent “{kept.names[x]}”",
        y_name=f"latent “{kept.names[y]}”",
        scale=np.log10(energy),
        scale_label=label,
        asymmetry=table.asymmetry[rows],
    )


def _value(associations: Mapping[str, Mapping[str, Measures]], latent: str, quantity: str) -> float:
    measures = associations.get(latent, {}).get(quantity)
    return 0.0 if measures is None else measures.spearman[0] or 0.0


def _reached(best: Mapping[str, BestLatent]) -> Table:
    rows = []
    for quantity in sorted(best, key=list(QUANTITIES).index):
        kept = best[quantity]
        goals = LATENTS.get(quantity, LatentGoals())
        cells = [_words(quantity), kept.latent.replace(" ", "\u00a0"), _subset(kept.subset)]
        values = (
            (kept.value, kept.low, kept.high),
            (kept.linear_direction, None, None),
            (kept.nonlinear_r2, None, None),
        )
        for (value, low, high), goal in zip(values, goals, strict=True):
            text = value_with_interval(value, low, high)
            if goal is not None and value is not None:
                text += f" ✓\u00a0≥\u00a0{goal:g}" if value >= goal else f" (goal ≥ {goal:g} not reached)"
            cells.append(text)
        rows.append(cells)
    return Table(
        columns=["quantity", "latent", "spectra", "one latent, |Spearman|", "best linear direction", "all latents, R²"],
        rows=rows,
        caption="How well the latents know each quantity. One latent: test Hamiltonians, one of each mirror pair, the "
        "latent being chosen on the validation ones; 95 % bootstrap interval over Hamiltonians. The best linear "
        "combination of the active ones and a nonlinear regression on them: out of fold, all Hamiltonians. Goals "
        "were fixed beforehand.",
    )


def _beside_baselines(reports: Mapping[str, SubsetReport]) -> Table:
    """One row for each quantity and kind of rows, one column for each set of coordinates."""
    rows: list[list[str]] = []
    for subset, report in reports.items():
        for quantity, scored in report.held_out.items():
            for row_set, line in scored.items():
                network = line.get("network")
                of_seeds = [of.spearman[0] for name, of in line.items() if name.startswith("seed_")]
                seeds = [value for value in of_seeds if value is not None]
                any_set = next(iter(line.values()))
                rows.append(
                    [
                        f"{_words(quantity)}, {ROW_WORDS[subset, row_set]} ({number(any_set.n_hamiltonians)})",
                        *(_held_out_cell(line.get(name), named=name in NAMED) for name in SET_WORDS),
                        f"{number(min(seeds))} to {number(max(seeds))}" if seeds else number(None),
                        value_with_interval(*network.ahead) if network else number(None),
                    ]
                )
    return Table(
        columns=["quantity, rows (Hamiltonians)", *SET_WORDS.values(), "all trainings", "network less summaries"],
        rows=rows,
        caption="What learning adds. |Spearman| on test Hamiltonians, one of each mirror pair. Every set of "
        "coordinates sends the one that follows the quantity best on validation Hamiltonians of the same kind. "
        "Summaries: centroid, width, imbalance, height and onset of the curve, which need no learning. Last column: "
        "paired difference.",
    )


def _held_out_cell(of: HeldOutSet | None, *, named: bool) -> str:
    if of is None:
        return number(None)
    value = number(of.spearman[0])
    return f"{value} ({of.coordinate.replace('_', ' ')})" if named else value


def _words(quantity: str) -> str:
    return QUANTITIES.get(quantity, (quantity.replace("_", " "), ""))[0]


def _subset(name: str) -> str:
    return SUBSET_WORDS.get(name, name.replace("_", " "))


def _subset_blocks(
    subset: str, kept: SubsetLatents, table: SpectrumTable, report: SubsetReport, max_points: int
) -> list[Block]:
    if not kept.names:
        return [
            Notice(text=f"The network of “{_subset(subset)}” has no active latent: it stores nothing of its spectra.")
        ]
    plane = map_plane(kept, table, report, max_points)
    words = _subset(subset)
    if plane is None:
        first: Picture | Notice = Notice(
            text=f"The network of “{words}” has {len(kept.names)} active latent: no map to draw."
        )
    else:
        first = picture(
            draw_latent_maps(plane),
            name=f"maps-{subset}",
            description=f"Latent maps, {words}",
            caption=f"Spectra of “{words}” in the plane of the two latents that follow the energy scale and the "
            "asymmetry best. Every point is a spectrum, left coloured by its measured scale, right by its asymmetry, "
            "grey where there is no measured value. Where one latent is one quantity, the colour changes along one "
            "axis only.",
        )
    return [first, _traversals(subset, kept), _who_is_who(subset, kept, report), *_in_words(subset, kept, report)]


def _traversals(subset: str, kept: SubsetLatents) -> Picture:
    figure = draw_traversals(
        kept.omega,
        kept.traversal_spectrum.astype(float),
        kept.traversal_position,
        [f"latent “{name}”" for name in kept.names],
    )
    return picture(
        figure,
        name=f"traversals-{subset}",
        description=f"Decoded latent traversals, {_subset(subset)}",
        caption=f"What the decoder draws when one latent moves and the others stay at 0 (“{_subset(subset)}”).",
    )


def _who_is_who(subset: str, kept: SubsetLatents, report: SubsetReport) -> Picture:
    associations = report.associations
    known = [q for q in QUANTITIES if any(q in line for line in associations.values())]
    strength = np.array([[abs(_value(associations, name, q)) for q in known] for name in kept.names])
    names = [f"{name} ({number(float(kl), 2)} nats)" for name, kl in zip(kept.names, kept.kl, strict=True)]
    figure = draw_association(names, [QUANTITIES[q][1] for q in known], strength)
    return picture(
        figure,
        name=f"association-{subset}",
        description=f"Which latent is what, {_subset(subset)}",
        caption=f"Rank correlation of every active latent of “{_subset(subset)}” with what is known of the impurity, "
        f"over {number(report.n_rows)} spectra, and the information it carries per spectrum.",
    )


def _in_words(subset: str, kept: SubsetLatents, report: SubsetReport) -> list[Table]:
    associations = report.associations
    rows: list[Sequence[str]] = []
    for name in kept.names:
        line = associations[name]
        nearest = max(line, key=lambda q: abs(line[q].spearman[0] or 0.0))
        rows.append(
            [
                name.replace(" ", "\u00a0"),
                _words(nearest),
                *(value_with_interval(*getattr(line[nearest], measure)) for measure in MEASURES),
            ]
        )
    return [
        Table(
            columns=["latent", "nearest to", "Spearman", "Pearson", "distance corr.", "mutual inf. [nats]"],
            rows=rows,
            details=[physics(said) for said in report.meaning],
            caption=f"Which latent is what, “{_subset(subset)}”: four measures with 95 % bootstrap intervals over "
            "Hamiltonians, and the same in words drawn from the numbers.",
        )
    ]


def draw_latent_map(
    axes: Axes, x: FloatArray, y: FloatArray, colour: FloatArray, *, label: str, diverging: bool = False
) -> None:
    """Points without a colour value (NaN) are small and grey; the colour range holds the central 98 %."""
    known = np.isfinite(colour)
    low, high = np.quantile(colour[known], [0.01, 0.99]) if known.any() else (0.0, 1.0)
    if diverging:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    axes.scatter(x[~known], y[~known], s=2, color=CYCLE[6], alpha=0.35, linewidths=0, rasterized=True)
    points = axes.scatter(
        x[known],
        y[known],
        c=colour[known],
        s=float(np.clip(9000 / max(1, known.sum()), 5, 30)),
        cmap="coolwarm" if diverging else SEQUENTIAL,
        vmin=low,
        vmax=high,
        linewidths=0,
        rasterized=True,
    )
    axes.get_figure().colorbar(points, ax=axes, label=label, pad=0.02)  # type: ignore[union-attr]
    if not known.any():
        axes.text(0.5, 0.5, "no value known", transform=axes.transAxes, ha="center", color=INK)


def draw_latent_maps(plane: MapPlane) -> Figure:
    """The same plane coloured by the energy scale and by the asymmetry."""
    figure = new_figure(10.0, 3.9)
    scale, asymmetry = figure.subplots(1, 2)
    draw_latent_map(scale, plane.x, plane.y, plane.scale, label=plane.scale_label)
    draw_latent_map(asymmetry, plane.x, plane.y, plane.asymmetry, label="(U + 2ε$_d$) / Γ", diverging=True)
    for axes in (scale, asymmetry):
        axes.set(xlabel=plane.x_name, ylabel=plane.y_name)
    return figure


def draw_traversals(omega: FloatArray, spectra: FloatArray, positions: FloatArray, names: Sequence[str]) -> Figure:
    """spectra (n_latents, n_steps, n_omega) decoded at positions (n_latents, n_steps) of one latent, others 0."""
    n_columns = len(names) if len(names) <= 4 else 3
    n_rows = -(-len(names) // n_columns)
    figure = new_figure(10.0, 0.4 + 2.7 * n_rows)
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name, family, steps in zip(grid.flat, names, spectra, positions, strict=False):
        shades = WARM(np.linspace(0, 1, len(steps)))
        for shade, step, spectrum in zip(shades, steps, family, strict=True):
            axes.plot(omega, spectrum, color=shade, linewidth=1.4, label=f"{step:+.1f}".replace("-", "\u2212"))
        symlog_frequency_axis(axes, omega, n_labels=1 if n_columns > 2 else 2)
        axes.set_title(name)
        axes.set_xlabel("ω / D")
    grid.flat[0].set_ylim(0, 1.05 * float(np.nanmax(spectra)))
    for row in grid:
        row[0].set_ylabel("π Γ A(ω)")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", title="latent at", fontsize=8)
    return figure
