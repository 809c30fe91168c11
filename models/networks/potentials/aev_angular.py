"""Triples of one atom and its angular part, for models.networks.potentials.aev_kernels (memory layout there).

`triples` holds one quantity per row, `runs` the end and the first feature of each run of triples with equal elements,
their number in runs[0, 0]. `parts` are flat: Gaussians and powers with their slopes, and a scratch row.
"""

from models.networks.potentials.aev_blocks import (
    add_outer,
    add_outer_change,
    combinations,
    contract,
    differences,
    geometry,
    geometry_change,
)
from models.networks.potentials.aev_math import exp2, log2
from models.networks.potentials.aev_radial import (
    ANGULAR_ETA,
    DF,
    DR,
    DX,
    DY,
    DZ,
    ELEMENT,
    EX,
    EY,
    EZ,
    HALF,
    RUN_END,
    TINY,
    TWO_LN2,
    ZETA,
    D,
    E,
    F,
    R,
    X,
    Y,
    Z,
    compiled,
)

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"
# ruff: noqa: ANN001, ANN201

__all__ = [
    "N_TRIPLE_FIELDS",
    "add_triple_changes",
    "add_triples",
    "angular_change",
    "angular_gradient",
    "angular_sum",
    "factors",
    "factors_by_feature",
    "slopes",
    "spread_gradient",
]

C, S, M, W = range(4)  # of a triple: 0.95 cosine, sine that goes with it, mean distance, weight
DC, DM, DW = 4, 5, 6  # their changes, or dE/d(them) in the pullback
ALONG, ACROSS = 7, 8  # du/dc = along cosines + across sines
N_TRIPLE_FIELDS = 9


@compiled
def add_triples(j, n, t, near, near_index, pair_index, shape, triples, runs):
    """Triples of neighbour j with k = j + 1 ... n - 1, at t and on, and where runs of equal elements end."""
    geometry(
        triples[C], triples[S], triples[M], triples[W], near[X], near[Y], near[Z], near[R], near[F], j, n, t
    )  # fmt: skip
    size, offset = len(shape[1][0]) * len(shape[1][1]), len(pair_index) * len(shape[0][1])
    block_of = pair_index[near_index[ELEMENT, j]]
    n_runs, k = runs[0, 0], j + 1
    if t == 0:
        n_runs = 0
    while k < n:
        end = near_index[RUN_END, k]
        block = offset + size * block_of[near_index[ELEMENT, k]]
        if n_runs == 0 or runs[1, n_runs] != block:
            n_runs += 1
            runs[1, n_runs] = block
        runs[0, n_runs] = t + end - j - 1
        k = end
    runs[0, 0] = n_runs


@compiled
def add_triple_changes(j, n, t, near, triples):
    geometry_change(
        triples[DC], triples[DM], triples[DW], near[X], near[Y], near[Z], near[F],
        near[DX], near[DY], near[DZ], near[DR], near[DF], j, n, t,
    )  # fmt: skip


@compiled
def factors(n, constants, shape, triples, parts):
    """exp[-eta (m - R_a)^2] at t n_a + a, u^zeta at t n_z + z; leaves m - R_a and u where their slopes come."""
    shift_part, deviation, angle_part, half_versine, _ = parts
    scalars, _, shifts, cosines, sines = constants
    eta, zeta, tiny = scalars[ANGULAR_ETA], scalars[ZETA], scalars[TINY]
    differences(deviation, triples[M], shifts, n, shape[1][0])
    combinations(half_versine, scalars[HALF], triples[C], triples[S], cosines, sines, n, shape[1][1])
    for x in range(n * len(shape[1][0])):
        d = deviation[x]
        shift_part[x] = exp2(-eta * d * d)
    for x in range(n * len(shape[1][1])):
        u = half_versine[x]
        angle_part[x] = zeta * log2(u if u > tiny else tiny)
    for x in range(n * len(shape[1][1])):
        angle_part[x] = exp2(angle_part[x])


@compiled
def slopes(n, constants, shape, triples, parts):
    """(m - R_a) exp[-eta (m - R_a)^2], and d u^zeta / dc; after `_factors`."""
    shift_part, shift_slope, angle_part, angle_slope, scratch = parts
    scalars, _, _, cosines, sines = constants
    zeta, tiny = scalars[ZETA], scalars[TINY]
    for x in range(n * len(shape[1][0])):
        shift_slope[x] *= shift_part[x]
    along, across, cosine, sine = triples[ALONG], triples[ACROSS], triples[C], triples[S]
    for t in range(n):
        along[t] = zeta
        across[t] = -zeta * cosine[t] / sine[t]
    combinations(scratch, zeta - zeta, along, across, cosines, sines, n, shape[1][1])
    for x in range(n * len(shape[1][1])):
        u = angle_slope[x]
        angle_slope[x] = scratch[x] * angle_part[x] / (u if u > tiny else tiny)


@compiled
def factors_by_feature(n, constants, shape, triples, parts):
    """As `_factors` and `_slopes`, at a stride + t and z stride + t."""
    shift_part, shift_slope, angle_part, angle_slope, _ = parts
    scalars, _, shifts, cosines, sines = constants
    eta, zeta, half, tiny = scalars[ANGULAR_ETA], scalars[ZETA], scalars[HALF], scalars[TINY]
    stride = triples.shape[1]
    mean, cosine, sine = triples[M], triples[C], triples[S]
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


@compiled
def angular_sum(n, shape, triples, runs, parts, row):
    shift_part, _, angle_part, _, _ = parts
    first = 0
    for run in range(1, 1 + (runs[0, 0] if n else 0)):
        add_outer(row, runs[1, run], shift_part, angle_part, triples[W], first, runs[0, run], shape[1])
        first = runs[0, run]


@compiled
def angular_change(n, constants, shape, triples, runs, parts, row):
    shift_part, shift_slope, angle_part, angle_slope, _ = parts
    slope = -constants[0][TWO_LN2] * constants[0][ANGULAR_ETA]
    for t in range(n):
        triples[DC, t] *= triples[W, t]
        triples[DM, t] *= triples[W, t] * slope
    by_weight, by_cosine, by_mean = triples[DW], triples[DC], triples[DM]
    first = 0
    for run in range(1, 1 + (runs[0, 0] if n else 0)):
        add_outer_change(
            row, runs[1, run], shift_part, shift_slope, angle_part, angle_slope, by_weight, by_cosine, by_mean,
            first, runs[0, run], shape[1]
        )  # fmt: skip
        first = runs[0, run]


@compiled
def angular_gradient(n, constants, shape, triples, runs, parts, row):
    """dE/dw, dE/dc and dE/dm of every triple."""
    shift_part, shift_slope, angle_part, angle_slope, _ = parts
    by_weight, by_cosine, by_mean = triples[DW], triples[DC], triples[DM]
    stride = triples.shape[1]
    first = 0
    for run in range(1, 1 + (runs[0, 0] if n else 0)):
        contract(
            row, runs[1, run], shift_part, shift_slope, angle_part, angle_slope, by_weight, by_cosine, by_mean,
            first, runs[0, run], stride, shape[1]
        )  # fmt: skip
        first = runs[0, run]
    slope = -constants[0][TWO_LN2] * constants[0][ANGULAR_ETA]
    for t in range(n):
        triples[DC, t] *= triples[W, t]
        triples[DM, t] *= triples[W, t] * slope


@compiled
def spread_gradient(first, last, n, near, triples):
    """From triples of neighbours first <= j < last to dE/dr and dE/d(unit vector) of all neighbours."""
    real = near.dtype.type
    factor, half, two = real(0.95), real(0.5), real(2)
    t = 0
    for j in range(first, last):
        x, y, z = near[X, j], near[Y, j], near[Z, j]
        f, slope = two * near[F, j], two * near[D, j]
        r_sum, x_sum, y_sum, z_sum = real(0), real(0), real(0), real(0)
        shift = t - j - 1
        for k in range(j + 1, n):
            s = k + shift
            by_cosine, by_mean, by_weight = factor * triples[DC, s], half * triples[DM, s], triples[DW, s]
            r_sum += by_mean + by_weight * slope * near[F, k]
            x_sum += by_cosine * near[X, k]
            y_sum += by_cosine * near[Y, k]
            z_sum += by_cosine * near[Z, k]
            near[E, k] += by_mean + by_weight * f * near[D, k]
            near[EX, k] += by_cosine * x
            near[EY, k] += by_cosine * y
            near[EZ, k] += by_cosine * z
        near[E, j] += r_sum
        near[EX, j] += x_sum
        near[EY, j] += y_sum
        near[EZ, j] += z_sum
        t += n - 1 - j
