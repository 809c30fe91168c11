"""What is too much for memory, in a file without a name: written once, read in order or one item at a time.

The file lies in the folder for temporary files (TMPDIR). It has no name there, so that nothing is left of it when the
process ends, however it does, and nobody else can write what is unpickled: of imported files it holds arrays and texts.
"""

import os
import pickle
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["Spool"]

Item = TypeVar("Item")


class Spool(Generic[Item]):
    """Items of any kind that pickle writes, each of a size that memory holds."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as this object lives
        weakref.finalize(self, self._file.close)
        self._starts: list[int] = []
        for item in items:
            self.append(item)

    def append(self, item: Item) -> None:
        self._starts.append(self._file.seek(0, os.SEEK_END))
        pickle.dump(item, self._file, protocol=pickle.HIGHEST_PROTOCOL)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Item:
        self._file.seek(self._starts[index])
        item: Item = pickle.load(self._file)
        return item

    def __iter__(self) -> Iterator[Item]:
        return map(self.__getitem__, range(len(self)))
