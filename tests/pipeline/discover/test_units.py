"""Units as people write them, and the groups that follow."""

import numpy as np
import pytest

from pipeline.discover.units import group_columns, read_units, unit_of

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("text", ["kg*m^2/s^2", "kg m^2/s/s", "kg m2 s^-2", "m**2*kg/s**2", "kg/s^2*m^2"])
def test_one_unit_written_in_different_ways(text):
    assert unit_of(text) == {"kg": 1, "m": 2, "s": -2}


def test_no_unit_and_units_that_cancel():
    assert unit_of("1") == unit_of("m/m") == {}
    assert unit_of("1/s") == {"s": -1}


def test_the_oscillator_has_two_groups_once_the_axis_has_a_unit():
    columns = {name: RNG.uniform(1, 2, 50) for name in ("stiffness", "mass", "damping")}
    units = read_units("stiffness=kg/s^2, mass=kg, damping=1/s, axis=s")
    groups = group_columns(columns, units)
    assert set(groups) == {"damping_axis", "stiffness_axis2_per_mass"}
    np.testing.assert_allclose(groups["stiffness_axis2_per_mass"], columns["stiffness"] / columns["mass"])


def test_without_the_unit_of_the_axis_there_is_one_group_fewer():
    columns = {name: RNG.uniform(1, 2, 50) for name in ("stiffness", "mass", "damping")}
    groups = group_columns(columns, read_units("stiffness=kg/s^2,mass=kg,damping=1/s"))
    assert set(groups) == {"stiffness_per_mass_damping2"}


@pytest.mark.parametrize("text", ["mass", "mass=kg,mass=g", "a-b=kg", "mass=kg^x", "mass=3"])
def test_what_cannot_be_read_is_named(text):
    with pytest.raises(ValueError, match=text.split(",")[-1].split("=")[0]):
        read_units(text)


def test_inputs_and_units_belong_together():
    with pytest.raises(ValueError, match="found damping, mass on one side alone"):
        group_columns({"mass": np.ones(3)}, read_units("damping=1/s"))
    with pytest.raises(ValueError, match="no dimensionless product"):
        group_columns({"mass": RNG.uniform(1, 2, 9)}, read_units("mass=kg"))
