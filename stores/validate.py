"""Is the store at PATH valid? `latentlaw validate PATH [--manifest FILE]` says so, or lists every violation.

In this order, each on what the former found sound:

    layout      metadata readable, nothing but the files and folders of a store, every shard on disk
    structure   names, dimensions, dtypes, units, attributes: pandera on metadata
    claims      chunks and shards as the writer makes them, files as large as they say: before memory is asked for
    values      every shard decoded (a truncated or altered file fails its checksum), pandera on loaded blocks, facts
    identity    the logical hash against the manifest inside the store, and against FILE if given

Whatever lies at PATH, the answer is a list of violations: nothing is waited for, and memory is asked for by the shard.

The schema is found by the store's own attribute `schema`: module `stores.<name>`, constant `<NAME>` or
function `schema_of(attributes)`.
"""

import importlib
import importlib.util
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise, product
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from stores.layout import (
    READ_ERRORS,
    ROW_BYTES,
    Header,
    read_header,
    read_json,
    row_bytes,
    scan,
    shard_problem,
    stored_shapes,
)
from stores.manifest import CURE, Manifest, VariableHash, canonical_json, read_manifest, store_hash
from stores.schema import (
    Fact,
    SchemaError,
    StoreSchema,
    Violation,
    block_violations,
    owner_violations,
    structure_violations,
    whole_violations,
)

__all__ = ["find_schema", "report", "require_valid", "validate"]

GROUP_KEYS = {"attributes", "node_type", "zarr_format"}
OPTIONAL_GROUP_KEYS = {"consolidated_metadata"}  # of stores written since readers look there first
N_MISSING_TOLD = 100
OWNED_ROWS = 2**17
DAMAGED = "cannot be decoded, the file is damaged"


def report(path: Path, manifest_file: Path | None = None) -> int:
    """Print whether the store is valid, or every violation; 0 where it is, else 1.

    `manifest_file`: JSON with the expected `hash`.
    """
    violations = validate(path)
    if manifest_file is not None:
        violations += _against_manifest_file(path, manifest_file)
    if violations:
        print(SchemaError(str(path), violations, CURE))
        return 1
    manifest = read_manifest(path)
    print(f"{path}: valid {manifest.schema} store, version {manifest.schema_version}, sizes {manifest.sizes}")
    print(f"hash {manifest.hash}")
    return 0


def require_valid(path: str | Path, schema: StoreSchema) -> None:
    """Raise SchemaError with every violation of the store at `path`."""
    if violations := validate(path, schema):
        raise SchemaError(str(path), violations, CURE)


def validate(path: str | Path, schema: StoreSchema | None = None) -> list[Violation]:
    """Every violation of the store at `path`, against `schema` or the one that its attributes name."""
    root = Path(path)
    group, violations = _group(root)
    if violations:
        return violations
    attributes = group["attributes"]
    if schema is None:
        schema = find_schema(attributes.get("schema"), attributes)
        if schema is None:
            problem = f"found schema {attributes.get('schema')!r:.200}, expected the name of a schema in stores/"
            return [Violation(variable="(store)", where="attributes", problem=problem)]
    layout = _Layout(root, schema)
    violations = layout.violations + structure_violations(_template(layout, attributes), schema)
    hashes, of_values = _values(layout, schema)
    return violations + of_values + _consolidated(group, layout) + _identity(attributes, hashes, schema, layout)


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
        except READ_ERRORS:
            return None
    else:
        schema = getattr(module, name.upper(), None)
    return schema if isinstance(schema, StoreSchema) else None


class _Layout:
    """Headers of the arrays of a store by name, which may be read, and what is wrong with its files."""

    def __init__(self, root: Path, schema: StoreSchema) -> None:
        self.root = root
        self.headers: dict[str, Header] = {}
        self.sound: list[str] = []  # variables as declared, whose claims memory can hold
        self.unread: dict[str, list[tuple[int, int]]] = {}  # rows whose shard is not there, or not to be decoded
        self.violations: list[Violation] = []
        self.entries = scan(root)
        for name, target in self.entries.links.items():
            self._add("(store)", name, f"found a symbolic link to {target}, expected a file or folder of its own")
        for name, kind in self.entries.special.items():
            self._add("(store)", name, f"found {kind}, expected a file or folder")
        let_be: list[str] = []  # folders of which nobody can say what belongs there
        expected = {"zarr.json"}
        for folder in sorted(name for name in self.entries.folders if "/" not in name):
            if f"{folder}/zarr.json" in self.entries.irregular:
                let_be.append(folder)
            elif any(name.startswith(f"{folder}/") for name in self.entries.files):
                try:
                    self.headers[folder] = read_header(root / folder / "zarr.json")
                except READ_ERRORS as error:
                    self._add(folder, "zarr.json", f"metadata cannot be read: {_message(error)}")
                    let_be.append(folder)
        for name, header in self.headers.items():
            expected.add(f"{name}/zarr.json")
            if self._is_sound(name, header, schema):
                expected |= self._look_at_shards(name, header)
            else:
                let_be.append(name)
        self._find_strays(expected, let_be)
        self._compare_lengths()

    @property
    def sizes(self) -> dict[str, int]:
        return {dim: size for h in self.headers.values() for dim, size in zip(h.dims, h.shape, strict=True)}

    def _is_sound(self, name: str, header: Header, schema: StoreSchema) -> bool:
        """Whether an array is the declared one, and its shards are of the shape that the writer gives them."""
        if name not in {variable.name for variable in schema.all_variables}:
            return False  # the structure says so
        variable = schema.variable(name)
        same_type = header.data_type == ("string" if variable.dtype == "str" else variable.numpy_dtype.name)
        if not same_type or header.dims != variable.dims:
            return False
        if header.shard is None:
            self._add(name, "zarr.json", f"not stored as stores are: {header.storage_problem}")
            return False
        if (size := row_bytes(variable, header.shape[1:])) > ROW_BYTES:
            self._add(name, "zarr.json", f"claims {size} bytes for one row, expected at most {ROW_BYTES}")
            return False
        chunk, shard = stored_shapes(variable, header.shape)
        if (header.chunk, header.shard) != (chunk, shard):
            problem = f"claims chunks of {header.chunk} in shards of {header.shard}, expected {chunk} in {shard}"
            self._add(name, "zarr.json", problem)
            return False
        return True

    def _look_at_shards(self, name: str, header: Header) -> set[str]:
        """Paths of all shards of an array; those that are missing or not to be decoded are noted with their rows."""
        present = {file for file in self.entries.files if file.startswith(f"{name}/c/")}
        claimed = math.prod(header.grid)
        if claimed > len(present | self.entries.irregular) + N_MISSING_TOLD:
            self._add(name, "zarr.json", f"claims {claimed} shards, found {len(present)}")
            return present
        self.sound.append(name)
        assert header.shard is not None
        files = set()
        for index in product(*map(range, header.grid)):
            shard = "/".join(["c", *map(str, index)])
            file = f"{name}/{shard}"
            files.add(file)
            first = index[0] * header.shard[0]
            last = min(first + header.shard[0], header.shape[0])
            if file in present:
                try:
                    problem = shard_problem(self.root / file, header)
                except READ_ERRORS as error:
                    problem = _message(error)
                problem = f"{DAMAGED}: {problem}" if problem else ""
            else:
                problem = "" if file in self.entries.irregular else f"shard {shard} is missing"
                self.unread.setdefault(name, []).append((first, last))
            if problem:
                self.unread.setdefault(name, []).append((first, last))
                self._add(name, f"rows {first} to {last - 1}", problem)
        return files

    def _find_strays(self, expected: set[str], let_be: list[str]) -> None:
        folders = {str(parent) for file in expected for parent in PurePosixPath(file).parents}
        known = tuple(f"{folder}/" for folder in let_be)
        for file in sorted(self.entries.files.keys() - expected):
            if not file.startswith(known):
                self._add("(store)", file, "unexpected file; remove it")
        holding = {str(parent) for file in self.entries.files for parent in PurePosixPath(file).parents}
        for folder in sorted(self.entries.folders - folders - holding):
            if not folder.startswith(known):
                self._add("(store)", folder, "unexpected empty folder; remove it")

    def _compare_lengths(self) -> None:
        lengths: dict[str, dict[int, list[str]]] = {}
        for name, header in self.headers.items():
            for dim, size in zip(header.dims, header.shape, strict=True):
                lengths.setdefault(dim, {}).setdefault(size, []).append(name)
        unequal = {dim: by_size for dim, by_size in lengths.items() if len(by_size) > 1}
        self.sizes_agree = not unequal
        for dim, by_size in unequal.items():
            self._add("(store)", f"dimension {dim}", f"found lengths {by_size}, expected one length for all variables")

    def _add(self, variable: str, where: str, problem: str) -> None:
        self.violations.append(Violation(variable=variable, where=where, problem=problem))


def _message(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _group(root: Path) -> tuple[dict[str, Any], list[Violation]]:
    """The metadata of the store itself, with attributes that are a mapping; or why there are none."""
    try:
        if not (root / "zarr.json").is_file() or "zarr.json" in scan(root).irregular:
            raise FileNotFoundError("no store here: found no zarr.json")
        group, _ = read_json(root / "zarr.json")
        if not GROUP_KEYS <= set(group) <= GROUP_KEYS | OPTIONAL_GROUP_KEYS:
            raise ValueError(f"found keys {sorted(group)}, expected {sorted(GROUP_KEYS)}")
        if (group["zarr_format"], group["node_type"]) != (3, "group"):
            raise ValueError("expected a group of Zarr format 3")
        if not isinstance(group["attributes"], dict):
            raise ValueError(f"found attributes of type {type(group['attributes']).__name__}, expected an object")
        return group, []
    except READ_ERRORS as error:
        problem = f"metadata cannot be read: {_message(error)}"
        return {}, [Violation(variable="(store)", where=str(root / "zarr.json"), problem=problem)]


def _template(layout: _Layout, attributes: Mapping[str, Any]) -> xr.Dataset:
    """The store with one zero for all cells, and one cell in each direction: its structure without its data."""
    variables = {}
    for name, header in layout.headers.items():
        dtype = np.dtype(object) if header.data_type == "string" else np.dtype(header.data_type)
        variables[name] = (header.dims, np.zeros((1,) * len(header.shape), dtype), header.attributes)
    attrs = {key: value for key, value in attributes.items() if key != "manifest"}
    return xr.Dataset(variables, attrs=attrs)


def _values(layout: _Layout, schema: StoreSchema) -> tuple[dict[str, str], list[Violation]]:
    """Hash of each variable that could be read wholly, and the violations of values."""
    breaches: list[Violation] = []
    hashes: dict[str, str] = {}
    whole: dict[str, Any] = {}
    texts: dict[str, str] = {}  # of columns that are held whole
    pooled = np.frompyfunc(lambda text: texts.setdefault(text, text), 1, 1)  # equal ones are one
    wanted_whole = {name for fact in schema.facts if fact.whole and not fact.owners for name in fact.variables}
    wanted_whole |= {name for fact in schema.facts for name in fact.owners or ()}

    def leading(name: str) -> tuple[str, int]:
        return layout.headers[name].dims[0], layout.headers[name].shape[0]

    for (_, n_rows), group in groupby(sorted(layout.sound, key=leading), key=leading):
        names = list(group)
        headers = {name: layout.headers[name] for name in names}
        arrays: dict[str, Any] = {}
        sums = {n: VariableHash(n, schema.variable(n).dtype, h.shape, h.dims, h.attributes) for n, h in headers.items()}
        step = min(header.shard[0] for header in headers.values() if header.shard is not None)
        broken: set[str] = set()
        for start in range(0, n_rows, step):
            stop = min(start + step, n_rows)
            block = xr.Dataset()
            for name, header in headers.items():
                values, problem = _read(layout, arrays, name, start, stop)
                if values is None:
                    broken.add(name)
                    if problem:
                        breaches.append(Violation(variable=name, where=f"rows {start} to {stop - 1}", problem=problem))
                    continue
                sums[name].update(values)
                block[name] = (header.dims, values)
                if name in wanted_whole:
                    whole.setdefault(name, []).append(pooled(values) if values.dtype.kind == "O" else values)
            breaches += block_violations(block, schema, first_row=start)
        for name in broken:
            whole.pop(name, None)
        hashes |= {name: sums[name].hexdigest() for name in names if name not in broken}
    if layout.sizes_agree:
        pieces = {name: (layout.headers[name].dims, np.concatenate(whole.pop(name))) for name in list(whole)}
        breaches += whole_violations(_held(pieces), schema)
        for owners in dict.fromkeys(fact.owners for fact in schema.facts if fact.owners):
            facts = [fact for fact in schema.facts if fact.owners == owners and set(fact.variables) <= set(hashes)]
            if facts:
                first, count = (pieces[name][1] for name in owners)
                breaches += owner_violations(_blocks_of_owners(layout, facts, first, count), facts)
    return hashes, breaches


def _held(pieces: Mapping[str, tuple[tuple[str, ...], NDArray[Any]]]) -> xr.Dataset:
    """Whole columns as a dataset. Texts are put in afterwards: else xarray has pandas copy each of them."""
    texts = {name: values for name, (_, values) in pieces.items() if values.dtype.kind == "O"}
    dataset = xr.Dataset(
        {name: (dims, np.empty_like(values) if name in texts else values) for name, (dims, values) in pieces.items()}
    )
    for name, values in texts.items():
        dataset[name].values[...] = values
    return dataset


def _blocks_of_owners(
    layout: _Layout, facts: Sequence[Fact], first: NDArray[Any], count: NDArray[Any]
) -> Iterator[tuple[int, xr.Dataset]]:
    """The variables of the facts, about OWNED_ROWS owned rows at a time; none where it is unclear whose they are."""
    owners = facts[0].owners
    assert owners is not None
    headers = {name: layout.headers[name] for fact in facts for name in fact.variables}
    ends = np.cumsum(count, dtype=np.int64)
    own_dim = headers[owners[0]].dims[0]
    n_owned = {header.shape[0] for header in headers.values() if header.dims[0] != own_dim}
    if not ends.size or (count < 1).any() or (first != ends - count).any() or n_owned != {int(ends[-1])}:
        return
    arrays: dict[str, Any] = {}
    cuts = sorted({0, *np.searchsorted(ends, range(OWNED_ROWS, int(ends[-1]), OWNED_ROWS)).tolist(), ends.size})
    for start, stop in pairwise(cuts):
        block = xr.Dataset()
        begin, end = int(first[start]), int(ends[stop - 1])
        for name, header in headers.items():
            rows = (start, stop) if header.dims[0] == own_dim else (begin, end)
            values, problem = _read(layout, arrays, name, *rows)
            if values is None:
                raise OSError(f"{name}: {problem}, although it could be read a moment before")
            block[name] = (header.dims, values - begin if name == owners[0] else values)
        yield start, block


def _read(layout: _Layout, arrays: dict[str, Any], name: str, start: int, stop: int) -> tuple[NDArray[Any] | None, str]:
    if any(first < stop and start < last for first, last in layout.unread.get(name, [])):
        return None, ""  # reported by the layout already; zarr would hand out fill values
    try:
        if name not in arrays:
            arrays[name] = zarr.open_array(layout.root / name, mode="r", zarr_format=3)
        values = np.asarray(arrays[name][start:stop])
    except READ_ERRORS as error:
        return None, f"{DAMAGED}: {_message(error)}"
    return (values.astype(object) if values.dtype.kind in "UT" else values), ""


def _consolidated(group: Mapping[str, Any], layout: _Layout) -> list[Violation]:
    """The second copy of all headers, which most readers believe, against the first."""
    if "consolidated_metadata" not in group:
        older = not isinstance(group["attributes"].get("manifest"), str)  # both came with one version of the writer
        missing = Violation(variable="(store)", where="zarr.json", problem="found no consolidated metadata")
        return [] if older else [missing]
    consolidated = group["consolidated_metadata"]
    copies = consolidated.get("metadata") if isinstance(consolidated, Mapping) else None
    expected = {"kind": "inline", "must_understand": False, "metadata": copies}
    if not isinstance(copies, Mapping) or consolidated != expected:
        problem = "found another form of consolidated metadata than xarray reads"
        return [Violation(variable="(store)", where="zarr.json", problem=problem)]
    return [
        Violation(variable=name, where="zarr.json", problem="the copy in the consolidated metadata differs")
        for name in sorted(set(copies) | set(layout.headers))
        if (header := layout.headers.get(name)) is None or copies.get(name) != header.document
    ]


def _identity(
    attributes: Mapping[str, Any], hashes: Mapping[str, str], schema: StoreSchema, layout: _Layout
) -> list[Violation]:
    """Compare with the manifest inside, which was written last: cells, metadata files, sizes and global attributes."""
    if (text := attributes.get("manifest")) is None:
        return [Violation(variable="(store)", where="manifest", problem="no manifest: the store was never finished")]
    try:
        manifest = Manifest.parse(text)
    except READ_ERRORS as error:
        return [Violation(variable="(store)", where="manifest", problem=f"cannot be read: {_message(error)}")]
    names = {variable.name for variable in schema.all_variables}
    unlike = [
        Violation(variable=name, where="manifest", problem=f"{key}: a name that the schema does not have")
        for key, held in (("variables", manifest.variables), ("metadata", manifest.metadata))
        for name in sorted(set(held) - names)
    ]
    unlike += [
        _differs(name, "manifest", now, manifest.variables.get(name))
        for name, now in hashes.items()
        if now != manifest.variables.get(name)
    ]
    unlike += [
        _differs(name, "zarr.json", header.sha256, manifest.metadata.get(name))
        for name, header in layout.headers.items()
        if header.sha256 != manifest.metadata.get(name)
    ]
    compared = [("schema", schema.name, manifest.schema), ("schema_version", schema.version, manifest.schema_version)]
    if layout.sizes_agree:
        compared.append(("sizes", canonical_json(layout.sizes), canonical_json(dict(manifest.sizes))))
    if set(hashes) == names:
        compared.append(("hash of cells and attributes", store_hash(attributes, hashes), manifest.hash))
    return unlike + [_differs("(store)", "manifest", now, then, what=key) for key, now, then in compared if now != then]


def _differs(variable: str, where: str, now: object, then: object, what: str = "hash") -> Violation:
    return Violation(variable=variable, where=where, problem=f"found {what} {now}, expected {then} as it was written")


def _against_manifest_file(store: Path, file: Path) -> list[Violation]:
    try:
        expected = read_json(file)[0]["hash"]
        of_store = read_manifest(store).hash
    except READ_ERRORS as error:
        return [Violation(variable="(store)", where=str(file), problem=f"no hash can be compared: {_message(error)}")]
    if of_store == expected:
        return []
    return [Violation(variable="(store)", where=str(file), problem=f"found hash {of_store}, expected {expected}")]
