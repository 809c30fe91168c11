"""The single-band Hubbard model in dynamical mean-field theory, on the real axis by NRG.

    H = -t sum c+_is c_js + U sum n_i,up n_i,dn - mu sum n_i

In infinite dimensions the self-energy is local, and that of one impurity whose bath is made of the lattice itself:

    G(w) = int rho(e) de / (w + mu - Sigma(w) - e)         of the lattice
    Delta(w) = w + mu - Sigma(w) - 1 / G(w)                of the impurity, on the Bethe lattice D^2 G / 4
    Sigma = U F / G of the impurity in Delta               by NRG (models.physics.impurity)
    n of the impurity                                      fixes mu

iterated until the bath no longer changes. The constant part of Delta, the mean energy <e> of the lattice, is no part of
its bath: it moves the impurity's level, -mu, by <e>. Below a critical temperature a metal and an insulator are both
solutions between U_c1 and U_c2; which one is found depends on `start`.

Of the two fillings, the impurity's from its density matrix and the lattice's 2 int f(w) A(w) dw, the first is not
broadened, and keeps Luttinger's rule n = 2 int rho(e) de up to e = mu - Sigma(0) better; the solution has both.

Georges, Kotliar, Krauth, Rozenberg, Rev. Mod. Phys. 68, 13 (1996); NRG as the solver: Bulla, Phys. Rev. Lett. 83, 136
(1999); Bulla, Costi, Vollhardt, Phys. Rev. B 64, 045103 (2001). Energies are in units of the half bandwidth D.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt
from scipy.optimize import NoConvergence, anderson, brentq
from scipy.special import expit

from models.physics.dmft.lattice import Lattice
from models.physics.impurity.bath import Bath, NoWeightAtFermiLevel
from models.physics.impurity.broadening import log_grid
from models.physics.impurity.hamiltonian import ImpurityInBath
from models.physics.impurity.nrg_solver import NRGSettings, Symmetry, binned_correlators, self_energies, working_grid
from models.physics.impurity.self_energy import causal
from models.settings import settings

__all__ = [
    "HubbardSolution",
    "Iteration",
    "MeanFieldSettings",
    "Start",
    "frequency_grid",
    "matsubara_weight",
    "solve_hubbard",
]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Start = Literal["metal", "insulator"]
MOST_INTERACTION, LEAST_TEMPERATURE = 20.0, 1e-9  # [D]
LEAST_GAMMA = 1e-6  # of the largest: less is no part of the bath
PER_DECADE = 24
Z_WINDOW = (0.03, 0.2)  # of Z D: where Re Sigma is a straight line
ROUNDING = 1e-9  # of a slope
LEAST_Z, N_WINDOWS = 1e-6, 700  # z falls by 2 % from one window to the next
STEP = 1.0  # [D] of mu, by which it follows a lack of filling; the mixing learns the rest
TAIL = 3.0  # the grid ends this far beyond the Hubbard bands [D]
FILLING_ERROR = 1e-10  # to which the chemical potential is found
LEAST_BROADENING = 1e-12  # [D] keeps zeta above the cut of the lattice Green function


@settings
class MeanFieldSettings:
    """Numerical settings of the self-consistency.

    tolerance: largest change in an iteration of Gamma(w), in units of D/2, its value at w = 0 on the Bethe lattice
    without interaction, and of mu in the same units. mixing, n_mixed: share of the new bath, and over how many
    iterations Anderson's mixing (scipy.optimize.anderson) looks back.
    """

    nrg: NRGSettings
    tolerance: PositiveFloat
    max_iterations: PositiveInt
    mixing: Annotated[float, Field(gt=0, le=1)]
    n_mixed: PositiveInt


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """One solution of the impurity: the bath that went in, the self-energy that came out, the lattice's answer."""

    bath: Floats  # (n_omega,) Gamma(w) [D]
    chemical_potential: float  # [D]
    self_energy: Complexes  # (n_omega,) [D]
    weights: Floats  # (4,) probabilities of |0>, |up>, |dn>, |up dn>
    next_bath: Floats  # (n_omega,) [D]
    next_chemical_potential: float

    @property
    def change(self) -> float:
        """Largest, in units of D/2."""
        moved = abs(self.next_chemical_potential - self.chemical_potential)
        return 2 * max(float(np.abs(self.next_bath - self.bath).max()), moved)


@dataclass(frozen=True, kw_only=True)
class HubbardSolution:
    """Of one spin; the last iterate where the bath did not converge, `problem` then says so."""

    omega: Floats  # (n_omega,) [D]
    spectrum: Floats  # (n_omega,) A(w) of the lattice [1/D]
    self_energy: Complexes  # (n_omega,) [D]
    bath: Floats  # (n_omega,) Gamma(w) [D]
    chemical_potential: float  # [D]
    filling: float  # of both spins, of the impurity
    lattice_filling: float  # 2 int f(w) A(w) dw
    double_occupancy: float
    quasiparticle_weight: float  # 1 / (1 - d Re Sigma / dw) at w = 0; NaN for an insulator or T too high
    changes: list[float]  # of all iterations
    problem: str | None = None

    @property
    def converged(self) -> bool:
        return self.problem is None


def solve_hubbard(
    interaction: float,
    temperature: float,
    lattice: Lattice,
    settings: MeanFieldSettings,
    *,
    filling: float = 1.0,
    start: Start | tuple[Floats, float] = "metal",
    kept: Sequence[Iteration] = (),
    keep: Callable[[Iteration], None] = lambda iteration: None,
    symmetry: Symmetry = "u1",
) -> HubbardSolution:
    """Solve at `filling` electrons per site, between 0 and 2. Energies [D]. Raises ValueError that lists what is wrong.

    start: the bath without interaction, that of isolated atoms, or (Gamma on `frequency_grid`, mu).
    keep: called with each iteration that is solved. kept: the first of them, of the same call made before; they are not
    solved again, and the result is the same to the bit. symmetry: of the impurity; su2 finds the same numbers faster
    where n_keep is some hundred or more.
    """
    check_model(interaction, temperature, filling)
    omega = frequency_grid(interaction, temperature)
    loop = Loop(
        omega=omega, interaction=interaction, temperature=temperature, filling=filling, lattice=lattice,
        nrg=settings.nrg, symmetry=symmetry, kept=list(kept), keep=keep,
    )  # fmt: skip
    first = starting_point(loop, start) if isinstance(start, str) else np.append(*start)
    if first.shape != (omega.size + 1,) or not np.isfinite(first).all():
        raise ValueError(
            f"start: expected Gamma at the {omega.size} points of frequency_grid and mu, finite numbers [D]"
        )
    problem = None
    try:
        anderson(
            loop.residual, first, alpha=settings.mixing, M=settings.n_mixed, line_search=None,
            maxiter=settings.max_iterations, f_tol=settings.tolerance / 2, x_tol=np.inf, tol_norm=largest,
        )  # fmt: skip
    except NoConvergence:
        problem = (
            f"found a change of {loop.done[-1].change:.2g} after {len(loop.done)} iterations, "
            f"expected {settings.tolerance:g} or less; more iterations or a smaller share of the new bath may help"
        )
    last = loop.done[-1]
    green = loop.green_function(last.self_energy, last.next_chemical_potential)
    spectrum = -green.imag / np.pi
    return HubbardSolution(
        omega=omega,
        spectrum=spectrum,
        self_energy=last.self_energy,
        bath=last.next_bath,
        chemical_potential=last.next_chemical_potential,
        filling=occupation(last.weights),
        lattice_filling=loop.occupied(spectrum),
        double_occupancy=float(last.weights[3]),
        quasiparticle_weight=quasiparticle_weight(omega, last.self_energy.real, temperature),
        changes=[iteration.change for iteration in loop.done],
        problem=problem,
    )


def check_model(interaction: float, temperature: float, filling: float) -> None:
    problems = [
        f"{name}: found {value!r}, expected {expected}"
        for name, value, good, expected in (
            ("interaction", interaction, 0 <= interaction <= MOST_INTERACTION, f"0 to {MOST_INTERACTION:g} D"),
            ("temperature", temperature, LEAST_TEMPERATURE <= temperature <= 0.5, f"{LEAST_TEMPERATURE:g} to 0.5 D"),
            ("filling", filling, 0.01 <= filling <= 1.99, "0.01 to 1.99 electrons per site"),
        )
        if not good  # a NaN is in no interval
    ]
    if problems:
        raise ValueError("Hubbard model: " + "; ".join(problems))


@dataclass(kw_only=True)
class Loop:
    """The fixed-point problem: of (Gamma, mu), what comes out less what goes in.

    At half filling of a symmetric lattice mu = U / 2, and both sides of w = 0 are made alike.
    """

    omega: Floats
    interaction: float
    temperature: float
    filling: float
    lattice: Lattice
    nrg: NRGSettings
    symmetry: Symmetry
    kept: list[Iteration]
    keep: Callable[[Iteration], None]
    done: list[Iteration] = field(default_factory=list)

    @property
    def symmetric(self) -> bool:
        return self.filling == 1.0 and self.lattice.symmetric

    def residual(self, point: Floats) -> Floats:
        """An extrapolated Gamma below 0 is cut."""
        bath, mu = np.maximum(point[:-1], 0.0), float(point[-1])
        made = self.kept[len(self.done)] if len(self.done) < len(self.kept) else None
        if made is None or made.chemical_potential != mu or not np.array_equal(made.bath, bath):
            made = self.solved(bath, mu)
            self.keep(made)
        self.done.append(made)
        return np.append(made.next_bath, made.next_chemical_potential) - point

    def solved(self, gamma: Floats, mu: float) -> Iteration:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoWeightAtFermiLevel)  # an insulator has none
            bath = bath_where_it_is(self.omega, gamma)
        impurity = ImpurityInBath(interaction=self.interaction, level=self.lattice.mean - mu, bath=bath)
        raw = binned_correlators(impurity, self.nrg, np.array([self.temperature]), symmetry=self.symmetry)
        self_energy = causal(self_energies(impurity, raw, 0, self.temperature, self.nrg)[0])
        points = log_grid(*working_grid(raw, self.nrg))
        real, imaginary = (np.interp(self.omega, points, part) for part in (self_energy.real, self_energy.imag))
        if self.symmetric:
            hartree = self.interaction / 2
            real, imaginary = hartree + odd(real - hartree), even(imaginary)
        sigma = np.asarray(real + 1j * imaginary)
        weights = raw.impurity_weights[0]
        next_mu = mu if self.symmetric else mu + STEP * (self.filling - occupation(weights))
        return Iteration(
            bath=gamma, chemical_potential=mu, self_energy=sigma, weights=weights,
            next_bath=self.bath_of(sigma, next_mu), next_chemical_potential=next_mu,
        )  # fmt: skip

    def green_function(self, sigma: Complexes, mu: float) -> Complexes:
        return self.lattice.green_function(self.omega + mu + 1j * LEAST_BROADENING - sigma)

    def bath_of(self, sigma: Complexes, mu: float) -> Floats:
        """Gamma(w) of the lattice."""
        gamma = np.maximum((sigma - self.omega + 1 / self.green_function(sigma, mu)).imag, 0.0)
        return even(gamma) if self.symmetric else gamma

    def occupied(self, spectrum: Floats) -> float:
        """Of both spins; straight lines between the points, norm 1."""
        occupied = spectrum * expit(-self.omega / self.temperature)
        return float(2 * np.trapezoid(occupied, self.omega) / np.trapezoid(spectrum, self.omega))

    def chemical_potential(self, sigma: Complexes, guess: float) -> float:
        """Of the lattice's filling; looked for in steps of D/2 from `guess`, so that the spectrum stays on the grid."""

        def excess(mu: float) -> float:
            return self.occupied(-self.green_function(sigma, mu).imag) - self.filling

        step = -0.5 if excess(guess) > 0 else 0.5
        near, far = guess, guess + step
        while excess(far) * step < 0 and abs(far - guess) < 2 * (self.interaction + 2):
            near, far = far, far + step
        return float(brentq(excess, near, far, xtol=FILLING_ERROR))


def occupation(weights: Floats) -> float:
    return float(weights[1] + weights[2] + 2 * weights[3])


def quasiparticle_weight(omega: Floats, real: Floats, temperature: float) -> float:
    """1 / (1 - d Re Sigma / dw), the slope fitted where T << |w| << Z D, both sides together; NaN without such a Z.

    Within some T of w = 0 the broadening spoils U F / G; above Z D / 5 Sigma is no longer linear. So the window is that
    of the largest z whose own window gives a slope of no less.
    """
    for z in np.geomspace(1.0, LEAST_Z, N_WINDOWS):
        low, high = max(10 * temperature, Z_WINDOW[0] * z), Z_WINDOW[1] * z
        used = (np.abs(omega) >= low) & (np.abs(omega) <= high)
        if used.sum() < 6:
            break
        slope = float(np.sum(omega[used] * real[used]) / np.sum(omega[used] ** 2))
        if slope <= ROUNDING and 1 / (1 - slope) >= z - ROUNDING:
            return 1 / (1 - slope)
    return float("nan")


def matsubara_weight(omega: Floats, imaginary: Floats, temperature: float) -> float:
    """1 / (1 - Im Sigma(i pi T) / pi T) from Im Sigma(w), (n_omega,) [D]: Z of a Fermi liquid far below Z D.

    Im Sigma(i w_0) = -w_0 int de rho(e) / (w_0^2 + e^2), rho = -Im Sigma / pi. Between 0 and 1 for every solution,
    which 1 / (1 - d Re Sigma / dw) is for Fermi liquids alone.
    """
    lowest = np.pi * temperature
    return float(1 / (1 + np.trapezoid(-imaginary / np.pi / (lowest**2 + omega**2), omega)))


def frequency_grid(interaction: float, temperature: float) -> Floats:
    """Logarithmic on both sides of 0, finer where the Hubbard bands lie; ascending, symmetric, without 0."""
    highest = 1 + interaction / 2 + TAIL
    lowest = temperature / 10
    positive = np.geomspace(lowest, highest, int(np.log10(highest / lowest) * PER_DECADE) + 1)
    positive = np.unique(np.concatenate([positive, np.arange(0.05, highest, 0.02)]))
    return np.concatenate([-positive[::-1], positive])


def starting_point(loop: Loop, start: Start) -> Floats:
    """(Gamma, mu) of the lattice with no self-energy but U n / 2, or with that of the isolated atom, U^2 / 4w, too."""
    sigma = np.full(loop.omega.shape, loop.interaction * loop.filling / 2, dtype=complex)
    if start == "insulator":
        sigma += loop.interaction**2 / 4 / (loop.omega + 0.02j)
    mu = loop.interaction / 2
    if not loop.symmetric:
        mu = loop.chemical_potential(sigma, loop.interaction * loop.filling / 2)
    return np.append(loop.bath_of(sigma, mu), mu)


def bath_where_it_is(omega: Floats, gamma: Floats) -> Bath:
    """Where it is more than LEAST_GAMMA; zero elsewhere, so that a gap is one."""
    kept = np.where(gamma > LEAST_GAMMA * gamma.max(), gamma, 0.0)
    return Bath(omega, kept)


def largest(values: Floats) -> float:
    return float(np.abs(values).max())


def even(values: Floats) -> Floats:
    return np.asarray((values + values[::-1]) / 2)


def odd(values: Floats) -> Floats:
    return np.asarray((values - values[::-1]) / 2)
