"""Spinodal decomposition conserves mass, lowers its free energy, coarsens."""

import re
from dataclasses import replace

import numpy as np
import pytest

from models.physics.microstructure.cahn_hilliard import CahnHilliard, cahn_hilliard, concentrations, free_energy

PARAMS = CahnHilliard(composition=0.2, n_steps=100, shape=(64, 48))


def after(n_steps: int, params: CahnHilliard = PARAMS) -> np.ndarray:
    return concentrations(replace(params, n_steps=n_steps), np.random.default_rng(0))


def test_mass_is_conserved():
    for n_steps in (1, 10, 300):
        assert after(n_steps).mean() == pytest.approx(PARAMS.composition, abs=1e-12)


@pytest.mark.parametrize("time_step", [0.5, 2.0, 50.0])
def test_the_free_energy_never_rises(time_step: float):
    params = replace(PARAMS, time_step=time_step)
    energies = [free_energy(after(n, params), params) for n in range(1, 60)]
    assert np.all(np.diff(energies) <= 1e-9 * energies[0])
    assert energies[-1] < 0.97 * energies[0]


def test_phases_separate_to_plus_and_minus_one():
    c = after(1000)
    assert np.percentile(c, 10) == pytest.approx(-1, abs=0.15)
    assert np.percentile(c, 90) == pytest.approx(1, abs=0.15)


def test_domains_coarsen():
    def mean_wave_number(c: np.ndarray) -> float:
        power = np.abs(np.fft.fft2(c - c.mean())) ** 2
        k = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, c.shape), indexing="ij"))
        return float((power * k).sum() / power.sum())

    assert mean_wave_number(after(1000)) < 0.8 * mean_wave_number(after(50))


def test_small_waves_grow_at_the_linear_rate():
    """c = e^{st} cos kx with s = k^2 (1 - 3 c0^2 - kappa k^2), up to the order of the time step."""
    from models.physics.microstructure.cahn_hilliard import kappa

    params = replace(PARAMS, composition=0.0, time_step=1e-3, interface_px=3.0)
    first, later = (np.abs(np.fft.rfft2(after(n, params)))[2, 3] for n in (1, 401))
    square = (2 * np.pi) ** 2 * ((2 / 64) ** 2 + (3 / 48) ** 2)
    assert np.log(later / first) / 0.4 == pytest.approx(square * (1 - kappa(params) * square), rel=0.03)


def test_the_image_is_grey_in_the_unit_interval_and_repeatable():
    image = cahn_hilliard(PARAMS, np.random.default_rng(3))
    assert image.shape == PARAMS.shape
    assert 0 <= image.min() < image.max() <= 1
    np.testing.assert_array_equal(image, cahn_hilliard(PARAMS, np.random.default_rng(3)))


def test_all_bad_parameters_are_reported_at_once():
    with pytest.raises(ValueError) as raised:
        CahnHilliard(composition=1.0, n_steps=0, shape=(64, 48.0), time_step=-1, interface_px=0.1)
    for name in ("composition", "n_steps", "shape", "time_step", "interface_px"):
        assert re.search(rf"(: |; ){name}", str(raised.value))
