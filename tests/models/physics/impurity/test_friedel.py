"""Friedel's sum rule over the whole box of parameters, the moments of A and the tail of Sigma."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.physics.impurity.broadening import log_grid
from models.physics.impurity.friedel import band_integrals, charge_outside, friedel_residual
from models.physics.impurity.hamiltonian import AndersonImpurity, hybridization_function
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver, binned_correlators, self_energies, working_grid
from models.physics.impurity.self_energy import causal, clipped_share, hilbert_matrix, spectral_function

pytestmark = pytest.mark.physics
DEFAULT = NRGSettings(n_keep=160, n_z=2, broadening=0.4)  # of params.yaml
OMEGA = np.array([-0.98, 0.0, 0.98])
STRONGLY_ASYMMETRIC = [(0.333, -0.0215, 0.00555), (0.383, -0.0237, 0.00859), (0.380, -0.0542, 0.0104)]


def free_spectrum(level, hybridization):
    return lambda omega: -(1 / (omega - level - hybridization_function(omega, hybridization))).imag / math.pi


def occupied(spectrum, hybridization):
    mesh = np.concatenate([np.linspace(-1 + 1e-9, -1e-4, 400_001), np.linspace(-1e-4, 0, 101)[1:]])
    return float(np.trapezoid(spectrum(mesh), mesh))


@pytest.mark.parametrize("hybridization", [0.005, 0.03, 0.06, 0.2])
@pytest.mark.parametrize("level", [-0.1, 0.02, 0.3])
def test_the_rule_is_exact_without_interaction_and_with_a_finite_band(level, hybridization):
    """U = 0: N = 1/2 - arctan(eps_d / Gamma) / pi, which the occupation alone misses by up to 0.02."""
    spectrum = free_spectrum(level, hybridization)
    _, displaced = band_integrals(spectrum, hybridization, lowest=1e-8, omega=OMEGA)
    n = occupied(spectrum, hybridization)
    expected = 0.5 - math.atan(level / hybridization) / math.pi
    assert n + displaced == pytest.approx(expected, abs=2e-3 if hybridization > 0.1 else 1e-4)
    height = np.array([math.pi * hybridization * spectrum(np.array([0.0]))[0]])
    residual = friedel_residual(
        height, np.array([n + displaced]), np.array([1e-8]), hybridization=hybridization, scale=1.0
    )
    assert abs(residual[0]) < 2e-3


@pytest.mark.parametrize(("level", "hybridization"), [(0.677, 0.996), (-0.2, 0.5), (0.4, 0.3), (0.02, 0.005)])
def test_bound_states_outside_the_band_belong_to_the_displaced_charge(level, hybridization):
    """U = 0: N = 1/2 - arctan(eps_d / Gamma) / pi, with a third to two thirds of the level bound at Gamma about D."""

    def inverse(omega):
        return omega - level - hybridization_function(omega, hybridization)

    spectrum = free_spectrum(level, hybridization)
    _, displaced = band_integrals(spectrum, hybridization, lowest=1e-8, omega=OMEGA)
    below = -1 - np.geomspace(1e-14, 29, 400_000)[::-1]
    values = inverse(below).real
    crossing = np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))
    bound = sum(float((below[i + 1] - below[i]) / (values[i + 1] - values[i])) for i in crossing)
    n = occupied(spectrum, hybridization) + bound
    expected = 0.5 - math.atan(level / hybridization) / math.pi
    outside = charge_outside(inverse, hybridization)
    assert n + displaced + outside == pytest.approx(expected, abs=1e-3)
    if hybridization > 0.9:
        assert abs(outside) > 0.05


@pytest.mark.parametrize(("level", "hybridization"), [(0.3, 0.005), (-0.15, 0.005), (0.05, 0.06)])
def test_the_integral_over_the_grid_is_right_where_the_grid_is_too_coarse(level, hybridization):
    positive = np.geomspace(1e-6, 0.98, 166)
    grid = np.concatenate([-positive[::-1], [0.0], positive])
    spectrum = free_spectrum(level, hybridization)
    fine = np.linspace(-0.98, 0.98, 4_000_001)
    weight, _ = band_integrals(spectrum, hybridization, lowest=1e-8, omega=grid)
    assert weight == pytest.approx(np.trapezoid(spectrum(fine), fine), abs=1e-4)
    if hybridization < 0.01 and level > 0:
        assert abs(np.trapezoid(spectrum(grid), grid) - weight) > 0.02  # why the integral is stored


def box(n, field):
    rng = np.random.default_rng(23)
    for _ in range(n):
        interaction, hybridization = np.exp(rng.uniform(np.log([0.05, 0.005]), np.log([0.5, 0.06])))
        level = interaction * (rng.uniform(0, 1.5) - 1) / 2
        b = float(np.exp(rng.uniform(np.log(1e-4), np.log(0.1))))
        yield AndersonImpurity(
            interaction=float(interaction), level=float(level), hybridization=float(hybridization),
            field=b if field else 0.0,
        )  # fmt: skip


def residuals(impurity, settings, temperature):
    found = NRGSolver(settings).solve(impurity, temperatures=np.array([temperature]), omega=OMEGA)
    scale = math.pi * impurity.hybridization
    return [
        scale * spectrum[0, 1] - math.sin(math.pi * charge[0]) ** 2
        for spectrum, charge in (
            (found.spectrum_up, found.displaced_charge_up),
            (found.spectrum_dn, found.displaced_charge_dn),
        )
    ]


@pytest.mark.parametrize("field", [False, True])
def test_friedels_rule_over_the_box_of_parameters(field):
    """Both spins at T = 1e-9, below every T_K here; the symmetric estimator breaks the rule by 0.1 and more."""
    worst = [max(np.abs(residuals(impurity, DEFAULT, 1e-9))) for impurity in box(10, field)]
    assert max(worst) < 0.015
    assert np.median(worst) < 0.003


@pytest.mark.parametrize(("interaction", "level", "hybridization"), STRONGLY_ASYMMETRIC)
def test_friedels_rule_far_from_particle_hole_symmetry(interaction, level, hybridization):
    impurity = AndersonImpurity(interaction=interaction, level=level, hybridization=hybridization)
    assert max(np.abs(residuals(impurity, DEFAULT, 1e-6))) < 0.01
    assert max(np.abs(residuals(impurity, NRGSettings(n_keep=160, n_z=2, self_energy="kugler"), 1e-6))) > 0.02


@pytest.mark.parametrize(("estimator", "tail"), [("bulla", 0.12), ("kugler", 0.01)])
@pytest.mark.parametrize("field", [0.0, 0.02])
def test_moments_of_the_spectrum_and_tail_of_the_self_energy(estimator, tail, field):
    """int A = 1, int w A = eps_s + U <n_-s>, Sigma -> U <n_-s> + U^2 <n_-s> (1 - <n_-s>) / w.

    The tail of U F / G is too large by what the broadening does to first moments, exp(alpha^2 / 2).
    """
    settings = NRGSettings(self_energy=estimator)
    impurity = AndersonImpurity(interaction=0.3, level=-0.1, hybridization=0.03, field=field)
    u = impurity.interaction
    raw = binned_correlators(impurity, settings, np.array([1e-6]))
    grid = working_grid(raw, settings)
    omega = log_grid(*grid)
    sigma = self_energies(impurity, raw, 0, 1e-6, settings)
    _, up, dn, both = raw.impurity_weights[0]
    mesh = np.geomspace(1e-9, 1 - 1e-9, 20_000)
    mesh = np.concatenate([-mesh[::-1], mesh])
    for s, n in enumerate((dn + both, up + both)):
        spectrum = spectral_function(impurity, 1 - 2 * s, causal(sigma[s]), grid, mesh)
        assert np.trapezoid(spectrum, mesh) == pytest.approx(1, abs=1e-3)
        level = impurity.level - (1 - 2 * s) * field / 2
        assert np.trapezoid(mesh * spectrum, mesh) == pytest.approx(level + u * n, abs=1e-3)
        far = np.abs(omega) > 15
        assert_allclose(sigma[s].real[far], u * n, rtol=0.03)
        found = (sigma[s].real - u * n)[far] * omega[far]
        assert_allclose(found, u**2 * n * (1 - n), rtol=tail)


FAR_FROM_THE_BOX = [  # U, eps_d, Gamma
    pytest.param(2.5, -0.1, 0.03, id="U-above-2D"),
    pytest.param(4.0, -0.1, 0.03, id="U-far-above-2D"),
    pytest.param(3.0, -1.5, 0.4, id="U-above-2D-symmetric"),
    pytest.param(1.114, 0.677, 0.996, id="as-wide-as-the-band"),
    pytest.param(0.4, 0.2, 0.01, id="deep-asymmetry-2"),
    pytest.param(0.4, 0.3, 0.01, id="deep-asymmetry-2.5"),
    pytest.param(0.4, -0.7, 0.01, id="deep-asymmetry-full"),
]


@pytest.mark.parametrize(("interaction", "level", "hybridization"), FAR_FROM_THE_BOX)
def test_friedels_rule_and_causality_far_from_the_box(interaction, level, hybridization):
    impurity = AndersonImpurity(interaction=interaction, level=level, hybridization=hybridization)
    found = NRGSolver(DEFAULT).solve(impurity, temperatures=np.array([1e-8]), omega=OMEGA)
    height = math.pi * hybridization * found.spectrum_up[0, 1]
    assert abs(height - math.sin(math.pi * found.displaced_charge_up[0]) ** 2) < 0.006
    assert found.clipped_up[0] < 0.02
    assert found.clipped_up[0] == found.clipped_dn[0]


@pytest.mark.parametrize("share", [1e-3, 0.05, 0.3])
def test_clipping_moves_the_spectrum_by_at_most_its_share_and_by_that_at_resonance(share):
    """pi Gamma A = Gamma / (Gamma - Im Sigma) at resonance: from 1 / (1 - c) to 1; by less where it is off."""
    impurity = AndersonImpurity(interaction=0.2, level=-0.1, hybridization=0.02)
    grid = (1e-6, 30.0, 50)
    omega = log_grid(*grid)
    sigma = 0.1 + 1j * share * impurity.hybridization * np.where(omega < 0.5, 1.0, -1.0)
    assert clipped_share(omega, sigma.imag, impurity.hybridization) == pytest.approx(share, rel=1e-12)
    sigma[np.abs(omega) >= 1] = 0.1 + 1j  # outside of the band nothing is stored
    assert clipped_share(omega, sigma.imag, impurity.hybridization) == pytest.approx(share, rel=1e-12)
    assert clipped_share(omega, causal(sigma).imag, impurity.hybridization) == 0
    mesh = np.linspace(-0.4, 0.4, 801)
    before, after = (spectral_function(impurity, 1, s, grid, mesh) for s in (sigma, causal(sigma)))
    change = math.pi * impurity.hybridization * (before - after)
    at_resonance = 1 / (1 - share) - 1
    assert np.abs(change).max() <= at_resonance * (1 + 1e-9)
    assert change[400] == pytest.approx(at_resonance, rel=1e-9)


def test_the_solver_tells_what_it_clipped():
    """The same number as from the self-energy itself, per spin."""
    impurity = AndersonImpurity(interaction=0.07, level=-0.025, hybridization=0.0062, field=1e-5)
    settings, temperatures = NRGSettings(n_keep=64, n_z=1, broadening=0.6), np.array([1e-6, 1e-4])
    found = NRGSolver(settings).solve(impurity, temperatures=temperatures, omega=OMEGA)
    raw = binned_correlators(impurity, settings, temperatures)
    inside = np.abs(log_grid(*working_grid(raw, settings))) < 1
    for t, temperature in enumerate(temperatures):
        sigma = self_energies(impurity, raw, t, float(temperature), settings)
        highest = np.maximum(sigma.imag[:, inside].max(axis=1), 0) / impurity.hybridization
        assert_allclose([found.clipped_up[t], found.clipped_dn[t]], highest, rtol=1e-12)
    assert found.clipped_up[0] > 1e-3


@pytest.mark.parametrize("temperature", [1e-20, 1e-14])
def test_low_temperatures_keep_the_sum_rule(temperature):
    """Intervals that are narrow beside their distance lost all digits of the Kramers-Kronig integral: weight 0.79."""
    impurity = AndersonImpurity(interaction=0.2, level=-0.06, hybridization=0.02)
    settings = NRGSettings(n_keep=64, n_z=1)
    found = NRGSolver(settings).solve(impurity, temperatures=np.array([temperature]), omega=OMEGA)
    assert found.weight_up[0] == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("lowest", [1e-8, 1e-22])
def test_kramers_kronig_of_a_lorentzian(lowest):
    grid = (lowest, 30.0, 50)
    omega = log_grid(*grid)
    spectrum = 1e-3 / np.pi / (omega**2 + 1e-6)
    inside = np.abs(omega) < 1
    exact = omega / (omega**2 + 1e-6)
    assert_allclose((hilbert_matrix(grid) @ spectrum)[inside], exact[inside], atol=0.2)  # 2e-4 of the highest


def test_the_rule_is_not_asked_where_temperature_is_too_high():
    temperatures, ones = np.array([1e-6, 1e-3]), np.ones(2)
    found = friedel_residual(ones, 0.5 * ones, temperatures, hybridization=0.02, scale=1e-3)
    assert found[0] == 0
    assert math.isnan(found[1])
    assert np.isnan(friedel_residual(ones, ones, temperatures, hybridization=0.02, scale=math.nan)).all()
