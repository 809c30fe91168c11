"""An image from its texture: the pixels whose statistics agree with those of a given image (Gatys et al., NIPS 2015).

Of a given image t only statistics are used; u starts as noise and minimises, by L-BFGS,

    texture        mean over layers of |G(u) - G(t)|^2 / |G(t)|^2     G = <(F, 1)(F, 1)^T>: Gram matrix and means
    two_point      |S(u) - S(t)|^2 / |S(t)|^2                         S = periodic two-point correlation
    variation      max(0, TV(u) / TV(t) - 1)^2                        TV = mean |gradient|; only the excess costs
    grey           mean (sorted u - sorted t)^2 / variance of t       squared Wasserstein distance of the grey levels

Texture alone leaves hatching: networks with strides hardly see what alternates from pixel to pixel. Four things remove
it. The two-point term fixes the power at every wavelength, so there is none to spare for hatching; the variation term
acts on edges in the same way; Gram matrices are averaged over 2 x 2 neighbouring shifts, because a stride of two tells
even from odd pixels; and these shifts are drawn anew at each restart of L-BFGS, so no pixel stays on a border of the
padding or of a coarse stride. Long distances are set first, on t averaged over 2^l x 2^l pixels, with the layers whose
receptive field fits in.

Images wrap around: take `surrogates.periodic_component` of one that does not. A small loss means that these statistics
agree; it does not mean that the image is the only one, nor that it is t.
Suffixes: B images, H rows, W columns, C channels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.descriptors.cnn_texture import TextureNetwork, receptive_field, require_layers
from models.descriptors.descriptor import require_images

__all__ = ["Reconstruction", "ReconstructionSettings", "reconstruct", "total_variation", "two_point"]

FloatArray = NDArray[np.float64]
TERMS = ("texture", "two_point", "variation", "grey")
SMOOTHING = 1e-3  # of |gradient| at 0, in grey levels
COARSEST_PX = 32


@dataclass(frozen=True, kw_only=True)
class ReconstructionSettings:
    """Weights of the terms, and the work done: `n_iterations` of L-BFGS at each of `n_levels` resolutions."""

    layers: tuple[str, ...]
    weights: Mapping[str, float]  # by the names in TERMS; 0 leaves a term out
    n_levels: int = 2
    n_iterations: int = 120
    n_restarts: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if sorted(self.weights) != sorted(TERMS) or min(self.weights.values()) < 0 or not any(self.weights.values()):
            raise ValueError(f"weights: found {dict(self.weights)}, expected numbers >= 0, not all 0, of {list(TERMS)}")
        if min(self.n_levels, self.n_restarts) < 1 or self.n_iterations < self.n_restarts:
            numbers = f"{self.n_levels}, {self.n_restarts} and {self.n_iterations}"
            raise ValueError(f"found n_levels, n_restarts, n_iterations {numbers}, expected >= 1, >= 1, >= n_restarts")


class Reconstruction(NamedTuple):
    """The image, in the range of the target, and each term without its weight: of it, and of uniform noise."""

    image: FloatArray
    terms: dict[str, float]
    terms_of_noise: dict[str, float]


def reconstruct(
    target: NDArray[np.floating], network: TextureNetwork, settings: ReconstructionSettings
) -> Reconstruction:
    """An image (y, x) with the statistics of `target`; ValueError for sizes that do not fit, NaN, one value only."""
    require_images(np.asarray(target)[None], target.shape)
    _require_levels(target.shape, settings.n_levels)
    require_layers("reconstruction", network, settings.layers, target.shape)
    whole_HW = torch.from_numpy(np.asarray(target, dtype=np.float32))
    generator = torch.Generator().manual_seed(settings.seed)
    image_HW = torch.rand([size >> settings.n_levels for size in target.shape], generator=generator)
    for level in reversed(range(settings.n_levels)):
        target_HW = functional.avg_pool2d(whole_HW[None], 2**level)[0]
        layers = [x for x in settings.layers if receptive_field(network, x) <= min(target_HW.shape)]
        image_HW = _finer(image_HW)
        for _ in range(settings.n_restarts):
            distance = statistics_distance(target_HW, network, layers, _shifts(generator))
            image_HW = _minimise(distance, image_HW, settings.weights, settings.n_iterations // settings.n_restarts)
    image_HW = image_HW.clamp(float(whole_HW.min()), float(whole_HW.max()))
    noise_HW = torch.rand(whole_HW.shape, generator=generator)
    distance = statistics_distance(whole_HW, network, settings.layers, _shifts(None))
    with torch.no_grad():
        after, before = _values(distance(image_HW)), _values(distance(noise_HW))
    return Reconstruction(image_HW.numpy().astype(np.float64), after, before)


def statistics_distance(
    target_HW: Tensor, network: TextureNetwork, layers: Sequence[str], shifts: Sequence[tuple[int, int]]
) -> Callable[[Tensor], dict[str, Tensor]]:
    """The function u (H, W) -> value of each of TERMS, differentiable."""
    with torch.no_grad():
        grams = _grams(target_HW, network, layers, shifts)
        correlation_HW, variation = two_point(target_HW), total_variation(target_HW)
        levels, variance = target_HW.flatten().sort().values, target_HW.var()

    def distance(image_HW: Tensor) -> dict[str, Tensor]:
        image_grams = _grams(image_HW, network, layers, shifts)
        parts = [_relative(gram, wanted) for gram, wanted in zip(image_grams, grams, strict=True)]
        return {
            "texture": torch.stack(parts).mean(),
            "two_point": _relative(two_point(image_HW), correlation_HW),
            "variation": functional.relu(total_variation(image_HW) / variation - 1) ** 2,
            "grey": (image_HW.flatten().sort().values - levels).square().mean() / variance,
        }

    return distance


def two_point(image_HW: Tensor) -> Tensor:
    """Periodic two-point correlation (H, W) of the deviation from the mean; at lag 0 the variance."""
    modes = torch.fft.rfft2(image_HW - image_HW.mean())
    power = modes.real.square() + modes.imag.square()
    correlation: Tensor = torch.fft.irfft2(power, s=tuple(image_HW.shape)) / image_HW.numel()
    return correlation


def total_variation(image_HW: Tensor) -> Tensor:
    """Mean length of the periodic gradient, rounded off at 0 where it has no derivative."""
    dy, dx = (torch.roll(image_HW, -1, axis) - image_HW for axis in (0, 1))
    return (torch.sqrt(dy.square() + dx.square() + SMOOTHING**2) - SMOOTHING).mean()


def _grams(
    image_HW: Tensor, network: TextureNetwork, layers: Sequence[str], shifts: Sequence[tuple[int, int]]
) -> list[Tensor]:
    shifted_BHW = torch.stack([torch.roll(image_HW, shift, (0, 1)) for shift in shifts])
    grams = []
    for maps_BCHW in network(shifted_BHW, layers):
        flat_CP = maps_BCHW.transpose(0, 1).flatten(1)
        flat_CP = torch.cat([flat_CP, torch.ones_like(flat_CP[:1])])
        grams.append(flat_CP @ flat_CP.T / flat_CP.shape[1])
    return grams


def _relative(value: Tensor, wanted: Tensor) -> Tensor:
    return (value - wanted).square().sum() / wanted.square().sum()


def _minimise(
    distance: Callable[[Tensor], dict[str, Tensor]], start_HW: Tensor, weights: Mapping[str, float], n_iterations: int
) -> Tensor:
    image_HW = start_HW.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [image_HW],
        max_iter=n_iterations,
        max_eval=2 * n_iterations,
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_grad=0.0,
        tolerance_change=0.0,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        terms = distance(image_HW)
        loss = torch.stack([weights[name] * terms[name] for name in TERMS]).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return image_HW.detach()


def _finer(image_HW: Tensor) -> Tensor:
    """Twice as many pixels each way, interpolated across the wrapped border."""
    height, width = image_HW.shape
    padded = functional.pad(image_HW[None, None], (2, 2, 2, 2), mode="circular")
    larger: Tensor = functional.interpolate(padded, scale_factor=2, mode="bicubic")
    return larger[0, 0, 4 : 4 + 2 * height, 4 : 4 + 2 * width].contiguous()


def _shifts(generator: torch.Generator | None) -> list[tuple[int, int]]:
    """2 x 2 neighbouring shifts from a drawn origin (0 without a generator)."""
    y, x = (0, 0) if generator is None else torch.randint(0, 2**16, (2,), generator=generator).tolist()
    return [(y + i, x + j) for i in (0, 1) for j in (0, 1)]


def _require_levels(shape: tuple[int, ...], n_levels: int) -> None:
    unit, smallest = 2**n_levels, COARSEST_PX * 2 ** (n_levels - 1)
    if any(size % unit or size < smallest for size in shape):
        raise ValueError(
            f"reconstruction: found an image of {shape[0]} x {shape[1]} pixels and n_levels {n_levels}, expected "
            f"multiples of {unit} of at least {smallest} pixels; crop the image or lower n_levels"
        )


def _values(terms: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in terms.items()}
