"""Entropy, susceptibilities and T_K against theory."""

import math

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo import (
    corrected_haldane_kondo_temperature,
    haldane_kondo_temperature,
    half_width_at_half_maximum,
    kondo_temperature,
)
from models.physics.impurity.nrg_solver import NRGSettings
from models.physics.impurity.thermodynamics import thermodynamics

pytestmark = pytest.mark.physics


def series(u: float) -> float:
    """sum_n C_n u^n of the symmetric Anderson model, u = U / (pi Gamma) (Zlatic and Horvatic, Phys. Rev. B 28, 6904
    (1983)); C_n = (2n - 1) C_(n-1) - (pi/2)^2 C_(n-2). The recursion is unstable: 1,500 digits."""
    with mpmath.workdps(1500):
        c = [mpmath.mpf(1), mpmath.mpf(1)]
        for n in range(2, 400):
            c.append((2 * n - 1) * c[-1] - (mpmath.pi / 2) ** 2 * c[-2])
        return float(mpmath.fsum(c_n * mpmath.mpf(u) ** n for n, c_n in enumerate(c)))


@pytest.mark.parametrize("u", [1.0, 2.0, 3.0])
def test_static_susceptibilities_equal_the_exact_series(u):
    """chi_s = series(u) / (2 pi Gamma), chi_c = 2 series(-u) / (pi Gamma), within 1 %; Gamma << D for a wide band."""
    gamma = 1e-3
    symmetric = AndersonImpurity(interaction=u * math.pi * gamma, level=-u * math.pi * gamma / 2, hybridization=gamma)
    found = thermodynamics(symmetric, NRGSettings(), np.array([1e-9]))
    assert found.spin_susceptibility[0] == pytest.approx(series(u) / (2 * math.pi * gamma), rel=0.01)
    assert found.charge_susceptibility[0] == pytest.approx(2 * series(-u) / (math.pi * gamma), rel=0.01)


def test_entropy_steps_down_from_ln4_over_ln2_to_0():
    """Free orbital at T >> U, local moment at T_K << T << U, Kondo singlet at T << T_K = 3e-11 and 6e-6 D."""
    moment = AndersonImpurity(interaction=0.1, level=-0.05, hybridization=0.002)
    found = thermodynamics(moment, NRGSettings(), np.array([1e-6, 1e-4, 1.0]))
    assert_allclose(found.entropy / math.log(2), [1, 1, 2], atol=0.04)
    singlet = AndersonImpurity(interaction=0.1, level=-0.05, hybridization=0.005)
    assert thermodynamics(singlet, NRGSettings(), np.array([1e-8])).entropy[0] / math.log(2) == pytest.approx(
        0, abs=0.03
    )


def test_free_moment_follows_curie():
    """T chi -> 1/4 for an almost decoupled spin, and 1/8 for a free orbital."""
    spin = AndersonImpurity(interaction=0.4, level=-0.2, hybridization=1e-4)
    found = thermodynamics(spin, NRGSettings(), np.array([1e-3, 20.0]))
    assert_allclose(4 * found.temperatures * found.spin_susceptibility, [1, 0.5], atol=0.03)


def test_response_to_a_small_field_equals_the_susceptibility():
    parameters = {"interaction": 0.2, "level": -0.06, "hybridization": 0.02}
    chi = thermodynamics(AndersonImpurity(**parameters), NRGSettings(), np.array([1e-6])).spin_susceptibility[0]
    tilted = thermodynamics(AndersonImpurity(**parameters, field=5e-5), NRGSettings(), np.array([1e-6]))
    assert (tilted.n_up[0] - tilted.n_dn[0]) / 2 / 5e-5 == pytest.approx(chi, rel=0.02)


@pytest.mark.parametrize(("u", "tolerance"), [(2.0, 0.02), (3.0, 0.01)])
def test_kondo_temperature_equals_the_bethe_ansatz(u, tolerance):
    """1 / (4 chi) tends to sqrt(U Gamma / 2) exp(-pi U / 8 Gamma + pi Gamma / 2 U): .992 of it at u = 2, .9987 at 3."""
    gamma = 1e-3
    interaction = u * math.pi * gamma
    found = kondo_temperature(
        AndersonImpurity(interaction=interaction, level=-interaction / 2, hybridization=gamma), NRGSettings()
    )
    assert found == pytest.approx(
        corrected_haldane_kondo_temperature(interaction, -interaction / 2, gamma), rel=tolerance
    )


def test_kondo_temperature_ignores_the_field_and_says_where_it_is_out_of_reach():
    settings = NRGSettings(n_keep=100, n_z=1)
    free = AndersonImpurity(interaction=0.2, level=-0.06, hybridization=0.02)
    tilted = AndersonImpurity(interaction=0.2, level=-0.06, hybridization=0.02, field=0.1)
    assert kondo_temperature(free, settings) == kondo_temperature(tilted, settings)
    frozen = AndersonImpurity(interaction=0.2, level=-0.1, hybridization=0.003)  # T_K ~ 1e-13 D
    assert math.isnan(kondo_temperature(frozen, settings))


def test_haldane_is_defined_in_the_local_moment_regime_only():
    assert haldane_kondo_temperature(0.2, -0.1, 0.02) == pytest.approx(8.81139267e-4, rel=1e-8)
    for u, e in ((-0.1, 0.05), (0.2, 0.1), (0.2, -0.3)):
        assert math.isnan(haldane_kondo_temperature(u, e, 0.02))
        assert math.isnan(corrected_haldane_kondo_temperature(u, e, 0.02))


def test_half_width_of_a_lorentzian_is_its_width():
    omega = np.linspace(-1, 1, 20_001)
    assert half_width_at_half_maximum(omega, 1 / (1 + (omega / 0.01) ** 2)) == pytest.approx(0.01, rel=1e-3)
    assert math.isnan(half_width_at_half_maximum(omega, np.ones_like(omega)))
    assert math.isnan(half_width_at_half_maximum(omega, np.exp(omega)))
