"""Reading and writing stores: sharded Zarr v3 directories with one logical hash.

Everything that could make bytes depend on the day, the machine or the number of workers is fixed here: zstd level 3,
sorted attributes, no timestamps, chunk and shard sizes from dtype and shape alone, and rows
written in order, whole shards only (writers that share a shard lose each other's rows without an error).

Inner chunks carry a zstd checksum and a crc32c, shards a crc32c of their index: a flipped bit is an error on reading,
never a number. Empty chunks are written too, so that a missing file always means missing data.

    chunk  about 128 KiB, what a reader decodes at least
    shard  about 1 MiB, one file

Stores are also written for readers who know nothing of this project. The metadata of all arrays stand once more in that
of the group (consolidated), where xarray looks first. Attributes are texts, numbers and bools, for netCDF holds no
others. Columns of text name a missing value, which no cell has: by it xarray takes them as objects, which it can pad,
group and save, not as NumPy's StringDType, which it cannot.
"""

import hashlib
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.errors import ZarrUserWarning

from stores.building import building, store_kind
from stores.layout import JSON_BYTES, READ_ERRORS, ROW_BYTES, read_header, row_bytes, scan, stored_shapes
from stores.manifest import CURE, Manifest, VariableHash, store_hash
from stores.schema import MISSING_TEXT, SchemaError, StoreSchema, Variable, Violation
from stores.validate import require_valid

__all__ = [
    "StoreWriter",
    "compute_manifest",
    "metadata_hash",
    "open_store",
    "read_blocks",
    "write_parts",
    "write_store",
]

ZSTD_LEVEL = 3


class StoreWriter:
    """Writes a new store at `path`, each variable row after row, in any mixture of variables.

    `sizes` gives the length of every dimension; coordinates are written at once. `finish` checks that all rows came,
    hashes what lies on disk and adds the manifest.

    Raises:
        FileExistsError: something lies at `path` already.
        ValueError: wrong dtype or shape, too many or too few rows; the message names the variable.
    """

    def __init__(
        self,
        path: str | Path,
        schema: StoreSchema,
        *,
        sizes: Mapping[str, int],
        coordinates: Mapping[str, NDArray[Any]],
        attributes: Mapping[str, Any],
    ) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise FileExistsError(f"{self.path} exists already; expected a new path. Remove it or choose another")
        self.schema = schema
        self.sizes = {dim: int(size) for dim, size in sizes.items()}
        if wrong := [key for key, value in attributes.items() if not isinstance(value, str | int | float)]:
            raise ValueError(f"{self.path}: attributes {wrong} are no text, number or bool; write them as JSON text")
        reserved = {"schema": schema.name, "schema_version": schema.version}
        self.attributes = _sorted({**attributes, **reserved})
        self._group = zarr.open_group(self.path, mode="w-", zarr_format=3, attributes=self.attributes)
        self._arrays = {v.name: self._create(v) for v in sorted(schema.all_variables, key=lambda v: v.name)}
        self._pending: dict[str, list[NDArray[Any]]] = {name: [] for name in self._arrays}
        self._n_written = dict.fromkeys(self._arrays, 0)
        for variable in schema.coordinates:
            self.write(variable.name, coordinates[variable.name])

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Append rows to one variable; they reach the disk as soon as they fill a shard."""
        if name not in self._arrays:
            raise ValueError(f"{self.path}: found variable {name!r}, expected one of {sorted(self._arrays)}")
        array = self._arrays[name]
        variable = self.schema.variable(name)
        rows = np.asarray(values)
        if rows.shape[1:] != array.shape[1:] or rows.ndim != array.ndim:
            raise ValueError(f"{self.path}, {name}: found rows of shape {rows.shape[1:]}, expected {array.shape[1:]}")
        if variable.dtype == "str":
            rows = rows.astype(object)
        elif rows.dtype != variable.numpy_dtype:
            raise ValueError(
                f"{self.path}, {name}: found dtype {rows.dtype}, expected {variable.dtype}; convert it first"
            )
        self._pending[name].append(rows)
        self._flush(name, whole_shards_only=True)

    def finish(self) -> Manifest:
        for name in self._arrays:
            self._flush(name, whole_shards_only=False)
        counts = [
            f"{name}: found {self._n_written[name]} rows, expected {array.shape[0]}"
            for name, array in self._arrays.items()
            if self._n_written[name] != array.shape[0]
        ]
        if counts:
            raise ValueError(f"{self.path} is not complete: " + "; ".join(counts))
        manifest = compute_manifest(self.path, self.schema)
        self._group.attrs.put(_sorted({**self.attributes, "manifest": manifest.as_text()}))
        with warnings.catch_warnings():  # "not part of the specification": readers that do not know it pass it over
            warnings.simplefilter("ignore", ZarrUserWarning)
            zarr.consolidate_metadata(self.path, zarr_format=3)
        return manifest

    def _create(self, variable: Variable) -> Any:  # noqa: ANN401 - a zarr.Array, whose type parameter changes between releases
        try:
            shape = tuple(self.sizes[dim] for dim in variable.dims)
        except KeyError as missing:
            raise ValueError(f"{self.path}: sizes lack dimension {missing} of variable {variable.name}") from None
        if row_bytes(variable, shape[1:]) > ROW_BYTES:
            raise ValueError(
                f"{self.path}, {variable.name}: found rows of shape {shape[1:]}, larger than {ROW_BYTES} bytes"
            )
        chunk, shard = stored_shapes(variable, shape)
        fill: Any = {"f": np.nan, "O": ""}.get(variable.numpy_dtype.kind, 0)
        return self._group.create_array(
            variable.name,
            shape=shape,
            dtype=str if variable.dtype == "str" else variable.numpy_dtype,
            chunks=chunk,
            shards=shard,
            compressors=[ZstdCodec(level=ZSTD_LEVEL, checksum=True), Crc32cCodec()],
            fill_value=bool(fill) if variable.dtype == "bool" else fill,
            dimension_names=variable.dims,
            attributes={**variable.attrs, **({"missing_value": MISSING_TEXT} if variable.dtype == "str" else {})},
            config={"write_empty_chunks": True},
        )

    def _flush(self, name: str, *, whole_shards_only: bool) -> None:
        array = self._arrays[name]
        n_pending = sum(rows.shape[0] for rows in self._pending[name])
        start = self._n_written[name]
        if start + n_pending > array.shape[0]:
            raise ValueError(f"{self.path}, {name}: found {start + n_pending} rows, expected {array.shape[0]}")
        n_rows = n_pending - n_pending % array.shards[0] if whole_shards_only else n_pending
        if n_rows == 0:
            return
        rows = np.concatenate(self._pending[name])
        array[start : start + n_rows] = rows[:n_rows]
        self._pending[name] = [rows[n_rows:]] if n_rows < n_pending else []
        self._n_written[name] += n_rows


def write_store(path: str | Path, schema: StoreSchema, dataset: xr.Dataset) -> Manifest:
    """Write a dataset in memory as a store, validate it and move it to `path`, replacing a store of this schema.

    Global attributes are those of `dataset`. Raises SchemaError, or OutputRefused where something else lies at `path`;
    either leaves `path` as it was.
    """
    missing = [v.name for v in schema.all_variables if v.name not in dataset.variables]
    extra = [str(name) for name in dataset.variables if name not in {v.name for v in schema.all_variables}]
    if missing or extra:
        names = [Violation(variable=name, where="dataset", problem="missing variable") for name in missing]
        names += [Violation(variable=name, where="dataset", problem="unexpected variable") for name in extra]
        raise SchemaError(f"{path}: not written", names, f"give exactly the variables of schema {schema.name}")
    columns = {v.name: dataset[v.name].transpose(*v.dims).values for v in schema.all_variables}
    return write_parts(
        path,
        schema,
        [{v.name: columns[v.name] for v in schema.variables}],
        sizes={str(dim): int(size) for dim, size in dataset.sizes.items()},
        coordinates={v.name: columns[v.name] for v in schema.coordinates},
        attributes={str(key): value for key, value in dataset.attrs.items()},
    )


def write_parts(
    path: str | Path,
    schema: StoreSchema,
    parts: Iterable[Mapping[str, NDArray[Any]]],
    *,
    sizes: Mapping[str, int],
    attributes: Mapping[str, Any],
    coordinates: Mapping[str, NDArray[Any]] | None = None,
) -> Manifest:
    """Write a store whose rows come part by part, each the next rows of every variable, as `write_store` does.

    `sizes` gives the length of every dimension. Besides, raises ValueError where parts do not add up to it.
    """
    with building(path, store_kind(schema)) as workplace:
        writer = StoreWriter(workplace, schema, sizes=sizes, coordinates=coordinates or {}, attributes=attributes)
        for part in parts:
            for name, rows in part.items():
                writer.write(name, rows)
        manifest = writer.finish()
        require_valid(workplace, schema)
    return manifest


def open_store(path: str | Path, schema: StoreSchema | None = None) -> xr.Dataset:
    """Open a store lazily and read-only: arrays are read when they are indexed, `.load()` reads everything.

    With `schema`, a store of another kind or version raises SchemaError. So does any with a named pipe or the like
    among its files, or with fewer files than its metadata claim. Values are not checked here: stages publish stores
    only after full validation, and `latentlaw validate PATH` repeats it.
    """
    if not (Path(path) / "zarr.json").is_file():
        raise FileNotFoundError(
            f"{path}: no store found; expected a Zarr directory. Make it with `dvc repro` or `dvc pull`"
        )
    _require_readable(Path(path))
    try:
        dataset: xr.Dataset = xr.open_zarr(Path(path), consolidated=False, chunks=None)
    except READ_ERRORS as error:
        problem = f"cannot be read ({type(error).__name__}: {error})"
        raise SchemaError(
            str(path), [Violation(variable="(store)", where="metadata", problem=problem)], CURE
        ) from error
    if schema is not None:
        check_kind(str(path), dataset.attrs, schema)
    return dataset


def _require_readable(path: Path) -> None:
    """Raise SchemaError where reading would wait for ever, or hand out fill values and memory for what is not there."""
    entries = scan(path)
    violations = [
        Violation(variable="(store)", where=name, problem=f"found {kind}, expected a file")
        for name, kind in entries.special.items()
    ]
    for name in (name for name in entries.files if Path(name).name == "zarr.json"):
        folder = name.removesuffix("/zarr.json")
        if (size := entries.files[name]) > JSON_BYTES:
            problem = f"found {size} bytes, expected metadata"
            violations.append(Violation(variable="(store)", where=name, problem=problem))
        if folder == name or size > JSON_BYTES:
            continue
        try:
            header = read_header(path / name)
        except READ_ERRORS:
            continue  # xarray says what is wrong with it
        if header.shard is None:
            continue
        n_shards, n_files = math.prod(header.grid), sum(file.startswith(f"{folder}/c/") for file in entries.files)
        if n_shards > n_files or header.shard_bytes > ROW_BYTES:
            problem = f"claims {n_shards} shards of {header.shard_bytes} bytes, found {n_files} files"
            violations.append(Violation(variable=folder, where="zarr.json", problem=problem))
    if violations:
        raise SchemaError(str(path), violations, CURE)


def check_kind(what: str, attributes: Mapping[Any, Any], schema: StoreSchema) -> None:
    """Raise SchemaError unless the attributes claim this schema in this version."""
    violations = []
    for key, expected in (("schema", schema.name), ("schema_version", schema.version)):
        if (value := attributes.get(key)) != expected:
            problem = f"found {key} {value!r}, expected {expected!r}"
            violations.append(Violation(variable="(store)", where="attributes", problem=problem))
    if violations:
        raise SchemaError(
            what, violations, "regenerate the store with `dvc repro`, or check out the code it was made with"
        )


def read_blocks(array: Any) -> Iterator[tuple[int, NDArray[Any]]]:  # noqa: ANN401 - see StoreWriter._create
    """Decode a zarr array shard by shard: first row and rows, in order."""
    step = int((array.shards or array.chunks)[0]) if array.ndim else 1
    for start in range(0, array.shape[0], step):
        values = np.asarray(array[start : start + step])
        yield start, values.astype(object) if values.dtype.kind in "UT" else values


def compute_manifest(path: str | Path, schema: StoreSchema) -> Manifest:
    """Read every cell of the variables that the schema names and hash them."""
    group = zarr.open_group(Path(path), mode="r", zarr_format=3)
    hashes: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for variable in schema.all_variables:
        array: Any = group[variable.name]
        sizes.update(zip(variable.dims, (int(size) for size in array.shape), strict=True))
        sha256 = VariableHash(variable.name, variable.dtype, array.shape, variable.dims, dict(array.attrs))
        for _, values in read_blocks(array):
            sha256.update(values)
        hashes[variable.name] = sha256.hexdigest()
    attributes = {key: value for key, value in group.attrs.items() if key != "manifest"}
    return Manifest(
        schema=schema.name,
        schema_version=schema.version,
        sizes=_sorted(sizes),
        hash=store_hash(attributes, hashes),
        variables=_sorted(hashes),
        metadata=_sorted({name: metadata_hash(Path(path), name) for name in hashes}),
    )


def metadata_hash(store: Path, name: str) -> str:
    return hashlib.sha256((store / name / "zarr.json").read_bytes()).hexdigest()


def _sorted(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _sorted(v) if isinstance(v := mapping[key], Mapping) else v for key in sorted(mapping)}
