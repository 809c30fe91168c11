"""Pictures of impurity spectra: examples of the three regimes, the Kondo peak against T and B, what the dataset covers.

All functions take arrays and return a figure. Energies in D; spectra are pi Gamma A(omega), 1 at the unitary limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from pipeline.report.drawing import CYCLE, INK, MUTED, SEQUENTIAL, WARM, new_figure

__all__ = ["Example", "draw_coverage", "draw_examples", "draw_kondo_peak", "symlog_frequency_axis"]

FloatArray = NDArray[np.float64]
N_DECADES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Example:
    name: str
    parameters: str
    spectrum: FloatArray  # (n_omega,)


def draw_examples(omega: FloatArray, examples: Sequence[Example]) -> Figure:
    """Left against omega, where the Hubbard bands are seen; right on the logarithmic grid, where the Kondo peak is."""
    figure = new_figure(10.0, 3.9)
    linear, logarithmic = figure.subplots(1, 2, sharey=True)
    draw_examples_on(linear, omega, examples)
    reach = band_reach(omega, examples)
    linear.set(xlim=(-reach, reach), xlabel="ω / D", ylabel="π Γ A(ω)")
    linear.set_title("linear frequency")
    draw_examples_on(logarithmic, omega, examples)
    symlog_frequency_axis(logarithmic, omega)
    logarithmic.set_title("logarithmic frequency, as the network sees it")
    handles, labels = linear.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8.5)
    return figure


def band_reach(omega: FloatArray, examples: Sequence[Example]) -> float:
    """Frequency within which 98 % of every example's weight lies, and a margin."""
    width = np.gradient(omega)
    order = np.argsort(np.abs(omega))
    reach = 0.0
    for example in examples:
        weight = np.cumsum((example.spectrum * width)[order])
        reach = max(reach, abs(float(omega[order][np.searchsorted(weight, 0.98 * weight[-1])])))
    return min(1.15 * reach, float(omega[-1]))


def draw_examples_on(axes: Axes, omega: FloatArray, examples: Sequence[Example]) -> None:
    for colour, example in zip(CYCLE, examples, strict=False):
        axes.plot(omega, example.spectrum, color=colour, label=f"{example.name}: {example.parameters}")
        axes.fill_between(omega, example.spectrum, color=colour, alpha=0.10, linewidth=0)
    axes.set_ylim(0, 1.08)


def symlog_frequency_axis(axes: Axes, omega: FloatArray, *, n_labels: int = 2) -> None:
    """Logarithmic on both sides of zero, with `n_labels` labelled decades on each."""
    threshold = max(float(np.min(np.abs(omega[omega != 0]))), float(np.max(np.abs(omega))) * 10.0**-N_DECADES_SHOWN)
    axes.set_xscale("symlog", linthresh=threshold, linscale=0.6)
    axes.set_xlim(omega[0], omega[-1])
    top = int(np.floor(np.log10(omega[-1])))
    bottom = int(np.ceil(np.log10(threshold)))
    exponents = np.arange(top, bottom, -2)[:n_labels] if n_labels > 1 else np.array([(top + bottom) // 2 + 1])
    decades = 10.0**exponents
    axes.set_xticks(np.concatenate([-decades, [0.0], decades[::-1]]))
    axes.minorticks_off()
    axes.set_xlabel("ω / D (logarithmic on both sides)")


def draw_kondo_peak(
    omega: FloatArray,
    family: Mapping[float, FloatArray],
    family_title: str,
    thermal: tuple[FloatArray, FloatArray, FloatArray],
    magnetic: tuple[FloatArray, FloatArray, FloatArray],
) -> Figure:
    """Spectra of one Hamiltonian by T / T_K; height at omega = 0 against T / T_K and |B| / T_K, by U / Gamma."""
    figure = new_figure(10.0, 3.7)
    spectra, against_t, against_b = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    shades = WARM(np.linspace(0, 1, max(len(family), 2)))
    for shade, (ratio, spectrum) in zip(shades, sorted(family.items()), strict=False):
        spectra.plot(omega, spectrum, color=shade, label=f"T = {ratio:.2g} T$_K$")
    symlog_frequency_axis(spectra, omega)
    spectra.set(ylim=(0, 1.08), ylabel="π Γ A(ω)", title=family_title)
    spectra.legend(loc="upper left", fontsize=7.5)
    colours = [values[2] for values in (thermal, magnetic) if values[2].size]
    pooled = np.concatenate(colours) if colours else np.array([1.0, 2.0])
    norm = Normalize(float(pooled.min()), float(pooled.max()))
    points = None
    panels = ((against_t, thermal, "T / T$_K$", "no field"), (against_b, magnetic, "|B| / T$_K$", "T < T$_K$ / 10"))
    for axes, (scaled, height, colour), label, title in panels:
        points = axes.scatter(scaled, height, c=colour, s=9, norm=norm, cmap=SEQUENTIAL, linewidths=0, rasterized=True)
        axes.axvline(1.0, color=MUTED, linewidth=0.9, linestyle=":")
        axes.set(xscale="log", xlabel=label, ylim=(0, 1.08), title=title)
        if not scaled.size:
            axes.text(0.5, 0.5, "no such rows", transform=axes.transAxes, ha="center", color=INK)
    against_t.set_ylabel("π Γ A(0)")
    if points is not None:
        figure.colorbar(points, ax=against_b, label="U / Γ", pad=0.02)
    return figure


def draw_coverage(columns: Mapping[str, FloatArray]) -> Figure:
    """columns: repulsion U / Gamma, asymmetry (U + 2 eps_d) / U, n_d, temperature, kondo_temperature (n_rows,)."""
    figure = new_figure(10.0, 3.6)
    regimes, scales, occupations = figure.subplots(1, 3)
    points = regimes.scatter(
        columns["repulsion"],
        columns["asymmetry"],
        c=columns["n_d"],
        s=4,
        cmap="coolwarm",
        vmin=0,
        vmax=2,
        linewidths=0,
        rasterized=True,
    )
    regimes.axhspan(-1, 1, color=CYCLE[0], alpha=0.07, linewidth=0)
    regimes.set_xscale("log")
    regimes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    regimes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    regimes.xaxis.set_minor_formatter(NullFormatter())
    regimes.set(xlabel="U / Γ", ylabel="(U + 2ε$_d$) / U", title="interaction, asymmetry")
    figure.colorbar(points, ax=regimes, label="n$_d$", pad=0.02)
    known = np.isfinite(columns["kondo_temperature"])
    with np.errstate(divide="ignore"):
        tk, t = np.log10(columns["kondo_temperature"][known]), np.log10(columns["temperature"][known])
    scales.scatter(tk, t, s=4, color=CYCLE[0], alpha=0.6, linewidths=0, rasterized=True)
    if tk.size:
        ends = np.array([min(tk.min(), t.min()), max(tk.max(), t.max())])
        scales.plot(ends, ends, color=MUTED, linewidth=0.9, linestyle=":")
    scales.set(xlabel="log$_{10}$ T$_K$ / D", ylabel="log$_{10}$ T / D", title="temperatures")
    occupations.hist(columns["n_d"], bins=np.linspace(0, 2, 41), color=CYCLE[2], alpha=0.85)
    occupations.set(xlabel="n$_d$", ylabel="spectra", xlim=(0, 2), title="from empty to full")
    return figure
