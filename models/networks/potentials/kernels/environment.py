"""Fused kernels of environment vectors: value, pullback and pushforward, atom by atom, no triple ever stored.

With G the environment vectors (models.networks.potentials.aev) as a function of pair vectors v,

    environment   G(v)                      (N, F)
    pullback      g -> g . dG/dv            (2, H, 3), one slice per end of a pair; the sum of both is the product
    pushforward   u -> dG/dv . u            (N, F)

An atom writes its own row, or its own end of a pair: atoms may be split over threads in any way, results stay the
same to the bit. Neighbours are sorted by element; triples j < k pass through a buffer that fits the first-level
cache, in three sweeps: geometry, Gaussians and powers (all elementary functions, flat loops), and sums over an 8 x 8
block or so, whose shape the compiler knows because it comes as the lengths of tuples.

The power is [(1 + cos(theta - theta_z)) / 2]^zeta = u^zeta, 2u = 1 + c cos theta_z + sqrt(1 - c^2) sin theta_z; no
angle is computed. Derivatives go by dE/dc (c = 0.95 cosine), dE/dm (mean distance m) and dE/dw (w = 2 f(r_j) f(r_k)).

Memory: `Pairs` and `Functions` come from the caller, `Buffers` are made once per call and hold one atom at a time;
docs/kernels.md has the drawing. Rows whose name starts with `by_` are derivatives of the energy (pullback), those with
`d` changes (pushforward). Numba does not notice changes of the two files imported here: delete its cache
(__pycache__/*.nb?) after editing them.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from models.networks.potentials.kernels.elementary import cutoff, cutoff_slope, exp2, log2
from models.networks.potentials.kernels.vector_code import (
    add_outer,
    add_outer_change,
    combinations,
    contract,
    contract_rows,
    differences,
    geometry,
    geometry_change,
)

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"
# ruff: noqa: ANN001, ANN202, ANN201

__all__ = ["Functions", "Pairs", "environment", "pullback", "pushforward"]

BUFFER = 256  # triples
SPARE = 16  # rows are read and written by whole registers
FAST: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "arcp", "nsz"}, "error_model": "numpy"}
kernel = njit(cache=True, **FAST)
# Not a choice of speed: a part that is called instead is linked to whatever version of it the process has loaded, whose
# sums may be fused in another order, and a kernel from the cache would not equal the same one just compiled.
part = njit(forceinline=True, **FAST)

Array = np.ndarray[Any, Any]


class Pairs(NamedTuple):
    """All pairs within the radial cutoff; sign +1: this atom is the pair's first, -1: its second, 0: no neighbour."""

    vectors: Array  # (H, 3) [A]
    slot_pair: Array  # (N, K)
    slot_atom: Array  # (N, K)
    slot_sign: Array  # (N, K)
    species: Array  # (N,) element of each atom, from 0


class Functions(NamedTuple):
    """Symmetry functions; eta with a factor log2 e, cosines and sines of the angles with a factor 1/2."""

    radial_cutoff: float
    radial_eta: float
    angular_cutoff: float
    angular_eta: float
    zeta: float
    quarter: float
    half: float
    two_ln2: float
    tiny: float
    radial_shifts: Array  # (n_r,)
    angular_shifts: Array  # (n_a,)
    cosines: Array  # (n_z,)
    sines: Array  # (n_z,)
    pair_index: Array  # (n_species, n_species) angular block of two elements
    radial_shape: tuple[Any, ...]  # ((0,), (0,) * n_r): the compiler knows lengths of tuples
    angular_shape: tuple[Any, ...]  # ((0,) * n_a, (0,) * n_z)


class Buffers(NamedTuple):
    """One atom at a time: neighbours and triples, a quantity per row, and factors of symmetry functions, flat."""

    far: Array  # (len(ROW), K + SPARE) neighbours within the radial cutoff, sorted by element
    near: Array  # the same, those of them within the angular cutoff
    far_index: Array  # (len(INDEX), K + SPARE)
    near_index: Array
    triples: Array  # (len(TRIPLE), capacity) with neighbours j < k
    runs: Array  # (len(RUN), capacity + 1) of triples with equal elements, from 1 on
    gauss: Array  # exp[-eta (r - R_a)^2] at t n_r + a
    gauss_slope: Array
    shift: Array  # exp[-eta (m - R_a)^2] at t n_a + a (pullback: a capacity + t)
    shift_slope: Array
    angle: Array  # u^zeta at t n_z + z (pullback: z capacity + t)
    angle_slope: Array
    scratch: Array  # as angle


class _Row(NamedTuple):
    x: int = 0  # unit vector
    y: int = 1
    z: int = 2
    r: int = 3  # distance
    f: int = 4  # cutoff function
    f_slope: int = 5
    by_r: int = 6
    by_x: int = 7  # unit vector
    by_y: int = 8
    by_z: int = 9
    dx: int = 10
    dy: int = 11
    dz: int = 12
    dr: int = 13
    df: int = 14
    value_weight: int = 15  # of the radial Gaussian, and of its slope
    slope_weight: int = 16
    zeros: int = 17
    ones: int = 18


class _Index(NamedTuple):
    slot: int = 0  # of a far neighbour: in Pairs; of a near one: its column in `far`
    element: int = 1
    feature: int = 2  # far: first one of its element in the radial part
    run_end: int = 3  # near: where neighbours of its element end


class _Triple(NamedTuple):
    c: int = 0  # 0.95 cosine
    s: int = 1  # the sine that goes with it
    m: int = 2  # mean distance
    w: int = 3  # weight
    dc: int = 4  # changes of those; in the pullback dE/dc, dE/dm and dE/dw
    dm: int = 5
    dw: int = 6
    along: int = 7  # du/dc = along cosines + across sines
    across: int = 8


class _Run(NamedTuple):
    end: int = 0  # runs[RUN.end, 0] is their number
    block: int = 1  # first feature


ROW, INDEX, TRIPLE, RUN = _Row(), _Index(), _Triple(), _Run()


@kernel
def environment(atoms, pairs, functions, out):
    """Fill rows `atoms[0]` to `atoms[1]` of `out`, (N, F)."""
    buffers = _buffers(pairs, functions)
    capacity = buffers.triples.shape[1] - SPARE
    for i in range(atoms[0], atoms[1]):
        row = out[i]
        row[:] = 0
        n_far = _gather(i, pairs, functions, buffers)
        _gaussians(n_far, functions, buffers)
        _radial_sum(n_far, functions, buffers, row)
        n = _within_angular_cutoff(n_far, functions, buffers)
        t = 0
        for j in range(n):  # the last neighbour has no partner left, it empties the buffer
            if t + n - 1 - j > capacity or j == n - 1:
                _factors(t, functions, buffers)
                _angular_sum(t, functions, buffers, row)
                t = 0
            _add_triples(j, n, t, functions, buffers)
            t += n - 1 - j


@kernel
def pullback(atoms, pairs, functions, gradient, ends):
    """Fill `ends` (2, H, 3), zeros before, 0 the first atom's end, from `gradient` (N, F), for pairs of these atoms."""
    buffers = _buffers(pairs, functions)
    capacity = buffers.triples.shape[1] - SPARE
    for i in range(atoms[0], atoms[1]):
        row = gradient[i]
        n_far = _gather(i, pairs, functions, buffers)
        _gaussians(n_far, functions, buffers)
        _gaussian_slopes(n_far, functions, buffers)
        _radial_gradient(n_far, functions, buffers, row)
        n = _within_angular_cutoff(n_far, functions, buffers)
        buffers.near[ROW.by_r : ROW.by_z + 1, :n] = 0
        start, t = 0, 0
        for j in range(n):
            if t + n - 1 - j > capacity or j == n - 1:
                _factors_by_feature(t, functions, buffers)
                _angular_gradient(t, functions, buffers, row)
                _spread_gradient(start, j, n, buffers.near, buffers.triples)
                start, t = j, 0
            _add_triples(j, n, t, functions, buffers)
            t += n - 1 - j
        _to_ends(i, n_far, n, pairs, buffers, ends)


@kernel
def pushforward(atoms, pairs, functions, change, out):
    """Fill rows of `out` (N, F) from the change of pair vectors, (H, 3)."""
    buffers = _buffers(pairs, functions)
    capacity = buffers.triples.shape[1] - SPARE
    for i in range(atoms[0], atoms[1]):
        row = out[i]
        row[:] = 0
        n_far = _gather(i, pairs, functions, buffers)
        _changes(i, n_far, pairs, buffers, change)
        _gaussians(n_far, functions, buffers)
        _gaussian_slopes(n_far, functions, buffers)
        _radial_change(n_far, functions, buffers, row)
        n = _within_angular_cutoff(n_far, functions, buffers)
        _angular_changes(n, buffers)
        t = 0
        for j in range(n):
            if t + n - 1 - j > capacity or j == n - 1:
                _factors(t, functions, buffers)
                _slopes(t, functions, buffers)
                _angular_change(t, functions, buffers, row)
                t = 0
            _add_triples(j, n, t, functions, buffers)
            _add_triple_changes(j, n, t, buffers.near, buffers.triples)
            t += n - 1 - j


@part
def _buffers(pairs, functions):
    real, n_slots = pairs.vectors.dtype, pairs.slot_pair.shape[1] + SPARE
    capacity = max(BUFFER, n_slots) + SPARE
    n_r, n_a, n_z = functions.radial_shifts.size, functions.angular_shifts.size, functions.cosines.size
    far = np.zeros((len(ROW), n_slots), real)
    far[ROW.ones] = 1
    return Buffers(
        far,
        np.zeros((len(ROW), n_slots), real),
        np.empty((len(INDEX), n_slots), np.int64),
        np.empty((len(INDEX), n_slots), np.int64),
        np.zeros((len(TRIPLE), capacity), real),
        np.empty((len(RUN), capacity + 1), np.int64),
        np.zeros(n_slots * n_r, real),
        np.zeros(n_slots * n_r, real),
        np.zeros(capacity * n_a, real),
        np.zeros(capacity * n_a, real),
        np.zeros(capacity * n_z, real),
        np.zeros(capacity * n_z, real),
        np.zeros(capacity * n_z, real),
    )


@part
def _gather(i, pairs, functions, buffers):
    """Neighbours within the radial cutoff, sorted by element; their number."""
    far, far_index = buffers.far, buffers.far_index
    radius, quarter = functions.radial_cutoff, functions.quarter
    n, one_element = 0, True
    for slot in range(pairs.slot_pair.shape[1]):
        if pairs.slot_sign[i, slot] == 0:
            continue
        v = pairs.vectors[pairs.slot_pair[i, slot]]
        r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2]
        if r2 >= radius * radius:
            continue
        element = pairs.species[pairs.slot_atom[i, slot]]
        far_index[INDEX.slot, n] = slot
        far_index[INDEX.element, n] = element
        one_element = one_element and element == far_index[INDEX.element, 0]
        n += 1
    if not one_element:
        _sort_by_element(n, far_index[INDEX.slot], far_index[INDEX.element])
    for a in range(n):
        sign = pairs.slot_sign[i, far_index[INDEX.slot, a]]
        v = pairs.vectors[pairs.slot_pair[i, far_index[INDEX.slot, a]]]
        r = np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
        far[ROW.x, a] = sign * v[0] / r
        far[ROW.y, a] = sign * v[1] / r
        far[ROW.z, a] = sign * v[2] / r
        far[ROW.r, a] = r
        far_index[INDEX.feature, a] = far_index[INDEX.element, a] * functions.radial_shifts.size
    for a in range(n):
        x = far[ROW.r, a] / radius
        far[ROW.f, a] = quarter * cutoff(x)
        far[ROW.f_slope, a] = quarter * cutoff_slope(x) / radius
    return n


@part
def _sort_by_element(n, slots, elements):
    """By insertion, stable."""
    for a in range(1, n):
        slot, element = slots[a], elements[a]
        b = a
        while b > 0 and elements[b - 1] > element:
            slots[b] = slots[b - 1]
            elements[b] = elements[b - 1]
            b -= 1
        slots[b] = slot
        elements[b] = element


@part
def _within_angular_cutoff(n_far, functions, buffers):
    """Copies those of the neighbours, with the angular cutoff function; their number."""
    far, near, far_index, near_index = buffers.far, buffers.near, buffers.far_index, buffers.near_index
    radius = functions.angular_cutoff
    n = 0
    for a in range(n_far):
        if far[ROW.r, a] >= radius:
            continue
        for x in range(ROW.x, ROW.r + 1):
            near[x, n] = far[x, a]
        near_index[INDEX.slot, n] = a
        near_index[INDEX.element, n] = far_index[INDEX.element, a]
        n += 1
    end = n
    for a in range(n - 1, -1, -1):
        if a + 1 < n and near_index[INDEX.element, a] != near_index[INDEX.element, a + 1]:
            end = a + 1
        near_index[INDEX.run_end, a] = end
    for a in range(n):
        x = near[ROW.r, a] / radius
        near[ROW.f, a] = cutoff(x)
        near[ROW.f_slope, a] = cutoff_slope(x) / radius
    return n


@part
def _gaussians(n, functions, buffers):
    """exp[-eta (r - R_a)^2]; leaves r - R_a where their slopes come."""
    eta, lanes = functions.radial_eta, functions.radial_shape[1]
    value, deviation = buffers.gauss, buffers.gauss_slope
    differences(deviation, buffers.far[ROW.r], functions.radial_shifts, n, lanes)
    for x in range(n * len(lanes)):
        d = deviation[x]
        value[x] = exp2(-eta * d * d)


@part
def _gaussian_slopes(n, functions, buffers):
    """(r - R_a) times the Gaussian."""
    value, slope = buffers.gauss, buffers.gauss_slope
    for x in range(n * len(functions.radial_shape[1])):
        slope[x] *= value[x]


@part
def _radial_sum(n, functions, buffers, row):
    far, far_index, first = buffers.far, buffers.far_index, 0
    while first < n:
        last = _end_of_run(first, n, far_index[INDEX.feature])
        add_outer(
            row,
            far_index[INDEX.feature, first],
            far[ROW.ones],
            buffers.gauss,
            far[ROW.f],
            first,
            last,
            functions.radial_shape,
        )
        first = last


@part
def _radial_gradient(n, functions, buffers, row):
    """dE/dr of the radial part; clears dE/d(unit vector)."""
    far, far_index = buffers.far, buffers.far_index
    factor = -functions.two_ln2 * functions.radial_eta
    contract_rows(
        row, far_index[INDEX.feature], buffers.gauss, buffers.gauss_slope,
        far[ROW.value_weight], far[ROW.slope_weight], n, functions.radial_shape[1],
    )  # fmt: skip
    for a in range(n):
        far[ROW.by_r, a] = (
            far[ROW.f_slope, a] * far[ROW.value_weight, a] + factor * far[ROW.f, a] * far[ROW.slope_weight, a]
        )
        far[ROW.by_x, a] = 0
        far[ROW.by_y, a] = 0
        far[ROW.by_z, a] = 0


@part
def _radial_change(n, functions, buffers, row):
    far, far_index = buffers.far, buffers.far_index
    factor = -functions.two_ln2 * functions.radial_eta
    for a in range(n):
        far[ROW.value_weight, a] = far[ROW.f_slope, a] * far[ROW.dr, a]
        far[ROW.slope_weight, a] = factor * far[ROW.f, a] * far[ROW.dr, a]
    first = 0
    while first < n:
        last = _end_of_run(first, n, far_index[INDEX.feature])
        add_outer_change(
            row, far_index[INDEX.feature, first], far[ROW.ones], far[ROW.zeros], buffers.gauss, buffers.gauss_slope,
            far[ROW.value_weight], far[ROW.slope_weight], far[ROW.zeros], first, last, functions.radial_shape,
        )  # fmt: skip
        first = last


@part
def _end_of_run(first, n, block):
    last = first + 1
    while last < n and block[last] == block[first]:
        last += 1
    return last


@part
def _changes(i, n, pairs, buffers, change):
    """Changes of unit vectors and distances of the neighbours of atom i."""
    far, far_index = buffers.far, buffers.far_index
    for a in range(n):
        u, sign = change[pairs.slot_pair[i, far_index[INDEX.slot, a]]], pairs.slot_sign[i, far_index[INDEX.slot, a]]
        dr = sign * (far[ROW.x, a] * u[0] + far[ROW.y, a] * u[1] + far[ROW.z, a] * u[2])
        for x in range(3):
            far[ROW.dx + x, a] = (sign * u[x] - dr * far[ROW.x + x, a]) / far[ROW.r, a]
        far[ROW.dr, a] = dr


@part
def _angular_changes(n, buffers):
    far, near, near_index = buffers.far, buffers.near, buffers.near_index
    for a in range(n):
        for x in range(ROW.dx, ROW.dr + 1):
            near[x, a] = far[x, near_index[INDEX.slot, a]]
        near[ROW.df, a] = near[ROW.f_slope, a] * near[ROW.dr, a]


@part
def _add_triples(j, n, t, functions, buffers):
    """Triples of neighbour j with k = j + 1 ... n - 1, at t and on, and where runs of equal elements end."""
    near, near_index, triples, runs = buffers.near, buffers.near_index, buffers.triples, buffers.runs
    geometry(
        triples[TRIPLE.c], triples[TRIPLE.s], triples[TRIPLE.m], triples[TRIPLE.w],
        near[ROW.x], near[ROW.y], near[ROW.z], near[ROW.r], near[ROW.f], j, n, t,
    )  # fmt: skip
    n_a, n_z = len(functions.angular_shape[0]), len(functions.angular_shape[1])
    offset = len(functions.pair_index) * len(functions.radial_shape[1])
    block_of = functions.pair_index[near_index[INDEX.element, j]]
    n_runs, k = runs[RUN.end, 0], j + 1
    if t == 0:
        n_runs = 0
    while k < n:
        end = near_index[INDEX.run_end, k]
        block = offset + n_a * n_z * block_of[near_index[INDEX.element, k]]
        if n_runs == 0 or runs[RUN.block, n_runs] != block:
            n_runs += 1
            runs[RUN.block, n_runs] = block
        runs[RUN.end, n_runs] = t + end - j - 1
        k = end
    runs[RUN.end, 0] = n_runs


@part
def _add_triple_changes(j, n, t, near, triples):
    geometry_change(
        triples[TRIPLE.dc], triples[TRIPLE.dm], triples[TRIPLE.dw],
        near[ROW.x], near[ROW.y], near[ROW.z], near[ROW.f],
        near[ROW.dx], near[ROW.dy], near[ROW.dz], near[ROW.dr], near[ROW.df], j, n, t,
    )  # fmt: skip


@part
def _factors(n, functions, buffers):
    """exp[-eta (m - R_a)^2] at t n_a + a, u^zeta at t n_z + z; leaves m - R_a and u where their slopes come."""
    triples, shape = buffers.triples, functions.angular_shape
    shift, deviation, angle, half_versine = buffers.shift, buffers.shift_slope, buffers.angle, buffers.angle_slope
    eta, zeta, tiny = functions.angular_eta, functions.zeta, functions.tiny
    differences(deviation, triples[TRIPLE.m], functions.angular_shifts, n, shape[0])
    combinations(
        half_versine,
        functions.half,
        triples[TRIPLE.c],
        triples[TRIPLE.s],
        functions.cosines,
        functions.sines,
        n,
        shape[1],
    )
    for x in range(n * len(shape[0])):
        d = deviation[x]
        shift[x] = exp2(-eta * d * d)
    for x in range(n * len(shape[1])):
        u = half_versine[x]
        angle[x] = zeta * log2(u if u > tiny else tiny)
    for x in range(n * len(shape[1])):
        angle[x] = exp2(angle[x])


@part
def _slopes(n, functions, buffers):
    """(m - R_a) exp[-eta (m - R_a)^2], and d u^zeta / dc; after `_factors`."""
    triples, shape, zeta, tiny = buffers.triples, functions.angular_shape, functions.zeta, functions.tiny
    shift, shift_slope = buffers.shift, buffers.shift_slope
    angle, angle_slope, scratch = buffers.angle, buffers.angle_slope, buffers.scratch
    for x in range(n * len(shape[0])):
        shift_slope[x] *= shift[x]
    along, across, cosine, sine = triples[TRIPLE.along], triples[TRIPLE.across], triples[TRIPLE.c], triples[TRIPLE.s]
    for t in range(n):
        along[t] = zeta
        across[t] = -zeta * cosine[t] / sine[t]
    combinations(scratch, zeta - zeta, along, across, functions.cosines, functions.sines, n, shape[1])
    for x in range(n * len(shape[1])):
        u = angle_slope[x]
        angle_slope[x] = scratch[x] * angle[x] / (u if u > tiny else tiny)


@part
def _factors_by_feature(n, functions, buffers):
    """As `_factors` and `_slopes`, at a capacity + t and z capacity + t."""
    eta, zeta, half, tiny = functions.angular_eta, functions.zeta, functions.half, functions.tiny
    mean, cosine, sine = buffers.triples[TRIPLE.m], buffers.triples[TRIPLE.c], buffers.triples[TRIPLE.s]
    stride = buffers.triples.shape[1]
    for a in range(len(functions.angular_shape[0])):
        values, slopes = buffers.shift[a * stride :], buffers.shift_slope[a * stride :]
        shift = functions.angular_shifts[a]
        for t in range(n):
            d = mean[t] - shift
            value = exp2(-eta * d * d)
            values[t] = value
            slopes[t] = d * value
    for z in range(len(functions.angular_shape[1])):
        values, slopes = buffers.angle[z * stride :], buffers.angle_slope[z * stride :]
        x, y = functions.cosines[z], functions.sines[z]
        for t in range(n):
            u = half + cosine[t] * x + sine[t] * y
            u = u if u > tiny else tiny
            slopes[t] = zeta * (x - cosine[t] / sine[t] * y) / u
            values[t] = zeta * log2(u)
        for t in range(n):
            value = exp2(values[t])
            values[t] = value
            slopes[t] *= value


@part
def _angular_sum(n, functions, buffers, row):
    triples, runs, first = buffers.triples, buffers.runs, 0
    for run in range(1, 1 + (runs[RUN.end, 0] if n else 0)):
        block, last = runs[RUN.block, run], runs[RUN.end, run]
        add_outer(row, block, buffers.shift, buffers.angle, triples[TRIPLE.w], first, last, functions.angular_shape)
        first = last


@part
def _angular_change(n, functions, buffers, row):
    triples, runs, first = buffers.triples, buffers.runs, 0
    _weigh(n, functions, triples)
    for run in range(1, 1 + (runs[RUN.end, 0] if n else 0)):
        block, last = runs[RUN.block, run], runs[RUN.end, run]
        add_outer_change(
            row, block, buffers.shift, buffers.shift_slope, buffers.angle, buffers.angle_slope,
            triples[TRIPLE.dw], triples[TRIPLE.dc], triples[TRIPLE.dm], first, last, functions.angular_shape,
        )  # fmt: skip
        first = last


@part
def _angular_gradient(n, functions, buffers, row):
    """dE/dw, dE/dc and dE/dm of every triple."""
    triples, runs, first = buffers.triples, buffers.runs, 0
    for run in range(1, 1 + (runs[RUN.end, 0] if n else 0)):
        block, last = runs[RUN.block, run], runs[RUN.end, run]
        contract(
            row, block, buffers.shift, buffers.shift_slope, buffers.angle, buffers.angle_slope,
            triples[TRIPLE.dw], triples[TRIPLE.dc], triples[TRIPLE.dm], first, last, triples.shape[1],
            functions.angular_shape,
        )  # fmt: skip
        first = last
    _weigh(n, functions, triples)


@part
def _weigh(n, functions, triples):
    slope = -functions.two_ln2 * functions.angular_eta
    for t in range(n):
        triples[TRIPLE.dc, t] *= triples[TRIPLE.w, t]
        triples[TRIPLE.dm, t] *= triples[TRIPLE.w, t] * slope


@part
def _spread_gradient(first, last, n, near, triples):
    """From triples of neighbours first <= j < last to dE/dr and dE/d(unit vector) of all neighbours."""
    real = near[ROW.x].dtype.type
    factor, half, two = real(0.95), real(0.5), real(2)
    t = 0
    for j in range(first, last):
        x, y, z = near[ROW.x, j], near[ROW.y, j], near[ROW.z, j]
        f, slope = two * near[ROW.f, j], two * near[ROW.f_slope, j]
        r_sum, x_sum, y_sum, z_sum = real(0), real(0), real(0), real(0)
        shift = t - j - 1
        for k in range(j + 1, n):
            s = k + shift
            by_cosine, by_mean, by_weight = (
                factor * triples[TRIPLE.dc, s],
                half * triples[TRIPLE.dm, s],
                triples[TRIPLE.dw, s],
            )
            r_sum += by_mean + by_weight * slope * near[ROW.f, k]
            x_sum += by_cosine * near[ROW.x, k]
            y_sum += by_cosine * near[ROW.y, k]
            z_sum += by_cosine * near[ROW.z, k]
            near[ROW.by_r, k] += by_mean + by_weight * f * near[ROW.f_slope, k]
            near[ROW.by_x, k] += by_cosine * x
            near[ROW.by_y, k] += by_cosine * y
            near[ROW.by_z, k] += by_cosine * z
        near[ROW.by_r, j] += r_sum
        near[ROW.by_x, j] += x_sum
        near[ROW.by_y, j] += y_sum
        near[ROW.by_z, j] += z_sum
        t += n - 1 - j


@part
def _to_ends(i, n_far, n, pairs, buffers, ends):
    """dE/dv at this atom's end of its pairs, from dE/dr and dE/d(unit vector)."""
    far, near, far_index, near_index = buffers.far, buffers.near, buffers.far_index, buffers.near_index
    for a in range(n):
        for x in range(ROW.by_r, ROW.by_z + 1):
            far[x, near_index[INDEX.slot, a]] += near[x, a]
    for a in range(n_far):
        slot = far_index[INDEX.slot, a]
        pair, sign = pairs.slot_pair[i, slot], pairs.slot_sign[i, slot]
        end = 0 if sign > 0 else 1
        tilt = far[ROW.by_x, a] * far[ROW.x, a] + far[ROW.by_y, a] * far[ROW.y, a] + far[ROW.by_z, a] * far[ROW.z, a]
        for x in range(3):
            across = (far[ROW.by_x + x, a] - tilt * far[ROW.x + x, a]) / far[ROW.r, a]
            ends[end, pair, x] = sign * (far[ROW.by_r, a] * far[ROW.x + x, a] + across)
