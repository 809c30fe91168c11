"""Spectra at production settings against theory and an independent code."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.physics.impurity.hamiltonian import AndersonImpurity, hybridization_function
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver

pytestmark = pytest.mark.physics

REFERENCE = json.loads((Path(__file__).parents[3] / "reference" / "nrg_ljubljana.json").read_text())
PRODUCTION = NRGSolver(NRGSettings())
LOG_GRID = np.geomspace(1e-5, 2, 166)
OMEGA = np.concatenate([-LOG_GRID[::-1], [0.0], LOG_GRID])


def solve(temperature=1e-6, omega=OMEGA, settings=None, **parameters):
    solver = PRODUCTION if settings is None else NRGSolver(settings)
    return solver.solve(AndersonImpurity(**parameters), temperatures=np.atleast_1d(temperature), omega=omega)


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: case["name"])
def test_spectra_agree_with_nrg_ljubljana(case):
    """Another code, Lambda and broadening: mean |difference| of pi Gamma A at most 0.01, occupations 5e-4."""
    names = ("interaction", "level", "hybridization", "field")
    found = solve(case["temperature"], np.array(case["omega"]), **{name: case[name] for name in names})
    scale = math.pi * case["hybridization"]
    for spectrum, name in ((found.spectrum_up, "pi_gamma_a_up"), (found.spectrum_dn, "pi_gamma_a_dn")):
        assert np.mean(np.abs(scale * spectrum[0] - case[name])) <= 0.01
    for value, name in ((found.n_up, "n_up"), (found.n_dn, "n_dn"), (found.double_occupancy, "double_occupancy")):
        assert value[0] == pytest.approx(case[name], abs=5e-4)


@pytest.mark.parametrize("field", [0.0, 0.01])
def test_without_interaction_the_spectrum_is_exact(field):
    """U = 0 through the self-energy leaves nothing to approximate; the occupation is what NRG makes of it."""
    found = solve(interaction=0.0, level=-0.02, hybridization=0.05, field=field)
    for spin, spectrum in ((1, found.spectrum_up), (-1, found.spectrum_dn)):
        green = 1 / (OMEGA + 0.02 + spin * field / 2 - hybridization_function(OMEGA, 0.05))
        assert_allclose(spectrum[0], -green.imag / math.pi, rtol=1e-10)
        dense = np.linspace(-1 + 1e-9, 0, 200_001)
        resonance = -(1 / (dense + 0.02 + spin * field / 2 - hybridization_function(dense, 0.05))).imag / math.pi
        n = float(np.trapezoid(resonance, dense))
        occupation = found.n_up[0] if spin == 1 else found.n_dn[0]
        assert occupation == pytest.approx(n, abs=3e-4)


def test_raw_broadened_spectrum_of_a_free_level_is_close():
    """The same without the self-energy trick: the error of discretisation and broadening itself, in 1 / (pi Gamma)."""
    from models.physics.impurity.broadening import broaden, log_grid
    from models.physics.impurity.nrg_solver import HIGHEST, binned_correlators

    settings = NRGSettings(discretization=2.5, n_keep=256, n_z=4, broadening=0.3)
    free = AndersonImpurity(interaction=0.0, level=-0.02, hybridization=0.05, field=0.01)
    raw = binned_correlators(free, settings, np.array([1e-6]))
    grid = (raw.bins.lowest, HIGHEST, 50)
    curve = broaden(raw.histograms[0, 0, 0], raw.bins, grid=grid, alpha=0.3, omega_0=5e-7)
    omega = log_grid(*grid)
    inside = (np.abs(omega) > 3e-6) & (np.abs(omega) < 0.5)
    exact = -(1 / (omega[inside] + 0.025 - hybridization_function(omega[inside], 0.05))).imag / math.pi
    error = math.pi * 0.05 * (curve[inside] - exact)
    assert math.sqrt(np.mean(error**2)) < 0.02
    thermal = np.abs(omega) < 2e-7
    exact = -(1 / (omega[thermal] + 0.025 - hybridization_function(omega[thermal], 0.05))).imag / math.pi
    assert np.mean(curve[thermal] / exact) == pytest.approx(1, abs=0.015)  # the kernel does not deplete |w| << T


@pytest.mark.parametrize(("interaction", "hybridization"), [(0.1, 0.03), (0.3, 0.03), (0.2, 0.01)])
def test_friedel_sum_rule_at_particle_hole_symmetry(interaction, hybridization):
    """pi Gamma A(0) = 1 at T << T_K, within 0.5 %."""
    found = solve(1e-8, np.array([0.0]), interaction=interaction, level=-interaction / 2, hybridization=hybridization)
    assert math.pi * hybridization * found.spectrum_up[0, 0] == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("field", [0.0, 0.02])
def test_both_self_energy_estimators_agree(field):
    """U F / G and the symmetric improved form are equal for exact correlators; 1.5 % is what broadening makes of it."""
    parameters = {"interaction": 0.2, "level": -0.06, "hybridization": 0.02, "field": field}
    curves = [solve(settings=NRGSettings(self_energy=name), **parameters) for name in ("kugler", "bulla")]
    for spin in ("spectrum_up", "spectrum_dn"):
        difference = math.pi * 0.02 * (getattr(curves[0], spin) - getattr(curves[1], spin))
        assert 0 < np.mean(np.abs(difference)) < 0.015


def test_kondo_peak_melts_with_temperature():
    found = solve(np.array([1e-6, 1e-3, 1e-1]), np.array([0.0]), interaction=0.2, level=-0.1, hybridization=0.02)
    heights = math.pi * 0.02 * found.spectrum_up[:, 0]
    assert heights[0] == pytest.approx(1, abs=0.005)
    assert heights[0] > heights[1] > heights[2]


def test_many_temperatures_equal_one_at_a_time():
    """Sharing the diagonalisation changes the chain's length for the warmer ones only in name."""
    parameters = {"interaction": 0.2, "level": -0.06, "hybridization": 0.02, "field": 1e-3}
    together = solve(np.array([1e-5, 1e-3]), **parameters)
    alone = [solve(t, **parameters) for t in (1e-5, 1e-3)]
    for k in range(2):
        assert_allclose(together.spectrum_up[k], alone[k].spectrum_up[0], atol=2e-3 / (math.pi * 0.02))
        assert_allclose(together.n_up[k], alone[k].n_up[0], atol=1e-9)


def test_attractive_interaction_is_physics():
    """U < 0: at eps_d = -U/2 charge and spin exchange roles; the double occupancy exceeds its free value of 1/4."""
    found = solve(interaction=-0.1, level=0.05, hybridization=0.02)
    assert found.n_up[0] == pytest.approx(0.5, abs=1e-9)
    assert found.double_occupancy[0] > 0.3
    assert (found.spectrum_up >= 0).all()


def test_spectra_are_normalised_within_the_band():
    grid = np.concatenate([-np.geomspace(1e-8, 5, 4000)[::-1], np.geomspace(1e-8, 5, 4000)])
    grid = grid[np.abs(grid) != 1]
    found = solve(1e-4, grid, interaction=0.3, level=-0.1, hybridization=0.03)
    assert np.trapezoid(found.spectrum_up[0], grid) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("temperatures", "omega", "message"),
    [
        ([-1.0], [0.0], "temperatures"),
        ([], [0.0], "temperatures"),
        ([1e-3], [0.0, 0.0], "ascending"),
        ([1e-3], [1.0], "band edges"),
        ([1e-3], [math.nan], "omega"),
    ],
)
def test_bad_requests_are_refused(temperatures, omega, message):
    with pytest.raises(ValueError, match=message):
        PRODUCTION.solve(
            AndersonImpurity(interaction=0.1, level=0.0, hybridization=0.1),
            temperatures=np.array(temperatures, float), omega=np.array(omega, float),
        )  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [{"hybridization": 0.0}, {"hybridization": -1.0}, {"interaction": math.inf}, {"level": "0"}]
)
def test_bad_hamiltonians_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AndersonImpurity(**({"interaction": 0.1, "level": 0.0, "hybridization": 0.1} | wrong))
