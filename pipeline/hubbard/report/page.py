"""The page of the Hubbard model: spectra of metals and insulators, the law of Z(U), what the latents follow."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.hubbard.records import HubbardDiscovery, HubbardMetrics, MottMetrics, WeightLaw
from pipeline.report.drawing import CYCLE, INK, MUTED, drawing, new_figure
from pipeline.report.inputs import params_hash, require
from pipeline.report.page import (
    Block,
    KeyNumber,
    LanePage,
    LaneReport,
    Notice,
    Paragraph,
    Section,
    Table,
    number,
    picture,
    value_with_interval,
)
from pipeline.report.registry import report_page
from stores.hubbard import HUBBARD
from stores.manifest import read_manifest
from stores.outcome import OK
from stores.zarr_store import open_store

__all__ = ["by_name", "critical", "hubbard_page", "law_words"]

Floats = NDArray[np.float64]
STORE, TABLE = "data/hubbard.zarr", "reports/details/mott.csv"
PARAMS = ("hubbard", "mott", "discover")
LAW_WORDS = {
    "found": "found by the engine",
    "brinkman_rice": "Brinkman and Rice",
    "parabola": "the same form, fitted",
    "straight_line": "straight line through small Z",
}
QUANTITY_WORDS = {
    "interaction": "U",
    "temperature": "T",
    "filling": "filling n",
    "matsubara_weight": "quasiparticle weight, at the first Matsubara frequency",
    "double_occupancy": "double occupancy",
    "chemical_potential": "chemical potential",
}
LINEARIZED, DMRG = 3.0, 2.225  # [D] U_c2 of linearized DMFT, cond-mat/9905075; U_c1 by DMRG, 4.45 t, cond-mat/0406666
SHOWN = (0.5, 1.5, 2.2, 2.7)  # [D] of the metals in the picture, the nearest ones that there are


@dataclass(frozen=True, kw_only=True)
class Inputs:
    store: xr.Dataset  # loaded, converged rows
    table: Mapping[str, Floats]  # reports/details/mott.csv by column
    hubbard: HubbardMetrics
    mott: MottMetrics
    discovery: HubbardDiscovery
    provenance: list[tuple[str, str]]


@report_page("hubbard", order=15)
def hubbard_page(root: Path, max_points: int) -> LaneReport:
    """Raises FileNotFoundError for inputs that are missing, ValueError for those of another version."""
    inputs = read_inputs(root)
    with drawing():
        lead = lead_figure(inputs)
        page = LanePage(
            name="hubbard",
            title="Hubbard model",
            finding=finding(inputs),
            key_numbers=key_numbers(inputs),
            lead=picture(
                lead,
                name="hubbard-lead",
                description="Spectra of metals and an insulator, and the quasiparticle weight against U",
                caption="Left, D A(ω) of the half-filled model at the lowest temperature of the data set. Right, the "
                "quasiparticle weight; filled points are those the formula was fitted to, open ones chose it, crosses "
                "are beyond both.",
            ),
            sections=[solution_section(inputs), law_section(inputs), latent_section(inputs)],
            provenance=inputs.provenance,
        )
    return LaneReport(page=page, pictures={"hubbard_lane": lead}, tables={})


def read_inputs(root: Path) -> Inputs:
    require(root, {STORE: "hubbard", TABLE: "mott"}, (HubbardMetrics, MottMetrics, HubbardDiscovery))
    store = open_store(root / STORE, HUBBARD)
    with (root / TABLE).open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return Inputs(
        store=store.isel(sample=np.flatnonzero(store["status"].values == OK)).load(),
        table={name: np.array([float(line[name]) for line in lines]) for name in lines[0]},
        hubbard=HubbardMetrics.read(root),
        mott=MottMetrics.read(root),
        discovery=HubbardDiscovery.read(root),
        provenance=[
            ("solutions", read_manifest(root / STORE).hash),
            ("settings", str(store.attrs["settings"])),
            ("params", params_hash(root, PARAMS)),
        ],
    )


def finding(inputs: Inputs) -> str:
    best = inputs.discovery.best
    words = []
    for name, what in (("matsubara_weight", "the quasiparticle weight"), ("filling", "the filling")):
        row = best[name]
        if row.abs_spearman is not None:
            baseline = max(row.baseline.values(), key=lambda one: one.abs_spearman or 0)
            words.append(
                f"{row.latent} follows {what} (|Spearman| {number(row.abs_spearman)} on test rows, "
                f"{baseline.coordinate} {number(baseline.abs_spearman)})"
            )
    follows = "; ".join(words) if words else "no latent could be scored"
    line = by_name(inputs.mott.laws)["straight_line"]
    return (
        f"From {number(inputs.discovery.n_rows)} spectra of the Hubbard model in mean-field theory: {follows}. "
        f"A straight line through the small weights puts the end of the metal at U = {critical(line)} D, where the "
        f"linearized theory has {LINEARIZED:g} D."
    )


def critical(law: WeightLaw) -> str:
    return value_with_interval(law.critical_interaction, law.low, law.high)


def by_name(laws: Sequence[WeightLaw]) -> dict[str, WeightLaw]:
    return {law.name: law for law in laws}


def key_numbers(inputs: Inputs) -> list[KeyNumber]:
    hubbard, discovery = inputs.hubbard, inputs.discovery
    return [
        KeyNumber(
            value=number(hubbard.n_rows),
            label="solutions by NRG",
            note=f"{number(hubbard.n_not_converged)} did not converge",
        ),
        KeyNumber(
            value=f"{number(inputs.mott.coexistence.n_two_solutions)} of {number(inputs.mott.coexistence.n_points)}",
            label="points have two solutions",
            note="half filling, both starts converged",
        ),
        KeyNumber(
            value=number(hubbard.luttinger.worst, 2),
            label="worst error of n by Luttinger's rule",
            note=f"{number(hubbard.luttinger.n_rows)} doped Fermi liquids; exact: 0",
        ),
        KeyNumber(
            value=number(discovery.active_latents),
            label="active latents",
            note="of the seeds: " + ", ".join(map(str, discovery.active_latents_of_seeds)),
        ),
    ]


def lead_figure(inputs: Inputs) -> Figure:
    figure = new_figure(10.0, 3.6)
    left, right = figure.subplots(1, 2)
    draw_spectra(left, inputs.store)
    draw_weights(right, inputs)
    return figure


def draw_spectra(axes: Axes, store: xr.Dataset) -> None:
    """Metals near SHOWN and the insulator of largest U, at the lowest temperature."""
    temperature = store["temperature"].values
    lowest = (store["filling"].values == 1) & (temperature == temperature.min())
    interaction, start = store["interaction"].values, store["start"].values
    metals = np.flatnonzero(lowest & (start == "metal"))
    insulators = np.flatnonzero(lowest & (start == "insulator"))
    near = [metals[np.abs(interaction[metals] - u).argmin()] for u in SHOWN] if metals.size else []
    rows = [*dict.fromkeys(int(row) for row in near), *insulators[interaction[insulators].argsort()][-1:]]
    for row, colour in zip(rows, CYCLE, strict=False):
        dashed = "--" if start[row] == "insulator" else "-"
        label = f"U = {interaction[row]:.2f} D" + (", insulator" if start[row] == "insulator" else "")
        axes.plot(store["omega"], store["spectrum"].values[row], dashed, color=colour, lw=1.3, label=label)
    axes.set(xlabel="ω / D", ylabel="D A(ω)", xlim=(-3, 3), ylim=(0, None))
    axes.set_title("metals and an insulator")
    axes.legend(loc="upper right", fontsize=7.5)


def draw_weights(axes: Axes, inputs: Inputs) -> None:
    u, z, mott = inputs.table["interaction"], inputs.table["weight"], inputs.mott
    parts = (
        ("fitted to", u <= mott.trained_up_to, "o", INK),
        ("chose", (u > mott.trained_up_to) & (u <= mott.chosen_up_to), "o", "none"),
        ("beyond", u > mott.chosen_up_to, "x", INK),
    )
    for label, rows, marker, face in parts:
        axes.plot(u[rows], z[rows], marker, color=INK, mfc=face, ms=4, label=label)
    for name, colour in zip(LAW_WORDS, CYCLE, strict=False):
        law = inputs.table[name]
        shown = law > -0.02
        axes.plot(u[shown], law[shown], color=colour, lw=1.2, label=LAW_WORDS[name])
    axes.axhline(0, color=MUTED, lw=0.6)
    axes.set(xlabel="U / D", ylabel="Z", ylim=(-0.05, 1.05))
    axes.set_title("quasiparticle weight")
    axes.legend(loc="upper right", fontsize=7.5)


def solution_section(inputs: Inputs) -> Section:
    hubbard, both = inputs.hubbard, inputs.mott.coexistence
    blocks: list[Block] = [
        Paragraph(
            text=f"{number(hubbard.n_points)} points were drawn in U, T and filling, each iterated from the bath "
            "without interaction, from that of isolated atoms, or from both; "
            f"{number(hubbard.n_iterations)} impurities were solved in all. Of doped Fermi "
            "liquids the filling follows from Re Σ(0) by Luttinger's rule: off by "
            f"{number(hubbard.luttinger.median, 2)} in the median, {number(hubbard.luttinger.worst, 2)} at worst. At "
            "half filling A(0) keeps its value without interaction, 2/πD, as soon as Im Σ(0) = 0: "
            f"the worst error there is {number(hubbard.pinning.worst, 2)}."
        ),
        Paragraph(text=coexistence_words(both.n_points, both.n_two_solutions, both.lowest_interaction,
                                         both.highest_interaction)),
    ]  # fmt: skip
    if hubbard.n_not_converged:
        blocks.append(
            Notice(
                text=f"{number(hubbard.n_not_converged)} of {number(hubbard.n_rows)} rows did not converge; they keep "
                "their last iterate and its reason, and take no part in what follows."
            )
        )
    return Section(anchor="hubbard-solutions", title="Solutions", blocks=blocks)


def coexistence_words(n_points: int, n_two: int, lowest: float | None, highest: float | None) -> str:
    start = f"{number(n_points)} points of half filling converged from both starts"
    if not n_two:
        return f"{start}; none has two solutions."
    return (
        f"{start}; {number(n_two)} of them have two solutions, a metal and an insulator, from U = {number(lowest)} to "
        f"{number(highest)} D. The insulator is known to end at {DMRG:g} D (DMRG, T = 0)."
    )


def law_section(inputs: Inputs) -> Section:
    mott = inputs.mott
    rows = [
        [
            LAW_WORDS[law.name],
            f"Z = {law.equation}",
            number(law.n_fitted),
            number(law.r2_test),
            number(law.r2_extrapolation),
            critical(law) if law.critical_interaction is not None else "not below 6 D",
        ]
        for law in mott.laws
    ]
    return Section(
        anchor="hubbard-law",
        title="The law of the quasiparticle weight",
        introduction=f"Metals at half filling and the lowest temperature. {number(mott.n_train)} rows up to U = "
        f"{number(mott.trained_up_to)} D are fitted to, {number(mott.n_validation)} above them, up to "
        f"{number(mott.chosen_up_to)} D, choose the formula, {number(mott.n_extrapolation)} lie beyond both; "
        f"{number(mott.n_test)} at random among the first are for testing.",
        blocks=[
            Table(
                columns=["law", "formula, U in D", "fitted", "R² on test rows", "R² beyond", "Z falls to 0 at U / D"],
                rows=rows,
                caption=f"The engine ({mott.engine}) got U and Z, and U and log Z, and no form. The fitted forms of "
                "theory saw the rows that choose, too. Brackets: 95 % of a bootstrap of the rows.",
                highlighted=frozenset({0}),
            ),
            Paragraph(
                text="Control: the same search on the weights of other U explains "
                f"{number(mott.control_r2_test)} of the variance of the true ones on the test rows."
            ),
        ],
    )  # fmt: skip


def latent_section(inputs: Inputs) -> Section:
    discovery = inputs.discovery
    rows = [
        [
            QUANTITY_WORDS.get(name, name),
            row.latent or row.problem or "\u2013",
            value_with_interval(row.abs_spearman, row.low, row.high),
            "; ".join(f"{one.coordinate} {number(one.abs_spearman)}" for one in row.baseline.values()),
            number(row.nonlinear_r2),
        ]
        for name, row in discovery.best.items()
    ]
    formulas = [
        [
            formula.latent,
            formula.equation or formula.problem or "\u2013",
            number(formula.r2_test),
            number(formula.r2_extrapolation),
            QUANTITY_WORDS.get(formula.beyond or "", formula.beyond or "\u2013"),
        ]
        for formula in discovery.formulas
    ]
    return Section(
        anchor="hubbard-latents",
        title="What the latents follow",
        introduction="`latentlaw discover` on the spectra alone: an autoencoder whose latents are even or odd under "
        f"the particle-hole mirror. {number(discovery.n_test_rows)} rows were kept for testing.",
        blocks=[
            Table(
                columns=["quantity", "latent", "|Spearman|, test rows", "baselines", "R² of all latents"],
                rows=rows,
                caption="Baselines: the best principal component, the best of five summaries of the curve. Each "
                "coordinate was chosen on other rows than it is scored on.",
            ),
            Table(
                columns=["latent", "formula by U, T and filling", "R² on test rows", "R² beyond", "beyond in"],
                rows=formulas,
                caption="The simplest formula that is good enough on validation rows.",
            ),
        ],
    )


def law_words(laws: Sequence[WeightLaw]) -> str:
    """The found formula and the straight line, for the README."""
    named = by_name(laws)
    law, line = named["found"], named["straight_line"]
    return (
        f"Z = {law.equation}: R2 {number(law.r2_test)} on test rows, {number(law.r2_extrapolation)} at larger U "
        f"(straight line {number(line.r2_extrapolation)})"
    )
