"""Section on what the network found: maps and traversals of its latents, which latent is what, all seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.report_pages.drawing import inline_svg
from pipeline.report_pages.impurity_section import SpectrumTable, thinned
from pipeline.report_pages.latent_figures import draw_association, draw_latent_maps, draw_traversals
from pipeline.report_pages.page import Notice, Paragraph, Picture, Section, Table, number, value_with_interval
from stores.latents import SubsetLatents

__all__ = ["LABELS", "latent_columns", "latent_section", "map_axes", "spearman"]

FloatArray = NDArray[np.float64]

# quantity of reports/metrics/latents.json -> words, label in a figure
LABELS = {
    "log_T_K": ("log T_K", "log T$_K$"),
    "asymmetry": ("asymmetry (U + 2ε_d)/Γ", "(U + 2ε$_d$)/Γ"),
    "n_d": ("occupation n_d", "n$_d$"),
    "log_max_scale": ("log max(T_K, T, |B|)", "log max(T$_K$, T, |B|)"),
}
# What the project set out to reach: single latent, linear direction, nonlinear R2.
GOALS = {"log_T_K": (0.95, 0.95, 0.99), "asymmetry": (0.90, 0.90, None)}
SUBSET_WORDS = {
    "low_temperature": "low temperature and field",
    "full": "all temperatures and fields",
}


def latent_section(
    latents: Mapping[str, SubsetLatents], table: SpectrumTable, metrics: Mapping[str, Any], *, max_points: int
) -> Section:
    blocks: list[Picture | Table | Paragraph | Notice] = [_reached(metrics["best_abs_spearman"])]
    for subset, own in latents.items():
        blocks += _maps(subset, own, table, max_points)
        blocks.append(_traversals(subset, own))
        blocks.append(_who_is_who(subset, own, table))
    return Section(
        anchor="spectra-latents",
        title="Latents",
        introduction="A variational autoencoder compresses each spectrum into a few numbers. It sees spectra only; no "
        "parameter and no Kondo temperature enters its training or the choice of network.",
        blocks=blocks,
    )


def latent_columns(own: SubsetLatents, table: SpectrumTable) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Latent means (n, n_latents) of the rows which the table holds, and the quantities to compare them with."""
    place = np.full(int(max(table.row.max(initial=0), own.spectrum_row.max(initial=0))) + 1, -1)
    place[table.row] = np.arange(table.row.size)
    rows = place[own.spectrum_row]
    mean, rows = own.mean[rows >= 0], rows[rows >= 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.fmax(np.fmax(table.kondo_temperature, table.temperature), np.abs(table.field))[rows]
        log_tk = np.log10(table.kondo_temperature[rows])
    return mean, {
        "log_T_K": log_tk,
        "asymmetry": table.asymmetry[rows],
        "n_d": table.n_d[rows],
        "log_max_scale": np.log10(scale),
    }


def spearman(x: FloatArray, y: FloatArray) -> float:
    """Rank correlation of the entries where both are known; 0 where fewer than three are."""
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 3 or np.ptp(x[known]) == 0 or np.ptp(y[known]) == 0:
        return 0.0
    ranks = [np.argsort(np.argsort(v[known], kind="stable"), kind="stable").astype(float) for v in (x, y)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def map_axes(mean: FloatArray, columns: Mapping[str, FloatArray]) -> tuple[int, int]:
    """The latent that follows log T_K best, and of the others the one that follows the asymmetry best."""
    follows_tk = [abs(spearman(z, columns["log_T_K"])) for z in mean.T]
    first = int(np.argmax(follows_tk))
    rest = [i for i in range(mean.shape[1]) if i != first]
    return first, max(rest, key=lambda i: abs(spearman(mean[:, i], columns["asymmetry"])))


def _reached(best: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for quantity, found in best.items():
        goals = GOALS.get(quantity, (None, None, None))
        cells = [LABELS.get(quantity, (quantity, ""))[0], f"{found['latent']}", _subset(str(found["subset"]))]
        values = (
            (found["value"], found.get("low"), found.get("high")),
            _with_interval(found["linear_direction"]),
            _with_interval(found["nonlinear_r2"]),
        )
        for (value, low, high), goal in zip(values, goals, strict=True):
            text = value_with_interval(value, low, high)
            if goal is not None and value is not None:
                text += f" ✓ ≥ {goal:g}" if abs(value) >= goal else f" (goal ≥ {goal:g} not reached)"
            cells.append(text)
        rows.append(cells)
    return Table(
        columns=["quantity", "latent", "spectra", "one latent, |Spearman|", "best linear direction", "all latents, R²"],
        rows=rows,
        caption="How well the latents know each quantity, with 95 % bootstrap intervals over Hamiltonians: the best "
        "single latent, the best linear combination of the active ones, and a nonlinear regression on all active ones. "
        "Goals were fixed beforehand.",
    )


def _with_interval(found: Any) -> tuple[float | None, float | None, float | None]:  # noqa: ANN401 - JSON
    if isinstance(found, Mapping):
        return found.get("value"), found.get("low"), found.get("high")
    return found, None, None


def _subset(name: str) -> str:
    return SUBSET_WORDS.get(name, name.replace("_", " "))


def draw_maps(own: SubsetLatents, table: SpectrumTable, max_points: int) -> Figure:
    mean, columns = latent_columns(own, table)
    x, y = map_axes(mean, columns)
    shown = thinned(np.arange(len(mean)), max_points)
    return draw_latent_maps(
        mean[shown, x],
        mean[shown, y],
        f"latent “{own.names[x]}”",
        f"latent “{own.names[y]}”",
        {
            "log$_{10}$ T$_K$ / D": (columns["log_T_K"][shown], False),
            "(U + 2ε$_d$) / Γ": (columns["asymmetry"][shown], True),
        },
    )


def _maps(subset: str, own: SubsetLatents, table: SpectrumTable, max_points: int) -> list[Picture | Notice]:
    if len(own.names) < 2:
        return [Notice(text=f"The network of “{_subset(subset)}” has {len(own.names)} active latent: no map to draw.")]
    description = f"Latent maps, {_subset(subset)}"
    return [
        Picture(
            svg=inline_svg(draw_maps(own, table, max_points), name=f"maps-{subset}", description=description),
            caption=f"Spectra of “{_subset(subset)}” in the plane of the two latents that follow log T_K and the "
            "asymmetry best; every point is a spectrum, left coloured by its measured T_K, right by its asymmetry. "
            "Where one latent is one quantity, the colour changes along one axis only.",
        )
    ]


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


def _who_is_who(subset: str, own: SubsetLatents, table: SpectrumTable) -> Picture:
    mean, columns = latent_columns(own, table)
    quantities: Sequence[str] = list(LABELS)
    strength = np.array([[abs(spearman(z, columns[q])) for q in quantities] for z in mean.T])
    names = [f"{name} ({number(float(kl), 2)} nats)" for name, kl in zip(own.names, own.kl, strict=True)]
    figure = draw_association(names, [LABELS[q][1] for q in quantities], strength)
    return Picture(
        svg=inline_svg(figure, name=f"association-{subset}", description=f"Which latent is what, {_subset(subset)}"),
        caption=f"Rank correlation of every active latent of “{_subset(subset)}” with four quantities, over the "
        "spectra where the quantity is known, and the information it carries per spectrum.",
    )
