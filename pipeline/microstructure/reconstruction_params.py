"""Section `reconstruction` of params.yaml."""

from dataclasses import dataclass
from typing import Literal, get_args

from models.descriptors.choice import DescriptorName, EfficientNetLayer, VGG19Layer
from models.descriptors.reconstruction import ReconstructionSettings
from pipeline.microstructure.tile_ratios import WindowParams
from pipeline.runtime.params import setting

__all__ = ["BeyondParams", "ReconstructionParams", "WeightParams"]

GeneratorName = Literal["lamellae", "phase_order", "voronoi", "cahn_hilliard"]


@dataclass(frozen=True, kw_only=True)
class BeyondParams:
    """Real against surrogate."""

    generators: tuple[GeneratorName, ...]
    descriptors: tuple[DescriptorName, ...]
    max_images: int = setting(low=10)  # of each generator
    n_iterations: int = setting(low=1)  # of matching grey levels and modulus
    n_folds: int = setting(low=2)
    regularization: float = setting(above=0)
    n_bootstrap: int = setting(low=10)


@dataclass(frozen=True, kw_only=True)
class WeightParams:
    """Of the terms of the loss."""

    texture: float = setting(low=0)
    two_point: float = setting(low=0)
    variation: float = setting(low=0)
    grey: float = setting(low=0)


@dataclass(frozen=True, kw_only=True)
class ReconstructionParams:
    """Section `reconstruction` of params.yaml."""

    seed: int = setting(low=0)
    generators: tuple[GeneratorName, ...]
    network: Literal["efficientnet", "vgg19"]
    layers: tuple[str, ...]
    weights: WeightParams
    n_levels: int = setting(low=1)
    n_iterations: int = setting(low=1)
    n_restarts: int = setting(low=1)
    beyond: BeyondParams
    window: WindowParams

    def settings(self) -> ReconstructionSettings:
        return ReconstructionSettings(
            layers=self.layers,
            weights=vars(self.weights),
            n_levels=self.n_levels,
            n_iterations=self.n_iterations,
            n_restarts=self.n_restarts,
            seed=self.seed,
        )

    def __post_init__(self) -> None:
        known = get_args(EfficientNetLayer if self.network == "efficientnet" else VGG19Layer)
        if unknown := [layer for layer in self.layers if layer not in known]:
            raise ValueError(f"layers: found {unknown}, expected some of {list(known)} of {self.network}")
        self.settings()
