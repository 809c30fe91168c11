"""Fused kernels of environment vectors: value, pullback and pushforward, atom by atom, no triple ever stored.

With G the environment vectors (models.networks.aev) as a function of pair vectors v,

    environment   G(v)                      (N, F)
    pullback      g -> g . dG/dv            (2, H, 3), one slice per end of a pair; the sum of both is the product
    pushforward   u -> dG/dv . u            (N, F)

An atom writes its own row, or its own end of a pair: atoms may be split over threads in any way, results stay the same to
the bit. Neighbours within the angular cutoff are sorted by element; triples j < k pass through a buffer that fits the
first-level cache, in three sweeps: geometry, Gaussians and powers (all elementary functions, flat loops), and sums over
an 8 x 8 block or so, whose shape the compiler knows because it comes as the length of tuples (`shape`).

The power is [(1 + cos(theta - theta_z)) / 2]^zeta = u^zeta, 2u = 1 + c cos theta_z + sqrt(1 - c^2) sin theta_z; no angle is
computed. Derivatives go by dE/dc (c = 0.95 cosine), dE/dm (mean distance m) and dE/dw (w = 2 f(r_j) f(r_k)).
"""

import numpy as np
from numba import njit

from models.networks.aev_blocks import (
    add_outer,
    add_outer_change,
    contract,
    differences,
    geometry,
    geometry_change,
    half_cosines,
)
from models.networks.aev_math import cutoff, cutoff_slope, exp2, log2

__all__ = ["environment", "pullback", "pushforward"]

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# ruff: noqa: ANN001, ANN202, ANN201

_BUFFER = 256  # triples
SPARE = 16  # rows are read and written by whole registers
N_SCALARS = 9  # eta with a factor log2 e, angles' cosines and sines with a factor 1/2
(
    _RADIAL_CUTOFF,
    _RADIAL_ETA,
    _ANGULAR_CUTOFF,
    _ANGULAR_ETA,
    _ZETA,
    _QUARTER,
    _HALF,
    _TWO_LN2,
    _TINY,
) = range(N_SCALARS)
_X, _Y, _Z, _R, _F, _D = range(6)  # of a neighbour: unit vector, distance, cutoff function and its slope
_E, _EX, _EY, _EZ = 6, 7, 8, 9  # pullback: dE/dr, dE/d(unit vector)
_DX, _DY, _DZ, _DR, _DF = 6, 7, 8, 9, 10  # pushforward: changes of the unit vector, of r and of f
_P, _Q, _O, _ONE = 11, 12, 13, 14  # radial sums: weights of the Gaussian and of its slope, zeros, ones
_C, _S, _M, _W = range(4)  # of a triple: 0.95 cosine, sine that goes with it, mean distance, weight
_DC, _DM, _DW = 4, 5, 6  # their changes, or dE/d(them) in the pullback
_SLOT, _ELEMENT, _START = range(3)  # of a neighbour: slot (if near: place among the far), element, first feature
_RUN_END = 2  # of a near neighbour: where those of its element end
_FAST = {"reassoc", "contract", "arcp", "nsz"}
_compile = njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")


@_compile
def environment(atoms, vectors, slots, species, pair_index, constants, shape, out):
    """Fill rows `atoms[0]` to `atoms[1]` of `out`, (N, F)."""
    far, near, far_index, near_index, gauss, triples, runs, parts = _buffers(vectors, slots, pair_index, shape)
    capacity = triples.shape[1] - SPARE
    for i in range(atoms[0], atoms[1]):
        row = out[i]
        row[:] = 0
        n_far = _pairs(i, vectors, slots, species, constants, shape, far, far_index)
        _gaussians(n_far, constants, shape, far, gauss)
        first = 0
        while first < n_far:
            last = _end_of_run(first, n_far, far_index[_START])
            add_outer(row, far_index[_START, first], far[_ONE], gauss[0], far[_F], first, last, shape[0])
            first = last
        n = _within_angular_cutoff(n_far, constants, far, far_index, near, near_index)
        t = 0
        for j in range(n):  # the last neighbour has no partner left, it empties the buffer
            if t + n - 1 - j > capacity or j == n - 1:
                _factors(t, constants, shape, triples, parts)
                _sum_up(t, shape, triples, runs, parts, row)
                t = 0
            _geometry(j, n, t, near, near_index, pair_index, shape, triples, runs)
            t += n - 1 - j


@_compile
def pullback(atoms, vectors, slots, species, pair_index, constants, shape, gradient, ends):
    """Fill `ends` (2, H, 3), zeros before, 0 the first atom's end, from `gradient` (N, F), for pairs of these atoms."""
    far, near, far_index, near_index, gauss, triples, runs, parts = _buffers(vectors, slots, pair_index, shape)
    capacity = triples.shape[1] - SPARE
    for i in range(atoms[0], atoms[1]):
        row = gradient[i]
        n_far = _pairs(i, vectors, slots, species, constants, shape, far, far_index)
        _gaussians(n_far, constants, shape, far, gauss)
        _gaussian_slopes(n_far, shape, gauss)
        _radial_gradient(n_far, constants, shape, far, far_index, gauss, row)
        n = _within_angular_cutoff(n_far, constants, far, far_index, near, near_index)
        near[_E : _EZ + 1, :n] = 0
        start, t = 0, 0
        for j in range(n):
            if t + n - 1 - j > capacity or j == n - 1:
                _factors_by_feature(t, constants, shape, triples, parts)
                _sum_up_gradient(t, constants, shape, triples, runs, parts, row)
                _spread(start, j, n, near, triples)
                start, t = j, 0
            _geometry(j, n, t, near, near_index, pair_index, shape, triples, runs)
            t += n - 1 - j
        _to_ends(i, n_far, n, slots, far, far_index, near, near_index, ends)


@_compile
def pushforward(atoms, vectors, slots, species, pair_index, constants, shape, change, out):
    """Fill rows of `out` (N, F) from the change of pair vectors, (H, 3)."""
    far, near, far_index, near_index, gauss, triples, runs, parts = _buffers(vectors, slots, pair_index, shape)
    capacity = triples.shape[1] - SPARE
    for i in range(atoms[0], atoms[1]):
        row = out[i]
        row[:] = 0
        n_far = _pairs(i, vectors, slots, species, constants, shape, far, far_index)
        _changes(i, n_far, slots, far, far_index, change)
        _gaussians(n_far, constants, shape, far, gauss)
        _gaussian_slopes(n_far, shape, gauss)
        _radial_change(n_far, constants, shape, far, far_index, gauss, row)
        n = _within_angular_cutoff(n_far, constants, far, far_index, near, near_index)
        _angular_changes(n, far, near, near_index)
        t = 0
        for j in range(n):
            if t + n - 1 - j > capacity or j == n - 1:
                _factors(t, constants, shape, triples, parts)
                _slopes(t, constants, shape, triples, parts)
                _sum_up_change(t, constants, shape, triples, runs, parts, row)
                t = 0
            _geometry(j, n, t, near, near_index, pair_index, shape, triples, runs)
            _geometry_change(j, n, t, near, triples)
            t += n - 1 - j


@_compile
def _buffers(vectors, slots, pair_index, shape):
    real, n_slots = vectors.dtype, slots[0].shape[1] + SPARE
    capacity = max(_BUFFER, n_slots) + SPARE
    n_r, n_a, n_z = len(shape[0][1]), len(shape[1][0]), len(shape[1][1])
    far = np.zeros((15, n_slots), real)
    far[_ONE] = 1
    return (
        far,
        np.zeros((11, n_slots), real),
        np.empty((3, n_slots), np.int64),
        np.empty((3, n_slots), np.int64),
        np.zeros((2, n_slots * n_r), real),
        np.zeros((7, capacity), real),
        np.empty((2, capacity + 1), np.int64),
        (
            np.zeros(capacity * n_a, real),
            np.zeros(capacity * n_a, real),
            np.zeros(capacity * n_z, real),
            np.zeros(capacity * n_z, real),
        ),
    )


@_compile
def _pairs(i, vectors, slots, species, constants, shape, far, far_index):
    """Neighbours within the radial cutoff, sorted by element; their number."""
    slot_pair, slot_atom, slot_sign = slots
    radius, quarter, n_r = constants[0][_RADIAL_CUTOFF], constants[0][_QUARTER], len(shape[0][1])
    n, one_element = 0, True
    for slot in range(slot_pair.shape[1]):
        if slot_sign[i, slot] == 0:
            continue
        v = vectors[slot_pair[i, slot]]
        r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2]
        if r2 >= radius * radius:
            continue
        element = species[slot_atom[i, slot]]
        far_index[_SLOT, n] = slot
        far_index[_ELEMENT, n] = element
        one_element = one_element and element == far_index[_ELEMENT, 0]
        n += 1
    if not one_element:
        _sort_by_element(n, far_index)
    for a in range(n):
        slot = far_index[_SLOT, a]
        sign = slot_sign[i, slot]
        v = vectors[slot_pair[i, slot]]
        r = np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
        far[_X, a] = sign * v[0] / r
        far[_Y, a] = sign * v[1] / r
        far[_Z, a] = sign * v[2] / r
        far[_R, a] = r
        far_index[_START, a] = far_index[_ELEMENT, a] * n_r
    for a in range(n):
        x = far[_R, a] / radius
        far[_F, a] = quarter * cutoff(x)
        far[_D, a] = quarter * cutoff_slope(x) / radius
    return n


@_compile
def _sort_by_element(n, index):
    """Stable; the slots are in index[_SLOT], the elements in index[_ELEMENT]."""
    for a in range(1, n):
        slot, element = index[_SLOT, a], index[_ELEMENT, a]
        place = a
        while place > 0 and index[_ELEMENT, place - 1] > element:
            index[_SLOT, place] = index[_SLOT, place - 1]
            index[_ELEMENT, place] = index[_ELEMENT, place - 1]
            place -= 1
        index[_SLOT, place] = slot
        index[_ELEMENT, place] = element


@_compile
def _within_angular_cutoff(n_far, constants, far, far_index, near, near_index):
    """Copies those of the neighbours, with the angular cutoff function; their number."""
    radius = constants[0][_ANGULAR_CUTOFF]
    n = 0
    for a in range(n_far):
        if far[_R, a] >= radius:
            continue
        for x in range(4):
            near[x, n] = far[x, a]
        near_index[_SLOT, n] = a
        near_index[_ELEMENT, n] = far_index[_ELEMENT, a]
        n += 1
    end = n
    for a in range(n - 1, -1, -1):
        if a + 1 < n and near_index[_ELEMENT, a] != near_index[_ELEMENT, a + 1]:
            end = a + 1
        near_index[_RUN_END, a] = end
    for a in range(n):
        x = near[_R, a] / radius
        near[_F, a] = cutoff(x)
        near[_D, a] = cutoff_slope(x) / radius
    return n


@_compile
def _gaussians(n, constants, shape, far, gauss):
    """exp[-eta (r - R_a)^2] in gauss[0]; r - R_a in gauss[1]."""
    eta, lanes = constants[0][_RADIAL_ETA], shape[0][1]
    value, deviation = gauss[0], gauss[1]
    differences(deviation, far[_R], constants[1], n, lanes)
    for x in range(n * len(lanes)):
        d = deviation[x]
        value[x] = exp2(-eta * d * d)


@_compile
def _gaussian_slopes(n, shape, gauss):
    """(r - R_a) times the Gaussian, in gauss[1]."""
    value, slope = gauss[0], gauss[1]
    for x in range(n * len(shape[0][1])):
        slope[x] *= value[x]


@_compile
def _radial_gradient(n, constants, shape, far, far_index, gauss, row):
    """dE/dr of the radial part, in far[_E]; clears dE/d(unit vector)."""
    factor = -constants[0][_TWO_LN2] * constants[0][_RADIAL_ETA]
    value, slope, n_r = gauss[0], gauss[1], len(shape[0][1])
    for a in range(n):
        weights = row[far_index[_START, a] : far_index[_START, a] + n_r]
        p = factor - factor
        q = p
        for x in range(n_r):
            p += weights[x] * value[a * n_r + x]
            q += weights[x] * slope[a * n_r + x]
        far[_E, a] = far[_D, a] * p + factor * far[_F, a] * q
        far[_EX, a] = 0
        far[_EY, a] = 0
        far[_EZ, a] = 0


@_compile
def _radial_change(n, constants, shape, far, far_index, gauss, row):
    factor = -constants[0][_TWO_LN2] * constants[0][_RADIAL_ETA]
    for a in range(n):
        far[_P, a] = far[_D, a] * far[_DR, a]
        far[_Q, a] = factor * far[_F, a] * far[_DR, a]
    first = 0
    while first < n:
        last = _end_of_run(first, n, far_index[_START])
        add_outer_change(
            row, far_index[_START, first], far[_ONE], far[_O], gauss[0], gauss[1], far[_P], far[_Q], far[_O],
            first, last, shape[0]
        )  # fmt: skip
        first = last


@_compile
def _changes(i, n, slots, far, far_index, change):
    """Changes of unit vectors and distances of the neighbours of atom i."""
    slot_pair, _, slot_sign = slots
    for a in range(n):
        slot = far_index[_SLOT, a]
        u, sign = change[slot_pair[i, slot]], slot_sign[i, slot]
        dr = sign * (far[_X, a] * u[0] + far[_Y, a] * u[1] + far[_Z, a] * u[2])
        for x in range(3):
            far[_DX + x, a] = (sign * u[x] - dr * far[_X + x, a]) / far[_R, a]
        far[_DR, a] = dr


@_compile
def _angular_changes(n, far, near, near_index):
    for a in range(n):
        for x in range(_DX, _DR + 1):
            near[x, a] = far[x, near_index[_SLOT, a]]
        near[_DF, a] = near[_D, a] * near[_DR, a]


@_compile
def _to_ends(i, n_far, n, slots, far, far_index, near, near_index, ends):
    """dE/dv at this atom's end of its pairs, from dE/dr and dE/d(unit vector)."""
    slot_pair, _, slot_sign = slots
    for a in range(n):
        for x in range(_E, _EZ + 1):
            far[x, near_index[_SLOT, a]] += near[x, a]
    for a in range(n_far):
        slot = far_index[_SLOT, a]
        pair, sign = slot_pair[i, slot], slot_sign[i, slot]
        end = 0 if sign > 0 else 1
        tilt = far[_EX, a] * far[_X, a] + far[_EY, a] * far[_Y, a] + far[_EZ, a] * far[_Z, a]
        for x in range(3):
            across = (far[_EX + x, a] - tilt * far[_X + x, a]) / far[_R, a]
            ends[end, pair, x] = sign * (far[_E, a] * far[_X + x, a] + across)


@_compile
def _geometry(j, n, t, near, near_index, pair_index, shape, triples, runs):
    """Triples of neighbour j with k = j + 1 ... n - 1, at t and on, and where runs of equal elements end."""
    geometry(
        triples[_C], triples[_S], triples[_M], triples[_W], near[_X], near[_Y], near[_Z], near[_R], near[_F], j, n, t
    )  # fmt: skip
    size, offset = len(shape[1][0]) * len(shape[1][1]), len(pair_index) * len(shape[0][1])
    block_of = pair_index[near_index[_ELEMENT, j]]
    n_runs, k = runs[0, 0], j + 1
    if t == 0:
        n_runs = 0
    while k < n:
        end = near_index[_RUN_END, k]
        block = offset + size * block_of[near_index[_ELEMENT, k]]
        if n_runs == 0 or runs[1, n_runs] != block:
            n_runs += 1
            runs[1, n_runs] = block
        runs[0, n_runs] = t + end - j - 1
        k = end
    runs[0, 0] = n_runs


@_compile
def _geometry_change(j, n, t, near, triples):
    geometry_change(
        triples[_DC], triples[_DM], triples[_DW], near[_X], near[_Y], near[_Z], near[_F],
        near[_DX], near[_DY], near[_DZ], near[_DR], near[_DF], j, n, t,
    )  # fmt: skip


@_compile
def _factors(n, constants, shape, triples, parts):
    """exp[-eta (m - R_a)^2] at t n_a + a, u^zeta at t n_z + z; leaves m - R_a where its slope comes."""
    shift_part, deviation, angle_part, _ = parts
    scalars, _, shifts, cosines, sines = constants
    eta, zeta, tiny = scalars[_ANGULAR_ETA], scalars[_ZETA], scalars[_TINY]
    differences(deviation, triples[_M], shifts, n, shape[1][0])
    half_cosines(angle_part, triples[_C], triples[_S], cosines, sines, n, shape[1][1])
    for x in range(n * len(shape[1][0])):
        d = deviation[x]
        shift_part[x] = exp2(-eta * d * d)
    for x in range(n * len(shape[1][1])):
        u = angle_part[x]
        angle_part[x] = zeta * log2(u if u > tiny else tiny)
    for x in range(n * len(shape[1][1])):
        angle_part[x] = exp2(angle_part[x])


@_compile
def _slopes(n, constants, shape, triples, parts):
    """(m - R_a) exp[-eta (m - R_a)^2], and d u^zeta / dc; after `_factors`."""
    shift_part, shift_slope, angle_part, angle_slope = parts
    scalars, _, _, cosines, sines = constants
    zeta, tiny, n_z = scalars[_ZETA], scalars[_TINY], len(shape[1][1])
    for x in range(n * len(shape[1][0])):
        shift_slope[x] *= shift_part[x]
    half_cosines(angle_slope, triples[_C], triples[_S], cosines, sines, n, shape[1][1])
    for t in range(n):
        ratio = triples[_C, t] / triples[_S, t]
        for z in range(n_z):
            u = angle_slope[t * n_z + z]
            u = u if u > tiny else tiny
            angle_slope[t * n_z + z] = zeta * angle_part[t * n_z + z] * (cosines[z] - ratio * sines[z]) / u


@_compile
def _factors_by_feature(n, constants, shape, triples, parts):
    """As `_factors` and `_slopes`, at a stride + t and z stride + t."""
    shift_part, shift_slope, angle_part, angle_slope = parts
    scalars, _, shifts, cosines, sines = constants
    eta, zeta, half, tiny = scalars[_ANGULAR_ETA], scalars[_ZETA], scalars[_HALF], scalars[_TINY]
    stride = triples.shape[1]
    mean, cosine, sine = triples[_M], triples[_C], triples[_S]
    for a in range(len(shape[1][0])):
        values, slopes, shift = shift_part[a * stride :], shift_slope[a * stride :], shifts[a]
        for t in range(n):
            d = mean[t] - shift
            value = exp2(-eta * d * d)
            values[t] = value
            slopes[t] = d * value
    for z in range(len(shape[1][1])):
        values, slopes, x, y = angle_part[z * stride :], angle_slope[z * stride :], cosines[z], sines[z]
        for t in range(n):
            u = half + cosine[t] * x + sine[t] * y
            u = u if u > tiny else tiny
            slopes[t] = zeta * (x - cosine[t] / sine[t] * y) / u
            values[t] = zeta * log2(u)
        for t in range(n):
            value = exp2(values[t])
            values[t] = value
            slopes[t] *= value


@_compile
def _sum_up(n, shape, triples, runs, parts, row):
    shift_part, _, angle_part, _ = parts
    first = 0
    for run in range(1, 1 + (runs[0, 0] if n else 0)):
        add_outer(row, runs[1, run], shift_part, angle_part, triples[_W], first, runs[0, run], shape[1])
        first = runs[0, run]


@_compile
def _sum_up_change(n, constants, shape, triples, runs, parts, row):
    shift_part, shift_slope, angle_part, angle_slope = parts
    slope = -constants[0][_TWO_LN2] * constants[0][_ANGULAR_ETA]
    for t in range(n):
        triples[_DC, t] *= triples[_W, t]
        triples[_DM, t] *= triples[_W, t] * slope
    by_weight, by_cosine, by_mean = triples[_DW], triples[_DC], triples[_DM]
    first = 0
    for run in range(1, 1 + (runs[0, 0] if n else 0)):
        add_outer_change(
            row, runs[1, run], shift_part, shift_slope, angle_part, angle_slope, by_weight, by_cosine, by_mean,
            first, runs[0, run], shape[1]
        )  # fmt: skip
        first = runs[0, run]


@_compile
def _sum_up_gradient(n, constants, shape, triples, runs, parts, row):
    """dE/dw, dE/dc and dE/dm of every triple."""
    shift_part, shift_slope, angle_part, angle_slope = parts
    by_weight, by_cosine, by_mean = triples[_DW], triples[_DC], triples[_DM]
    stride = triples.shape[1]
    first = 0
    for run in range(1, 1 + (runs[0, 0] if n else 0)):
        contract(
            row, runs[1, run], shift_part, shift_slope, angle_part, angle_slope, by_weight, by_cosine, by_mean,
            first, runs[0, run], stride, shape[1]
        )  # fmt: skip
        first = runs[0, run]
    slope = -constants[0][_TWO_LN2] * constants[0][_ANGULAR_ETA]
    for t in range(n):
        triples[_DC, t] *= triples[_W, t]
        triples[_DM, t] *= triples[_W, t] * slope


@_compile
def _end_of_run(first, n, block):
    last = first + 1
    while last < n and block[last] == block[first]:
        last += 1
    return last


@_compile
def _spread(first, last, n, near, triples):
    """From triples of neighbours first <= j < last to dE/dr and dE/d(unit vector) of all neighbours."""
    real = near.dtype.type
    factor, half, two = real(0.95), real(0.5), real(2)
    t = 0
    for j in range(first, last):
        x, y, z = near[_X, j], near[_Y, j], near[_Z, j]
        f, slope = two * near[_F, j], two * near[_D, j]
        r_sum, x_sum, y_sum, z_sum = real(0), real(0), real(0), real(0)
        shift = t - j - 1
        for k in range(j + 1, n):
            s = k + shift
            by_cosine, by_mean, by_weight = factor * triples[_DC, s], half * triples[_DM, s], triples[_DW, s]
            r_sum += by_mean + by_weight * slope * near[_F, k]
            x_sum += by_cosine * near[_X, k]
            y_sum += by_cosine * near[_Y, k]
            z_sum += by_cosine * near[_Z, k]
            near[_E, k] += by_mean + by_weight * f * near[_D, k]
            near[_EX, k] += by_cosine * x
            near[_EY, k] += by_cosine * y
            near[_EZ, k] += by_cosine * z
        near[_E, j] += r_sum
        near[_EX, j] += x_sum
        near[_EY, j] += y_sum
        near[_EZ, j] += z_sum
        t += n - 1 - j
