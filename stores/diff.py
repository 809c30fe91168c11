"""What differs between two stores of one kind: schema, sizes, attributes, samples, values.

    samples   paired by key (stores.sample_keys): what only one store has was added or removed
    values    of the paired samples, variable by variable: how many differ, and by how much

Equal means equal bits, but for -0 = 0 and NaN = NaN. What both manifests say is equal is not read: hashes of variables
cover all cells in their order. `latentlaw validate` tells whether a store keeps its manifest.

Memory is bounded: blocks of some BLOCK_BYTES of one variable, and 70 bytes for each sample while they are paired.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores.layout import READ_ERRORS
from stores.manifest import CURE, Manifest
from stores.sample_keys import SampleKey, blocks_of_rows, key_digests, members_of, pair_rows, sample_key

__all__ = ["BLOCK_BYTES", "StoreDifference", "VariableDifference", "compare_stores", "flattened"]

BLOCK_BYTES = 16 * 1024 * 1024
N_SHOWN = 5
N_ATTRIBUTES = 20
N_LETTERS = 60
Rows = NDArray[np.int64]
Pair = tuple[xr.Dataset, xr.Dataset]


@dataclass(kw_only=True)
class VariableDifference:
    """Of one variable in the samples that both stores have; NaN beside a number counts as changed, not in `largest`."""

    name: str
    units: str
    n_samples: int = 0
    n_changed_samples: int = 0
    n_cells: int = 0
    n_changed_cells: int = 0
    n_appeared: int = 0  # NaN in the first store, a number in the second
    n_vanished: int = 0
    largest: float | None = None  # |difference| [units]; None where no two numbers differ
    rms: float | None = None  # over the numbers that differ
    rows: list[tuple[int, int]] = field(default_factory=list)  # of the first changed samples, in both stores
    problem: str = ""  # why nothing was compared

    def line(self) -> str:
        """In one line for people."""
        if self.problem:
            return f"{self.name}: {self.problem}"
        text = f"{self.name}: {self.n_changed_samples} of {self.n_samples} rows, {self.n_changed_cells} cells"
        if self.largest is not None:
            units = f" {self.units}" if self.units not in ("", "dimensionless") else ""
            text += f", |difference| at most {self.largest:.3g}{units}, rms {self.rms:.3g}{units}"
        if self.n_appeared or self.n_vanished:
            text += f"; numbers for NaN in {self.n_appeared}, NaN for numbers in {self.n_vanished}"
        shown = ", ".join(str(first) if first == second else f"{first} -> {second}" for first, second in self.rows)
        return f"{text} (row {shown}{', ...' if self.n_changed_samples > len(self.rows) else ''})"


@dataclass(kw_only=True)
class StoreDifference:
    """What `compare_stores` found. Pairs are (first, second); empty mappings and lists say that nothing differs."""

    schema: str
    identical: bool  # the same logical hash
    hashes: tuple[str, str]
    versions: tuple[str, str]
    sizes: dict[str, tuple[int | None, int | None]]  # of all dimensions
    attributes: dict[str, tuple[Any, Any]]  # key, or key.path inside JSON -> values that differ
    variables_removed: list[str]
    variables_added: list[str]
    rule: str  # which samples are the same
    n_common: int
    removed: list[int]  # rows of the first store
    added: list[int]  # rows of the second store
    moved: int  # samples in both whose row differs
    values: list[VariableDifference]  # of variables that differ

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        if self.identical:
            return [f"schema {self.schema}, version {self.versions[0]}: the same data (hash {self.hashes[0][:16]})"]
        version = self.versions[0] if len(set(self.versions)) == 1 else " -> ".join(self.versions)
        lines = [f"schema {self.schema}, version {version}"]
        sizes = {dim: pair for dim, pair in self.sizes.items() if pair[0] != pair[1]}
        lines += [f"size {dim}: {first} -> {second}" for dim, (first, second) in sizes.items()]
        lines += _some([f"attribute {key}: {_short(a)} -> {_short(b)}" for key, (a, b) in self.attributes.items()])
        if self.variables_removed or self.variables_added:
            lines.append(f"variables: removed {_names(self.variables_removed)}; added {_names(self.variables_added)}")
        lines.append(f"samples: {self.n_common} in both, {len(self.removed)} removed, {len(self.added)} added")
        lines += [f"  paired by: {self.rule}"]
        lines += [f"  removed: row {_rows(self.removed)} of the first"] if self.removed else []
        lines += [f"  added: row {_rows(self.added)} of the second"] if self.added else []
        lines += [f"  {self.moved} of those in both stand in another row"] if self.moved else []
        equal = "all equal" if self.n_common else "no sample to compare"
        lines.append("values of the samples in both:" if self.values else f"values of the samples in both: {equal}")
        return lines + [f"  {value.line()}" for value in self.values]


def compare_stores(
    first: xr.Dataset,
    second: xr.Dataset,
    *,
    names: tuple[str, str] = ("first", "second"),
    block_bytes: int = BLOCK_BYTES,
) -> StoreDifference:
    """Compare two opened stores (`open_store`, `open_remote`), read lazily; `names` are for messages.

    Raises ValueError for what is no finished store, or stores of different kinds.
    """
    pair = first, second
    manifests = _manifests(pair, names)
    same_names = [name for name in first.variables if name in second.variables]
    difference = StoreDifference(
        schema=manifests[0].schema,
        identical=manifests[0].hash == manifests[1].hash,
        hashes=(manifests[0].hash, manifests[1].hash),
        versions=(manifests[0].schema_version, manifests[1].schema_version),
        sizes={
            str(dim): (first.sizes.get(dim), second.sizes.get(dim))
            for dim in dict.fromkeys([*first.sizes, *second.sizes])
        },
        attributes=_attribute_differences(first.attrs, second.attrs),
        variables_removed=sorted(str(name) for name in set(first.variables) - set(second.variables)),
        variables_added=sorted(str(name) for name in set(second.variables) - set(first.variables)),
        rule="",
        n_common=0,
        removed=[],
        added=[],
        moved=0,
        values=[],
    )
    key = sample_key(difference.schema, first)
    key_names = [name for name in key.names(first) if name in second.variables]
    difference.rule = key.rule(key_names)
    equal = {name for name, value in manifests[0].variables.items() if manifests[1].variables.get(name) == value}
    if difference.identical or key.by_row or not key_names or (equal >= set(key_names) and not key.codes):
        rows = np.arange(min(dataset.sizes.get(key.dim, 0) for dataset in pair))
        paired = rows, rows
    else:
        digests = [key_digests(dataset, key, key_names, block_bytes) for dataset in pair]
        paired = pair_rows(*digests)
        del digests
    difference.n_common = len(paired[0])
    for dataset, rows, alone in zip(pair, paired, (difference.removed, difference.added), strict=True):
        alone += np.setdiff1d(np.arange(dataset.sizes.get(key.dim, 0)), rows).tolist()
    difference.moved = int(np.count_nonzero(paired[0] != paired[1]))
    if difference.identical:
        return difference
    in_place = difference.moved == 0 and not difference.removed and not difference.added
    for name in (str(name) for name in same_names if name not in {*key.offsets, *key_names}):
        if name in equal and (in_place or not _by_sample(first[name], key)):
            continue
        of_variable = _compare_variable(pair, name, key, paired, block_bytes)
        if of_variable.problem or of_variable.n_changed_cells:
            difference.values.append(of_variable)
    return difference


def flattened(value: Any, path: str = "") -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Nested mappings as one, with dotted keys; texts of JSON objects are read."""
    if isinstance(value, str) and value[:1] == "{":
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return {path: value}
    if not isinstance(value, Mapping) or not value:
        return {path: value}
    return {
        inner: leaf
        for key, part in value.items()
        for inner, leaf in flattened(part, f"{path}.{key}" if path else str(key)).items()
    }


def _manifests(pair: Pair, names: tuple[str, str]) -> list[Manifest]:
    """Raises ValueError that says all that is wrong with both."""
    manifests, problems = [], []
    for dataset, name in zip(pair, names, strict=True):
        if not isinstance(dataset.attrs.get("schema"), str):
            keys = sorted(map(str, dataset.attrs))
            problems.append(f"{name}: found a Zarr group with the attributes {keys}, expected a store with its schema")
            continue
        try:
            if "manifest" not in dataset.attrs:
                raise ValueError("no manifest: the store was never finished")
            manifests.append(Manifest.parse(dataset.attrs["manifest"]))
        except READ_ERRORS as error:
            problems.append(f"{name}: found {error}, expected a finished store; {CURE}")
    if not problems and manifests[0].schema != manifests[1].schema:
        problems.append(
            f"found stores of different kinds, {names[0]} of schema {manifests[0].schema} and {names[1]} of schema "
            f"{manifests[1].schema}; expected two of one schema, name two versions of one dataset"
        )
    if problems:
        raise ValueError("\n".join(problems))
    return manifests


def _attribute_differences(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> dict[str, tuple[Any, Any]]:
    silent = ("manifest", "schema", "schema_version")
    flat = [
        flattened({str(key): value for key, value in some.items() if key not in silent}) for some in (first, second)
    ]
    keys = dict.fromkeys([*flat[0], *flat[1]])
    return {key: (flat[0].get(key), flat[1].get(key)) for key in keys if flat[0].get(key) != flat[1].get(key)}


def _by_sample(array: xr.DataArray, key: SampleKey) -> bool:
    return bool(array.dims) and str(array.dims[0]) in (key.dim, key.member_dim)


def _compare_variable(
    pair: Pair, name: str, key: SampleKey, paired: tuple[Rows, Rows], block_bytes: int
) -> VariableDifference:
    arrays = pair[0][name], pair[1][name]
    difference = VariableDifference(name=name, units=str(arrays[0].attrs.get("units", "")))
    if arrays[0].attrs.get("units") != arrays[1].attrs.get("units"):
        difference.problem = f"units {arrays[0].attrs.get('units')!r} -> {arrays[1].attrs.get('units')!r}, not compared"
    elif (arrays[0].dtype.kind in "OUT") != (arrays[1].dtype.kind in "OUT"):
        difference.problem = f"dtype {arrays[0].dtype} -> {arrays[1].dtype}, not compared"
    elif (same := _by_sample(arrays[0], key)) and arrays[0].shape[1:] != arrays[1].shape[1:]:
        difference.problem = f"shape of a row {arrays[0].shape[1:]} -> {arrays[1].shape[1:]}, not compared"
    elif not same and arrays[0].shape != arrays[1].shape:
        difference.problem = f"shape {arrays[0].shape} -> {arrays[1].shape}, not compared"
    if difference.problem:
        return difference
    sums = [0.0, 0.0]
    for rows, others, owner in _pieces(pair, name, key, paired, block_bytes):
        first, second = _read(arrays[0], rows), _read(arrays[1], others)
        _add(difference, sums, first, second, owner, rows, others)
    difference.rms = float(np.sqrt(sums[0] / sums[1])) if sums[1] else None
    return difference


def _pieces(
    pair: Pair, name: str, key: SampleKey, paired: tuple[Rows, Rows], block_bytes: int
) -> Iterator[tuple[Rows, Rows, NDArray[np.int64] | None]]:
    """Rows of both arrays to compare, and for rows of a sample each the pair that owns it (n, 2)."""
    array = pair[0][name]
    if not _by_sample(array, key):
        whole = SampleKey(dim=str(array.dims[0]) if array.dims else "")
        rows = np.arange(array.shape[0] if array.dims else 1)
        for piece in blocks_of_rows(pair[0], whole, [name], rows, block_bytes) if array.dims else [rows]:
            yield piece, piece, None
        return
    done = 0
    for rows in blocks_of_rows(pair[0], key, [name], paired[0], block_bytes):
        others = paired[1][done : done + len(rows)]
        done += len(rows)
        if array.dims[0] == key.dim:
            yield rows, others, None
            continue
        (inner, counts), (inner_others, other_counts) = members_of(pair[0], key, rows), members_of(pair[1], key, others)
        if (counts != other_counts).any():
            raise ValueError(
                f"{name}: found other counts of {key.member_dim} in samples of one key; the key lacks them"
            )
        yield inner, inner_others, np.repeat(np.column_stack([rows, others]), counts, axis=0)


def _read(array: xr.DataArray, rows: Rows) -> NDArray[Any]:
    if not array.dims:
        return np.asarray(array.values)[None]
    together = rows.size and rows[-1] - rows[0] + 1 == rows.size and (np.diff(rows) == 1).all()
    return np.asarray(array[slice(rows[0], rows[-1] + 1) if together else rows].values)


def _add(
    difference: VariableDifference,
    sums: list[float],
    first: NDArray[Any],
    second: NDArray[Any],
    owner: NDArray[np.int64] | None,
    rows: Rows,
    others: Rows,
) -> None:
    """Count what differs in one block."""
    if first.dtype.kind in "OUT":
        changed = np.asarray(first.astype(object) != second.astype(object), dtype=bool)
    else:
        empty = np.isnan(first), np.isnan(second)
        changed = (first != second) & ~(empty[0] & empty[1])
        difference.n_appeared += int(np.count_nonzero(empty[0] & ~empty[1]))
        difference.n_vanished += int(np.count_nonzero(empty[1] & ~empty[0]))
        numbers = changed & ~empty[0] & ~empty[1]
        if numbers.any() and first.dtype.kind != "b":
            distance = np.abs(first[numbers].astype(np.float64) - second[numbers].astype(np.float64))
            difference.largest = max(difference.largest or 0.0, float(distance.max()))
            sums[0] += float((distance**2).sum())
            sums[1] += distance.size
    difference.n_cells += changed.size
    difference.n_changed_cells += int(np.count_nonzero(changed))
    in_row = changed.reshape(len(changed), -1).any(axis=1)
    owners = np.column_stack([rows, others]) if owner is None else owner
    difference.n_samples += len(owners) if owner is None else len(np.unique(owner[:, 0]))
    pairs = owners[in_row]
    if owner is not None:
        pairs = pairs[np.unique(pairs[:, 0], return_index=True)[1]]
    difference.n_changed_samples += len(pairs)
    difference.rows += [(int(row), int(other)) for row, other in pairs[: N_SHOWN - len(difference.rows)]]


def _short(value: Any) -> str:  # noqa: ANN401 - JSON
    text = "absent" if value is None else json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= N_LETTERS else f"{text[:N_LETTERS]}..."


def _some(lines: list[str]) -> list[str]:
    more = len(lines) - N_ATTRIBUTES
    return lines if more <= 0 else [*lines[:N_ATTRIBUTES], f"... and {more} more attributes; --json has all of them"]


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _rows(rows: list[int]) -> str:
    shown = ", ".join(map(str, rows[:N_SHOWN]))
    return f"{shown}, ... ({len(rows)} rows)" if len(rows) > N_SHOWN else shown
