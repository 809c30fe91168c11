"""Section on impurities in a pseudogap: how their energy scale vanishes at the critical coupling."""

import numpy as np
from matplotlib.figure import Figure

from models.physics.pseudogap.expansions import near_one_half, near_zero
from pipeline.discover.records import Measured
from pipeline.impurity.records import PseudogapMetrics
from pipeline.report.drawing import CYCLE, INK, new_figure
from pipeline.report.page import Block, Notice, Section, Table, number, picture

__all__ = ["pseudogap_section"]


def pseudogap_section(metrics: PseudogapMetrics) -> Section:
    blocks: list[Block] = [
        picture(
            draw_exponents(metrics),
            name="pseudogap",
            description="1/nu against the exponent of the bath",
            caption="Measured 1/nu (dots), and what is expected at both ends: r - r²/2 at small r (two loops), and "
            "2(1 - 2r) at r = 1/2 (about the resonant level U = 0). Neither is fitted.",
        ),
        Table(
            columns=["r", "Γ_c / D", "1/nu", "nu", "nu from T* above Γ_c", "below", "S at Γ_c / log 2", "T χ at Γ_c"],
            rows=[
                [
                    number(point.exponent),
                    number(point.critical_coupling, 5),
                    with_error(point.inverse_nu, 5),
                    number(None if point.inverse_nu[0] is None else 1 / point.inverse_nu[0], 5),
                    number(point.nu_screened[0], 5),
                    number(point.nu_local_moment[0], 5),
                    number(None if point.critical_entropy is None else point.critical_entropy / np.log(2), 4),
                    number(point.critical_moment, 4),
                ]
                for point in metrics.exponents
            ],
            caption="1/nu from how fast two flows on both sides of Γ_c part, its error from a chain of another Λ; nu "
            "from T*, where T χ is half way to its value in the phase. Γ_c is that of the chain, and moves with Λ. "
            "No published table of nu could be set beside it.",
        ),
    ]
    if metrics.n_failed:
        blocks.append(Notice(text=f"{metrics.n_failed} of {metrics.n_rows} energy scales could not be measured."))
    return Section(
        anchor="spectra-pseudogap",
        title="A bath with a pseudogap",
        introduction="Where the bath vanishes as |ω|^r the impurity is screened only above a critical coupling Γ_c. "
        "Near it the energy scale, T_K on the screened side, vanishes as |Γ - Γ_c|^nu. The level lies at -U/2.",
        blocks=blocks,
    )


def with_error(value: Measured, digits: int) -> str:
    middle, low, high = value
    if middle is None or low is None or high is None:
        return number(middle, digits)
    return f"{number(middle, digits)} ± {number((high - low) / 2, 1)}"


def draw_exponents(metrics: PseudogapMetrics) -> Figure:
    figure = new_figure(6.0, 3.4)
    axes = figure.subplots()
    r = np.linspace(0.001, 0.499, 200)
    axes.plot(r, [near_zero(x) for x in r], color=CYCLE[0], label="r - r²/2")
    axes.plot(r, [near_one_half(x) for x in r], color=CYCLE[1], label="2(1 - 2r)")
    known = [(point.exponent, point.inverse_nu[0]) for point in metrics.exponents if point.inverse_nu[0] is not None]
    if known:
        axes.plot(*zip(*known, strict=True), "o", color=INK, ms=5, label="measured")
    axes.set(xlabel="r", ylabel="1/nu", xlim=(0, 0.5), ylim=(0, 0.4))
    axes.legend(loc="upper left")
    return figure
