"""Schema of `data/microstructures.zarr`: one row per synthetic micrograph, with the parameters that made it.

    image[i, y, x]   grey in [0, 1]
    generator[i]     code of the generator, the position in GENERATORS
    group[i]         parameter point: realisations of one point share it. Split by it, or sisters of a test image are
                     trained on

Parameters that a generator does not have are NaN. An image that could not be made keeps its row: status 1, the reason
in `failure`, zeros as image. Attributes: `generators` (JSON list of names by code), `periodic` (true where opposite
edges of the lamellae and grains fit together; phase_order and cahn_hilliard are always periodic), `settings` (JSON of
the params).
"""

import json
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.outcome import FAILED, FAILURE_TOLD, OK, outcome_variables
from stores.schema import Fact, StoreSchema, Variable

__all__ = ["GENERATORS", "MICROSTRUCTURES", "PARAMETERS", "tiny"]

GENERATORS = ("lamellae", "phase_order", "voronoi", "cahn_hilliard")
PARAMETERS = {  # column -> generators which have it
    "angle": ("lamellae",),
    "noise_strength": ("lamellae",),
    "scale_px": ("lamellae", "phase_order", "voronoi"),
    "phase_order": ("phase_order",),
}
ROW = ("sample",)


def _parameter(name: str, units: str, description: str, **bounds: Any) -> Variable:  # noqa: ANN401 - fields of Variable
    owners = ", ".join(PARAMETERS[name])
    return Variable(
        name=name,
        dims=ROW,
        dtype="float64",
        units=units,
        description=f"{description} ({owners}; NaN of others)",
        nan_allowed=True,
        **bounds,
    )


def _empty_where_made(block: xr.Dataset) -> NDArray[np.bool_]:
    """A made image has some contrast, a failed one is all zeros."""
    images = block["image"].values
    made = block["status"].values == OK
    flat = images.min(axis=(1, 2)) == images.max(axis=(1, 2))
    return np.asarray(np.where(made, flat, (images != 0).any(axis=(1, 2))))


def _parameters_of_another_generator(block: xr.Dataset) -> NDArray[np.bool_]:
    generator = block["generator"].values
    bad = np.zeros(generator.shape, dtype=bool)
    for name, owners in PARAMETERS.items():
        has_it = np.isin(generator, [GENERATORS.index(owner) for owner in owners])
        bad |= np.isnan(block[name].values) == has_it
    return bad


def _sisters_differ(block: xr.Dataset) -> NDArray[np.bool_]:
    """Rows of one group share the generator and all its parameters."""
    _, first, group = np.unique(block["group"].values, return_index=True, return_inverse=True)
    bad = np.zeros(group.shape, dtype=bool)
    for name in ("generator", *PARAMETERS):
        values = block[name].values
        same = (values == values[first][group]) | (np.isnan(values) & np.isnan(values[first][group]))
        bad |= ~same
    return bad


MICROSTRUCTURES = StoreSchema(
    name="microstructures",
    version="2",
    coordinates=(),
    variables=(
        Variable(
            name="image",
            dims=("sample", "y", "x"),
            dtype="float32",
            units="dimensionless",
            description="grey value",
            low=0,
            high=1,
        ),
        Variable(
            name="generator",
            dims=ROW,
            dtype="int8",
            units="dimensionless",
            description=", ".join(f"{code} {name}" for code, name in enumerate(GENERATORS)),
            choices=tuple(range(len(GENERATORS))),
        ),
        _parameter("angle", "rad", "direction of the wave vector against x, period pi", low=0, high=np.pi),
        _parameter("noise_strength", "rad", "rms of the phase noise", low=0),
        _parameter("scale_px", "px", "wavelength, or mean distance of cells: one cell per scale^2", above=0),
        _parameter("phase_order", "dimensionless", "0: cells; 1: random Fourier phases", low=0, high=1),
        Variable(
            name="group",
            dims=ROW,
            dtype="int64",
            units="dimensionless",
            description="parameter point; split by it",
            low=0,
        ),
        *outcome_variables("made"),
    ),
    facts=(
        FAILURE_TOLD,
        Fact(
            name="made_where_ok",
            expected="contrast where status is 0, zeros elsewhere",
            variables=("status", "image"),
            violated=_empty_where_made,
        ),
        Fact(
            name="own_parameters",
            expected="numbers in the parameters of the generator, NaN in those of others",
            variables=("generator", *PARAMETERS),
            violated=_parameters_of_another_generator,
        ),
        Fact(
            name="sisters_agree",
            expected="one generator and one set of parameters in all rows of a group",
            variables=("group", "generator", *PARAMETERS),
            violated=_sisters_differ,
            whole=True,
        ),
    ),
    attributes=("generators", "periodic", "settings"),
)


def tiny() -> xr.Dataset:
    """A valid example of 8 x 8 px: lamellae of two points, one image of each other generator, a failed one."""
    n_px = 8
    rows = np.arange(n_px)
    waves = [np.cos(2 * np.pi * (rows[None, :] / 4 + shift + 0 * rows[:, None])) for shift in (0, 0.1, 0.2)]
    cells = [np.hypot(rows[:, None] - k, rows[None, :] - 2 * k) % 4 for k in range(3)]
    image = np.stack([0.5 + 0.4 * wave for wave in waves] + [cell / 4 for cell in cells] + [np.zeros((n_px, n_px))])
    nan = np.nan
    columns: dict[str, Any] = {
        "image": image.astype(np.float32),
        "generator": np.array([0, 0, 0, 1, 2, 3, 3], dtype=np.int8),
        "angle": np.array([0.0, 0.0, 1.5, nan, nan, nan, nan]),
        "noise_strength": np.array([0.3, 0.3, 4.0, nan, nan, nan, nan]),
        "scale_px": np.array([4.0, 4.0, 4.0, 4.0, 4.0, nan, nan]),
        "phase_order": np.array([nan, nan, nan, 0.5, nan, nan, nan]),
        "group": np.array([0, 0, 1, 2, 3, 4, 5]),
        "status": np.array([OK] * 6 + [FAILED], dtype=np.int8),
        "failure": np.array([""] * 6 + ["example"], dtype=object),
    }
    return xr.Dataset(
        {v.name: (v.dims, columns[v.name], v.attrs) for v in MICROSTRUCTURES.variables},
        attrs={"generators": json.dumps(GENERATORS), "periodic": False, "settings": "{}"},
    )
