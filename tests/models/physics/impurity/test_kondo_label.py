"""Labels of T_K against the exact series of the symmetric model, and the errors that they tell."""

import math

import mpmath
import pytest

from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.kondo_label import KondoLabelSettings, labelled_kondo_temperature

SETTINGS = KondoLabelSettings(discretizations=(6.0, 8.0), n_keep=170, n_keep_check=130)
GAMMA = 1e-5


def exact_log_ratio(ratio: float) -> float:
    """log(T_K / Gamma) of the symmetric model in a wide band; ratio = U / Gamma.

    chi = sum_n C_n v^n / (2 pi Gamma), v = U / (pi Gamma), C_n = (2 n - 1) C_(n-1) - (pi/2)^2 C_(n-2): Zlatic and
    Horvatic, Phys. Rev. B 28, 6904 (1983). The recursion needs many digits.
    """
    with mpmath.workdps(1500):
        v = mpmath.mpf(ratio) / mpmath.pi
        before, now, power = mpmath.mpf(1), mpmath.mpf(1), v
        total = before + now * v
        for n in range(2, 400):
            before, now = now, (2 * n - 1) * now - (mpmath.pi / 2) ** 2 * before
            power *= v
            total += now * power
        return float(mpmath.log(mpmath.pi / (2 * total)))


@pytest.mark.parametrize("ratio", [10.0, 60.0])
def test_a_label_agrees_with_the_exact_series_within_a_thousandth_and_within_what_it_tells(ratio):
    impurity = AndersonImpurity(interaction=ratio * GAMMA, level=-ratio * GAMMA / 2, hybridization=GAMMA)
    label = labelled_kondo_temperature(impurity, SETTINGS, lowest_temperature=1e-18)
    error = math.log(label.value / GAMMA) - exact_log_ratio(ratio)
    assert abs(error) < 1e-3
    assert abs(error) < label.error / label.value < 2e-3


def test_a_scale_below_the_lowest_temperature_has_no_label():
    impurity = AndersonImpurity(interaction=40 * GAMMA, level=-20 * GAMMA, hybridization=GAMMA)
    label = labelled_kondo_temperature(impurity, SETTINGS, lowest_temperature=1e-9)
    assert math.isnan(label.value) and math.isnan(label.error)


def test_impossible_settings_are_told_all_at_once():
    with pytest.raises(ValueError, match=r"(?s)discretizations.*n_keep_check"):
        KondoLabelSettings(discretizations=(8.0, 6.0), n_keep=100, n_keep_check=100)
