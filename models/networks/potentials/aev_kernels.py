"""Fused kernels of environment vectors: value, pullback and pushforward, atom by atom, no triple ever stored.

With G the environment vectors (models.networks.potentials.aev) as a function of pair vectors v,

    environment   G(v)                      (N, F)
    pullback      g -> g . dG/dv            (2, H, 3), one slice per end of a pair; the sum of both is the product
    pushforward   u -> dG/dv . u            (N, F)

An atom writes its own row, or its own end of a pair: atoms may be split over threads in any way, results stay the
same to the bit. Neighbours are sorted by element; triples j < k pass through a buffer that fits the first-level
cache, in three sweeps: geometry, Gaussians and powers (all elementary functions, flat loops), and sums over an 8 x 8
block or so, whose shape the compiler knows because it comes as the lengths of tuples: `shape` = ((1, n_r), (n_a,
n_z)).

The power is [(1 + cos(theta - theta_z)) / 2]^zeta = u^zeta, 2u = 1 + c cos theta_z + sqrt(1 - c^2) sin theta_z; no
angle is computed. Derivatives go by dE/dc (c = 0.95 cosine), dE/dm (mean distance m) and dE/dw (w = 2 f(r_j) f(r_k)).
Numba does not notice changes of the files this one imports: delete its cache (__pycache__/*.nb?) after editing them.
"""

import numpy as np
from numba import njit

from models.networks.potentials.aev_angular import (
    N_TRIPLE_FIELDS,
    add_triple_changes,
    add_triples,
    angular_change,
    angular_gradient,
    angular_sum,
    factors,
    factors_by_feature,
    slopes,
    spread_gradient,
)
from models.networks.potentials.aev_radial import (
    EZ,
    FAST,
    N_FIELDS,
    ONE,
    SPARE,
    E,
    angular_changes,
    changes,
    compiled,
    gaussian_slopes,
    gaussians,
    pairs,
    radial_change,
    radial_gradient,
    radial_sum,
    to_ends,
    within_angular_cutoff,
)

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"
# ruff: noqa: ANN001, ANN202, ANN201

__all__ = ["environment", "pullback", "pushforward"]

BUFFER = 256  # triples
kernel = njit(cache=True, **FAST)


@kernel
def environment(atoms, vectors, slots, species, pair_index, constants, shape, out):
    """Fill rows `atoms[0]` to `atoms[1]` of `out`, (N, F)."""
    far, near, far_index, near_index, gauss, triples, runs, parts = _buffers(vectors, slots, pair_index, shape)
    capacity = triples.shape[1] - SPARE
    for i in range(atoms[0], atoms[1]):
        row = out[i]
        row[:] = 0
        n_far = pairs(i, vectors, slots, species, constants, shape, far, far_index)
        gaussians(n_far, constants, shape, far, gauss)
        radial_sum(n_far, shape, far, far_index, gauss, row)
        n = within_angular_cutoff(n_far, constants, far, far_index, near, near_index)
        t = 0
        for j in range(n):  # the last neighbour has no partner left, it empties the buffer
            if t + n - 1 - j > capacity or j == n - 1:
                factors(t, constants, shape, triples, parts)
                angular_sum(t, shape, triples, runs, parts, row)
                t = 0
            add_triples(j, n, t, near, near_index, pair_index, shape, triples, runs)
            t += n - 1 - j


@kernel
def pullback(atoms, vectors, slots, species, pair_index, constants, shape, gradient, ends):
    """Fill `ends` (2, H, 3), zeros before, 0 the first atom's end, from `gradient` (N, F), for pairs of these atoms."""
    far, near, far_index, near_index, gauss, triples, runs, parts = _buffers(vectors, slots, pair_index, shape)
    capacity = triples.shape[1] - SPARE
    for i in range(atoms[0], atoms[1]):
        row = gradient[i]
        n_far = pairs(i, vectors, slots, species, constants, shape, far, far_index)
        gaussians(n_far, constants, shape, far, gauss)
        gaussian_slopes(n_far, shape, gauss)
        radial_gradient(n_far, constants, shape, far, far_index, gauss, row)
        n = within_angular_cutoff(n_far, constants, far, far_index, near, near_index)
        near[E : EZ + 1, :n] = 0
        start, t = 0, 0
        for j in range(n):
            if t + n - 1 - j > capacity or j == n - 1:
                factors_by_feature(t, constants, shape, triples, parts)
                angular_gradient(t, constants, shape, triples, runs, parts, row)
                spread_gradient(start, j, n, near, triples)
                start, t = j, 0
            add_triples(j, n, t, near, near_index, pair_index, shape, triples, runs)
            t += n - 1 - j
        to_ends(i, n_far, n, slots, far, far_index, near, near_index, ends)


@kernel
def pushforward(atoms, vectors, slots, species, pair_index, constants, shape, change, out):
    """Fill rows of `out` (N, F) from the change of pair vectors, (H, 3)."""
    far, near, far_index, near_index, gauss, triples, runs, parts = _buffers(vectors, slots, pair_index, shape)
    capacity = triples.shape[1] - SPARE
    for i in range(atoms[0], atoms[1]):
        row = out[i]
        row[:] = 0
        n_far = pairs(i, vectors, slots, species, constants, shape, far, far_index)
        changes(i, n_far, slots, far, far_index, change)
        gaussians(n_far, constants, shape, far, gauss)
        gaussian_slopes(n_far, shape, gauss)
        radial_change(n_far, constants, shape, far, far_index, gauss, row)
        n = within_angular_cutoff(n_far, constants, far, far_index, near, near_index)
        angular_changes(n, far, near, near_index)
        t = 0
        for j in range(n):
            if t + n - 1 - j > capacity or j == n - 1:
                factors(t, constants, shape, triples, parts)
                slopes(t, constants, shape, triples, parts)
                angular_change(t, constants, shape, triples, runs, parts, row)
                t = 0
            add_triples(j, n, t, near, near_index, pair_index, shape, triples, runs)
            add_triple_changes(j, n, t, near, triples)
            t += n - 1 - j


@compiled
def _buffers(vectors, slots, pair_index, shape):
    real, n_slots = vectors.dtype, slots[0].shape[1] + SPARE
    capacity = max(BUFFER, n_slots) + SPARE
    n_r, n_a, n_z = len(shape[0][1]), len(shape[1][0]), len(shape[1][1])
    far = np.zeros((N_FIELDS, n_slots), real)
    far[ONE] = 1
    return (
        far,
        np.zeros((N_FIELDS, n_slots), real),
        np.empty((3, n_slots), np.int64),
        np.empty((3, n_slots), np.int64),
        np.zeros((2, n_slots * n_r), real),
        np.zeros((N_TRIPLE_FIELDS, capacity), real),
        np.empty((2, capacity + 1), np.int64),
        (
            np.zeros(capacity * n_a, real),
            np.zeros(capacity * n_a, real),
            np.zeros(capacity * n_z, real),
            np.zeros(capacity * n_z, real),
            np.zeros(capacity * n_z, real),
        ),
    )
