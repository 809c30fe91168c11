"""The report of `latentlaw discover`: one HTML page made of a study."""

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.laws.discovery import Finding
from pipeline.discover.study import NETWORK, PCA_SET, SUMMARIES, TRAVERSAL, Formula, Quantity, Study
from pipeline.report.drawing import CYCLE, INK, SEQUENTIAL, drawing, formula_markup, new_figure
from pipeline.report.layout import render
from pipeline.report.page import (
    Block,
    KeyNumber,
    LanePage,
    Notice,
    Paragraph,
    Picture,
    Section,
    Table,
    number,
    picture,
    r_squared,
    value_with_interval,
)

__all__ = ["page_of"]

Array = NDArray[np.float64]
N_DRAWN = 40
N_SHOWN = 4  # reconstructions
MAX_POINTS = 1500


def page_of(study: Study, *, name: str, scale: str) -> str:
    """HTML of the whole report; `name` of the data, `scale` of the axis of curves."""
    test = int((study.split_N == 2).sum())
    groups = len(np.unique(study.table.groups))
    lane = LanePage(
        name="discover",
        title=f"What varies in {name}",
        finding=finding(study),
        key_numbers=[
            KeyNumber(value=number(len(study.table.curves)), label="rows", note=f"{number(groups)} groups"),
            KeyNumber(
                value=number(len(study.names)),
                label="active latents",
                note="of the seeds: " + ", ".join(map(str, study.active_by_seed.values())),
            ),
            KeyNumber(
                value=number(study.errors[NETWORK], 2),
                label="error on test rows, of the data's scale",
                note=f"{number(study.errors[PCA_SET], 2)} by as many principal components",
            ),
            KeyNumber(value=number(study.consistency, 2), label="agreement with the other seeds", note="1: the same"),
        ],
        lead=curves_picture(study, scale),
        sections=[latent_section(study, scale), quantity_section(study), formula_section(study)],
        provenance=[
            (
                "rows",
                f"{len(study.table.curves)} used, {study.table.n_dropped} left out, {test} for testing",
            ),
            ("network", f"beta {study.beta:g}, seed {study.seed}, chosen without labels by the agreement of seeds"),
        ],
    )
    return render([lane], title=f"Latentlaw: {name}")


def finding(study: Study) -> str:
    """One sentence per latent that follows something, and what is left to say where none does."""
    if not study.names:
        return "No latent is active: the rows do not differ by more than what the network takes for noise."
    said = []
    for name, of in study.quantities.items():
        network = of.held_out.get(NETWORK)
        if network is not None and network.spearman.value >= 0.9:
            beside = max((of.held_out[key].spearman.value, key) for key in (PCA_SET, SUMMARIES))
            verdict = "ahead of" if network.spearman.value > beside[0] else "not ahead of"
            said.append(
                f"{network.coordinate} follows {name} ({number(network.spearman.value)}), {verdict} {beside[1]} "
                f"({number(beside[0])})"
            )
    many = f"{len(study.names)} latents are active"
    return f"{many}. On test rows " + "; ".join(said) + "." if said else f"{many}; none follows a single quantity."


def curves_picture(study: Study, scale: str) -> Picture:
    rows = np.flatnonzero(study.split_N == 2)
    shown = rows[np.linspace(0, len(rows) - 1, min(N_DRAWN, len(rows))).astype(int)]
    colour_N = study.mean_NL[:, 0] if len(study.names) else np.zeros(len(study.table.curves))
    low, high = np.quantile(colour_N, [0.02, 0.98])
    figure = new_figure(10.0, 3.4)
    with drawing():
        if len(study.table.shape) == 2:
            for axes, row in zip(figure.subplots(2, 8).T, shown, strict=False):
                for panel, values in zip(axes, (study.table.curves[row], study.reconstructed_NW[row]), strict=True):
                    image(panel, values, study.table.shape)
            caption = "Images of the test set, and below each what the network makes of it through its latents."
        else:
            left, right = figure.subplots(1, 2)
            for row in shown:
                share = np.clip((colour_N[row] - low) / max(high - low, 1e-12), 0, 1)
                left.plot(study.table.axis, study.table.curves[row], color=SEQUENTIAL(share), lw=0.9)
            for k, row in enumerate(shown[:: max(1, len(shown) // N_SHOWN)][:N_SHOWN]):
                right.plot(study.table.axis, study.table.curves[row], color=CYCLE[k], lw=2.4, alpha=0.45)
                right.plot(study.table.axis, study.reconstructed_NW[row], color=INK, lw=0.9, ls="--")
            for axes in (left, right):
                set_axis(axes, study, scale)
            left.set_title("curves, coloured by the first latent")
            right.set_title("reconstructions, dashed")
            caption = f"{len(shown)} rows of the test set, which no training saw; right, {N_SHOWN} of them again."
    return picture(figure, name="curves", description="rows of the test set", caption=caption)


def set_axis(axes: Axes, study: Study, scale: str) -> None:
    axes.set_xlabel(study.table.axis_name)
    if scale == "log":
        axes.set_xscale("log")
    elif scale == "symlog":
        size_W = np.abs(study.table.axis[study.table.axis != 0])
        axes.set_xscale("symlog", linthresh=float(size_W.min()))
        low, high = np.ceil(np.log10(size_W.min())), np.floor(np.log10(size_W.max()))
        decades = 10.0 ** np.unique(np.linspace(low, high, 3).round())
        axes.set_xticks([*-decades[::-1], 0.0, *decades])


def image(axes: Axes, values: Array, shape: tuple[int, ...]) -> None:
    axes.imshow(values.reshape(shape), cmap="gray")
    axes.set_axis_off()


def latent_section(study: Study, scale: str) -> Section:
    blocks: list[Block] = []
    if study.names:
        blocks.append(traversal_picture(study, scale))
    rows = [
        [name, number(float(kl), 2), number(float(np.std(study.mean_NL[:, i])), 2)]
        for i, (name, kl) in enumerate(zip(study.names, study.kl_L, strict=True))
    ]
    blocks.append(
        Table(
            columns=("latent", "information [nats per row]", "spread"),
            rows=rows,
            caption="Latents that carry more than 0.05 nats in the mean over training rows.",
        )
    )
    return Section(
        anchor="latents",
        title="What each latent does",
        introduction="One latent is moved from -2 to +2 of its standard deviations, the others stay at their mean.",
        blocks=blocks,
    )


def traversal_picture(study: Study, scale: str) -> Picture:
    n = len(study.names)
    with drawing():
        if len(study.table.shape) == 2:
            figure = new_figure(10.0, 1.5 * n)
            for line, name, moved_SW in zip(
                np.atleast_2d(figure.subplots(n, len(TRAVERSAL))), study.names, study.traversals_LSW, strict=True
            ):
                for axes, values in zip(line, moved_SW, strict=True):
                    image(axes, values, study.table.shape)
                line[0].set_title(name)
        else:
            figure = new_figure(10.0, 2.9 * ((n + 2) // 3))
            panels = np.atleast_1d(figure.subplots((n + 2) // 3, min(n, 3))).ravel()
            for axes, name, moved_SW in zip(panels, study.names, study.traversals_LSW, strict=False):
                for k, values in enumerate(moved_SW):
                    axes.plot(study.table.axis, values, color=SEQUENTIAL(k / (len(TRAVERSAL) - 1)), lw=1.3)
                axes.set_title(name)
                set_axis(axes, study, scale)
            for axes in panels[n:]:
                axes.set_axis_off()
    return picture(
        figure, name="traversals", description="curves along each latent", caption="Dark to bright: from low to high."
    )


def quantity_section(study: Study) -> Section:
    named = {name: of for name, of in study.quantities.items() if NETWORK in of.held_out}
    blocks: list[Block] = [
        Table(
            columns=("quantity", "best latent", "|Spearman| [95 %]", "principal component", "summary", "linear", "R²"),
            rows=[quantity_row(name, of) for name, of in study.quantities.items()],
            caption=(
                "On test rows. The coordinate of each set is chosen on validation rows. Linear: |Spearman| of the best "
                "linear combination of all latents; R²: by nearest neighbours in all latents; both out of fold."
            ),
        )
    ]
    if named:
        blocks.insert(0, scatter_picture(study, named))
    blocks += [Notice(text=f"{name}: {of.problem}.") for name, of in study.quantities.items() if of.problem]
    return Section(
        anchor="quantities",
        title="What the latents know",
        introduction="Inputs and known quantities took no part in the training, nor in the choice of the network.",
        blocks=blocks,
    )


def quantity_row(name: str, of: Quantity) -> list[str]:
    network = of.held_out.get(NETWORK)
    if network is None:
        return [name, *[number(None)] * 6]

    def beside(key: str) -> str:
        return f"{number(of.held_out[key].spearman.value)} ({of.held_out[key].coordinate})"

    return [
        name,
        network.coordinate,
        value_with_interval(*network.spearman),
        beside(PCA_SET),
        beside(SUMMARIES),
        number(of.linear_direction),
        number(of.nonlinear_r2),
    ]


def scatter_picture(study: Study, named: dict[str, Quantity]) -> Picture:
    test = np.flatnonzero(study.split_N == 2)[:MAX_POINTS]
    n = len(named)
    figure: Figure = new_figure(10.0, 2.9 * ((n + 2) // 3))
    with drawing():
        panels = np.atleast_1d(figure.subplots((n + 2) // 3, min(n, 3))).ravel()
        for axes, (name, of) in zip(panels, named.items(), strict=False):
            latent = of.held_out[NETWORK].coordinate
            values = study.table.columns[name]
            axes.plot(values[test], study.mean_NL[test, study.names.index(latent)], ".", ms=3.5, color=CYCLE[0])
            if (values > 0).all() and values.max() > 100 * values.min():
                axes.set_xscale("log")
            axes.set(xlabel=name, ylabel=latent)
        for axes in panels[n:]:
            axes.set_axis_off()
    return picture(
        figure,
        name="quantities",
        description="latents against quantities",
        caption="Test rows: for each quantity the latent that follows it best on validation rows.",
    )


def formula_section(study: Study) -> Section:
    blocks: list[Block] = []
    if not study.formulas:
        blocks.append(Paragraph(text="No inputs were named, so there is nothing to write a formula of."))
    rows, details = [], []
    for i, formula in enumerate(study.formulas):
        if formula.finding is None:
            blocks.append(Notice(text=f"{formula.latent}: no formula, {formula.problem}."))
            continue
        rows.append(formula_row(formula, formula.finding))
        symbols = {name: name for name in formula.finding.equation.names}
        details.append(
            formula_markup(
                formula.finding.equation.text,
                name=f"formula{i}",
                physical=formula.finding.equation.symbols,
                symbol_latex={formula.finding.equation.symbols[n]: rf"\mathrm{{{latex_name(n)}}}\," for n in symbols},
                left=rf"\mathrm{{{formula.latent.replace(' ', chr(92) + ' ')}}} = ",
            )
        )
    if rows:
        blocks.append(
            Table(
                columns=("latent", "engine", "complexity", "R² on test rows", "R² beyond", "beyond what"),
                rows=rows,
                details=[Markup(detail) for detail in details],
                caption=(
                    "Beyond: rows with the largest values of the input that the latent follows most, kept from the "
                    "search. A formula that is good on test rows and bad beyond describes, and is no law."
                ),
            )
        )
    return Section(
        anchor="formulas",
        title="Formulas of the latents",
        introduction="A latent is known up to a monotone map, so formulas of the same latent may look different.",
        blocks=blocks,
    )


def formula_row(formula: Formula, finding: Finding) -> list[str]:
    return [
        formula.latent,
        formula.engine,
        number(finding.equation.complexity),
        r_squared(finding.r2_test),
        r_squared(finding.r2_extrapolation),
        formula.nearest,
    ]


def latex_name(name: str) -> str:
    return name.replace("_", r"\_")
