"""Iterative amplitude adjustment: a field with given grey levels and, nearly, a given Fourier modulus.

The two sets of fields, all with the sorted values `levels` and all with the modulus |F|, are projected on in turn
(Schreiber and Schmitz, Phys. Rev. Lett. 77, 635, 1996):

    v = DFT^-1( |F| DFT(u) / |DFT(u)| )         the nearest field with the modulus: phases are kept
    u = levels, in the order of v                the nearest field with the grey levels: ranks are kept

The last step imposes the grey levels, so these are exact and the modulus is approximate; the iteration stops early
where the ranks no longer change.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["adjust_amplitudes"]

FloatArray = NDArray[np.float64]


def adjust_amplitudes(start: FloatArray, levels: FloatArray, modulus: FloatArray, n_iterations: int) -> FloatArray:
    """A field (n_y, n_x) with the values `levels` (n_y * n_x,), ascending, and nearly the `modulus` of its rfft2."""
    adjusted, order = start, np.argsort(start, axis=None)
    for _ in range(n_iterations):
        adjusted = np.empty_like(start)
        adjusted.flat[order] = levels
        modes = np.fft.rfft2(adjusted)
        size = np.abs(modes)
        kept = np.where(size > 0, modes / np.where(size > 0, size, 1.0), 1.0)
        following = np.argsort(np.fft.irfft2(kept * modulus, s=start.shape), axis=None)
        if np.array_equal(following, order):
            break
        order = following
    adjusted.flat[order] = levels
    return adjusted
