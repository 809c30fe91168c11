"""Surrogates: images that share the pair statistics of a given image and are random in everything else.

With F = DFT(u) and the phases psi of the DFT of real white noise (so Hermitian-symmetric, uniform, and 0 or pi where
a mode is its own conjugate),

    u' = DFT^-1( F exp(i psi) ),        psi(0) = 0

is real, and |DFT(u')| = |F|: mean, variance and the whole periodic two-point correlation are those of u, to rounding
(Theiler et al., Physica D 58, 77). A Gaussian random field cannot be distinguished from its surrogates: given |F|,
uniform phases are its law. What can be distinguished from them has structure beyond two-point statistics.

Two things other than that may betray a surrogate, and both can be taken away:

    grey levels   a black and white image has a surrogate with grey. `match_histogram` alternates between the sorted
                  grey levels of u and |F| (models.physics.microstructure.amplitude_adjustment) and ends on the grey
                  levels, so these are exact and |F| is approximate: `modulus_error` says by how much
    the border    u cut from something larger jumps where opposite borders meet; u' does not. `periodic_component` takes
                  the jump out of u beforehand (Moisan, J. Math. Imaging Vis. 39, 161): u = p + s, where s is smooth
                  within and carries the jump: Laplacian s = the differences across the border, mean s = 0

Image i of a batch draws from SeedSequence(seed, spawn_key=(i,)): neither batches nor their order change a surrogate.
"""

import numpy as np
from numpy.typing import NDArray

from models.physics.microstructure.amplitude_adjustment import adjust_amplitudes

__all__ = ["modulus_error", "periodic_component", "phase_surrogate", "phase_surrogates"]

FloatArray = NDArray[np.float64]
MIN_PX = 4


def phase_surrogates(
    images: NDArray[np.floating], seed: int, *, match_histogram: bool = False, n_iterations: int = 60, first: int = 0
) -> FloatArray:
    """One surrogate for each of `images` (n, y, x), of which the first has number `first` in the random sequence."""
    stack = _as_images(images, 3)
    rngs = (np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(first + i,))) for i in range(len(stack)))
    made = [
        phase_surrogate(image, rng, match_histogram=match_histogram, n_iterations=n_iterations)
        for image, rng in zip(stack, rngs, strict=True)
    ]
    return np.array(made).reshape(stack.shape)


def phase_surrogate(
    image: NDArray[np.floating], rng: np.random.Generator, *, match_histogram: bool = False, n_iterations: int = 60
) -> FloatArray:
    """A surrogate of one image (y, x). Raises ValueError for NaN or a constant image: it has no phases to draw."""
    u = _as_images(image, 2)
    if np.ptp(u) == 0:
        raise ValueError(f"found a constant image (all {u.flat[0]:g}), expected structure; leave such images out")
    modes = np.fft.rfft2(u)
    surrogate = np.fft.irfft2(modes * _random_phasors(u.shape, rng), s=u.shape)
    return (
        adjust_amplitudes(surrogate, np.sort(u, axis=None), np.abs(modes), n_iterations)
        if match_histogram
        else surrogate
    )


def modulus_error(surrogate: NDArray[np.floating], image: NDArray[np.floating]) -> float:
    """|| |F'| - |F| || / || |F| || without the mean: 0 where all pair statistics agree."""
    surrogate_modulus, image_modulus = (np.abs(np.fft.fft2(field - field.mean())) for field in (surrogate, image))
    return float(np.linalg.norm(surrogate_modulus - image_modulus) / np.linalg.norm(image_modulus))


def periodic_component(image: NDArray[np.floating]) -> FloatArray:
    """`image` (y, x) less the smooth field that carries the jumps across its borders; the mean stays."""
    u = _as_images(image, 2)
    jump = np.zeros_like(u)
    jump[0] += u[0] - u[-1]
    jump[-1] += u[-1] - u[0]
    jump[:, 0] += u[:, 0] - u[:, -1]
    jump[:, -1] += u[:, -1] - u[:, 0]
    rows, columns = (2 * np.cos(2 * np.pi * np.fft.fftfreq(n)) for n in u.shape)
    laplacian = rows[:, None] + columns[None, :] - 4
    laplacian[0, 0] = 1.0  # the sum of jumps is zero, so this mode is
    smooth = np.fft.ifft2(np.fft.fft2(jump) / -laplacian).real
    return np.asarray(u - (smooth - smooth.mean()))


def _random_phasors(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.complex128]:
    noise = np.fft.rfft2(rng.standard_normal(shape))
    phasors = noise / np.abs(noise)
    phasors[0, 0] = 1.0
    return np.asarray(phasors)


def _as_images(images: NDArray[np.floating], ndim: int) -> FloatArray:
    u = np.asarray(images, dtype=np.float64)
    if u.ndim != ndim or min(u.shape[-2:]) < MIN_PX:
        wanted = "(n, y, x)" if ndim == 3 else "(y, x)"
        raise ValueError(
            f"found an array of shape {u.shape}, expected {wanted} with at least {MIN_PX} x {MIN_PX} pixels"
        )
    if not np.isfinite(u).all():
        raise ValueError(f"found {int((~np.isfinite(u)).sum())} values that are not finite; leave such images out")
    return u
