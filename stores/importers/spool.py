"""What is too much for memory, in a file without a name: written once, read in order or one item at a time.

The file lies in the folder for temporary files (TMPDIR). It has no name there, so that nothing is left of it when the
process ends, however it does. No pickle: arrays are written as bytes beside their dtype and shape.
"""

import marshal
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Generic, TypeVar

import numpy as np

__all__ = ["Spool"]

Item = TypeVar("Item")
ARRAY, SCALAR, OBJECTS, MAPPING, RECORD, TUPLE = range(6)
PLAIN_KINDS = "biufcSU"  # of dtypes whose bytes say all


class Spool(Generic[Item]):
    """Items of a size that memory holds: plain values, arrays, and tuples, lists, mappings and dataclasses of such."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as this object lives
        weakref.finalize(self, self._file.close)
        self._starts: list[int] = []
        self._kinds: dict[type, int] = {}  # of dataclasses and named tuples, by number
        for item in items:
            self.append(item)

    def append(self, item: Item) -> None:
        """Raises TypeError for what is none of these."""
        self._starts.append(self._file.seek(0, os.SEEK_END))
        marshal.dump(self._plain(item), self._file)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Item:
        self._file.seek(self._starts[index])
        item: Item = self._restored(marshal.load(self._file), list(self._kinds))
        return item

    def __iter__(self) -> Iterator[Item]:
        return map(self.__getitem__, range(len(self)))

    def _plain(self, value: Any) -> Any:  # noqa: ANN401
        if value is None or type(value) in (str, int, float, bool, bytes):
            return value
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in PLAIN_KINDS:
            kind = ARRAY if isinstance(value, np.ndarray) else SCALAR
            return kind, value.dtype.str, value.shape, value.tobytes()
        if isinstance(value, np.ndarray) and value.dtype == object:
            return OBJECTS, value.shape, [self._plain(one) for one in value.ravel()]
        if isinstance(value, Mapping):
            return MAPPING, [(self._plain(key), self._plain(one)) for key, one in value.items()]
        if isinstance(value, list):
            return [self._plain(one) for one in value]
        if isinstance(value, tuple) or is_dataclass(value):
            parts = value if isinstance(value, tuple) else [getattr(value, one.name) for one in fields(value)]
            if type(value) is tuple:
                return TUPLE, [self._plain(one) for one in parts]
            number = self._kinds.setdefault(type(value), len(self._kinds))
            return RECORD, number, [self._plain(one) for one in parts]
        raise TypeError(f"found {type(value).__name__}, expected plain values, arrays, or tuples and mappings of such")

    def _restored(self, value: Any, kinds: list[type]) -> Any:  # noqa: ANN401
        if isinstance(value, list):
            return [self._restored(one, kinds) for one in value]
        if not isinstance(value, tuple):
            return value
        kind, *rest = value
        if kind in (ARRAY, SCALAR):
            dtype, shape, content = rest
            array = np.frombuffer(content, dtype=dtype).reshape(shape)
            return array.copy() if kind == ARRAY else array[()]
        if kind == OBJECTS:
            objects = np.empty(rest[0], dtype=object)
            objects.ravel()[:] = self._restored(rest[1], kinds)
            return objects
        if kind == MAPPING:
            return {self._restored(key, kinds): self._restored(one, kinds) for key, one in rest[0]}
        if kind == TUPLE:
            return tuple(self._restored(rest[0], kinds))
        record, parts = kinds[rest[0]], self._restored(rest[1], kinds)
        return (
            record(**dict(zip([f.name for f in fields(record)], parts, strict=True)))
            if is_dataclass(record)
            else record(*parts)
        )
