"""Neighbours of one atom and its radial part, for models.networks.potentials.aev_kernels (memory layout there).

`far` holds the neighbours within the radial cutoff, sorted by element, `near` those of them within the angular one; a
row of either is one quantity. `gauss` has two flat rows, exp[-eta (r - R_a)^2] and its slope, at t n_r + a.
"""

from typing import Any

import numpy as np
from numba import njit

from models.networks.potentials.aev_blocks import add_outer, add_outer_change, contract_rows, differences
from models.networks.potentials.aev_math import cutoff, cutoff_slope, exp2

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"
# ruff: noqa: ANN001, ANN202, ANN201

__all__ = [
    "ANGULAR_CUTOFF",
    "ANGULAR_ETA",
    "DF",
    "DR",
    "DX",
    "DY",
    "DZ",
    "ELEMENT",
    "EX",
    "EY",
    "EZ",
    "HALF",
    "N_FIELDS",
    "ONE",
    "RUN_END",
    "SPARE",
    "TINY",
    "TWO_LN2",
    "ZETA",
    "D",
    "E",
    "F",
    "R",
    "X",
    "Y",
    "Z",
    "angular_changes",
    "changes",
    "compiled",
    "gaussian_slopes",
    "gaussians",
    "pairs",
    "radial_change",
    "radial_gradient",
    "radial_sum",
    "to_ends",
    "within_angular_cutoff",
]

N_SCALARS = 9  # eta with a factor log2 e, angles' cosines and sines with a factor 1/2
(
    RADIAL_CUTOFF,
    RADIAL_ETA,
    ANGULAR_CUTOFF,
    ANGULAR_ETA,
    ZETA,
    QUARTER,
    HALF,
    TWO_LN2,
    TINY,
) = range(N_SCALARS)
X, Y, Z, R, F, D = range(6)  # of a neighbour: unit vector, distance, cutoff function and its slope
E, EX, EY, EZ = 6, 7, 8, 9  # pullback: dE/dr, dE/d(unit vector)
DX, DY, DZ, DR, DF = 6, 7, 8, 9, 10  # pushforward: changes of the unit vector, of r and of f
P, Q, NIL, ONE = 11, 12, 13, 14  # radial sums: weights of the Gaussian and of its slope, zeros, ones
N_FIELDS = 15
SLOT, ELEMENT, START = range(3)  # of a neighbour: slot (if near: place among the far), element, first feature
RUN_END = 2  # of a near neighbour: where those of its element end
SPARE = 16  # rows are read and written by whole registers
FAST: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "arcp", "nsz"}, "error_model": "numpy"}
# Not a choice of speed: a part that is called instead is linked to whatever version of it the process has loaded, whose
# sums may be fused in another order, and a kernel from the cache would not equal the same one just compiled.
compiled = njit(forceinline=True, **FAST)


@compiled
def pairs(i, vectors, slots, species, constants, shape, far, far_index):
    """Neighbours within the radial cutoff, sorted by element; their number."""
    slot_pair, slot_atom, slot_sign = slots
    radius, quarter, n_r = constants[0][RADIAL_CUTOFF], constants[0][QUARTER], len(shape[0][1])
    n, one_element = 0, True
    for slot in range(slot_pair.shape[1]):
        if slot_sign[i, slot] == 0:
            continue
        v = vectors[slot_pair[i, slot]]
        r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2]
        if r2 >= radius * radius:
            continue
        element = species[slot_atom[i, slot]]
        far_index[SLOT, n] = slot
        far_index[ELEMENT, n] = element
        one_element = one_element and element == far_index[ELEMENT, 0]
        n += 1
    if not one_element:
        _sort_by_element(n, far_index)
    for a in range(n):
        slot = far_index[SLOT, a]
        sign = slot_sign[i, slot]
        v = vectors[slot_pair[i, slot]]
        r = np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
        far[X, a] = sign * v[0] / r
        far[Y, a] = sign * v[1] / r
        far[Z, a] = sign * v[2] / r
        far[R, a] = r
        far_index[START, a] = far_index[ELEMENT, a] * n_r
    for a in range(n):
        x = far[R, a] / radius
        far[F, a] = quarter * cutoff(x)
        far[D, a] = quarter * cutoff_slope(x) / radius
    return n


@compiled
def _sort_by_element(n, index):
    """Stable; the slots are in index[SLOT], the elements in index[ELEMENT]."""
    for a in range(1, n):
        slot, element = index[SLOT, a], index[ELEMENT, a]
        place = a
        while place > 0 and index[ELEMENT, place - 1] > element:
            index[SLOT, place] = index[SLOT, place - 1]
            index[ELEMENT, place] = index[ELEMENT, place - 1]
            place -= 1
        index[SLOT, place] = slot
        index[ELEMENT, place] = element


@compiled
def within_angular_cutoff(n_far, constants, far, far_index, near, near_index):
    """Copies those of the neighbours, with the angular cutoff function; their number."""
    radius = constants[0][ANGULAR_CUTOFF]
    n = 0
    for a in range(n_far):
        if far[R, a] >= radius:
            continue
        for x in range(4):
            near[x, n] = far[x, a]
        near_index[SLOT, n] = a
        near_index[ELEMENT, n] = far_index[ELEMENT, a]
        n += 1
    end = n
    for a in range(n - 1, -1, -1):
        if a + 1 < n and near_index[ELEMENT, a] != near_index[ELEMENT, a + 1]:
            end = a + 1
        near_index[RUN_END, a] = end
    for a in range(n):
        x = near[R, a] / radius
        near[F, a] = cutoff(x)
        near[D, a] = cutoff_slope(x) / radius
    return n


@compiled
def gaussians(n, constants, shape, far, gauss):
    """exp[-eta (r - R_a)^2] in gauss[0]; r - R_a in gauss[1]."""
    eta, lanes = constants[0][RADIAL_ETA], shape[0][1]
    value, deviation = gauss[0], gauss[1]
    differences(deviation, far[R], constants[1], n, lanes)
    for x in range(n * len(lanes)):
        d = deviation[x]
        value[x] = exp2(-eta * d * d)


@compiled
def gaussian_slopes(n, shape, gauss):
    """(r - R_a) times the Gaussian, in gauss[1]."""
    value, slope = gauss[0], gauss[1]
    for x in range(n * len(shape[0][1])):
        slope[x] *= value[x]


@compiled
def radial_sum(n, shape, far, far_index, gauss, row):
    first = 0
    while first < n:
        last = _end_of_run(first, n, far_index[START])
        add_outer(row, far_index[START, first], far[ONE], gauss[0], far[F], first, last, shape[0])
        first = last


@compiled
def radial_gradient(n, constants, shape, far, far_index, gauss, row):
    """dE/dr of the radial part, in far[E]; clears dE/d(unit vector)."""
    factor = -constants[0][TWO_LN2] * constants[0][RADIAL_ETA]
    contract_rows(row, far_index[START], gauss[0], gauss[1], far[P], far[Q], n, shape[0][1])
    for a in range(n):
        far[E, a] = far[D, a] * far[P, a] + factor * far[F, a] * far[Q, a]
        far[EX, a] = 0
        far[EY, a] = 0
        far[EZ, a] = 0


@compiled
def radial_change(n, constants, shape, far, far_index, gauss, row):
    factor = -constants[0][TWO_LN2] * constants[0][RADIAL_ETA]
    for a in range(n):
        far[P, a] = far[D, a] * far[DR, a]
        far[Q, a] = factor * far[F, a] * far[DR, a]
    first = 0
    while first < n:
        last = _end_of_run(first, n, far_index[START])
        add_outer_change(
            row, far_index[START, first], far[ONE], far[NIL], gauss[0], gauss[1], far[P], far[Q], far[NIL],
            first, last, shape[0]
        )  # fmt: skip
        first = last


@compiled
def changes(i, n, slots, far, far_index, change):
    """Changes of unit vectors and distances of the neighbours of atom i."""
    slot_pair, _, slot_sign = slots
    for a in range(n):
        slot = far_index[SLOT, a]
        u, sign = change[slot_pair[i, slot]], slot_sign[i, slot]
        dr = sign * (far[X, a] * u[0] + far[Y, a] * u[1] + far[Z, a] * u[2])
        for x in range(3):
            far[DX + x, a] = (sign * u[x] - dr * far[X + x, a]) / far[R, a]
        far[DR, a] = dr


@compiled
def angular_changes(n, far, near, near_index):
    for a in range(n):
        for x in range(DX, DR + 1):
            near[x, a] = far[x, near_index[SLOT, a]]
        near[DF, a] = near[D, a] * near[DR, a]


@compiled
def to_ends(i, n_far, n, slots, far, far_index, near, near_index, ends):
    """dE/dv at this atom's end of its pairs, from dE/dr and dE/d(unit vector)."""
    slot_pair, _, slot_sign = slots
    for a in range(n):
        for x in range(E, EZ + 1):
            far[x, near_index[SLOT, a]] += near[x, a]
    for a in range(n_far):
        slot = far_index[SLOT, a]
        pair, sign = slot_pair[i, slot], slot_sign[i, slot]
        end = 0 if sign > 0 else 1
        tilt = far[EX, a] * far[X, a] + far[EY, a] * far[Y, a] + far[EZ, a] * far[Z, a]
        for x in range(3):
            across = (far[EX + x, a] - tilt * far[X + x, a]) / far[R, a]
            ends[end, pair, x] = sign * (far[E, a] * far[X + x, a] + across)


@compiled
def _end_of_run(first, n, block):
    last = first + 1
    while last < n and block[last] == block[first]:
        last += 1
    return last
