"""Section on the data: three regimes, the Kondo peak melting in temperature and field, what the dataset covers.

Energies in D; spectra are pi Gamma A(omega), 1 at the unitary limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from pipeline.report.drawing import CYCLE, INK, MUTED, SEQUENTIAL, WARM, new_figure, thinned
from pipeline.report.page import Notice, Picture, Section, number, picture

__all__ = [
    "SpectrumTable",
    "draw_examples_on",
    "examples_of_regimes",
    "read_spectra",
    "solver_words",
    "spectra_section",
    "symlog_frequency_axis",
]

FloatArray = NDArray[np.float64]
N_DECADES_SHOWN = 5
SOLVERS = {  # attribute `solver` of a store -> short, in full; any other is called as the store calls it
    "nrg": ("NRG", "full-density-matrix NRG"),
    "triqs": ("NRG Ljubljana", "NRG Ljubljana through TRIQS"),
}


@dataclass(frozen=True, kw_only=True)
class Example:
    name: str
    parameters: str
    spectrum: FloatArray  # (n_omega,)


@dataclass(frozen=True, kw_only=True)
class SpectrumTable:
    """The solved rows of data/spectra.zarr, one array per column, energies in D."""

    omega: FloatArray  # (n_omega,)
    spectrum: NDArray[np.float32]  # (n_rows, n_omega), pi Gamma A_up
    interaction: FloatArray  # (n_rows,) and so on
    level: FloatArray
    hybridization: FloatArray
    field: FloatArray
    temperature: FloatArray
    n_d: FloatArray
    kondo_temperature: FloatArray
    friedel_residual: FloatArray
    clipped_self_energy: FloatArray
    spectrum_error_max: FloatArray  # NaN but for the Hamiltonians that were solved twice, as the next two
    spectrum_error_mean: FloatArray
    kondo_temperature_error: FloatArray
    hamiltonian: NDArray[np.int64]
    row: NDArray[np.int64]  # row number in the store

    @property
    def asymmetry(self) -> FloatArray:
        """(U + 2 eps_d) / Gamma."""
        return (self.interaction + 2 * self.level) / self.hybridization

    @property
    def repulsion(self) -> FloatArray:
        """U / Gamma."""
        return self.interaction / self.hybridization

    @property
    def peak_height(self) -> FloatArray:
        """pi Gamma A(0)."""
        return self.spectrum[:, int(np.argmin(np.abs(self.omega)))].astype(float)


def read_spectra(store: xr.Dataset) -> SpectrumTable:
    solved = np.flatnonzero(store["status"].values == 0)
    shared = {"omega", "spectrum", "hamiltonian", "row"}
    names = [name for name in SpectrumTable.__dataclass_fields__ if name not in shared]
    return SpectrumTable(
        omega=store["omega"].values,
        spectrum=store["spectrum"].values[solved],
        hamiltonian=store["hamiltonian"].values[solved],
        row=solved,
        **{name: store[name].values[solved] for name in names},
    )


def solver_words(solver: str, *, in_full: bool = False) -> str:
    return SOLVERS.get(solver, (solver or "an unnamed solver",) * 2)[in_full]


def spectra_section(table: SpectrumTable, *, solver: str, max_points: int) -> Section:
    examples = examples_of_regimes(table)
    blocks: list[Picture | Notice] = []
    if examples:
        blocks.append(
            picture(
                draw_examples(table.omega, examples),
                name="examples",
                description="Spectra of three regimes",
                caption="One impurity of each regime at the lowest temperature and without field. πΓA(ω) is 1 at the "
                "unitary limit. Left, the Hubbard bands near ε_d and ε_d + U; right, the same curves against the "
                "logarithm of the frequency, where the Kondo resonance has its width.",
            )
        )
    else:
        blocks.append(Notice(text="No spectrum without field at the lowest temperature: no examples of the regimes."))
    blocks.append(_kondo_peak(table))
    columns = {
        "repulsion": table.repulsion,
        "asymmetry_over_U": table.asymmetry / np.where(table.repulsion == 0, np.nan, table.repulsion),
        "n_d": table.n_d,
        "temperature": table.temperature,
        "kondo_temperature": table.kondo_temperature,
    }
    shown = thinned(np.flatnonzero(table.repulsion > 0), max_points)
    figure = draw_coverage({name: values[shown] for name, values in columns.items()})
    blocks.append(
        picture(
            figure,
            name="coverage",
            description="What the dataset covers",
            caption=f"What the dataset covers ({number(int(shown.size))} of {number(int(table.row.size))} spectra "
            "drawn). Shaded: the level is singly occupied in the atomic limit. Below the dotted line the temperature "
            "lies under the Kondo temperature, so that a spectrum can show T_K at all.",
        )
    )
    return Section(
        anchor="spectra-data",
        title="Spectra",
        introduction=f"Every spectrum is solved by {solver_words(solver, in_full=True)} for its own interaction U, "
        "level ε_d, hybridization Γ, field B and temperature T, all in units of the half bandwidth D. "
        + " ".join((_friedel_sentence(table), _clipping_sentence(table), _accuracy_sentence(table))),
        blocks=blocks,
    )


def _friedel_sentence(table: SpectrumTable) -> str:
    size = np.abs(table.friedel_residual[np.isfinite(table.friedel_residual)])
    if not size.size:
        return "No temperature is low enough for Friedel's sum rule."
    return (
        f"Friedel's sum rule, πΓA(0) = sin²(πN), applies to {number(int(size.size))} spectra, whose temperature is low "
        f"enough: the difference is {np.median(size):.4f} in the median, {np.quantile(size, 0.99):.4f} at the 99th "
        f"percentile and {size.max():.4f} at worst."
    )


def _clipping_sentence(table: SpectrumTable) -> str:
    clipped = table.clipped_self_energy
    if not (clipped > 0).any():
        return "No Im Σ came out positive."
    return (
        f"Im Σ came out positive, and was set to zero, in {number(int((clipped > 0).sum()))} spectra, by "
        f"{clipped.max():.4f} Γ at most."
    )


def _accuracy_sentence(table: SpectrumTable) -> str:
    twice = np.isfinite(table.spectrum_error_max)
    if not twice.any():
        return "No spectrum was solved a second time, so that nothing here tells its error."
    labels = table.kondo_temperature_error[np.isfinite(table.kondo_temperature_error)]
    told = f", T_K by {100 * np.median(labels):.2f} % and {100 * labels.max():.2f} %" if labels.size else ""
    return (
        f"{number(np.unique(table.hamiltonian[twice]).size)} Hamiltonians, drawn at random, were solved a second time "
        f"at a finer setting: πΓA differs by {np.median(table.spectrum_error_mean[twice]):.4f} in the median and "
        f"{table.spectrum_error_mean[twice].max():.4f} at worst, as mean over ω{told}; at single points πΓA differs by "
        f"up to {table.spectrum_error_max[twice].max():.3f}."
    )


def examples_of_regimes(table: SpectrumTable) -> list[Example]:
    """The rows nearest to three textbook points, at the lowest temperature and B = 0; empty when there are none."""
    rows = np.flatnonzero((table.field == 0) & (table.temperature <= 1.01 * table.temperature.min(initial=np.inf)))
    if not rows.size:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        log_tk = np.nan_to_num(np.log10(table.kondo_temperature[rows]), nan=-9.0)
    places = np.stack([table.n_d[rows], log_tk / 3, np.log10(table.hybridization[rows]) / 2], axis=1)
    targets = {"Kondo": (1.0, -3.2), "mixed valence": (0.6, -1.7), "empty orbital": (0.15, -1.0)}
    examples = []
    for name, (n_d, target_log_tk) in targets.items():
        distance = np.linalg.norm((places - [n_d, target_log_tk / 3, np.log10(0.02) / 2]) * [4, 1, 1], axis=1)
        i = int(rows[np.argmin(distance)])
        parameters = (
            f"U={table.interaction[i]:.2g}, ε$_d$={table.level[i]:.2g}, Γ={table.hybridization[i]:.2g}"
        ).replace("-", "\u2212")
        examples.append(Example(name=name, parameters=parameters, spectrum=table.spectrum[i].astype(float)))
    return examples


def _kondo_peak(table: SpectrumTable) -> Picture | Notice:
    with np.errstate(invalid="ignore"):
        kondo = (np.abs(table.n_d - 1) < 0.1) & (table.repulsion > 2 * np.pi) & (table.kondo_temperature < 0.02)
        thermal = kondo & (table.field == 0)
        magnetic = kondo & (table.field != 0) & (table.temperature < table.kondo_temperature / 10)
    if not thermal.any():
        return Notice(
            text="No spectrum in the Kondo regime (n_d near 1, U > 2πΓ) without field: its peak is not shown."
        )
    ratio = table.temperature / table.kondo_temperature
    family = _melting_family(table.hamiltonian, np.log10(np.where(thermal, ratio, np.nan)), thermal)
    first = family[0]
    heights = table.peak_height
    figure = draw_kondo_peak(
        table.omega,
        {float(ratio[i]): table.spectrum[i].astype(float) for i in family},
        f"one impurity, U / Γ = {table.repulsion[first]:.1f}",
        (ratio[thermal], heights[thermal], table.repulsion[thermal]),
        (
            np.abs(table.field[magnetic]) / table.kondo_temperature[magnetic],
            heights[magnetic],
            table.repulsion[magnetic],
        ),
    )
    return picture(
        figure,
        name="kondo-peak",
        description="The Kondo peak against temperature and field",
        caption=f"The Kondo peak melts where T or |B| passes T_K. Left, one impurity at {len(family)} temperatures; "
        f"middle and right, the height at ω = 0 of {number(int(thermal.sum()))} and {number(int(magnetic.sum()))} "
        "spectra of the Kondo regime (|n_d - 1| < 0.1, U > 2πΓ), with T and |B| in units of each impurity's measured "
        "T_K: one curve for all U/Γ means that T_K is the only scale.",
    )


def _melting_family(hamiltonian: NDArray[np.int64], log_ratio: FloatArray, rows: NDArray[np.bool_]) -> list[int]:
    """Rows of the Hamiltonian whose temperatures lie best around T_K, one row per temperature, coldest first."""
    best: tuple[float, list[int]] = (-np.inf, [])
    for label in np.unique(hamiltonian[rows]):
        entry = np.flatnonzero(rows & (hamiltonian == label))
        order = entry[np.argsort(log_ratio[entry], kind="stable")]
        distinct = [int(order[0])]
        for i in order[1:]:
            if log_ratio[i] > log_ratio[distinct[-1]] + 1e-9:
                distinct.append(int(i))
        values = np.clip(log_ratio[distinct], -2.0, 1.5)
        score = len(np.unique(values)) + float(np.ptp(values)) - abs(float(values.mean()) + 0.25)
        if score > best[0]:
            best = (score, distinct)
    return best[1]


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
    """Columns: repulsion U / Gamma, asymmetry_over_U (U + 2 eps_d) / U, n_d, temperature, T_K (n_rows,)."""
    figure = new_figure(10.0, 3.6)
    regimes, scales, occupations = figure.subplots(1, 3)
    points = regimes.scatter(
        columns["repulsion"],
        columns["asymmetry_over_U"],
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
