"""A first look in about a minute: one page with a spectrum, the law of the Kondo temperature, and a map of textures.

Each part is what a lane of the pipeline does, with the same code, small enough to wait for. The seed draws; the same
seed gives the same numbers.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from models.descriptors.descriptor import DescriptorSettings, make_descriptor
from models.laws.correlation import spearman
from models.laws.discovery import Finding, Problem, Rules, discover, split_rows
from models.laws.engines.library import LibraryEngine
from models.laws.manifold import principal_axes
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo import kondo_temperature
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver
from models.physics.impurity.solver import ImpuritySolution
from models.physics.microstructure.lamellae import Lamellae, lamellae
from pipeline.commands.options.quickstart import QuickstartOptions
from pipeline.report.drawing import CYCLE, INK, SEQUENTIAL, drawing, formula_markup, new_figure
from pipeline.report.layout import render
from pipeline.report.page import KeyNumber, LanePage, Paragraph, Picture, Section, number, picture, r_squared
from pipeline.runtime.records import write_json
from stores.atomic import write_text
from stores.building import building

__all__ = ["main"]

Array = NDArray[np.float64]
KIND = "quickstart"
SOLVER = NRGSettings(discretization=4.0, n_keep=128, n_z=2, broadening=0.4)
QUICK = NRGSettings(discretization=4.0, n_keep=120, n_z=1)
IMPURITY = AndersonImpurity(interaction=0.2, level=-0.1, hybridization=0.012)
TEMPERATURES = np.array([1e-8, 1e-5, 1e-3])  # [D]
N_IMPURITIES, N_IMAGES = 80, 120
SHAPE = (128, 128)
RULES: dict[str, Any] = {"tolerance": 0.2, "confidence": 0.95, "n_bootstrap": 100, "n_seeds": 1, "max_rows": 300}


def main(options: QuickstartOptions) -> None:
    with building(options.out, KIND) as folder:
        folder.mkdir()
        say("one impurity at three temperatures")
        omega, solution = one_impurity()
        say(f"{N_IMPURITIES} Kondo temperatures, and their formula")
        problem, law = kondo_law(options.seed)
        say(f"{N_IMAGES} micrographs")
        points, images, coordinates = texture_map(options.seed)
        noise = noise_rank(points, coordinates)
        peak = float(height(solution)[0].max())
        with drawing():
            page = LanePage(
                name="quickstart",
                title="A first look",
                finding=f"The formula found for log(T_K/Gamma) explains {r_squared(law.r2_test)} of the variance "
                "of impurities that it was not searched on.",
                key_numbers=[
                    KeyNumber(
                        value=number(peak, 4),
                        label="π Gamma A at its peak, T = 10⁻⁸ D",
                        note="Friedel's sum rule: 1 at half filling",
                    ),
                    KeyNumber(
                        value=r_squared(law.r2_extrapolation),
                        label="R², largest U/Gamma",
                        note="kept away from the search",
                    ),
                    KeyNumber(value=number(noise), label="|Spearman|, map and noise", note="of one coordinate"),
                ],
                lead=spectrum_picture(omega, solution),
                sections=[law_section(problem, law), map_section(points, images, coordinates)],
                provenance=[("command", f"latentlaw quickstart --seed {options.seed}")],
            )
            write_text(folder / "report.html", render([page], title="Latentlaw: a first look"))
        numbers = {
            "peak": peak,
            "formula": law.equation.text,
            "r2_test": law.r2_test,
            "r2_beyond": law.r2_extrapolation,
            "noise_spearman": noise,
        }
        write_json(folder / "numbers.json", numbers, digits=6)
    print(f"{options.out}/report.html: open it in a browser")


def one_impurity() -> tuple[Array, ImpuritySolution]:
    """omega (n,) [D]; denser towards the Fermi level."""
    positive = np.geomspace(1e-7, 0.25, 300)
    omega = np.concatenate([-positive[::-1], positive])
    return omega, NRGSolver(SOLVER).solve(IMPURITY, temperatures=TEMPERATURES, omega=omega)


def height(solution: ImpuritySolution) -> Array:
    """pi Gamma A(omega), (n_temperatures, n_omega)."""
    heights: Array = np.pi * IMPURITY.hybridization * solution.spectrum_up
    return heights


def kondo_law(seed: int) -> tuple[Problem, Finding]:
    """log(T_K / Gamma) of impurities drawn at random, and the formula that a search over sums of products takes."""
    random = np.random.default_rng(seed)
    gamma = np.exp(random.uniform(np.log(2e-4), np.log(2e-3), N_IMPURITIES))  # [D]
    u = random.uniform(12, 40, N_IMPURITIES)  # U / Gamma
    x = random.uniform(-0.75, -0.25, N_IMPURITIES)  # eps_d / U
    impurities = [
        AndersonImpurity(interaction=float(a * g), level=float(b * a * g), hybridization=float(g))
        for a, b, g in zip(u, x, gamma, strict=True)
    ]
    measured = np.array([kondo_temperature(one, QUICK, lowest_temperature=1e-18) for one in impurities])
    train, test, beyond = split_rows(u, test_fraction=0.2, extrapolation_fraction=0.2, max_rows=300, seed=seed)
    problem = Problem(
        target="log(T_K / Gamma)",
        encoding="dimensionless",
        names=("u", "x"),
        inputs=np.column_stack([u, x]),
        units=(0, 0),
        values=np.log(measured / gamma),
        train=train,
        test=test,
        extrapolation=beyond,
        laws={},
        exponent=None,
    )
    engine = LibraryEngine(max_power=2, max_total=4, max_terms=6, beam=100)
    return problem, discover(problem, engine, Rules(seed=seed, **RULES)).selected


def texture_map(seed: int) -> tuple[list[Lamellae], Array, Array]:
    """Parameters of lamellae, their images (n, y, x), and the first two principal coordinates of their textures."""
    random = np.random.default_rng(seed)
    points = [
        Lamellae(
            angle=float(random.uniform(0, np.pi)),
            noise_strength=float(np.exp(random.uniform(np.log(0.3), np.log(4.0)))),
            scale_px=12.0,
            shape=SHAPE,
        )
        for _ in range(N_IMAGES)
    ]
    images = np.stack([lamellae(point, random) for point in points]).astype(np.float32)
    features = make_descriptor("efficientnet", DescriptorSettings(), SHAPE).describe(images)
    axes = principal_axes(features, 2)
    return points, images.astype(np.float64), axes.project([features])


def noise_rank(points: Sequence[Lamellae], coordinates: Array) -> float:
    """|Spearman| of the strength of the disorder with the coordinate that follows it best."""
    noise = np.array([point.noise_strength for point in points])
    return max(abs(spearman(column, noise)) for column in coordinates.T)


def spectrum_picture(omega: Array, solution: ImpuritySolution) -> Picture:
    figure = new_figure(height_in=3.4)
    whole, near = figure.subplots(1, 2)
    for colour, temperature, curve in zip(CYCLE, TEMPERATURES, height(solution), strict=False):
        for axes in (whole, near):
            axes.plot(omega, curve, color=colour, lw=1.3, label=f"T = {temperature:g} D")
    whole.set(xlabel="ω / D", ylabel="π Γ A(ω)", title="peaks of the charge, resonance of the spin")
    near.set(xlabel="ω / D", title="on a logarithmic axis")
    near.set_xscale("symlog", linthresh=1e-6)
    near.set_xticks([-1e-1, -1e-3, -1e-5, 0, 1e-5, 1e-3, 1e-1])
    whole.legend(frameon=False, fontsize=8)
    return picture(
        figure,
        name="spectrum",
        description="Spectral function of one Anderson impurity at three temperatures",
        caption=f"One magnetic atom in a metal, by the numerical renormalization group: U = {IMPURITY.interaction:g}, "
        f"eps_d = {IMPURITY.level:g}, Gamma = {IMPURITY.hybridization:g} D. The resonance at the Fermi level exists "
        "only below the Kondo temperature.",
    )


def law_section(problem: Problem, finding: Finding) -> Section:
    u, x = sp.symbols("u x")
    predicted, decade = finding.equation.predict(problem.inputs), np.log(10)
    figure = new_figure()
    raw, axes = figure.subplots(1, 2)
    shown = raw.scatter(problem.inputs[:, 0], problem.values / decade, c=problem.inputs[:, 1], cmap=SEQUENTIAL, s=18)
    figure.colorbar(shown, ax=raw, label="ε_d / U")
    raw.set(xlabel="U / Γ", ylabel="log₁₀ T_K/Γ by NRG")
    parts = (("searched on", problem.train), ("tested on", problem.test), ("larger U/Γ", problem.extrapolation))
    for colour, (label, rows) in zip(CYCLE, parts, strict=False):
        axes.plot(problem.values[rows] / decade, predicted[rows] / decade, "o", ms=4, color=colour, label=label)
    axes.axline((-4, -4), slope=1, color=INK, lw=0.7)
    axes.set(xlabel="log₁₀ T_K/Γ by NRG", ylabel="by the formula")
    axes.legend(frameon=False, fontsize=8)
    return Section(
        anchor="law",
        title="A law from numbers alone",
        introduction=f"The Kondo temperatures of {N_IMPURITIES} impurities, and what a search over sums of products "
        "of u = U/Gamma and x = eps_d/U finds for log(T_K/Gamma). Haldane's law of 1978 has (π/2) u x (1 + x) in the "
        "place of the terms u x and u x²; the search knows nothing of it. Terms beside these stand in for its "
        "prefactor: over a factor of three in u they cannot be told from it.",
        blocks=[
            Paragraph(
                text=formula_markup(
                    finding.equation.text,
                    name="formula",
                    physical={"u": u, "x": x},
                    symbol_latex={},
                    left=r"\log\,T_K/\Gamma = ",
                )
            ),
            picture(
                figure,
                name="law",
                description="Kondo temperatures by the formula against those of NRG",
                caption="Each point is one impurity. Left: as measured. Right: against the formula.",
            ),
        ],
    )


def map_section(points: Sequence[Lamellae], images: Array, coordinates: Array) -> Section:
    figure = new_figure(height_in=4.2)
    grid = figure.add_gridspec(2, 4)
    axes = figure.add_subplot(grid[:, :2])
    noise = np.array([point.noise_strength for point in points])
    shown = axes.scatter(coordinates[:, 0], coordinates[:, 1], c=np.log10(noise), cmap=SEQUENTIAL, s=22)
    figure.colorbar(shown, ax=axes, label="log₁₀ noise strength", location="left")
    axes.set(xlabel="coordinate 1", ylabel="coordinate 2", xticks=[], yticks=[])
    order = np.argsort(noise)[np.linspace(0, len(noise) - 1, 4).astype(int)]
    for cell, row in zip([(0, 2), (0, 3), (1, 2), (1, 3)], order, strict=True):
        image = figure.add_subplot(grid[cell])
        image.imshow(images[row], cmap="gray", vmin=0, vmax=1, interpolation="nearest", rasterized=True)
        image.set(xticks=[], yticks=[], title=f"noise {number(float(noise[row]), 2)}")
    return Section(
        anchor="map",
        title="Micrographs laid out by texture",
        introduction=f"{N_IMAGES} synthetic lamellae of random angle and disorder. A network that was trained on "
        "photographs describes their textures; these are the first two principal coordinates. No parameter was shown "
        "to it.",
        blocks=[
            picture(
                figure,
                name="map",
                description="Map of micrographs coloured by the strength of their disorder, and four of them",
                caption="Left: each point is one image. Right: four of them, from order to disorder.",
            )
        ],
    )


def say(line: str) -> None:
    print(f"quickstart: {line}", file=sys.stderr, flush=True)
