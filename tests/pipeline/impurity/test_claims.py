"""What is read off a run: the strongest rival, the exponent of an energy, controls that must fail."""

import numpy as np
import pytest
from scipy import integrate

from pipeline.impurity.claims import LocalMoments, exponent, free_spectra, latent_claim


@pytest.fixture
def moments() -> LocalMoments:
    rng = np.random.default_rng(3)
    gamma, ratio = np.exp(rng.uniform(-5, -3, 400)), rng.uniform(4, 20, 400)
    position = rng.uniform(-0.75, -0.25, 400)
    haldane = gamma * np.sqrt(ratio / 2) * np.exp(np.pi / 2 * ratio * position * (1 + position))
    return LocalMoments(rows_N=np.ones(400, bool), gamma_M=gamma, ratio_M=ratio, position_M=position, kondo_M=haldane)


def test_any_monotone_function_of_the_energy_has_its_exponent(moments):
    log_M = np.log(moments.kondo_M)
    for z_M in (log_M, np.tanh((log_M + 15) / 8), -log_M):
        scale = moments.scale(z_M)
        assert exponent(scale, moments.ratio_M, moments.position_M) == pytest.approx(np.pi / 2, rel=0.03)
        assert scale.explained > 0.9


def test_with_the_parameters_of_other_hamiltonians_no_unit_is_left(moments):
    permuted = moments.permuted(0)
    assert sorted(permuted.gamma_M) == sorted(moments.gamma_M)
    assert permuted.scale(np.log(moments.kondo_M)).explained < 0.1


def test_the_width_of_a_free_level_gives_no_exponent(moments):
    assert abs(moments.exponent(np.log(moments.gamma_M) + 0.1 * np.log(moments.ratio_M))) < 0.1


def test_a_free_spectrum_is_the_resonant_level():
    omega = np.linspace(-0.999, 0.999, 20_001)
    (sharp,) = free_spectra(omega, np.array([0.02]), np.array([0.1]))
    centre = omega[sharp.argmax()]
    assert sharp.max() == pytest.approx(1, abs=1e-4)
    assert centre == pytest.approx(0.1 + 0.02 * np.log((1 + centre) / (1 - centre)) / np.pi, abs=2e-4)
    assert integrate.trapezoid(sharp, omega) == pytest.approx(np.pi * 0.02, rel=0.01)  # but for bound states outside


def test_a_latent_stands_beside_the_strongest_of_the_other_sets():
    def of(value: float, coordinate: str = "latent 1") -> dict[str, object]:
        return {"spearman": [value, 0.0, 1.0], "coordinate": coordinate, "n_rows": 30, "n_hamiltonians": 20}

    line = {
        "network": of(0.99),
        "seed_5": of(0.98),
        "seed_6": of(0.99),
        "summaries": of(0.9, "half_width"),
        "untrained": of(0.4),
    }
    first, second = latent_claim("log_T_K_test", line)
    assert (first.training_seed, first.value) == (5, 0.98)
    assert (second.training_seed, second.value) == (6, 0.99)
    assert first.baseline == "summaries: half width"
    assert first.baseline_value == 0.9
    assert latent_claim("log_T_K_test", {"seed_5": of(0.9)}) == []
