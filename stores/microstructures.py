"""Schema of `data/microstructures.zarr`: one row per synthetic micrograph, with the parameters that made it.

    image[i, y, x]   grey in [0, 1]
    generator[i]     code of the generator, its position in the attribute `generators`
    group[i]         parameter point: realisations of one point share it. Split by it, or other
                     realisations of a test image are trained on

Parameters that a generator does not have are NaN. An image that could not be made keeps its row: status 1, the reason
in `failure`, zeros as image. Attributes: `generators` (JSON list of names by code), `periodic` (true where opposite
edges of the lamellae and grains fit together; phase_order and cahn_hilliard are always periodic), `settings` (JSON of
the params). A store with generators beyond the four below also says which parameters they have, and their units:
`parameters`, JSON of {generator: {parameter: units}}. So the schema is a function of the attributes, `schema_of`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.outcome import FAILED, FAILURE_STATED, OK, outcome_variables
from stores.schema import Fact, StoreSchema, Variable
from stores.zarr_store import open_store

__all__ = [
    "GENERATORS",
    "MICROSTRUCTURES",
    "PARAMETERS",
    "generator_attributes",
    "microstructures_schema",
    "open_microstructures",
    "parameter_columns",
    "rows_of",
    "schema_of",
    "tiny",
]

GENERATORS = ("lamellae", "phase_order", "voronoi", "cahn_hilliard")
PARAMETERS = {  # column -> generators which have it
    "angle": ("lamellae",),
    "noise_strength": ("lamellae",),
    "scale_px": ("lamellae", "phase_order", "voronoi"),
    "phase_order": ("phase_order",),
}
ROW = ("sample",)


KNOWN = {  # units, description, range
    "angle": ("rad", "direction of the wave vector against x, period pi", {"low": 0, "high": np.pi}),
    "noise_strength": ("rad", "rms of the phase noise", {"low": 0}),
    "scale_px": ("px", "wavelength, or mean distance of cells: one cell per scale^2", {"above": 0}),
    "phase_order": ("dimensionless", "0: cells; 1: random Fourier phases", {"low": 0, "high": 1}),
}
Owners = Mapping[str, Sequence[int]]  # parameter -> codes of the generators that have it
Parameters = Mapping[str, Mapping[str, str]]  # generator -> parameter -> units, in the order of the codes


def _parameter(name: str, owners: Sequence[str], units: str) -> Variable:
    units, description, bounds = KNOWN.get(name, (units, name, {}))
    return Variable(
        name=name,
        dims=ROW,
        dtype="float64",
        units=units,
        description=f"{description} ({', '.join(owners)}; NaN of others)",
        nan_allowed=True,
        **bounds,  # type: ignore[arg-type]
    )


def parameter_columns(parameters: Parameters) -> list[str]:
    """The columns of parameters: those of the four known generators, and what others bring."""
    return list(dict.fromkeys([*PARAMETERS, *(name for entry in parameters.values() for name in entry)]))


def generator_attributes(parameters: Parameters) -> dict[str, str]:
    """What the attributes say of these generators; `schema_of` reads it."""
    more = {name: dict(entry) for name, entry in parameters.items() if name not in GENERATORS}
    said = {"generators": json.dumps(list(parameters))}
    return said | ({"parameters": json.dumps(more, sort_keys=True)} if more else {})


def schema_of(attributes: Mapping[str, Any]) -> StoreSchema:
    """The schema of a store with these global attributes. Raises ValueError where they tell no generators."""
    try:
        names, more = json.loads(attributes["generators"]), json.loads(attributes.get("parameters", "{}"))
        return microstructures_schema({name: more[name] if name in more else _known(name) for name in names})
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"microstructures: found generators {attributes.get('generators')!r} with parameters "
            f"{attributes.get('parameters')!r} in the attributes ({error!r}), expected JSON: names, and for all but "
            f" {list(GENERATORS)} their parameters with units"
        ) from None


def open_microstructures(path: Path | str) -> xr.Dataset:
    """The store, lazily, by the schema that its own attributes tell."""
    return open_store(path, schema_of(open_store(path).attrs))


def rows_of(images: xr.Dataset, generator: str, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Positions in `rows` (all rows of the store where not given) whose image is of this generator."""
    names = json.loads(images.attrs["generators"])
    codes = images["generator"].values if rows is None else images["generator"].values[rows]
    return np.flatnonzero(codes == names.index(generator)) if generator in names else np.zeros(0, dtype=np.int64)


def _known(generator: str) -> dict[str, str]:
    if generator not in GENERATORS:
        raise KeyError(generator)
    return {name: KNOWN[name][0] for name, owners in PARAMETERS.items() if generator in owners}


def _empty_where_made(block: xr.Dataset) -> NDArray[np.bool_]:
    """A made image has some contrast, a failed one is all zeros."""
    images = block["image"].values
    made = block["status"].values == OK
    flat = images.min(axis=(1, 2)) == images.max(axis=(1, 2))
    return np.asarray(np.where(made, flat, (images != 0).any(axis=(1, 2))))


def _parameters_of_another_generator(block: xr.Dataset, owners: Owners) -> NDArray[np.bool_]:
    generator = block["generator"].values
    bad = np.zeros(generator.shape, dtype=bool)
    for name, codes in owners.items():
        bad |= np.isnan(block[name].values) == np.isin(generator, codes)
    return bad


def _realisations_differ(block: xr.Dataset, columns: Sequence[str]) -> NDArray[np.bool_]:
    """Rows of one group share the generator and all its parameters."""
    _, first, group = np.unique(block["group"].values, return_index=True, return_inverse=True)
    bad = np.zeros(group.shape, dtype=bool)
    for name in ("generator", *columns):
        values = block[name].values
        same = (values == values[first][group]) | (np.isnan(values) & np.isnan(values[first][group]))
        bad |= ~same
    return bad


def microstructures_schema(parameters: Parameters) -> StoreSchema:
    """The contract of a store with these generators."""
    columns = parameter_columns(parameters)
    names = list(parameters)
    owners = {
        column: [*PARAMETERS.get(column, ()), *(g for g in names if g not in GENERATORS and column in parameters[g])]
        for column in columns
    }
    codes = {column: [names.index(owner) for owner in owners[column] if owner in names] for column in columns}
    units = {column: unit for entry in parameters.values() for column, unit in entry.items()}
    return StoreSchema(
        name="microstructures",
        version="2",
        coordinates=(),
        variables=(
            Variable("image", ("sample", "y", "x"), "float32", "dimensionless", "grey value", low=0, high=1),
            Variable(
                "generator",
                ROW,
                "int8",
                "dimensionless",
                ", ".join(f"{code} {name}" for code, name in enumerate(names)),
                choices=tuple(range(len(names))),
            ),
            *(_parameter(column, owners[column], units.get(column, "")) for column in columns),
            Variable("group", ROW, "int64", "dimensionless", "parameter point; split by it", low=0),
            *outcome_variables("made"),
        ),
        facts=(
            FAILURE_STATED,
            Fact(
                "made_where_ok", "contrast where status is 0, zeros elsewhere", ("status", "image"), _empty_where_made
            ),
            Fact(
                "own_parameters",
                "numbers in the parameters of the generator, NaN in those of others",
                ("generator", *columns),
                lambda block: _parameters_of_another_generator(block, codes),
            ),
            Fact(
                "realisations_agree",
                "one generator and one set of parameters in all rows of a group",
                ("group", "generator", *columns),
                lambda block: _realisations_differ(block, columns),
                whole=True,
            ),
        ),
        attributes=("generators", "periodic", "settings"),
    )


MICROSTRUCTURES = microstructures_schema({name: _known(name) for name in GENERATORS})


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
    return MICROSTRUCTURES.dataset(columns, {"generators": json.dumps(GENERATORS), "periodic": False, "settings": "{}"})
