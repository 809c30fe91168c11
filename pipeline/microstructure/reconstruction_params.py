"""Section `reconstruction` of params.yaml."""

from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.descriptors.choice import DescriptorName, EfficientNetLayer, VGG19Layer
from models.descriptors.reconstruction import ReconstructionSettings
from models.settings import Some, settings
from pipeline.microstructure.tile_ratios import WindowParams

__all__ = ["BeyondParams", "ReconstructionParams", "WeightParams"]

GeneratorName = Literal["lamellae", "phase_order", "voronoi", "cahn_hilliard"]


@settings
class BeyondParams:
    """Real against surrogate."""

    generators: Some[GeneratorName]
    descriptors: Some[DescriptorName]
    max_images: Annotated[int, Field(ge=10)]  # of each generator
    n_iterations: PositiveInt  # of matching grey levels and modulus
    n_folds: Annotated[int, Field(ge=2)]
    regularization: PositiveFloat
    n_bootstrap: Annotated[int, Field(ge=10)]


@settings
class WeightParams:
    """Of the terms of the loss."""

    texture: NonNegativeFloat
    two_point: NonNegativeFloat
    variation: NonNegativeFloat
    grey: NonNegativeFloat


@settings
class ReconstructionParams:
    """Section `reconstruction` of params.yaml."""

    seed: NonNegativeInt
    generators: Some[GeneratorName]
    network: Literal["efficientnet", "vgg19"]
    layers: Some[str]
    weights: WeightParams
    n_levels: PositiveInt
    n_iterations: PositiveInt
    n_restarts: PositiveInt
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
