"""Groups from units: the null space, the choice among its bases, and what is refused."""

import numpy as np
import pytest

from models.laws.dimensions import dimensionless_groups, group_values

RNG = np.random.default_rng(1)
GAMMA = np.exp(RNG.uniform(-12, -10, 200))
U = GAMMA * np.exp(RNG.uniform(2.3, 4.1, 200))
LEVEL = U * RNG.uniform(-0.8, -0.2, 200)
ENERGIES = {"U": U, "eps_d": LEVEL, "Gamma": GAMMA, "D": np.ones(200)}
ONE_UNIT = dict.fromkeys(ENERGIES, (1,))


def test_four_energies_give_three_groups_that_no_change_of_unit_moves():
    groups = dimensionless_groups(ONE_UNIT, ENERGIES)
    assert len(groups) == 3
    scaled = {name: 7.3 * column for name, column in ENERGIES.items()}
    np.testing.assert_allclose(group_values(groups, scaled), group_values(groups, ENERGIES), rtol=1e-12)
    exponents = np.array([[g.exponents.get(name, 0) for name in ENERGIES] for g in groups])
    assert np.linalg.matrix_rank(exponents) == 3


def test_the_groups_that_vary_independently_are_taken():
    names = {g.name for g in dimensionless_groups(ONE_UNIT, ENERGIES)}
    assert names == {"U_per_Gamma", "eps_d_per_U", "Gamma_per_D"}


def test_rows_drawn_otherwise_choose_other_groups():
    """Here eps_d / Gamma and U / D are what was drawn independently."""
    u = np.exp(RNG.uniform(-9, -3, 200))
    ratio = -np.exp(RNG.uniform(1, 3, 200))
    groups = dimensionless_groups(ONE_UNIT, {"U": u, "eps_d": ratio * GAMMA, "Gamma": GAMMA, "D": np.ones(200)})
    assert "eps_d_per_Gamma" in {g.name for g in groups}


def test_the_pendulum():
    """Length, mass, gravity and period have one group, period^2 gravity / length; the mass is in none."""
    rng = np.random.default_rng(0)
    values = {name: rng.uniform(1, 2, 50) for name in ("period", "length", "mass", "gravity")}
    units = {"period": (0, 1, 0), "length": (1, 0, 0), "mass": (0, 0, 1), "gravity": (1, -2, 0)}
    (group,) = dimensionless_groups(units, values)
    assert group.exponents == {"period": 2, "length": -1, "gravity": 1}


def test_units_without_a_group_and_zeros_are_refused():
    two = {"length": np.ones(5), "time": np.ones(5)}
    with pytest.raises(ValueError, match="no dimensionless product"):
        dimensionless_groups({"length": (1, 0), "time": (0, 1)}, two)
    with pytest.raises(ValueError, match=r"U: found zeros"):
        dimensionless_groups(ONE_UNIT, ENERGIES | {"U": np.zeros(200)})
