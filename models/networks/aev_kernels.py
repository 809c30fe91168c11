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

from models.networks.aev_math import cutoff, cutoff_slope, exp2, log2

__all__ = ["environment", "pullback", "pushforward"]

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# ruff: noqa: ANN001, ANN202, ANN201

_BUFFER = 256  # triples
N_SCALARS = 9  # eta with a factor log2 e, angles' cosines and sines with a factor 1/2
(
    _RADIAL_CUTOFF,
    _RADIAL_ETA,
    _ANGULAR_CUTOFF,
    _ANGULAR_ETA,
    _ZETA,
    _HALF,
    _QUARTER,
    _TWO_LN2,
    _TINY,
) = range(N_SCALARS)
_X, _Y, _Z, _R, _F, _D = range(6)  # of a neighbour: unit vector, distance, cutoff function and its slope
_GRADIENT, _UNIT = 6, 7  # dE/dr, then dE/d(unit vector) in three rows
_DX, _DR, _DF = 6, 9, 10  # pushforward: change of the unit vector in three rows, of r and of f
_C, _S, _M, _W = range(4)  # of a triple: 0.95 cosine, sine that goes with it, mean distance, weight
_DC, _DM, _DW = 4, 5, 6  # their changes, or dE/d(them) in the pullback
_FAST = {"reassoc", "contract", "arcp", "nsz"}
_compile = njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
_inline = njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy", inline="never")


@_compile
def environment(atoms, vectors, slots, species, pair_index, constants, shape, out):
    """Fill rows `atoms[0]` to `atoms[1]` of `out`, (N, F)."""
    slot_pair, slot_atom, slot_sign = slots
    near, near_index, triples, block, shifts_part, angles_part, _ = _buffers(vectors, slot_pair, shape)
    n_a, n_z = len(shape[1]), len(shape[2])
    for i in range(atoms[0], atoms[1]):
        row = out[i]
        row[:] = 0
        _radial(i, vectors, slots, species, constants, shape, row)
        n = _neighbours(i, vectors, slots, species, constants, near, near_index)
        offset = len(pair_index) * len(shape[0])
        t = 0
        for j in range(n):  # the last neighbour has no partner left, it empties the buffer
            if t + n - 1 - j > len(block) or j == n - 1:
                _factors(t, constants, shape, triples, shifts_part, angles_part)
                _add_outer(t, shape, triples, block, shifts_part, angles_part, row)
                t = 0
            _geometry(j, n, t, near, near_index, pair_index, n_a * n_z, offset, triples, block)
            t += n - 1 - j


@_compile
def pullback(atoms, vectors, slots, species, pair_index, constants, shape, gradient, ends):
    """Fill `ends` (2, H, 3), 0 the first atom's end, from `gradient` (N, F), for pairs of these atoms."""
    slot_pair, slot_atom, slot_sign = slots
    near, near_index, triples, block, shifts_part, angles_part, slopes_part = _buffers(vectors, slot_pair, shape)
    n_a, n_z = len(shape[1]), len(shape[2])
    for i in range(atoms[0], atoms[1]):
        row = gradient[i]
        _radial_pullback(i, vectors, slots, species, constants, shape, row, ends)
        n = _neighbours(i, vectors, slots, species, constants, near, near_index)
        near[_GRADIENT : _UNIT + 3, :n] = 0
        offset = len(pair_index) * len(shape[0])
        start, t = 0, 0
        for j in range(n):
            if t + n - 1 - j > len(block) or j == n - 1:
                _factors(t, constants, shape, triples, shifts_part, angles_part)
                _slopes(t, constants, shape, triples, angles_part, slopes_part)
                _contract(t, constants, shape, triples, block, shifts_part, angles_part, slopes_part, row)
                _spread(start, j, n, near, triples)
                start, t = j, 0
            _geometry(j, n, t, near, near_index, pair_index, n_a * n_z, offset, triples, block)
            t += n - 1 - j
        for a in range(n):
            slot = near_index[0, a]
            pair, sign = slot_pair[i, slot], slot_sign[i, slot]
            end = 0 if sign > 0 else 1
            along = near[_GRADIENT, a]
            tilt = near[_UNIT, a] * near[_X, a] + near[_UNIT + 1, a] * near[_Y, a] + near[_UNIT + 2, a] * near[_Z, a]
            for x in range(3):
                across = (near[_UNIT + x, a] - tilt * near[_X + x, a]) / near[_R, a]
                ends[end, pair, x] += sign * (along * near[_X + x, a] + across)


@_compile
def pushforward(atoms, vectors, slots, species, pair_index, constants, shape, change, out):
    """Fill rows of `out` (N, F) from the change of pair vectors, (H, 3)."""
    slot_pair, slot_atom, slot_sign = slots
    near, near_index, triples, block, shifts_part, angles_part, slopes_part = _buffers(vectors, slot_pair, shape)
    shifts_change = np.empty_like(shifts_part)
    n_a, n_z = len(shape[1]), len(shape[2])
    for i in range(atoms[0], atoms[1]):
        row = out[i]
        row[:] = 0
        _radial_pushforward(i, vectors, slots, species, constants, shape, change, row)
        n = _neighbours(i, vectors, slots, species, constants, near, near_index)
        _changes(i, n, slots, near, near_index, change)
        offset = len(pair_index) * len(shape[0])
        t = 0
        for j in range(n):
            if t + n - 1 - j > len(block) or j == n - 1:
                _factors(t, constants, shape, triples, shifts_part, angles_part)
                _slopes(t, constants, shape, triples, angles_part, slopes_part)
                _add_outer_change(
                    t, constants, shape, triples, block, shifts_part, shifts_change, angles_part, slopes_part, row
                )
                t = 0
            _geometry(j, n, t, near, near_index, pair_index, n_a * n_z, offset, triples, block)
            _geometry_change(j, n, t, near, triples)
            t += n - 1 - j


@_inline
def _buffers(vectors, slot_pair, shape):
    real, n_slots = vectors.dtype, slot_pair.shape[1]
    capacity = max(_BUFFER, n_slots)
    return (
        np.empty((11, n_slots), real),
        np.empty((2, n_slots), np.int64),
        np.empty((7, capacity), real),
        np.empty(capacity, np.int64),
        np.empty(capacity * len(shape[1]), real),
        np.empty(capacity * len(shape[2]), real),
        np.empty(capacity * len(shape[2]), real),
    )


@_inline
def _radial(i, vectors, slots, species, constants, shape, row):
    slot_pair, slot_atom, slot_sign = slots
    scalars, shifts, _, _, _ = constants
    half, quarter, n_r = scalars[_HALF], scalars[_QUARTER], len(shape[0])
    radius, eta = scalars[_RADIAL_CUTOFF], scalars[_RADIAL_ETA]
    for slot in range(slot_pair.shape[1]):
        if slot_sign[i, slot] == 0:
            continue
        v = vectors[slot_pair[i, slot]]
        r = np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
        if r >= radius:
            continue
        start = species[slot_atom[i, slot]] * n_r
        weight = quarter * cutoff(r / radius)
        for a in range(n_r):
            d = r - shifts[a]
            row[start + a] += weight * exp2(-eta * d * d)


@_inline
def _radial_pullback(i, vectors, slots, species, constants, shape, row, ends):
    slot_pair, slot_atom, slot_sign = slots
    scalars, shifts, _, _, _ = constants
    quarter, two_ln2, n_r = scalars[_QUARTER], scalars[_TWO_LN2], len(shape[0])
    radius, eta = scalars[_RADIAL_CUTOFF], scalars[_RADIAL_ETA]
    for slot in range(slot_pair.shape[1]):
        sign = slot_sign[i, slot]
        if sign == 0:
            continue
        pair = slot_pair[i, slot]
        v = vectors[pair]
        end = 0 if sign > 0 else 1
        r = np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
        if r >= radius:
            ends[end, pair, :] = 0
            continue
        start = species[slot_atom[i, slot]] * n_r
        x = r / radius
        value, slope = quarter * cutoff(x), quarter * cutoff_slope(x) / radius
        value *= -two_ln2 * eta
        total = r - r
        for a in range(n_r):
            d = r - shifts[a]
            total += row[start + a] * exp2(-eta * d * d) * (slope + value * d)
        for x in range(3):
            ends[end, pair, x] = total * v[x] / r


@_inline
def _radial_pushforward(i, vectors, slots, species, constants, shape, change, row):
    slot_pair, slot_atom, slot_sign = slots
    scalars, shifts, _, _, _ = constants
    quarter, two_ln2, n_r = scalars[_QUARTER], scalars[_TWO_LN2], len(shape[0])
    radius, eta = scalars[_RADIAL_CUTOFF], scalars[_RADIAL_ETA]
    for slot in range(slot_pair.shape[1]):
        if slot_sign[i, slot] == 0:
            continue
        pair = slot_pair[i, slot]
        v, u = vectors[pair], change[pair]
        r = np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
        if r >= radius:
            continue
        dr = (v[0] * u[0] + v[1] * u[1] + v[2] * u[2]) / r
        start = species[slot_atom[i, slot]] * n_r
        x = r / radius
        value, slope = dr * quarter * cutoff(x), dr * quarter * cutoff_slope(x) / radius
        value *= -two_ln2 * eta
        for a in range(n_r):
            d = r - shifts[a]
            row[start + a] += exp2(-eta * d * d) * (slope + value * d)


@_inline
def _neighbours(i, vectors, slots, species, constants, near, near_index):
    """Neighbours within the angular cutoff, sorted by element; their number."""
    slot_pair, slot_atom, slot_sign = slots
    radius = constants[0][_ANGULAR_CUTOFF]
    n = 0
    for slot in range(slot_pair.shape[1]):
        sign = slot_sign[i, slot]
        if sign == 0:
            continue
        v = vectors[slot_pair[i, slot]]
        r = np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
        if r >= radius:
            continue
        element = species[slot_atom[i, slot]]
        place = n
        while place > 0 and near_index[1, place - 1] > element:
            for field in range(6):
                near[field, place] = near[field, place - 1]
            near_index[0, place] = near_index[0, place - 1]
            near_index[1, place] = near_index[1, place - 1]
            place -= 1
        near[_X, place] = sign * v[0] / r
        near[_Y, place] = sign * v[1] / r
        near[_Z, place] = sign * v[2] / r
        near[_R, place] = r
        near[_F, place] = cutoff(r / radius)
        near[_D, place] = cutoff_slope(r / radius) / radius
        near_index[0, place] = slot
        near_index[1, place] = element
        n += 1
    return n


@_inline
def _geometry(j, n, t, near, near_index, pair_index, size, offset, triples, block):
    """Triples of neighbour j with k = j + 1 ... n - 1, at t and on."""
    real = near.dtype.type
    factor, one, half, two = real(0.95), real(1), real(0.5), real(2)
    x, y, z, r = near[_X, j], near[_Y, j], near[_Z, j], near[_R, j]
    f = two * near[_F, j]
    shift = j + 1 - t
    for s in range(t, t + n - 1 - j):
        k = s + shift
        c = factor * (x * near[_X, k] + y * near[_Y, k] + z * near[_Z, k])
        triples[_C, s] = c
        triples[_S, s] = np.sqrt(one - c * c)
        triples[_M, s] = half * (r + near[_R, k])
        triples[_W, s] = f * near[_F, k]
    element = pair_index[near_index[1, j]]
    for s in range(t, t + n - 1 - j):
        block[s] = offset + size * element[near_index[1, s + shift]]


@_inline
def _geometry_change(j, n, t, near, triples):
    real = near.dtype.type
    factor, half, two = real(0.95), real(0.5), real(2)
    shift = j + 1 - t
    x, y, z = near[_X, j], near[_Y, j], near[_Z, j]
    dx, dy, dz = near[_DX, j], near[_DX + 1, j], near[_DX + 2, j]
    f, dr, df = two * near[_F, j], near[_DR, j], two * near[_DF, j]
    for s in range(t, t + n - 1 - j):
        k = s + shift
        turned = x * near[_DX, k] + y * near[_DX + 1, k] + z * near[_DX + 2, k]
        triples[_DC, s] = factor * (turned + dx * near[_X, k] + dy * near[_Y, k] + dz * near[_Z, k])
        triples[_DM, s] = half * (dr + near[_DR, k])
        triples[_DW, s] = df * near[_F, k] + f * near[_DF, k]


@_inline
def _changes(i, n, slots, near, near_index, change):
    """Changes of unit vectors, distances and cutoff functions of the neighbours of atom i."""
    slot_pair, slot_atom, slot_sign = slots
    for a in range(n):
        slot = near_index[0, a]
        u, sign = change[slot_pair[i, slot]], slot_sign[i, slot]
        dr = sign * (near[_X, a] * u[0] + near[_Y, a] * u[1] + near[_Z, a] * u[2])
        for x in range(3):
            near[_DX + x, a] = (sign * u[x] - dr * near[_X + x, a]) / near[_R, a]
        near[_DR, a] = dr
        near[_DF, a] = near[_D, a] * dr


@_inline
def _factors(n, constants, shape, triples, shifts_part, angles_part):
    """exp[-eta (m - R_a)^2] at t n_a + a, u^zeta at t n_z + z."""
    scalars, _, shifts, cosines, sines = constants
    eta, zeta, half, tiny = scalars[_ANGULAR_ETA], scalars[_ZETA], scalars[_HALF], scalars[_TINY]
    n_a, n_z = len(shape[1]), len(shape[2])
    for t in range(n):
        m, c, s = triples[_M, t], triples[_C, t], triples[_S, t]
        for a in range(n_a):
            d = m - shifts[a]
            shifts_part[t * n_a + a] = -eta * d * d
        for z in range(n_z):
            u = half + c * cosines[z] + s * sines[z]
            angles_part[t * n_z + z] = u
    for x in range(n * n_a):
        shifts_part[x] = exp2(shifts_part[x])
    for x in range(n * n_z):
        u = angles_part[x]
        angles_part[x] = exp2(zeta * log2(u if u > tiny else tiny))


@_inline
def _slopes(n, constants, shape, triples, angles_part, slopes_part):
    """d u^zeta / dc, from u^zeta."""
    scalars, _, _, cosines, sines = constants
    zeta, half, tiny = scalars[_ZETA], scalars[_HALF], scalars[_TINY]
    n_z = len(shape[2])
    for t in range(n):
        c, s = triples[_C, t], triples[_S, t]
        ratio = c / s
        for z in range(n_z):
            u = half + c * cosines[z] + s * sines[z]
            u = u if u > tiny else tiny
            slopes_part[t * n_z + z] = zeta * angles_part[t * n_z + z] * (cosines[z] - ratio * sines[z]) / u


@_inline
def _add_outer(n, shape, triples, block, shifts_part, angles_part, row):
    n_a, n_z = len(shape[1]), len(shape[2])
    for t in range(n):
        start = block[t]
        for a in range(n_a):
            weight = triples[_W, t] * shifts_part[t * n_a + a]
            for z in range(n_z):
                row[start + a * n_z + z] += weight * angles_part[t * n_z + z]


@_inline
def _add_outer_change(n, constants, shape, triples, block, shifts_part, shifts_change, angles_part, slopes_part, row):
    scalars, _, shifts, _, _ = constants
    slope = -scalars[_TWO_LN2] * scalars[_ANGULAR_ETA]
    n_a, n_z = len(shape[1]), len(shape[2])
    for t in range(n):
        w, dw, dm = triples[_W, t], triples[_DW, t], slope * triples[_W, t] * triples[_DM, t]
        m, dc = triples[_M, t], triples[_DC, t]
        for a in range(n_a):
            value = shifts_part[t * n_a + a]
            shifts_change[t * n_a + a] = value * (dw + dm * (m - shifts[a]))
            shifts_part[t * n_a + a] = value * w
        for z in range(n_z):
            slopes_part[t * n_z + z] *= dc
    for t in range(n):
        start = block[t]
        for a in range(n_a):
            value, change = shifts_part[t * n_a + a], shifts_change[t * n_a + a]
            for z in range(n_z):
                row[start + a * n_z + z] += change * angles_part[t * n_z + z] + value * slopes_part[t * n_z + z]


@_inline
def _contract(n, constants, shape, triples, block, shifts_part, angles_part, slopes_part, row):
    """dE/dc, dE/dm and dE/dw of every triple."""
    scalars, _, shifts, _, _ = constants
    slope = -scalars[_TWO_LN2] * scalars[_ANGULAR_ETA]
    n_a, n_z = len(shape[1]), len(shape[2])
    zero = slope - slope
    for t in range(n):
        start, m = block[t], triples[_M, t]
        by_weight, by_cosine, by_mean = zero, zero, zero
        for z in range(n_z):
            value, change = zero, zero
            for a in range(n_a):
                part = row[start + a * n_z + z] * shifts_part[t * n_a + a]
                value += part
                change += part * (m - shifts[a])
            by_weight += value * angles_part[t * n_z + z]
            by_cosine += value * slopes_part[t * n_z + z]
            by_mean += change * angles_part[t * n_z + z]
        w = triples[_W, t]
        triples[_DW, t] = by_weight
        triples[_DC, t] = w * by_cosine
        triples[_DM, t] = w * slope * by_mean


@_inline
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
            near[_GRADIENT, k] += by_mean + by_weight * f * near[_D, k]
            near[_UNIT, k] += by_cosine * x
            near[_UNIT + 1, k] += by_cosine * y
            near[_UNIT + 2, k] += by_cosine * z
        near[_GRADIENT, j] += r_sum
        near[_UNIT, j] += x_sum
        near[_UNIT + 1, j] += y_sum
        near[_UNIT + 2, j] += z_sum
        t += n - 1 - j
