"""Textures of a convolutional network: what its channels do on average, position forgotten (Gatys et al., NIPS 2015).

    gram     G_ij = <F_i F_j>     mean over positions of products of channels, upper triangle
    means    m_i  = <F_i>         mean over positions

F are the maps of one layer. Off-diagonal entries of G count twice, so they carry sqrt(2): distances are those of whole
matrices. Vectors of several layers are brought to unit length each, then set side by side. Means say as much about the
parameters of the images tried here as Gram matrices, at 1/40 of the length, and are the default.

A network is a class with `layers`, `channels`, `steps` and `forward(images_BHW, layers)`. It runs on a GPU where there
is one, in batches, so memory does not grow with the number of images.

Receptive field: a position of a layer sees pixels with a weight that is nearly a Gaussian, far narrower than the window
outside of which it is 0 (Luo et al., NIPS 2016). For equal weights within each kernel of side k, j pixels apart,

    sigma^2 = sum over convolutions and poolings of j^2 (k^2 - 1) / 12        window = 4 sigma, 95 % of the weight
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, sqrt
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.descriptors.descriptor import FloatArray, join_unit, require_images

__all__ = ["CNNTexture", "Statistic", "TextureNetwork", "channel_means", "gram_matrices", "receptive_field"]

Statistic = Literal["gram", "means"]
CPU_BATCH, GPU_BATCH = 4, 256  # images: what fits into the caches of a core, and what fills a GPU


class TextureNetwork(Protocol):
    @property
    def layers(self) -> tuple[str, ...]: ...

    def channels(self, layer: str) -> int: ...

    def steps(self, layer: str) -> list[tuple[int, int]]:
        """(kernel, stride) of every convolution and pooling from the image to the layer; 1x1 ones may be left out."""
        ...

    def __call__(self, images_BHW: Tensor, layers: Sequence[str]) -> list[Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class CNNTexture:
    """Descriptor; `network` is in evaluation mode. Raises ValueError for unknown layers and too small images."""

    name: str
    network: TextureNetwork
    layers: tuple[str, ...]
    statistic: Statistic
    shape: tuple[int, int]
    device: torch.device = field(default_factory=lambda: torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    def __post_init__(self) -> None:
        require_layers(self.name, self.network, self.layers, self.shape)
        if isinstance(self.network, torch.nn.Module):
            module: Any = self.network.eval().requires_grad_(False)
            module.to(device=self.device, memory_format=torch.channels_last)

    @property
    def batch_size(self) -> int:
        return GPU_BATCH if self.device.type == "cuda" else CPU_BATCH

    @property
    def n_features(self) -> int:
        widths = [self.network.channels(layer) for layer in self.layers]
        return sum(n * (n + 1) // 2 if self.statistic == "gram" else n for n in widths)

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        require_images(images_BHW, self.shape)
        if len(images_BHW) == 0:
            return np.zeros((0, self.n_features), dtype=np.float32)
        batches = [self._batch(images_BHW[i : i + self.batch_size]) for i in range(0, len(images_BHW), self.batch_size)]
        return join_unit([np.concatenate(parts) for parts in zip(*batches, strict=True)])

    def _batch(self, images_BHW: NDArray[Any]) -> list[FloatArray]:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            images = torch.from_numpy(np.ascontiguousarray(images_BHW, dtype=np.float32)).to(self.device)
            maps = self.network(images, self.layers)
            return [self._statistic(m).cpu().numpy() for m in maps]

    def _statistic(self, maps_BCHW: Tensor) -> Tensor:
        if self.statistic == "means":
            return channel_means(maps_BCHW)
        gram_BCC = gram_matrices(maps_BCHW)
        row, column = torch.triu_indices(gram_BCC.shape[1], gram_BCC.shape[1], device=gram_BCC.device)
        twice = torch.where(row == column, 1.0, 2**0.5)
        return gram_BCC[:, row, column] * twice


def gram_matrices(maps_BCHW: Tensor) -> Tensor:
    """(B, C, C), differentiable."""
    flat_BCP = maps_BCHW.flatten(2)
    return flat_BCP @ flat_BCP.transpose(1, 2) / flat_BCP.shape[2]


def channel_means(maps_BCHW: Tensor) -> Tensor:
    """(B, C), differentiable."""
    return maps_BCHW.mean((2, 3))


def receptive_field(network: TextureNetwork, layer: str) -> int:
    """Side of the window of pixels that holds 95 % of what a position of the layer sees."""
    variance, jump = 0.0, 1
    for kernel, stride in network.steps(layer):
        variance += jump**2 * (kernel**2 - 1) / 12
        jump *= stride
    return ceil(4 * sqrt(variance))


def require_layers(name: str, network: TextureNetwork, layers: Sequence[str], shape: tuple[int, int]) -> None:
    """Raise ValueError for layers that the network has not, and for images smaller than what the layers see."""
    if unknown := [layer for layer in layers if layer not in network.layers]:
        raise ValueError(f"{name}: found unknown layers {unknown}, expected some of {list(network.layers)}")
    if not layers or len(set(layers)) != len(layers):
        raise ValueError(f"{name}: found layers {list(layers)}, expected at least one, and each once")
    for layer in layers:
        if (window := receptive_field(network, layer)) > min(shape):
            fitting = [known for known in network.layers if receptive_field(network, known) <= min(shape)]
            cure = f"layers up to {fitting[-1]}" if fitting else "another descriptor: no layer is fine enough"
            raise ValueError(
                f"{name}: found images of {shape[0]} x {shape[1]} pixels, smaller than the receptive field of layer "
                f"{layer}, expected at least {window} pixels each way; use larger images, or {cure}"
            )
