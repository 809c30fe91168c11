import numpy as np
import pytest

from models.laws.energy_scale import NoScale, calibrated_scale

SETTINGS = {"n_spline": 8, "degree": 4, "n_folds": 5, "seed": 0}


def impurities(n=400, seed=0):
    """u = U/Gamma, x = eps_d/U, log Gamma, and Haldane's log(T_K/Gamma)."""
    rng = np.random.default_rng(seed)
    u, x = rng.uniform(4, 12, n), rng.uniform(-0.8, -0.2, n)
    log_gamma = rng.uniform(np.log(0.005), np.log(0.06), n)
    return u, x, log_gamma, np.pi / 2 * u * x * (1 + x) + 0.5 * np.log(u / 2)


def slope(y, x):
    return np.polyfit(x, y, 1)[0]


@pytest.mark.parametrize(
    "warp", [np.tanh, lambda t: -t, lambda t: t + 0.3 * t**2 + 0.1 * t**3], ids=["tanh", "reversed", "cubic"]
)
def test_units_calibrate_a_warped_latent(warp):
    """Whatever monotone map hides the energy, its logarithm comes back with slope one."""
    u, x, log_gamma, log_ratio = impurities()
    energy = log_gamma + log_ratio
    scale = calibrated_scale(
        warp((energy - energy.mean()) / (2 * energy.std())), log_gamma, np.column_stack([u, x]), **SETTINGS
    )
    assert slope(scale.log_ratio, log_ratio) == pytest.approx(1, abs=5e-3)
    assert scale.explained > 0.999
    assert scale.monotone > 0.99
    exponent = np.linalg.lstsq(
        np.column_stack([u * x * (1 + x), np.log(u), np.ones_like(u)]), scale.log_ratio, rcond=None
    )[0][0]
    assert exponent == pytest.approx(np.pi / 2, rel=0.01)


def test_another_exponent_is_told_apart():
    """The calibration does not bring Haldane's factor along: twice the exponent comes back as twice."""
    u, x, log_gamma, log_ratio = impurities()
    energy = log_gamma + 2 * log_ratio
    scale = calibrated_scale(np.tanh(energy / 20), log_gamma, np.column_stack([u, x]), **SETTINGS)
    assert slope(scale.log_ratio, log_ratio) == pytest.approx(2, abs=0.01)


def test_scatter_of_the_latent_biases_no_coefficient():
    """A fit of log Gamma to s(z) would shrink the slope to the share of variance that is not scatter, here 0.8."""
    u, x, log_gamma, log_ratio = impurities(2000)
    energy = log_gamma + log_ratio
    z = energy + 0.5 * energy.std() * np.random.default_rng(2).normal(size=len(u))
    scale = calibrated_scale(z, log_gamma, np.column_stack([u, x]), **SETTINGS)
    assert slope(scale.log_ratio, log_ratio) == pytest.approx(1, abs=0.05)


def test_a_latent_that_follows_no_energy_explains_nothing():
    u, x, log_gamma, _ = impurities()
    noise = np.random.default_rng(1).normal(size=len(u))
    assert calibrated_scale(noise, log_gamma, np.column_stack([u, x]), **SETTINGS).explained < 0.2
    dimensionless = u * x * (1 + x) + 0.01 * noise
    assert calibrated_scale(dimensionless, log_gamma, np.column_stack([u, x]), **SETTINGS).explained < 0.2


def test_too_few_rows_and_a_constant_unit_are_refused():
    u, x, log_gamma, log_ratio = impurities(60)
    with pytest.raises(NoScale, match="found 60 rows for 23 coefficients, expected at least 92"):
        calibrated_scale(log_ratio, log_gamma, np.column_stack([u, x]), **SETTINGS)
    u, x, log_gamma, log_ratio = impurities(200)
    with pytest.raises(NoScale, match="same in all rows"):
        calibrated_scale(log_ratio, 0 * log_gamma, np.column_stack([u, x]), **SETTINGS)
