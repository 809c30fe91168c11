"""What commands that read the user's micrographs are asked: how images become tiles, and what is made of the tiles."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pipeline.commands.options.declaring import Option, Options, message_of

if TYPE_CHECKING:
    from models.descriptors.descriptor import DescriptorSettings
    from stores.importers.images import ImageSettings

__all__ = ["EmbedOptions", "TilingOptions"]


@dataclass(frozen=True, kw_only=True)
class TilingOptions(Options):
    """How images are read and cut."""

    folder: Annotated[
        Path,
        Option("PNG, TIFF and JPEG, searched with all folders below", argument=True, metavar="FOLDER", read=True),
    ]
    tile: Annotated[int, Option("width of a tile", unit="px")] = 128
    stride: Annotated[int | None, Option("distance of tiles", unit="px", unset="the tile, no overlap")] = None
    crop_bottom: Annotated[
        float,
        Option("strip with the scale bar: fraction of the height below 1, rows [px] from 1 on", metavar="H"),
    ] = 0.0
    grey: Annotated[
        Literal["dtype", "image"], Option("grey 0 to 1 is the range of the number type, or of each image")
    ] = "dtype"

    def problems(self) -> list[str]:
        return message_of(self.image_settings)

    def image_settings(self, pixel_size_um: float | None = None) -> "ImageSettings":
        """Raises ValueError that lists all that is out of range."""
        from stores.importers.images import ImageSettings

        return ImageSettings(
            tile_px=self.tile,
            stride_px=self.tile if self.stride is None else self.stride,
            crop_bottom=self.crop_bottom,
            grey=self.grey,
            pixel_size_um=pixel_size_um,
        )


@dataclass(frozen=True, kw_only=True)
class EmbedOptions(TilingOptions):
    """Map your own micrographs by their textures.

    A folder of images becomes texture coordinates of their tiles: embedding.csv (one row per tile), map.html
    (thumbnails at their coordinates) and summary.json in a folder. Images that cannot be used are named and skipped;
    the exit status is 1 only where none can be used. Nothing of params.yaml is read.
    """

    out: Annotated[Path, Option("folder to write", metavar="DIR", kind="map of micrographs")] = Path("micrograph_map")
    descriptor: Annotated[
        str,
        Option(
            "of the textures: efficientnet, vgg19, scattering, ...", names="models.descriptors.descriptor:DESCRIPTORS"
        ),
    ] = "efficientnet"
    layer: Annotated[
        str | None,
        Option(
            "of the network; earlier ones see less and fit smaller tiles", unset="b7 of efficientnet, conv3_4 of vgg19"
        ),
    ] = None
    method: Annotated[Literal["isomap", "mds"], Option("of the map")] = "isomap"
    beyond_two_point: Annotated[
        bool, Option("how well tiles can be distinguished from their phase surrogates (AUROC)")
    ] = False
    windows: Annotated[list[int], Option("tile sizes to compare", unit="px", metavar="PX", low=8, unset="none")] = (
        field(default_factory=list)
    )

    def problems(self) -> list[str]:
        return [*super().problems(), *message_of(self.descriptor_settings)]

    def descriptor_settings(self) -> "DescriptorSettings":
        """Raises ValueError for a layer that the network does not have."""
        from models.descriptors.descriptor import DescriptorSettings
        from models.descriptors.efficientnet import EfficientNetLayer, EfficientNetSettings
        from models.descriptors.two_point import TwoPointSettings
        from models.descriptors.vgg19 import VGG19Layer, VGG19Settings

        if self.layer is None:
            lag = max(1, min(TwoPointSettings().maximum_lag, (self.tile - 1) // 2))  # the largest that fits the tile
            return DescriptorSettings(TwoPointSettings(maximum_lag=lag))
        networks: dict[str, tuple[Any, Any]] = {
            "efficientnet": (EfficientNetLayer, EfficientNetSettings),
            "vgg19": (VGG19Layer, VGG19Settings),
        }
        network = self.descriptor.removeprefix("random_")
        if network not in networks:
            raise ValueError(f"--layer: found {self.layer} with --descriptor {self.descriptor}, which has no layers")
        layers, settings = networks[network]
        if self.layer not in get_args(layers):
            raise ValueError(f"--layer: found {self.layer!r}, expected one of {', '.join(get_args(layers))}")
        return DescriptorSettings(settings(layers=(self.layer,)))
