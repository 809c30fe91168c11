"""What lies on disk in the place of a store, looked at without believing what it says of itself.

A store may have been damaged, or made by somebody else. Nothing here opens what is no regular file (a named pipe would
be waited for), follows a link, or asks for memory by what a header claims:

    scan           every entry below a folder by its kind, from the folder alone
    read_header    the zarr.json of one array, bounded in size, as numbers and names that were looked at
    stored_shapes  the chunks and shards that the writer makes
    shard_problem  the index of a shard and the headers of its frames, against the size of the file and of its chunks

A frame of zstd tells how large it becomes (RFC 8878, 3.1.1.1), and the decoder takes its word: so it is read before.
"""

import hashlib
import math
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs.zstd import decompress

from stores.manifest import strict_json
from stores.schema import Variable

__all__ = [
    "JSON_BYTES",
    "READ_ERRORS",
    "ROW_BYTES",
    "Entries",
    "Header",
    "read_header",
    "read_json",
    "row_bytes",
    "scan",
    "shard_problem",
    "shard_rows",
    "stored_shapes",
]

# What damaged files raise in JSON, zarr and its codecs.
READ_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    TypeError,
    LookupError,
    EOFError,
    MemoryError,
    ArithmeticError,
    AttributeError,
    AssertionError,
)
CHUNK_BYTES = 128 * 1024
SHARD_BYTES = 1024 * 1024  # what a dataset that grows writes again; larger ones are fewer files
ROW_BYTES = 256 * 1024 * 1024  # the largest row of one variable; a reader needs memory for one
STRING_BYTES = 32  # what a cell of text counts for in chunk sizes
JSON_BYTES = 16 * 1024 * 1024
TEXT_CHUNK_BYTES = 256 * 1024 * 1024  # what the texts of one chunk may come to
DATA_TYPES = {"bool", "float32", "float64", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
HEADER_KEYS = {"attributes", "chunk_grid", "chunk_key_encoding", "codecs", "data_type", "fill_value", "node_type"}
HEADER_KEYS |= {"shape", "zarr_format"}
OPTIONAL_KEYS = {"dimension_names", "storage_transformers"}
DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a device", stat.S_IFCHR: "a device"}
NO_CHUNK = 2**64 - 1
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_HEADER_BYTES = 18


@dataclass(frozen=True, kw_only=True)
class Entries:
    """What is below a folder, by its path in it. Links that DVC makes into its cache count as files."""

    files: dict[str, int] = field(default_factory=dict)  # -> bytes
    folders: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)  # -> what it points to
    special: dict[str, str] = field(default_factory=dict)  # -> what it is, or why it cannot be looked at

    @property
    def irregular(self) -> set[str]:
        return set(self.links) | set(self.special)


def scan(root: Path) -> Entries:
    """All entries below `root`, none of them opened, no link followed."""
    entries = Entries()
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            listed = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            entries.special[folder or "."] = f"a folder that cannot be read: {error.strerror}"
            continue
        for entry in listed:
            name = f"{folder}/{entry.name}" if folder else entry.name
            status = entry.stat(follow_symlinks=False)
            if entry.is_symlink():
                if (size := _size_in_dvc_cache(Path(entry.path))) is None:
                    entries.links[name] = os.readlink(entry.path)
                else:
                    entries.files[name] = size
            elif stat.S_ISDIR(status.st_mode):
                entries.folders.add(name)
                pending.append(name)
            elif stat.S_ISREG(status.st_mode):
                entries.files[name] = status.st_size
            else:
                entries.special[name] = KINDS.get(stat.S_IFMT(status.st_mode), "no file")
    return entries


def _size_in_dvc_cache(link: Path) -> int | None:
    """`dvc config cache.type symlink` checks out files as links; those are as good as files."""
    target = os.path.realpath(link)
    if not DVC_CACHE.search(target):
        return None
    try:
        status = os.stat(target)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def read_json(file: Path) -> tuple[dict[str, Any], bytes]:
    """An object of JSON and its bytes. Raises what READ_ERRORS names."""
    with file.open("rb") as stream:
        content = stream.read(JSON_BYTES + 1)
    if len(content) > JSON_BYTES:
        raise ValueError(f"found more than {JSON_BYTES} bytes, expected metadata")
    document = strict_json(content.decode())
    if not isinstance(document, dict):
        raise ValueError(f"found {type(document).__name__}, expected an object")
    return document, content


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the zarr.json of an array claims. `shard` and `chunk` are None where it is not stored as stores are."""

    document: Mapping[str, Any]
    sha256: str
    shape: tuple[int, ...]
    data_type: str  # a name of NumPy, or "string"
    dims: tuple[str, ...]
    shard: tuple[int, ...] | None
    chunk: tuple[int, ...] | None
    storage_problem: str = ""

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self.document["attributes"])

    @property
    def itemsize(self) -> int:
        return 1 if self.data_type == "string" else np.dtype(self.data_type).itemsize

    @property
    def shard_bytes(self) -> int:
        return math.prod(self.shard or ()) * self.itemsize

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of shards along each dimension."""
        return tuple(-(-size // step) for size, step in zip(self.shape, self.shard or (), strict=True))


def read_header(file: Path) -> Header:
    """Raises what READ_ERRORS names where this is no header of an array that numbers or text may be read from."""
    document, content = read_json(file)
    if not HEADER_KEYS <= set(document) <= HEADER_KEYS | OPTIONAL_KEYS:
        raise ValueError(f"found keys {sorted(document)}, expected {sorted(HEADER_KEYS)}")
    if (document["zarr_format"], document["node_type"]) != (3, "array") or document.get("storage_transformers"):
        raise ValueError("expected an array of Zarr format 3 without storage transformers")
    if not isinstance(document["attributes"], dict):
        raise ValueError(f"found attributes {document['attributes']!r}, expected an object")
    data_type = document["data_type"]
    if not (data_type == "string" or (isinstance(data_type, str) and data_type in DATA_TYPES)):
        raise ValueError(f"found data_type {data_type!r:.200}, expected 'string' or one of {sorted(DATA_TYPES)}")
    shape = _sizes(document["shape"], "shape", lowest=0)
    names = document.get("dimension_names") or [None] * len(shape)
    if not isinstance(names, list) or len(names) != len(shape) or not all(isinstance(n, str | None) for n in names):
        raise ValueError(f"found dimension_names {names!r:.200}, expected one for each of {len(shape)} dimensions")
    dims = tuple(name or f"(dimension {i})" for i, name in enumerate(names))
    if len(set(dims)) != len(dims):
        raise ValueError(f"found dimension_names {names!r:.200}, expected different ones")
    shard, chunk, problem = None, None, ""
    try:
        shard, chunk = _storage(document, data_type, len(shape))
    except READ_ERRORS as error:
        problem = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
    return Header(
        document=document,
        sha256=hashlib.sha256(content).hexdigest(),
        shape=shape,
        data_type=data_type,
        dims=dims,
        shard=shard,
        chunk=chunk,
        storage_problem=problem,
    )


def _sizes(sizes: object, what: str, *, lowest: int) -> tuple[int, ...]:
    if not isinstance(sizes, list) or not all(type(n) is int and lowest <= n < 2**63 for n in sizes):
        raise ValueError(f"found {what} {sizes!r:.200}, expected sizes")
    if len(sizes) > 32:
        raise ValueError(f"found {len(sizes)} dimensions, expected at most 32")
    return tuple(sizes)


def _storage(document: Mapping[str, Any], data_type: str, n_dims: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of a shard and of the chunks in it, of the one way in which stores are written."""
    grid, keys, codecs = document["chunk_grid"], document["chunk_key_encoding"], document["codecs"]
    if (
        grid["name"] != "regular"
        or keys["name"] != "default"
        or keys.get("configuration", {})
        not in (
            {},
            {"separator": "/"},
        )
    ):
        raise ValueError("expected a regular grid of shards with the keys c/0/0, c/1/0, ...")
    if _names(codecs) != ["sharding_indexed"]:
        raise ValueError(f"found codecs {_names(codecs)}, expected ['sharding_indexed']")
    sharding = codecs[0]["configuration"]
    expected = ["vlen-utf8" if data_type == "string" else "bytes", "zstd", "crc32c"]
    if _names(sharding["codecs"]) != expected:
        raise ValueError(f"found codecs of chunks {_names(sharding['codecs'])}, expected {expected}")
    if _names(sharding["index_codecs"]) != ["bytes", "crc32c"] or sharding.get("index_location", "end") != "end":
        raise ValueError("expected the index of a shard at its end, as bytes with a crc32c")
    if sharding["index_codecs"][0]["configuration"] != {"endian": "little"}:
        raise ValueError("expected a little-endian index")
    shard = _sizes(grid["configuration"]["chunk_shape"], "shape of shards", lowest=1)
    chunk = _sizes(sharding["chunk_shape"], "shape of chunks", lowest=1)
    if not len(shard) == len(chunk) == n_dims or any(whole % part for whole, part in zip(shard, chunk, strict=True)):
        raise ValueError(
            f"found shards of shape {shard} with chunks of {chunk}, expected whole chunks in {n_dims} dims"
        )
    return shard, chunk


def _names(codecs: Sequence[Any]) -> list[str]:
    return [str(codec["name"]) for codec in codecs]


def shard_problem(file: Path, header: Header) -> str:
    """Why this shard must not be handed to a decoder; empty where its claims are sound. Raises OSError.

    `header.shard` was found to be of a size that memory has. Contents are guarded by checksums, which the decoder
    looks at; here only what would be allocated before.
    """
    if header.shard is None or header.chunk is None:
        raise ValueError("a header without shapes of shard and chunk")
    n_chunks = math.prod(whole // part for whole, part in zip(header.shard, header.chunk, strict=True))
    n_cells = math.prod(header.chunk)
    index_bytes = 16 * n_chunks + 4
    text = header.data_type == "string"
    expected = n_cells * header.itemsize
    most = TEXT_CHUNK_BYTES if text else expected
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size < index_bytes:
            return f"found {size} bytes, expected at least the {index_bytes} of its index"
        stream.seek(size - index_bytes)
        index = np.frombuffer(stream.read(index_bytes - 4), dtype="<u8").reshape(-1, 2).tolist()
        chunks = [(start, length) for start, length in index if (start, length) != (NO_CHUNK, NO_CHUNK)]
        if sum(length for _, length in chunks) != size - index_bytes:
            return f"found {size} bytes, expected as many as its index tells"
        for start, length in chunks:
            if start + length > size - index_bytes or length > most + most // 128 + 1024:
                return f"a chunk of {length} bytes at {start} cannot be"
            stream.seek(start)
            claimed = _frame_content_bytes(stream.read(min(length, ZSTD_HEADER_BYTES)))
            if claimed is None or (claimed > most if text else claimed != expected):
                return f"a chunk claims {claimed} bytes, expected {'at most ' if text else ''}{most}"
            if text:
                stream.seek(start)
                n_texts = int.from_bytes(bytes(decompress(stream.read(length - 4)))[:4], "little")
                if n_texts != n_cells:
                    return f"a chunk claims {n_texts} texts, expected {n_cells}"
    return ""


def _frame_content_bytes(head: bytes) -> int | None:
    """The size after decoding that a zstd frame claims; None where it is no frame or claims none."""
    if head[:4] != ZSTD_MAGIC or len(head) < 6:
        return None
    descriptor = head[4]
    single_segment = bool(descriptor & 0x20)
    start = 5 + (not single_segment) + (0, 1, 2, 4)[descriptor & 3]
    length = (int(single_segment), 2, 4, 8)[descriptor >> 6]
    if length == 0 or len(head) < start + length:
        return None
    return int.from_bytes(head[start : start + length], "little") + (256 if length == 2 else 0)


def shard_rows(variable: Variable, trailing_shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows per inner chunk and per shard, powers of two, from the size of one row alone."""
    row = row_bytes(variable, trailing_shape)
    return _power_of_two_below(CHUNK_BYTES // row), _power_of_two_below(SHARD_BYTES // row)


def stored_shapes(variable: Variable, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of inner chunks and of shards of an array of this shape."""
    chunk, shard = shard_rows(variable, shape[1:])
    trailing = tuple(max(1, size) for size in shape[1:])
    return (chunk, *trailing), (shard, *trailing)


def row_bytes(variable: Variable, trailing_shape: tuple[int, ...]) -> int:
    cell = STRING_BYTES if variable.dtype == "str" else variable.numpy_dtype.itemsize
    return cell * max(1, math.prod(trailing_shape))


def _power_of_two_below(rows: int) -> int:
    return 1 << max(0, rows.bit_length() - 1)
