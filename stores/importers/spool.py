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
ARRAY, OBJECTS, MAPPING, RECORD, TUPLE = range(5)
BYTES_SAY_ALL = "biufcSU"  # kinds of dtypes


class Spool(Generic[Item]):
    """Items of a size that memory holds: plain values, arrays, and tuples, lists, mappings and dataclasses of such.

    Anything else comes back as its text: in a file of atoms it can be no label, and is only counted.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as this object lives
        weakref.finalize(self, self._file.close)
        self._starts: list[int] = []
        self._kinds: list[type] = []  # of dataclasses and named tuples
        for item in items:
            self.append(item)

    def append(self, item: Item) -> None:
        self._starts.append(self._file.seek(0, os.SEEK_END))
        marshal.dump(self._plain(item), self._file)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Item:
        self._file.seek(self._starts[index])
        item: Item = self._restored(marshal.load(self._file))
        return item

    def __iter__(self) -> Iterator[Item]:
        return map(self.__getitem__, range(len(self)))

    def _plain(self, value: Any) -> Any:  # noqa: ANN401
        """What marshal writes: tuples begin with what they stand for."""
        if value is None or type(value) in (str, int, float, complex, bool, bytes):
            return value
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in BYTES_SAY_ALL:
            return ARRAY, value.dtype.str, value.shape, value.tobytes()
        if isinstance(value, np.ndarray) and value.dtype == object:
            return OBJECTS, value.shape, self._plain(value.ravel().tolist())
        if isinstance(value, Mapping):
            return MAPPING, self._plain(list(value)), self._plain(list(value.values()))
        if type(value) is tuple:
            return TUPLE, self._plain(list(value))
        if isinstance(value, list):
            return [self._plain(one) for one in value]
        if names := _parts_of(type(value)):
            if type(value) not in self._kinds:
                self._kinds.append(type(value))
            return RECORD, self._kinds.index(type(value)), self._plain([getattr(value, name) for name in names])
        return str(value)

    def _restored(self, plain: Any) -> Any:  # noqa: ANN401
        if isinstance(plain, list):
            return [self._restored(one) for one in plain]
        if not isinstance(plain, tuple):
            return plain
        stands_for, *parts = plain
        if stands_for == ARRAY:
            dtype, shape, content = parts
            array = np.frombuffer(content, dtype=dtype).reshape(shape)
            return array.copy() if shape else array[()]
        if stands_for == OBJECTS:
            shape, values = parts
            objects = np.empty(len(values), dtype=object)
            for index, value in enumerate(self._restored(values)):
                objects[index] = value
            return objects.reshape(shape)
        if stands_for == MAPPING:
            return dict(zip(*map(self._restored, parts), strict=True))
        if stands_for == RECORD:
            kind, values = self._kinds[parts[0]], self._restored(parts[1])
            return kind(**dict(zip(_parts_of(kind), values, strict=True)))
        return tuple(self._restored(parts[0]))


def _parts_of(kind: Any) -> list[str]:  # noqa: ANN401
    """Names of the parts of a dataclass or a named tuple; of anything else none."""
    return [field.name for field in fields(kind)] if is_dataclass(kind) else list(getattr(kind, "_fields", ()))
