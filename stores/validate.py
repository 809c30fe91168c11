"""Is the store at PATH valid? `python -m stores.validate PATH [--manifest FILE]`: says so, or lists every violation.

In this order, each on what the former found sound:

    layout      metadata readable, no stray files, every shard on disk
    structure   names, dimensions, dtypes, units, attributes: pandera on metadata
    values      every shard decoded (a truncated or altered file fails its checksum), pandera on loaded blocks, facts
    identity    the logical hash against the manifest inside the store, and against FILE if given

The schema is found by the store's own attribute `schema`: module `stores.<name>`, constant `<NAME>` or
function `schema_of(attributes)`.
"""

import argparse
import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Mapping
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from stores.manifest import VariableHash, store_hash
from stores.schema import (
    SchemaError,
    StoreSchema,
    Violation,
    block_violations,
    structure_violations,
    whole_violations,
)
from stores.zarr_store import metadata_hash, read_manifest

__all__ = ["find_schema", "main", "require_valid", "validate"]

CURE = "bring it back with `dvc checkout` or `dvc pull`, or make it anew with `dvc repro`"
GROUP_KEYS = {"attributes", "node_type", "zarr_format"}
READ_ERRORS = (OSError, ValueError, RuntimeError, TypeError, LookupError, EOFError)  # what damaged shards raise in zarr


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m stores.validate", description="Check a store against its schema.")
    parser.add_argument("path", type=Path, metavar="PATH", help="store, e.g. data/spectra.zarr")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="JSON with the expected `hash` (default: none)")
    options = parser.parse_args(arguments)
    violations = validate(options.path)
    if options.manifest is not None:
        violations += _against_manifest_file(options.path, options.manifest)
    if violations:
        print(SchemaError(str(options.path), violations, CURE))
        return 1
    manifest = read_manifest(options.path)
    print(f"{options.path}: valid {manifest.schema} store, version {manifest.schema_version}, sizes {manifest.sizes}")
    print(f"hash {manifest.hash}")
    return 0


def require_valid(path: str | Path, schema: StoreSchema) -> None:
    """Raise SchemaError with every violation of the store at `path`."""
    if violations := validate(path, schema):
        raise SchemaError(str(path), violations, CURE)


def validate(path: str | Path, schema: StoreSchema | None = None) -> list[Violation]:
    """Every violation of the store at `path`, against `schema` or the one that its attributes name."""
    root = Path(path)
    attributes, found = _attributes(root)
    if found:
        return found
    if schema is None:
        schema = find_schema(attributes.get("schema"), attributes)
        if schema is None:
            problem = f"found schema {attributes.get('schema')!r}, expected the name of a schema in stores/"
            return [Violation(variable="(store)", where="attributes", problem=problem)]
    layout = _Layout(root)
    found += layout.violations
    found += structure_violations(_template(layout, attributes), schema) if layout.sizes_agree else []
    sound = [v.name for v in schema.all_variables if v.name in layout.arrays and _as_declared(layout, v)]
    hashes, of_values = _values(layout, schema, sound)
    return found + of_values + _identity(root, attributes, hashes, schema, layout)


def find_schema(name: object, attributes: Mapping[str, Any] | None = None) -> StoreSchema | None:
    """The schema called `name`, a module of `stores` with the constant `NAME`; None where there is none.

    A module whose variables depend on the store has a function `schema_of(attributes)` instead.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return None
    if importlib.util.find_spec(f"stores.{name}") is None:
        return None
    module = importlib.import_module(f"stores.{name}")
    if hasattr(module, "schema_of") and attributes is not None:
        try:
            schema = module.schema_of(attributes)
        except ValueError:
            return None
    else:
        schema = getattr(module, name.upper(), None)
    return schema if isinstance(schema, StoreSchema) else None


class _Layout:
    """Arrays of a store by name, the rows whose shard is missing, and what is wrong with its files."""

    def __init__(self, root: Path) -> None:
        self.arrays: dict[str, Any] = {}
        self.missing: dict[str, list[tuple[int, int]]] = {}
        self.violations: list[Violation] = []
        expected = {root / "zarr.json"}
        for folder in sorted(entry for entry in root.iterdir() if entry.is_dir()):
            try:
                self.arrays[folder.name] = zarr.open_array(folder, mode="r", zarr_format=3)
            except READ_ERRORS as error:
                self._add(folder.name, "zarr.json", f"metadata cannot be read: {error}")
                expected |= set(folder.rglob("*"))
                continue
            expected |= {folder / "zarr.json"} | self._shards(folder)
        for stray in sorted(set(path for path in root.rglob("*") if path.is_file()) - expected):
            self._add("(store)", str(stray.relative_to(root)), "unexpected file; remove it")
        lengths: dict[str, dict[int, list[str]]] = {}
        for name, array in self.arrays.items():
            for dim, size in zip(_dims(array), array.shape, strict=True):
                lengths.setdefault(dim, {}).setdefault(int(size), []).append(name)
        unequal = {dim: by_size for dim, by_size in lengths.items() if len(by_size) > 1}
        self.sizes_agree = not unequal
        for dim, by_size in unequal.items():
            self._add("(store)", f"dimension {dim}", f"found lengths {by_size}, expected one length for all variables")

    def _shards(self, folder: Path) -> set[Path]:
        array = self.arrays[folder.name]
        shard = array.shards or array.chunks
        grid = [range(-(-size // step)) for size, step in zip(array.shape, shard, strict=True)]
        files = set()
        for index in product(*grid):
            file = folder / array.metadata.encode_chunk_key(index)
            files.add(file)
            if not file.is_file():
                first, stop = (index[0] * shard[0], min((index[0] + 1) * shard[0], array.shape[0])) if index else (0, 1)
                self.missing.setdefault(folder.name, []).append((first, stop))
                self._add(folder.name, f"rows {first} to {stop - 1}", f"shard {file.relative_to(folder)} is missing")
        return files

    def _add(self, variable: str, where: str, problem: str) -> None:
        self.violations.append(Violation(variable=variable, where=where, problem=problem))


def _attributes(root: Path) -> tuple[dict[str, Any], list[Violation]]:
    try:
        if not (root / "zarr.json").is_file():
            raise FileNotFoundError("no store here: found no zarr.json")
        keys = set(json.loads((root / "zarr.json").read_text()))
        if keys != GROUP_KEYS:
            raise ValueError(f"found keys {sorted(keys)}, expected {sorted(GROUP_KEYS)}")
        return dict(zarr.open_group(root, mode="r", zarr_format=3).attrs), []
    except READ_ERRORS as error:
        problem = f"metadata cannot be read: {error}"
        return {}, [Violation(variable="(store)", where=str(root / "zarr.json"), problem=problem)]


def _dims(array: Any) -> tuple[str, ...]:  # noqa: ANN401 - zarr.Array
    names = array.metadata.dimension_names or ()
    return tuple(name or f"(dimension {i})" for i, name in enumerate(names)) or tuple(
        f"(dimension {i})" for i in range(array.ndim)
    )


def _template(layout: _Layout, attributes: Mapping[str, Any]) -> xr.Dataset:
    """The store with one zero for all cells: its structure without its data."""
    variables = {}
    for name, array in layout.arrays.items():
        dtype = np.dtype(object) if array.dtype.kind in "OUT" else array.dtype
        variables[name] = (_dims(array), np.broadcast_to(np.zeros((), dtype), array.shape), dict(array.attrs))
    told = {key: value for key, value in attributes.items() if key != "manifest"}
    return xr.Dataset(variables, attrs=told)


def _as_declared(layout: _Layout, variable: Any) -> bool:  # noqa: ANN401 - Variable
    array = layout.arrays[variable.name]
    same_dtype = array.dtype.kind in "OUT" if variable.dtype == "str" else array.dtype == variable.numpy_dtype
    return same_dtype and _dims(array) == variable.dims


def _values(layout: _Layout, schema: StoreSchema, sound: list[str]) -> tuple[dict[str, str], list[Violation]]:
    """Hash of each variable that could be read wholly, and the violations of values."""
    found: list[Violation] = []
    hashes: dict[str, str] = {}
    whole: dict[str, Any] = {}
    wanted_whole = {name for fact in schema.facts if fact.whole for name in fact.variables}
    for _, group in groupby(sorted(sound, key=lambda name: _leading(layout, name)), key=lambda n: _leading(layout, n)):
        names = list(group)
        arrays = {name: layout.arrays[name] for name in names}
        told = {
            n: VariableHash(n, schema.variable(n).dtype, a.shape, _dims(a), dict(a.attrs)) for n, a in arrays.items()
        }
        step = min(int((array.shards or array.chunks)[0]) for array in arrays.values())
        n_rows = max(int(array.shape[0]) for array in arrays.values())
        broken: set[str] = set()
        for start in range(0, n_rows, step):
            stop = min(start + step, n_rows)
            block = xr.Dataset()
            for name, array in arrays.items():
                values, problem = _read(array, start, stop, layout.missing.get(name, []))
                if values is None:
                    broken.add(name)
                    found += (
                        [Violation(variable=name, where=f"rows {start} to {stop - 1}", problem=problem)]
                        if problem
                        else []
                    )
                elif values.shape[0] == stop - start:
                    told[name].update(values)
                    block[name] = (_dims(array), values)
                    if name in wanted_whole:
                        whole.setdefault(name, []).append(values)
            found += block_violations(block, schema, first_row=start)
        for name in broken:
            whole.pop(name, None)
        hashes |= {name: told[name].hexdigest() for name in names if name not in broken}
    if layout.sizes_agree:
        pieces = {name: (_dims(layout.arrays[name]), np.concatenate(rows)) for name, rows in whole.items()}
        found += whole_violations(xr.Dataset(pieces), schema)
    return hashes, found


def _leading(layout: _Layout, name: str) -> str:
    return _dims(layout.arrays[name])[0]


def _read(array: Any, start: int, stop: int, missing: list[tuple[int, int]]) -> tuple[NDArray[Any] | None, str]:  # noqa: ANN401
    if any(first < stop and start < last for first, last in missing):
        return None, ""  # reported by the layout already; zarr would hand out fill values
    try:
        values = np.asarray(array[start:stop])
    except READ_ERRORS as error:
        return None, f"cannot be decoded, the file is damaged: {type(error).__name__}: {error}"
    return (values.astype(object) if values.dtype.kind in "UT" else values), ""


def _identity(
    root: Path, attributes: Mapping[str, Any], hashes: Mapping[str, str], schema: StoreSchema, layout: _Layout
) -> list[Violation]:
    """Compare with the manifest inside, which was written last: cells, metadata files, sizes and global attributes."""
    manifest = attributes.get("manifest")
    if not isinstance(manifest, Mapping):
        return [Violation(variable="(store)", where="manifest", problem="no manifest: the store was never finished")]
    told = {key: value if isinstance(value := manifest.get(key), Mapping) else {} for key in ("variables", "metadata")}
    found = [
        _differs(name, "manifest", hashes[name], told["variables"].get(name))
        for name in hashes
        if hashes[name] != told["variables"].get(name)
    ]
    for name in layout.arrays:
        if (now := metadata_hash(root, name)) != told["metadata"].get(name):
            found.append(_differs(name, "zarr.json", now, told["metadata"].get(name)))
    sizes = {dim: size for array in layout.arrays.values() for dim, size in zip(_dims(array), array.shape, strict=True)}
    now_told = {"schema": schema.name, "schema_version": schema.version} | (
        {"sizes": sizes} if layout.sizes_agree else {}
    )
    for key, value in now_told.items():
        if manifest.get(key) != value:
            found.append(_differs("(store)", "manifest", value, manifest.get(key), what=key))
    if set(hashes) == {v.name for v in schema.all_variables}:
        now = store_hash(attributes, hashes)
        if now != manifest.get("hash"):
            found.append(
                _differs("(store)", "manifest", now, manifest.get("hash"), what="hash of cells and attributes")
            )
    return found


def _differs(variable: str, where: str, now: object, then: object, what: str = "hash") -> Violation:
    return Violation(variable=variable, where=where, problem=f"found {what} {now}, expected {then} as it was written")


def _against_manifest_file(store: Path, file: Path) -> list[Violation]:
    try:
        expected = json.loads(file.read_text())["hash"]
        found = read_manifest(store).hash
    except READ_ERRORS as error:
        return [Violation(variable="(store)", where=str(file), problem=f"no hash can be compared: {error}")]
    if found == expected:
        return []
    return [Violation(variable="(store)", where=str(file), problem=f"found hash {found}, expected {expected}")]


if __name__ == "__main__":
    sys.exit(main())
