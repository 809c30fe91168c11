"""Section on what the network found: maps and traversals of its latents, which latent is what, in words and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.impurity.report.impurity_section import SpectrumTable
from pipeline.report.drawing import inline_svg, thinned
from pipeline.report.latent_figures import draw_association, draw_latent_maps, draw_traversals
from pipeline.report.layout import physics
from pipeline.report.page import Notice, Paragraph, Picture, Section, Table, number, value_with_interval
from stores.latents import SubsetLatents

__all__ = ["QUANTITIES", "SUBSET_WORDS", "MapPlane", "latent_section", "map_plane"]

FloatArray = NDArray[np.float64]

# quantity of reports/metrics/latents.json -> words, label in a figure
QUANTITIES = {
    "log_T_K": ("log T_K", "log T$_K$"),
    "asymmetry": ("asymmetry (U + 2ε_d)/Γ", "(U + 2ε$_d$)/Γ"),
    "n_d": ("occupation n_d", "n$_d$"),
    "log_max_scale": ("log max(T_K, T, |B|)", "log max(T$_K$,T,|B|)"),
    "log_interaction": ("log U", "log U"),
    "log_hybridization": ("log Γ", "log Γ"),
    "interaction_over_hybridization": ("U/Γ", "U/Γ"),
    "level": ("ε_d", "ε$_d$"),
    "field": ("B", "B"),
    "log_temperature": ("log T", "log T"),
}
# What the project set out to reach: single latent, linear direction, nonlinear R2.
GOALS = {"log_T_K": (0.95, 0.95, 0.99), "asymmetry": (0.90, 0.90, None)}
SUBSET_WORDS = {
    "low_temperature": "lowest temperature, no field",
    "full": "all temperatures and fields",
}
MEASURES = ("spearman", "pearson", "distance_correlation", "mutual_information")


def latent_section(
    latents: Mapping[str, SubsetLatents], table: SpectrumTable, metrics: Mapping[str, Any], *, max_points: int
) -> Section:
    blocks: list[Picture | Table | Paragraph | Notice] = [_reached(metrics["best_abs_spearman"])]
    for subset, own in latents.items():
        blocks += _subset_blocks(subset, own, table, metrics["subsets"][subset], max_points)
    return Section(
        anchor="spectra-latents",
        title="Latents",
        introduction="A variational autoencoder compresses each spectrum into a few numbers. It sees spectra only; "
        "no parameter and no Kondo temperature enters a training or the choice among the trainings. The form of its "
        "objective and the default weights in it were settled beforehand on other data, with labels in sight.",
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


def map_plane(own: SubsetLatents, table: SpectrumTable, metrics: Mapping[str, Any], max_points: int) -> MapPlane | None:
    """The latents which follow the energy scale and the asymmetry best; None where fewer than two are active."""
    if len(own.names) < 2:
        return None
    associations = metrics["associations"]
    scale = "log_T_K" if any("log_T_K" in line for line in associations.values()) else "log_max_scale"
    x = max(range(len(own.names)), key=lambda i: abs(_value(associations, own.names[i], scale)))
    others = [i for i in range(len(own.names)) if i != x]
    y = max(others, key=lambda i: abs(_value(associations, own.names[i], "asymmetry")))
    place = np.full(int(max(table.row.max(initial=0), own.spectrum_row.max(initial=0))) + 1, -1)
    place[table.row] = np.arange(table.row.size)
    shown = thinned(np.flatnonzero(place[own.spectrum_row] >= 0), max_points)
    rows = place[own.spectrum_row[shown]]
    tk, temperature = table.kondo_temperature[rows], table.temperature[rows]
    if scale == "log_T_K":
        energy, label = np.where(tk > temperature, tk, np.nan), "log$_{10}$ T$_K$ / D"
    else:
        energy = np.fmax(np.fmax(tk, temperature), np.abs(table.field[rows]))
        label = "log$_{10}$ max(T$_K$, T, |B|) / D"
    return MapPlane(
        x=own.mean[shown, x],
        y=own.mean[shown, y],
        x_name=f"latent “{own.names[x]}”",
        y_name=f"latent “{own.names[y]}”",
        scale=np.log10(energy),
        scale_label=label,
        asymmetry=table.asymmetry[rows],
    )


def _value(associations: Mapping[str, Any], latent: str, quantity: str) -> float:
    found = associations.get(latent, {}).get(quantity)
    return 0.0 if found is None else float(found["spearman"][0])


def _reached(best: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for quantity in sorted(best, key=list(QUANTITIES).index):
        found = best[quantity]
        goals = GOALS.get(quantity, (None, None, None))
        cells = [_words(quantity), f"{found['latent']}".replace(" ", "\u00a0"), _subset(str(found["subset"]))]
        values = (
            (found["value"], found.get("low"), found.get("high")),
            (found["linear_direction"], None, None),
            (found["nonlinear_r2"], None, None),
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
        caption="How well the latents know each quantity: the best single latent with its 95 % bootstrap interval "
        "over Hamiltonians; the best linear combination of the active ones; a nonlinear regression on all active "
        "ones, both judged on Hamiltonians they were not fitted to. Goals were fixed beforehand.",
    )


def _words(quantity: str) -> str:
    return QUANTITIES.get(quantity, (quantity.replace("_", " "), ""))[0]


def _subset(name: str) -> str:
    return SUBSET_WORDS.get(name, name.replace("_", " "))


def _subset_blocks(
    subset: str, own: SubsetLatents, table: SpectrumTable, metrics: Mapping[str, Any], max_points: int
) -> list[Picture | Table | Paragraph | Notice]:
    if not own.names:
        return [
            Notice(text=f"The network of “{_subset(subset)}” has no active latent: it stores nothing of its spectra.")
        ]
    plane = map_plane(own, table, metrics, max_points)
    words = _subset(subset)
    if plane is None:
        first: Picture | Notice = Notice(
            text=f"The network of “{words}” has {len(own.names)} active latent: no map to draw."
        )
    else:
        first = Picture(
            svg=inline_svg(_draw(plane), name=f"maps-{subset}", description=f"Latent maps, {words}"),
            caption=f"Spectra of “{words}” in the plane of the two latents that follow the energy scale and the "
            "asymmetry best. Every point is a spectrum, left coloured by its measured scale, right by its asymmetry, "
            "grey where there is no measured value. Where one latent is one quantity, the colour changes along one "
            "axis only.",
        )
    return [first, _traversals(subset, own), _who_is_who(subset, own, metrics), *_in_words(subset, own, metrics)]


def _draw(plane: MapPlane) -> Figure:
    return draw_latent_maps(
        plane.x,
        plane.y,
        plane.x_name,
        plane.y_name,
        {plane.scale_label: (plane.scale, False), "(U + 2ε$_d$) / Γ": (plane.asymmetry, True)},
    )


def _traversals(subset: str, own: SubsetLatents) -> Picture:
    figure = draw_traversals(
        own.omega,
        own.traversal_spectrum.astype(float),
        own.traversal_position,
        [f"latent “{name}”" for name in own.names],
    )
    return Picture(
        svg=inline_svg(
            figure, name=f"traversals-{subset}", description=f"Decoded latent traversals, {_subset(subset)}"
        ),
        caption=f"What the decoder draws when one latent moves and the others stay at 0 (“{_subset(subset)}”).",
    )


def _who_is_who(subset: str, own: SubsetLatents, metrics: Mapping[str, Any]) -> Picture:
    associations = metrics["associations"]
    known = [q for q in QUANTITIES if any(q in line for line in associations.values())]
    strength = np.array([[abs(_value(associations, name, q)) for q in known] for name in own.names])
    names = [f"{name} ({number(float(kl), 2)} nats)" for name, kl in zip(own.names, own.kl, strict=True)]
    figure = draw_association(names, [QUANTITIES[q][1] for q in known], strength)
    return Picture(
        svg=inline_svg(figure, name=f"association-{subset}", description=f"Which latent is what, {_subset(subset)}"),
        caption=f"Rank correlation of every active latent of “{_subset(subset)}” with what is known of the impurity, "
        f"over {number(int(metrics['n_rows']))} spectra, and the information it carries per spectrum.",
    )


def _in_words(subset: str, own: SubsetLatents, metrics: Mapping[str, Any]) -> list[Table]:
    associations: Mapping[str, Mapping[str, Any]] = metrics["associations"]
    rows: list[Sequence[str]] = []
    for name in own.names:
        line = associations[name]
        nearest = max(line, key=lambda q: abs(line[q]["spearman"][0]))
        rows.append(
            [
                name.replace(" ", "\u00a0"),
                _words(nearest),
                *(value_with_interval(*line[nearest][measure][:3]) for measure in MEASURES),
            ]
        )
    return [
        Table(
            columns=["latent", "nearest to", "Spearman", "Pearson", "distance corr.", "mutual inf. [nats]"],
            rows=rows,
            details=[physics(said) for said in metrics["meaning"]],
            caption=f"Which latent is what, “{_subset(subset)}”: four measures with 95 % bootstrap intervals over "
            "Hamiltonians, and the same in words drawn from the numbers.",
        )
    ]
