"""What the maps of micrographs are compared with: the parameters of each generator, in the form they are compared in.

    lamellae      angle as (cos 2a, sin 2a), since a and a + pi are the same stripes; log noise_strength; log scale_px
    phase_order   phase_order as it is; log scale_px; the same for matched_order and matched_lamellae

`target` names and columns serve the recovery metrics, `known` the report on single coordinates (one number each), and
`inputs` the formula search, which gets the parameters themselves, but the angle as its two columns and phase_order as
order = 1 + phase_order, so that no formula divides by what is nearly 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.microstructures import rows_of

__all__ = ["HIDDEN", "JUDGED", "WORDS", "Samples", "read_samples"]

Array = NDArray[np.float64]
Columns = Callable[[Array], dict[str, Array]]

HIDDEN = "phase_order"  # the parameter of which pair statistics know nothing
WORDS = {
    "cos_2a": "the cosine of twice the angle",
    "sin_2a": "the sine of twice the angle",
    "log_noise_strength": "the logarithm of the noise strength",
    "log_scale_px": "the logarithm of the scale",
    "phase_order": "the phase order t",
}


def _double_angle(angle: Array) -> dict[str, Array]:
    return {"cos_2a": np.cos(2 * angle), "sin_2a": np.sin(2 * angle)}


TRANSFORMS: dict[str, Columns] = {
    "angle": _double_angle,
    "noise_strength": lambda values: {"log_noise_strength": np.log(values)},
    "scale_px": lambda values: {"log_scale_px": np.log(values)},
    "phase_order": lambda values: {"phase_order": values},
}
INPUTS: dict[str, Columns] = {"angle": _double_angle, "phase_order": lambda values: {"order": 1 + values}}
JUDGED = {
    "lamellae": ("angle", "noise_strength", "scale_px"),
    "phase_order": ("phase_order", "scale_px"),
    "matched_order": ("phase_order", "scale_px"),
    "matched_lamellae": ("phase_order", "scale_px"),
}


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Rows of the texture store that belong to one generator. Shapes: N rows, C columns."""

    generator: str
    rows_N: NDArray[np.int64]  # of textures.zarr
    image_rows_N: NDArray[np.int64]  # of microstructures.zarr
    groups_N: NDArray[np.int64]
    parameters: Mapping[str, Array]  # name -> (N,), as drawn

    @property
    def targets(self) -> dict[str, Array]:
        """Parameter -> its columns (N, C)."""
        return {
            name: np.column_stack(list(TRANSFORMS[name](values).values())) for name, values in self.parameters.items()
        }

    @property
    def known(self) -> dict[str, Array]:
        """Column -> (N,)."""
        return {column: y for name, values in self.parameters.items() for column, y in TRANSFORMS[name](values).items()}

    @property
    def inputs(self) -> dict[str, Array]:
        """Inputs of the formula search -> (N,)."""
        inputs: dict[str, Array] = {}
        for name, values in self.parameters.items():
            inputs |= INPUTS[name](values) if name in INPUTS else {name: values}
        return inputs


def read_samples(images: xr.Dataset, textures: xr.Dataset, generator: str) -> Samples:
    """The described images of one generator, in the order of the texture store; there may be none."""
    image_rows = textures["image_row"].values
    rows = rows_of(images, generator, image_rows)
    return Samples(
        generator=generator,
        rows_N=rows,
        image_rows_N=image_rows[rows],
        groups_N=textures["group"].values[rows],
        parameters={name: images[name].values[image_rows[rows]].astype(np.float64) for name in JUDGED[generator]},
    )
