"""The pseudogap impurity against closed forms of its fixed points, and two measurements of nu against each other."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.physics.impurity.bath import Bath
from models.physics.impurity.bath_chain import bath_chain
from models.physics.impurity.hamiltonian import ImpurityInBath
from models.physics.impurity.nrg_solver import NRGSettings
from models.physics.impurity.thermodynamics import thermodynamics
from models.physics.pseudogap.critical import (
    SIDES,
    NoCriticalPoint,
    critical_point,
    crossover_temperature,
    fitted_exponent,
    growth,
    matched_distances,
    phase_of,
)
from models.physics.pseudogap.expansions import coupling_near_zero, near_one_half, near_zero
from models.physics.pseudogap.flow import (
    FlowSettings,
    PseudogapImpurity,
    fixed_point_entropies,
    fixed_point_moments,
    flow,
    free_chain,
    positive_levels,
)

pytestmark = pytest.mark.physics
QUICK = FlowSettings(discretization=9.0, n_keep=60)
LOWEST = 1e-30


def impurity(coupling: float, exponent: float = 0.3, interaction: float = 0.5) -> PseudogapImpurity:
    return PseudogapImpurity(exponent=exponent, interaction=interaction, hybridization=coupling)


@pytest.fixture(scope="module")
def critical():
    return critical_point(0.3, 0.5, QUICK, lowest=LOWEST)


@pytest.mark.parametrize("exponent", [0.15, 0.3, 0.45])
def test_fixed_points_have_their_closed_forms(exponent: float):
    """A free level is symmetric strong coupling at once; a weakly coupled spin stays free."""
    settings = FlowSettings(discretization=9.0, n_keep=150)
    strong = flow(impurity(0.3, exponent, 0.0), settings, 1e-20)
    weak = flow(impurity(1e-4, exponent), settings, 1e-20)
    found = np.array([[f.entropy[-1], f.effective_moment[-1]] for f in (strong, weak)])
    closed = np.array([fixed_point_entropies(exponent), fixed_point_moments(exponent)]).T
    assert_allclose(found, closed, atol=1e-3)
    assert [phase_of(f, exponent) for f in (strong, weak)] == list(SIDES)


def test_flow_is_that_of_the_density_matrix_averaged_over_a_period():
    settings = FlowSettings(discretization=9.0, n_keep=60)
    found = flow(impurity(0.1, 0.25), settings, 1e-3)
    temperatures = 0.1 * 3.0 ** (-0.5 * np.arange(found.temperatures.size + 3))
    bath = ImpurityInBath(interaction=0.5, level=-0.25, bath=Bath.power_law(0.1, 0.25))
    whole = thermodynamics(bath, NRGSettings(discretization=9.0, n_keep=60, n_z=1), temperatures)
    for name in ("entropy", "effective_moment"):
        expected = np.convolve(getattr(whole, name), np.ones(4) / 4, "valid")
        assert_allclose(getattr(found, name), expected, atol=1e-5)


def test_the_repeated_chain_is_that_of_lanczos():
    long = bath_chain(Bath.power_law(1.0, 0.3), 9.0, 1.0, 40)
    ours = free_chain(0.3, 9.0, 1.0, 40)
    assert_allclose(ours.hoppings, long.hoppings, rtol=1e-12)
    assert_allclose(ours.scales, long.scales, rtol=1e-12)
    assert np.abs(long.levels / long.scales).max() < 1e-12


def test_levels_are_right_to_all_digits_where_they_fall_by_decades():
    """Three sites: sqrt(a^2 + b^2); four: their product and the sum of their squares."""
    assert_allclose(positive_levels(np.array([1.0, 1e-20])), [1.0], rtol=1e-14)
    a, b, c = 1.0, 1e-10, 1e-20
    low, high = positive_levels(np.array([a, b, c]))
    assert low * high == pytest.approx(a * c, rel=1e-13)
    assert low**2 + high**2 == pytest.approx(a**2 + b**2 + c**2, rel=1e-13)


def test_the_critical_coupling_parts_the_phases(critical):
    assert critical.error < 1e-6
    for side, sign in zip(SIDES, (1, -1), strict=True):
        found = flow(impurity(critical.coupling * (1 + sign * 10 * critical.error)), QUICK, LOWEST)
        assert phase_of(found, 0.3) == side
    screened, free = fixed_point_moments(0.3)
    assert screened < critical.effective_moment < free


def test_both_sides_and_the_growth_have_one_exponent(critical):
    """The growth has no fit and no threshold; T* is another quantity, far from the critical value."""
    grown = growth(critical, QUICK, lowest=LOWEST)
    distances = matched_distances(1e-2, grown.inverse_exponent, QUICK, 5, 2)
    for side in SIDES:
        temperatures = np.array([crossover_temperature(critical, side, x, QUICK, lowest=LOWEST) for x in distances])
        fit = fitted_exponent(distances, temperatures, coupling_error=critical.error)
        assert fit.error < 2e-3
        assert abs(fit.exponent - 1 / grown.inverse_exponent) < fit.error + 1e-4
        assert_allclose(fit.local_slopes, fit.exponent, rtol=0.01)
    assert grown.inverse_exponent == pytest.approx(0.19425, abs=4e-4)  # Lambda = 3 and 4, benchmarks/pseudogap.md
    assert grown.inverse_exponent < min(near_zero(0.3), near_one_half(0.3))


def test_the_exponent_and_the_coupling_at_small_r_are_those_of_weak_coupling():
    """1/nu = r - r^2 / 2 + O(r^3), of which Lambda = 9 leaves 1e-4; Gamma_c is right but for c^r."""
    r = 0.1
    point = critical_point(r, 0.5, QUICK, lowest=1e-45)
    found = growth(point, QUICK, lowest=1e-45).inverse_exponent
    assert 0 < near_zero(r) - found < 5 * r**3
    assert found == pytest.approx(near_zero(r), rel=0.035)
    assert point.coupling == pytest.approx(coupling_near_zero(r, 0.5), rel=r)


def test_a_power_law_with_a_correction_is_fitted_to_its_exponent():
    x = np.geomspace(1e-3, 1e-2, 6)
    fit = fitted_exponent(x, 0.3 * x**5.15 * np.exp(-2 * x), coupling_error=0.0)
    assert fit.exponent == pytest.approx(5.15, abs=1e-9)
    wrong = fitted_exponent(x, 0.3 * (x + 1e-5) ** 5.15, coupling_error=1e-5)
    assert abs(wrong.exponent - 5.15) < wrong.error
    with pytest.raises(ValueError, match="found 3 distances with a crossover temperature, expected at least 4"):
        fitted_exponent(x, np.where(np.arange(6) < 3, x, math.nan), coupling_error=0.0)


def test_without_a_transition_there_is_no_critical_point():
    with pytest.raises(NoCriticalPoint, match="expected a free moment and a screened one"):
        critical_point(0.3, 0.5, QUICK, lowest=1e-15, bracket=(0.3, 0.5))


def test_distances_below_the_error_of_the_coupling_have_no_crossover(critical):
    assert math.isnan(crossover_temperature(critical, "screened", critical.error, QUICK, lowest=LOWEST))
    with pytest.raises(ValueError, match=r"distance 0\.0: expected"):
        crossover_temperature(critical, "screened", 0.0, QUICK)


def test_all_that_is_wrong_with_an_impurity_is_said():
    with pytest.raises(ValueError, match=r"exponent r = 1\.2.*interaction U = -1.*hybridization Gamma_0 = 0"):
        PseudogapImpurity(exponent=1.2, interaction=-1.0, hybridization=0.0)
