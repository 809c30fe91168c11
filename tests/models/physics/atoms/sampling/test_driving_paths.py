"""Paths of temperature and density: the closed form, ranges, and densities that cannot be."""

import math

import numpy as np
import pytest

from models.physics.atoms.sampling.driving_paths import DrivingPaths, Ramp

PATHS = DrivingPaths(
    temperature_start_K=(300.0, 400.0),
    temperature_end_K=(1000.0, 2000.0),
    temperature_amplitude_K=(0.0, 500.0),
    temperature_period_fs=(100.0, 200.0),
    volume_end_A3=(14.0, 20.0),
    density_amplitude=(-0.1, 0.1),
    density_period_fs=(100.0, 300.0),
)
RANGES = {name: getattr(PATHS, name) for name in PATHS.__dataclass_fields__}


def test_a_ramp_follows_the_closed_form():
    ramp = Ramp(start=300.0, end=1200.0, amplitude=500.0, period_fs=80.0)
    for time in (0.0, 13.0, 40.0, 80.0, 200.0):
        expected = (1 - time / 200) * 300 + time / 200 * 1200 + 500 * math.sin(math.pi * time / 80) ** 2
        assert ramp.at(time, 200.0) == pytest.approx(expected, rel=1e-14)
    assert ramp.at(0.0, 200.0) == 300.0
    assert ramp.at(160.0, 200.0) == pytest.approx(0.2 * 300 + 0.8 * 1200)  # a whole period adds nothing


def test_every_number_is_drawn_within_its_range_and_the_density_starts_at_the_cell():
    rng = np.random.default_rng(0)
    for _ in range(50):
        path = PATHS.draw(16.0, rng)
        assert 300 <= path.temperature_K.start <= 400
        assert 1000 <= path.temperature_K.end <= 2000
        assert 0 <= path.temperature_K.amplitude <= 500
        assert 100 <= path.temperature_K.period_fs <= 200
        assert path.density_1_A3.start == 1 / 16
        assert 14 <= 1 / path.density_1_A3.end <= 20
        assert abs(path.density_1_A3.amplitude) <= 0.1 / 16


def test_the_density_stays_positive_all_along():
    for seed in range(20):
        path = PATHS.draw(24.0, np.random.default_rng(seed)).density_1_A3
        assert min(path.at(time, 500.0) for time in np.linspace(0, 500, 200)) > 0


def test_a_density_beyond_closest_packing_is_reported():
    """Neighbours of fcc at volume v are 2^(1/6) v^(1/3) apart."""
    volume = 1 / (1 / 14.0 + 0.1 / 14.0)
    closest = 2 ** (1 / 6) * volume ** (1 / 3)
    assert PATHS.density_problems(14.0, 0.999 * closest) == []
    (problem,) = PATHS.density_problems(14.0, 1.001 * closest)
    assert "impossible density" in problem


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature_start_K": (-1.0, 300.0)},
        {"temperature_end_K": (500.0, 300.0)},
        {"temperature_period_fs": (0.0, 1.0)},
        {"volume_end_A3": (0.0, 20.0)},
        {"density_amplitude": (-0.9, 0.1)},
    ],
)
def test_ranges_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DrivingPaths(**(RANGES | wrong))
