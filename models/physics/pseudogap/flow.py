"""Entropy and effective moment of an impurity in a pseudogap, from high temperature to any depth below it.

    Gamma(w) = Gamma_0 |w / D|^r,        |w| < D,        eps_d = -U / 2

has particle-hole symmetry, and its Wilson chain no site energies. A run near a critical coupling needs scales down to
1e-50 D and below. Two things make them cheap:

* From some site on the chain of a power law repeats itself, t_(n+2) = t_n / Lambda, to all digits. Lanczos makes the
  first sites, which do not depend on Gamma_0: only V = sqrt(int Gamma / pi) = sqrt(2 Gamma_0 D / (pi (1 + r))) does.
* Entropy and T chi_imp need nothing but energies and spins of the discarded states, no density matrix and no operator.

A chain of one z is not the continuum: what it has oscillates in ln T with the period ln Lambda, by as much as the value
itself where states lie at zero energy. The average over one period has no oscillation left and keeps the closed forms
of fixed points to 1e-3.

The weights are those of Weichselbaum and von Delft, see impurity/density_matrix.py; what the chain has without the
impurity is subtracted. Its levels fall by Lambda from one to the next: they come from Sturm's count, which is right to
all digits of each level because the diagonal is zero.

Fixed points for 0 < r < 1/2, Gonzalez-Buxton and Ingersent, Phys. Rev. B 57, 14254 (1998):

    local moment                 S = ln 2          T chi = 1/4
    symmetric strong coupling    S = 2 r ln 2      T chi = r / 8.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from models.physics.impurity.bath import Bath
from models.physics.impurity.bath_chain import bath_chain
from models.physics.impurity.nrg import NEW_SITE, Chain, Truncation, grow, new_site_operator
from models.physics.impurity.nrg_solver import one_thread
from models.physics.impurity.shell import SPIN_DN, SPIN_UP, Shell, impurity_shell, links
from models.settings import settings

__all__ = [
    "Flow",
    "FlowSettings",
    "FreeChain",
    "PseudogapImpurity",
    "fixed_point_entropies",
    "fixed_point_moments",
    "flow",
]

Floats = NDArray[np.float64]
SITES_BELOW = 3.0  # the chain of a temperature ends at the scale Lambda^-3 T: nothing changes below
SAME = 3e-14  # relative change of t_n Lambda^(n/2) over two sites: the chain repeats itself
MOST_SITES_OF_LANCZOS = 96
NEGLIGIBLE_LOG_WEIGHT = -40.0


@settings
class FlowSettings:
    """Lambda, kept states and z of one run; the critical coupling depends on all three, exponents hardly."""

    discretization: Annotated[float, Field(ge=1.5, le=20)] = 9.0  # Lambda
    n_keep: Annotated[int, Field(ge=16, le=20_000)] = 150
    z: Annotated[float, Field(gt=0, le=1)] = 1.0
    temperatures_per_step: Annotated[int, Field(ge=2, le=16)] = 4  # in a factor of Lambda


@dataclass(frozen=True, kw_only=True)
class PseudogapImpurity:
    """Particle-hole symmetric impurity, energies in units of D; raises ValueError with all that is out of range."""

    exponent: float  # r
    interaction: float  # U
    hybridization: float  # Gamma_0

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.exponent < 1:
            problems.append(f"exponent r = {self.exponent!r}: expected 0 < r < 1")
        if not (math.isfinite(self.interaction) and self.interaction >= 0):
            problems.append(f"interaction U = {self.interaction!r}: expected a finite number >= 0 [D]")
        if not (math.isfinite(self.hybridization) and self.hybridization > 0):
            problems.append(f"hybridization Gamma_0 = {self.hybridization!r}: expected a finite number > 0 [D]")
        if problems:
            raise ValueError("PseudogapImpurity: " + "; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What the impurity adds, at falling temperatures, averaged over a period; all (n_temperatures,)."""

    temperatures: Floats  # geometric mean of the period [D]
    entropy: Floats  # [k_B]
    effective_moment: Floats  # T chi_imp


def fixed_point_entropies(exponent: float) -> tuple[float, float]:
    """(symmetric strong coupling, local moment) [k_B]."""
    return 2 * exponent * math.log(2), math.log(2)


def fixed_point_moments(exponent: float) -> tuple[float, float]:
    """T chi_imp of (symmetric strong coupling, local moment)."""
    return exponent / 8, 0.25


def flow(
    impurity: PseudogapImpurity, flow_settings: FlowSettings, lowest: float, *,
    decided_outside: tuple[float, float] | None = None,
) -> Flow:  # fmt: skip
    """One NRG run from T = D / 10 down to `lowest` [D].

    decided_outside: (low, high) of T chi_imp; the run ends early where it lies beyond one of them below D / 1000.
    """
    if not 1e-140 <= lowest < 0.1:
        raise ValueError(f"lowest temperature {lowest!r}: expected 1e-140 to 0.1 [D]")
    lambda_ = flow_settings.discretization
    truncation = Truncation(discretization=lambda_, n_keep=flow_settings.n_keep)
    step = math.log(lambda_) / flow_settings.temperatures_per_step
    period = flow_settings.temperatures_per_step
    temperatures = 0.1 * np.exp(-step * np.arange(math.ceil(math.log(0.1 / lowest) / step) + period))
    sites = sites_for(float(temperatures[-1]), lambda_)
    free = free_chain(impurity.exponent, lambda_, flow_settings.z, sites)
    lasts = [int(np.sum(free.scales > t / lambda_**SITES_BELOW)) for t in temperatures]
    discarded: list[Discarded] = []
    entropy: list[float] = []
    moment: list[float] = []
    with one_thread().limit(limits=1):
        for n, shell in enumerate(shells_of(impurity, free, truncation), start=1):
            discarded.append(Discarded.of(shell))
            while len(entropy) < temperatures.size and lasts[len(entropy)] == n:
                s, m = thermal(discarded, shell, free, float(temperatures[len(entropy)]))
                entropy.append(s)
                moment.append(m)
            if len(entropy) == temperatures.size or is_decided(moment, period, temperatures, decided_outside):
                break
    window = np.ones(period) / period
    return Flow(
        temperatures=np.exp(np.convolve(np.log(temperatures[: len(entropy)]), window, "valid")),
        entropy=np.convolve(entropy, window, "valid"), effective_moment=np.convolve(moment, window, "valid"),
    )  # fmt: skip


def sites_for(temperature: float, lambda_: float) -> int:
    return max(8, math.ceil(2 * math.log(1 / temperature) / math.log(lambda_) + 2 * SITES_BELOW) + 2)


def is_decided(moment: list[float], period: int, temperatures: Floats, bounds: tuple[float, float] | None) -> bool:
    if bounds is None or len(moment) < period or temperatures[len(moment) - 1] > 1e-3:
        return False
    return not bounds[0] <= sum(moment[-period:]) / period <= bounds[1]


@dataclass(frozen=True, eq=False)
class FreeChain:
    """The chain of Gamma_0 = 1 without impurity [D]; and its levels for each length."""

    exponent: float
    hoppings: Floats  # (n_sites - 1,)
    scales: Floats  # (n_sites,)
    ratio: float  # Lambda

    @cached_property
    def levels(self) -> dict[int, Floats]:
        """Positive levels of the first n sites, filled as they are asked for."""
        return {}

    def thermal(self, n_sites: int, temperature: float) -> tuple[float, float]:
        """Entropy [k_B] and variance of S_z of both spins on the first n sites."""
        if n_sites not in self.levels:
            self.levels[n_sites] = positive_levels(self.hoppings[: n_sites - 1])
        x = np.minimum(self.levels[n_sites] / temperature, 700.0)
        entropy = float(np.sum(np.log1p(np.exp(-x)) + x * np.exp(-x) / (1 + np.exp(-x))))
        variance = float(np.sum(np.exp(-x) / (1 + np.exp(-x)) ** 2))
        odd = n_sites % 2  # a level at zero
        return 4 * entropy + odd * 2 * math.log(2), variance + odd / 8


@cache
def free_chain(exponent: float, lambda_: float, z: float, n_sites: int) -> FreeChain:
    """Lanczos where the chain still changes, its repetition beyond; cached, for it depends on no impurity."""
    hoppings, scales = repeating_chain(exponent, lambda_, z)
    while hoppings.size < n_sites - 1:
        hoppings = np.append(hoppings, hoppings[-2] / lambda_)
    while scales.size < n_sites:
        scales = np.append(scales, scales[-2] / lambda_)
    return FreeChain(exponent=exponent, hoppings=hoppings[: n_sites - 1], scales=scales[:n_sites], ratio=lambda_)


@cache
def repeating_chain(exponent: float, lambda_: float, z: float) -> tuple[Floats, Floats]:
    """Hoppings and scales up to where t_(n+2) = t_n / Lambda; ArithmeticError where that never comes."""
    bath = Bath.power_law(1.0, exponent)
    n_sites = 16
    while n_sites <= MOST_SITES_OF_LANCZOS:
        chain = bath_chain(bath, lambda_, z, n_sites)
        last = chain.hoppings[-4:]
        if np.all(np.abs(last[2:] * lambda_ / last[:2] - 1) < SAME):
            return chain.hoppings, chain.scales
        n_sites += 8
    raise ArithmeticError(f"chain of |w|^{exponent} at Lambda = {lambda_}: it does not repeat itself by site {n_sites}")


def positive_levels(hoppings: Floats) -> Floats:
    """Of a chain with these hoppings and no site energies, (n_sites // 2,), each right to all its digits."""
    n = hoppings.size + 1
    return bisected(hoppings**2, n // 2, 2 * float(hoppings.max(initial=0.0)), 1e-3 * float(hoppings.min(initial=1.0)))


@njit(cache=True)
def bisected(squares: Floats, n_levels: int, top: float, bottom: float) -> Floats:
    """Sturm's count: how many levels lie below x is the number of negative pivots of H - x."""
    n = squares.size + 1
    result = np.empty(n_levels)
    for k in range(n_levels):  # k-th positive level, of which k + n - n_levels levels lie below
        low, high = np.log(bottom), np.log(top)
        for _ in range(70):
            x = np.exp(0.5 * (low + high))
            pivot = -x
            below = 1
            for i in range(n - 1):
                if pivot == 0.0:
                    pivot = -1e-300
                pivot = -x - squares[i] / pivot
                below += pivot < 0
            if below > k + n - n_levels:
                high = 0.5 * (low + high)
            else:
                low = 0.5 * (low + high)
        result[k] = np.exp(0.5 * (low + high))
    return result


def shells_of(impurity: PseudogapImpurity, free: FreeChain, truncation: Truncation) -> Iterator[Shell]:
    """Shell after shell."""
    coupling = math.sqrt(2 * impurity.hybridization / (math.pi * (1 + impurity.exponent)))
    hoppings, root = np.concatenate([[coupling], free.hoppings]), math.sqrt(free.ratio)
    chain = Chain(
        hoppings=np.array([hoppings, hoppings]), levels=np.zeros((2, hoppings.size)),
        ratios=np.concatenate([[root], free.scales[:-1] / free.scales[1:]]), first_scale=float(root * free.scales[0]),
    )  # fmt: skip
    half = impurity.interaction / 2
    shell = impurity_shell(np.array([0.0, -half, -half, 0.0]), scale=chain.first_scale)
    hop_up, hop_dn = np.array([1.0, 1.0]), np.array([1.0, -1.0])
    for n in range(chain.n_sites):
        old = shell
        shell = grow(old, hop_up, hop_dn, chain, n, truncation, spin_symmetric=True)
        hop_up, hop_dn = (new_site_operator(shell, old, links(shell, s), NEW_SITE[s]) for s in (SPIN_UP, SPIN_DN))
        yield shell


@dataclass(frozen=True)
class Discarded:
    """What a shell leaves behind; energies in units of its scale."""

    scale: float
    shift: float
    energies: Floats
    spins: Floats

    @classmethod
    def of(cls, shell: Shell) -> "Discarded":
        spin = np.repeat((shell.n_up - shell.n_dn) / 2, shell.size)
        return cls(shell.scale, shell.shift, shell.energies[~shell.kept], spin[~shell.kept])


def thermal(shells: list[Discarded], last: Shell, free: FreeChain, temperature: float) -> tuple[float, float]:
    """Entropy and T chi_imp, of a chain that ends at the last shell, all of whose states count."""
    n = len(shells)
    spin = np.repeat((last.n_up - last.n_dn) / 2, last.size)
    logs, squares, energies = [-last.energies * last.scale / temperature], [spin**2], [last.energies * last.scale]
    ground, upper = -last.scale * last.shift, 0  # of shell n - 1 above that of the last one
    for k in range(n - 1, 0, -1):
        shell = shells[k - 1]
        if shell.energies.size:
            energy = ground + shell.scale * shell.energies
            log = (n - k) * math.log(4) - energy / temperature
            upper += 1
            logs.append(log)
            squares.append(shell.spins**2 + (n - k) / 8)
            energies.append(energy)
            if float(log.max()) < NEGLIGIBLE_LOG_WEIGHT and upper > 2:
                break
        ground -= shell.scale * shell.shift
    log_all, square, energy_all = (np.concatenate(x) for x in (logs, squares, energies))
    top = float(log_all.max())
    weights = np.exp(log_all - top)
    total = float(weights.sum())
    mean_energy = float(weights @ energy_all) / total
    entropy, variance = math.log(total) + top + mean_energy / temperature, float(weights @ square) / total
    free_entropy, free_variance = free.thermal(n, temperature)
    return entropy - free_entropy, variance - free_variance
