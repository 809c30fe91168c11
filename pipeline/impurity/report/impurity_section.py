"""Section on the data: three regimes, the Kondo peak melting in temperature and field, what the dataset covers."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline.impurity.report.impurity_figures import Example, draw_coverage, draw_examples, draw_kondo_peak
from pipeline.report.drawing import inline_svg, thinned
from pipeline.report.page import Notice, Picture, Section, number

__all__ = ["SpectrumTable", "examples_of_regimes", "impurity_section", "read_spectra", "solver_words"]

FloatArray = NDArray[np.float64]
SOLVERS = {  # attribute `solver` of a store -> short, in full; any other is called as the store calls it
    "nrg": ("NRG", "full-density-matrix NRG"),
    "triqs": ("NRG Ljubljana", "NRG Ljubljana through TRIQS"),
}


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
    names = (
        "interaction",
        "level",
        "hybridization",
        "field",
        "temperature",
        "n_d",
        "kondo_temperature",
        "friedel_residual",
    )
    return SpectrumTable(
        omega=store["omega"].values,
        spectrum=store["spectrum"].values[solved],
        hamiltonian=store["hamiltonian"].values[solved],
        row=solved,
        **{name: store[name].values[solved] for name in names},
    )


def solver_words(solver: str, *, in_full: bool = False) -> str:
    return SOLVERS.get(solver, (solver or "an unnamed solver",) * 2)[in_full]


def impurity_section(table: SpectrumTable, *, solver: str, max_points: int) -> Section:
    examples = examples_of_regimes(table)
    blocks: list[Picture | Notice] = []
    if examples:
        blocks.append(
            Picture(
                svg=inline_svg(
                    draw_examples(table.omega, examples), name="examples", description="Spectra of three regimes"
                ),
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
        "asymmetry": table.asymmetry / np.where(table.repulsion == 0, np.nan, table.repulsion),
        "n_d": table.n_d,
        "temperature": table.temperature,
        "kondo_temperature": table.kondo_temperature,
    }
    shown = thinned(np.flatnonzero(table.repulsion > 0), max_points)
    figure = draw_coverage({name: values[shown] for name, values in columns.items()})
    blocks.append(
        Picture(
            svg=inline_svg(figure, name="coverage", description="What the dataset covers"),
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
        + _friedel_sentence(table),
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
    return Picture(
        svg=inline_svg(figure, name="kondo-peak", description="The Kondo peak against temperature and field"),
        caption=f"The Kondo peak melts where T or |B| passes T_K. Left, one impurity at {len(family)} temperatures; "
        f"middle and right, the height at ω = 0 of {number(int(thermal.sum()))} and {number(int(magnetic.sum()))} "
        "spectra of the Kondo regime (|n_d - 1| < 0.1, U > 2πΓ), with T and |B| in units of each impurity's measured "
        "T_K: one curve for all U/Γ means that T_K is the only scale.",
    )


def _melting_family(hamiltonian: NDArray[np.int64], log_ratio: FloatArray, rows: NDArray[np.bool_]) -> list[int]:
    """Rows of the Hamiltonian whose temperatures lie best around T_K, one row per temperature, coldest first."""
    best: tuple[float, list[int]] = (-np.inf, [])
    for label in np.unique(hamiltonian[rows]):
        own = np.flatnonzero(rows & (hamiltonian == label))
        order = own[np.argsort(log_ratio[own], kind="stable")]
        distinct = [int(order[0])]
        for i in order[1:]:
            if log_ratio[i] > log_ratio[distinct[-1]] + 1e-9:
                distinct.append(int(i))
        values = np.clip(log_ratio[distinct], -2.0, 1.5)
        score = len(np.unique(values)) + float(np.ptp(values)) - abs(float(values.mean()) + 0.25)
        if score > best[0]:
            best = (score, distinct)
    return best[1]
