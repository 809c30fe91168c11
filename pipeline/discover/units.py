"""Units of inputs, so that formulas are made of dimensionless groups: `stiffness=kg/s^2,mass=kg,axis=s`.

A latent has no unit, so its formula can hold dimensionless groups of the inputs alone (models.laws.dimensions). The
unit of the axis belongs to them, where the curve is a function of something that has one: it stands as the quantity
`axis`, which is 1. Every name is a base unit of its own: kg, eV, pixel; N is not known to be kg m/s^2.
"""

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.laws.dimensions import dimensionless_groups, group_values

__all__ = ["AXIS", "group_columns", "read_units"]

Array = NDArray[np.float64]
Unit = dict[str, int]
AXIS = "axis"
FACTOR = re.compile(r"([A-Za-z%]+)(?:(?:\^|\*\*)?(-?\d+))?$")


def read_units(text: str) -> dict[str, Unit]:
    """Quantity -> exponents of its base units. Raises ValueError that names every part which cannot be read."""
    units: dict[str, Unit] = {}
    problems = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, written = (p.strip() for p in part.partition("="))
        try:
            if not equals or not name.isidentifier() or name in units:
                raise ValueError("expected NAME=UNIT, each name once")
            units[name] = unit_of(written)
        except ValueError as error:
            problems.append(f"{part!r}: {error}")
    if problems:
        raise ValueError("; ".join(problems))
    return units


def unit_of(written: str) -> Unit:
    """`kg m^2/s^2` and `kg*m^2/s/s` alike; `1` is no unit."""
    exponents: Unit = {}
    sign = 1
    for token in re.findall(r"[/*]|[^\s/*]+(?:\*\*-?\d+)?", written.replace("**", "^")) or [""]:
        if token in "/*" and token:
            sign = -1 if token == "/" else 1
            continue
        if token != "1":
            factor = FACTOR.match(token)
            if not factor:
                raise ValueError(f"cannot read {token!r}, expected factors such as kg, m^2 and 1, joined by * and /")
            exponents[factor[1]] = exponents.get(factor[1], 0) + sign * int(factor[2] or 1)
        sign = 1
    return {name: power for name, power in exponents.items() if power}


def group_columns(columns: Mapping[str, Array], units: Mapping[str, Unit]) -> dict[str, Array]:
    """Values (n_rows,) of the dimensionless groups of `columns` by name, constant ones left out.

    Raises ValueError where a column has no unit or a unit no column, where values are 0, and where no group varies.
    """
    if unlike := sorted(columns.keys() ^ (units.keys() - {AXIS})):
        raise ValueError(
            f"units: found {', '.join(unlike)} on one side alone, expected a unit for every input, 1 for none"
        )
    n_rows = len(next(iter(columns.values())))
    quantities = dict(columns) | ({AXIS: np.ones(n_rows)} if AXIS in units else {})
    bases = sorted({base for name in quantities for base in units[name]})
    groups = dimensionless_groups(
        {name: [units[name].get(base, 0) for base in bases] or [0] for name in quantities}, quantities
    )
    values = group_values(groups, quantities)
    named = {group.name: values[:, i] for i, group in enumerate(groups) if np.ptp(values[:, i]) > 0}
    if not named:
        raise ValueError(
            "units: found no dimensionless group that varies, expected at least one; is the axis' unit missing?"
        )
    return named
