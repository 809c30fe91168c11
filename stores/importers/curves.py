"""Curves or images with what is known of them, out of files of any science: one array, and a number per row.

    .zarr, .nc, .h5, .hdf5      variables whose first dimension is that of the array; stores of this project among them
    .npz                        arrays of the same length
    .csv, .parquet              the curve is the columns that match a pattern such as `a_*`, in the order of the file

The array has two dimensions (row, point) or three (row, height, width). Its axis is the coordinate of the second one,
of a table the numbers at the end of the columns' names, else 0, 1, 2, ... Nothing that a file holds can run code:
pickled arrays are refused.

Rows that are not finite are refused, or dropped and counted; those of a store of this project whose status is not 0
are always dropped. Rows that share a group are copies or repetitions of one
another, and stay together in every split: the column `group`, else equal inputs. Equal curves in different groups would
put a row of the test into the training, and are refused with their numbers.
"""

import fnmatch
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.importers.foreign_files import first_line, npz_arrays, readable, require_own_content, require_room
from stores.layout import JSON_BYTES

__all__ = ["FORMATS", "CurveTable", "read_curves"]

FORMATS = (".zarr", ".nc", ".h5", ".hdf5", ".npz", ".csv", ".parquet")
N_NAMED = 5
SMALL_FILE_BYTES = 2**26
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CurveTable:
    """Finite rows. `columns` are inputs and known quantities; groups are numbered from 0."""

    curves: Array  # (n_rows, n_points)
    shape: tuple[int, ...]  # of one row: (n_points,) or (height, width)
    axis: Array  # (n_points,) of curves; of images the pixel
    axis_name: str
    columns: dict[str, Array]
    groups: NDArray[np.int64]
    n_dropped: int


def read_curves(
    path: Path, array: str, columns: Sequence[str], *, group: str | None = None, drop_not_finite: bool = False
) -> CurveTable:
    """Raises ValueError or FileNotFoundError that says what was found, what was expected, and the names there are."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: found no file, expected data in one of {', '.join(FORMATS)}")
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{path}: found the suffix {suffix or 'none'!r}, expected one of {', '.join(FORMATS)}")
    read = _table if suffix in (".csv", ".parquet") else _arrays
    values, axis, axis_name, given, failed = read(path, array, [*columns, *([group] if group else [])])
    known = {name: _numbers(given[name], f"{path}: {name}") for name in dict.fromkeys(columns)}
    shape = values.shape[1:]
    rows = values.reshape(len(values), -1)
    bad = np.asarray(~np.isfinite(rows).all(1))
    for column in known.values():
        bad |= ~np.isfinite(column)
    bad &= ~failed
    if bad.any() and not drop_not_finite:
        raise ValueError(
            f"{path}: found {int(bad.sum())} of {len(bad)} rows with values that are not finite (rows "
            f"{_some(np.flatnonzero(bad))}), expected none; mend them, or leave them out with --drop-not-finite"
        )
    kept = ~(bad | failed)
    rows, known = rows[kept], {name: column[kept] for name, column in known.items()}
    if constant := [name for name, column in known.items() if len(column) and np.ptp(column) == 0]:
        raise ValueError(
            f"{path}: found {', '.join(constant)} constant over all rows, expected values that vary; leave them out"
        )
    groups = _groups(np.asarray(given[group])[kept] if group else None, known, len(rows))
    _require_no_copies(path, rows, groups, np.flatnonzero(kept))
    return CurveTable(
        curves=rows,
        shape=shape,
        axis=axis if len(shape) == 1 else np.arange(rows.shape[1], dtype=float),
        axis_name=axis_name if len(shape) == 1 else "pixel",
        columns=known,
        groups=groups,
        n_dropped=int((~kept).sum()),
    )


Read = tuple[Array, Array, str, dict[str, Any], NDArray[np.bool_]]  # values, axis, its name, raw columns, failed rows


def _arrays(path: Path, array: str, names: Sequence[str]) -> Read:
    with _opened(path) as data:
        present = [str(name) for name in data.variables]
        _require_names(path, [array, *names], present)
        values = data[array]
        if values.ndim not in (2, 3):
            raise ValueError(
                f"{path}: {array}: found {values.ndim} dimensions {tuple(values.sizes.items())}, expected (row, point) "
                "or (row, height, width)"
            )
        require_room(f"{path}: {array}", 8 * int(values.size))
        row, point = values.dims[:2]
        for name in [array, *names, *([point] if point in data.variables else [])]:
            chunk = [
                int(size) for size in data[name].encoding.get("chunks") or data[name].encoding.get("chunksizes") or ()
            ]
            require_room(f"{path}: a chunk of {name}", math.prod(chunk) * data[name].dtype.itemsize)
        for name in names:
            if data[name].dims != (row,) and data[name].shape != (values.shape[0],):
                raise ValueError(f"{path}: {name}: found the shape {data[name].shape}, expected ({values.shape[0]},)")
        curves = _numbers(_loaded(path, values), f"{path}: {array}")
        own_axis = point in data.variables and data[point].ndim == 1 and data[point].dtype.kind in "fiu"
        axis = np.asarray(_loaded(path, data[point]) if own_axis else np.arange(values.shape[1]), dtype=np.float64)
        stored = "schema_version" in data.attrs and "status" in data and data["status"].dims == (row,)
        failed = _loaded(path, data["status"]) != 0 if stored else np.zeros(len(curves), dtype=bool)
        return (
            curves,
            axis,
            str(point) if own_axis else "point",
            {name: _loaded(path, data[name]) for name in names},
            failed,
        )


def _loaded(path: Path, variable: xr.DataArray) -> NDArray[Any]:
    try:
        return np.asarray(variable.values)
    except Exception as error:  # codecs raise errors of many kinds on damaged chunks
        found = f"({type(error).__name__}: {first_line(error)})"
        raise ValueError(f"{path}: {variable.name}: cannot be read {found}, expected values; it is damaged") from error


def _opened(path: Path) -> xr.Dataset:
    """Lazily, so that nothing is read before its size is known."""
    if path.suffix == ".zarr":
        try:
            _require_no_pickles(path)
            store: xr.Dataset = xr.open_zarr(path, consolidated=False, chunks=None)
            return store
        except Exception as error:
            raise ValueError(f"{path}: cannot be read as Zarr ({type(error).__name__}: {first_line(error)})") from error
    with readable(path, "a file of arrays", lambda: str(path)):
        if path.suffix == ".npz":
            loaded = npz_arrays(path)
            arrays = xr.Dataset(
                {
                    name: xr.DataArray(
                        values, dims=[f"{'row' if k == 0 else f'{name}_{k}'}" for k in range(values.ndim)]
                    )
                    for name, values in loaded.items()
                    if values.ndim and values.shape[0] == max(map(len, filter(np.ndim, loaded.values())))
                }
            )
            return arrays
        if _is_hdf5(path):
            require_own_content(path)
        options: dict[str, Any] = {"phony_dims": "sort"} if _is_hdf5(path) else {}
        engine = _engine(path)
        # of a file on disk SciPy asks for what a header claims
        in_memory = engine == "scipy" and path.stat().st_size < SMALL_FILE_BYTES
        source = io.BytesIO(path.read_bytes()) if in_memory else path
        opened: xr.Dataset = xr.open_dataset(source, engine=engine, **options)
        return opened


def _require_no_pickles(path: Path) -> None:
    """Zarr has a codec that unpickles, which can run code; not every release of numcodecs refuses it."""

    def pickles(node: Any) -> bool:  # noqa: ANN401 - JSON
        if isinstance(node, dict):
            return any("pickle" in str(node.get(key, "")) for key in ("id", "name")) or any(map(pickles, node.values()))
        return isinstance(node, list) and any(map(pickles, node))

    for pattern in (".zarray", "zarr.json"):
        for file in (path / pattern, *path.glob(f"*/{pattern}")):
            if file.is_file() and pickles(json.loads(file.read_bytes()[:JSON_BYTES])):
                raise ValueError(
                    f"found the codec pickle in {file.relative_to(path)}, which can run code; it is refused"
                )


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _engine(path: Path) -> Any:  # noqa: ANN401 - xarray's literal
    if not _is_hdf5(path):
        return "scipy"  # NetCDF 3
    try:
        import h5netcdf  # noqa: F401
    except ImportError as error:
        raise ValueError(f"{path}: HDF5 needs h5netcdf: pip install 'latentlaw[tables]'") from error
    return "h5netcdf"


def _table(path: Path, array: str, names: Sequence[str]) -> Read:
    import pandas as pd

    with readable(path, "a table", lambda: str(path)):
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            metadata = pq.read_metadata(path)
            present, n_rows = list(metadata.schema.to_arrow_schema().names), metadata.num_rows
        else:
            n_rows = 0
            present = list(pd.read_csv(path, nrows=0).columns)
    points = [name for name in present if fnmatch.fnmatchcase(name, array) and name not in names]
    if not points:
        raise ValueError(
            f"{path}: found no column that matches {array!r}, expected a pattern such as 'a_*'; there are "
            f"{_listed(present)}"
        )
    _require_names(path, names, present)
    wanted = list(dict.fromkeys([*points, *names]))
    require_room(f"{path}: {array}", max(path.stat().st_size, 8 * n_rows * len(wanted)))
    with readable(path, "a table", lambda: str(path)):
        frame = (
            pd.read_parquet(path, columns=wanted) if path.suffix == ".parquet" else pd.read_csv(path, usecols=wanted)
        )
    values = np.column_stack([_numbers(frame[name].to_numpy(), f"{path}: {name}") for name in points])
    numbers = [re.search(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?$", name) for name in points]
    axis = [float(found.group()) for found in numbers if found]
    usable = len(axis) == len(points) and bool((np.diff(axis) > 0).all())
    return (
        values,
        np.array(axis) if usable else np.arange(len(points), dtype=float),
        "point" if not usable else array.strip("*_ ") or "point",
        {name: frame[name].to_numpy() for name in names},
        np.zeros(len(values), dtype=bool),
    )


def _require_names(path: Path, wanted: Sequence[str], present: Sequence[str]) -> None:
    if missing := [name for name in wanted if name not in present]:
        raise ValueError(f"{path}: found no {', '.join(missing)}, expected one of those there: {_listed(present)}")


def _numbers(values: Any, where: str) -> Array:  # noqa: ANN401 - what a file holds
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{where}: found values of type {array.dtype}, expected real numbers; a group may be text")
    return array.astype(np.float64)


def _groups(given: Any, columns: dict[str, Array], n_rows: int) -> NDArray[np.int64]:  # noqa: ANN401 - any labels
    if given is not None:
        return np.asarray(np.unique(given, return_inverse=True)[1], dtype=np.int64).reshape(n_rows)
    if not columns:
        return np.arange(n_rows)
    return np.unique(np.column_stack(list(columns.values())), axis=0, return_inverse=True)[1].reshape(n_rows)


def _require_no_copies(path: Path, rows: Array, groups: NDArray[np.int64], numbers: NDArray[np.intp]) -> None:
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    other = np.flatnonzero(groups[first][inverse.reshape(-1)] != groups)
    if len(other):
        pairs = [f"{numbers[first[inverse.reshape(-1)[i]]]} and {numbers[i]}" for i in other[:N_NAMED]]
        raise ValueError(
            f"{path}: found {len(other)} rows whose curve is that of a row in another group (rows "
            f"{', '.join(pairs)}{', ...' if len(other) > N_NAMED else ''}), expected copies to share a group; name the "
            "column that they share with --group"
        )


def _some(numbers: NDArray[np.intp]) -> str:
    return ", ".join(map(str, numbers[:N_NAMED])) + (", ..." if len(numbers) > N_NAMED else "")


def _listed(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
