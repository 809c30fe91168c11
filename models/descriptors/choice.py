"""Descriptors by name: what params.yaml lists becomes what computes.

efficientnet, vgg19                  textures of pretrained networks
random_efficientnet, random_vgg19    the same networks with random weights: what the architecture alone sees
two_point, two_point_radial          pair statistics
power_spectrum, log_power_spectrum   the same in Fourier space, smoothed
scattering                           wavelet scattering (needs kymatio)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from models.descriptors.descriptor import Descriptor
from models.descriptors.power_spectrum import PowerSpectrum
from models.descriptors.two_point import TwoPoint

__all__ = [
    "DESCRIPTORS",
    "DescriptorName",
    "DescriptorSettings",
    "EfficientNetLayer",
    "VGG19Layer",
    "make_descriptor",
]

DescriptorName = Literal[
    "efficientnet",
    "random_efficientnet",
    "vgg19",
    "random_vgg19",
    "two_point",
    "two_point_centred",
    "two_point_radial",
    "power_spectrum",
    "log_power_spectrum",
    "scattering",
]
DESCRIPTORS: tuple[DescriptorName, ...] = get_args(DescriptorName)
# The names that the networks have for their layers, here so that settings are judged without importing torch.
EfficientNetLayer = Literal[
    "stem", "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9", "b10", "b11", "b12", "b13", "b14", "b15"
]
VGG19Layer = Literal[
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv3_4",
    "conv4_1", "conv4_2", "conv4_3", "conv4_4", "conv5_1", "conv5_2", "conv5_3", "conv5_4",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EfficientNetSettings:
    layers: tuple[EfficientNetLayer, ...] = ("b7",)
    statistic: Literal["gram", "means"] = "means"


@dataclass(frozen=True, kw_only=True)
class VGG19Settings:
    layers: tuple[VGG19Layer, ...] = ("conv3_4",)
    statistic: Literal["gram", "means"] = "gram"
    weights: Literal["normalised", "torchvision"] = "normalised"
    pooling: Literal["average", "maximum"] = "average"


@dataclass(frozen=True, kw_only=True)
class TwoPointSettings:
    maximum_lag: int = 32
    periodic: bool = True

    def __post_init__(self) -> None:
        if self.maximum_lag < 1:
            raise ValueError(f"found maximum_lag {self.maximum_lag}, expected at least 1")


@dataclass(frozen=True, kw_only=True)
class PowerSpectrumSettings:
    smoothing: float = 3.0  # Fourier bins
    maximum_frequency: float = 0.25  # cycles per pixel
    floor: float = 10.0  # of the logarithm, in units of the mean power

    def __post_init__(self) -> None:
        if self.smoothing < 0 or self.floor <= 0 or not 0 < self.maximum_frequency <= 0.5:
            given = f"smoothing {self.smoothing:g}, floor {self.floor:g}, maximum_frequency {self.maximum_frequency:g}"
            raise ValueError(f"found {given}, expected smoothing >= 0, floor > 0, maximum_frequency above 0 up to 0.5")


@dataclass(frozen=True, kw_only=True)
class ScatteringSettings:
    scales: int = 4
    angles: int = 8
    logarithmic: bool = True

    def __post_init__(self) -> None:
        if self.scales < 1 or self.angles < 1:
            raise ValueError(f"found scales {self.scales}, angles {self.angles}, expected both at least 1")


@dataclass(frozen=True, kw_only=True)
class DescriptorSettings:
    """All that shapes features, for every descriptor."""

    random_seed: int = 0
    efficientnet: EfficientNetSettings = EfficientNetSettings()
    vgg19: VGG19Settings = VGG19Settings()
    two_point: TwoPointSettings = TwoPointSettings()
    power_spectrum: PowerSpectrumSettings = PowerSpectrumSettings()
    scattering: ScatteringSettings = ScatteringSettings()

    def __post_init__(self) -> None:
        if self.random_seed < 0:
            raise ValueError(f"found random_seed {self.random_seed}, expected at least 0")


def make_descriptor(name: str, settings: DescriptorSettings, shape: tuple[int, int]) -> Descriptor:
    """The descriptor for images of `shape` (rows, columns).

    Raises ValueError for an unknown name, settings which do not fit the shape, or missing weights or packages, before
    any image is looked at.
    """
    makers: dict[str, Callable[[str, DescriptorSettings, tuple[int, int]], Descriptor]] = {
        "efficientnet": _efficientnet,
        "random_efficientnet": _efficientnet,
        "vgg19": _vgg19,
        "random_vgg19": _vgg19,
        "two_point": _two_point,
        "two_point_centred": _two_point,
        "two_point_radial": _two_point,
        "power_spectrum": _power_spectrum,
        "log_power_spectrum": _power_spectrum,
        "scattering": _scattering,
    }
    if name not in makers:
        raise ValueError(f"descriptors: found {name!r}, expected one of {list(makers)}")
    return makers[name](name, settings, shape)


def _efficientnet(name: str, settings: DescriptorSettings, shape: tuple[int, int]) -> Descriptor:
    from models.descriptors.cnn_texture import CNNTexture
    from models.descriptors.efficientnet import pretrained_efficientnet, random_efficientnet

    layers = settings.efficientnet.layers
    random = name.startswith("random")
    network = random_efficientnet(layers, settings.random_seed) if random else pretrained_efficientnet(layers)
    return CNNTexture(
        name=name,
        network=network,
        layers=layers,
        statistic=settings.efficientnet.statistic,
        shape=shape,
    )


def _vgg19(name: str, settings: DescriptorSettings, shape: tuple[int, int]) -> Descriptor:
    from models.descriptors.cnn_texture import CNNTexture
    from models.descriptors.vgg19 import pretrained_vgg19, random_vgg19

    chosen = settings.vgg19
    if name.startswith("random"):
        network = random_vgg19(chosen.layers, settings.random_seed, pooling=chosen.pooling)
    else:
        network = pretrained_vgg19(chosen.layers, chosen.weights, pooling=chosen.pooling)
    return CNNTexture(
        name=name,
        network=network,
        layers=chosen.layers,
        statistic=chosen.statistic,
        shape=shape,
    )


def _two_point(name: str, settings: DescriptorSettings, shape: tuple[int, int]) -> Descriptor:
    chosen = settings.two_point
    return TwoPoint(
        name=name,
        shape=shape,
        maximum_lag=chosen.maximum_lag,
        periodic=chosen.periodic,
        centred=name != "two_point",
        radial=name.endswith("radial"),
    )


def _power_spectrum(name: str, settings: DescriptorSettings, shape: tuple[int, int]) -> Descriptor:
    chosen = settings.power_spectrum
    return PowerSpectrum(
        name=name,
        shape=shape,
        smoothing=chosen.smoothing,
        maximum_frequency=chosen.maximum_frequency,
        logarithmic=name.startswith("log"),
        floor=chosen.floor,
    )


def _scattering(name: str, settings: DescriptorSettings, shape: tuple[int, int]) -> Descriptor:
    from models.descriptors.scattering import Scattering

    chosen = settings.scattering
    return Scattering(
        name=name, shape=shape, scales=chosen.scales, angles=chosen.angles, logarithmic=chosen.logarithmic
    )
