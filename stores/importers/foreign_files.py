"""Foreign files, checked before anything is computed with them: whether they can be read, and their arrays."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["first_line", "readable", "real_numbers", "whole_numbers"]

CURE = "the file is damaged or of another format"


@contextmanager
def readable(
    file: Path, expected: str, where: Callable[[], str], cure: str = "it is damaged or cut off"
) -> Iterator[None]:
    """Whatever libraries raise on a damaged file becomes a ValueError that begins with `where()`.

    Raises FileNotFoundError where there is no file.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: found no file, expected {expected}")
    try:
        yield
    except Exception as error:  # decoders raise errors of many kinds on damaged files
        found = f"({type(error).__name__}: {first_line(error)})"
        raise ValueError(f"{where()}: cannot be read {found}, expected {expected}; {cure}") from error


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]


def real_numbers(values: Any, where: str) -> NDArray[np.float64]:  # noqa: ANN401 - what a file holds
    """Real numbers of any precision as float64. Raises ValueError that begins with `where` for all else."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{where}: found values of type {_type(array)}, expected real numbers; {CURE}")
    return array.astype(np.float64)


def whole_numbers(values: Any, where: str) -> NDArray[np.int64]:  # noqa: ANN401 - what a file holds
    """Whole numbers as int64, also those written as 6.0. Raises ValueError that begins with `where` for all else."""
    array = real_numbers(values, where)
    if (bad := array[~(np.isfinite(array) & (array == np.round(array)) & (np.abs(array) < 2**53))]).size:
        raise ValueError(f"{where}: found {bad[0]:g}, expected whole numbers; {CURE}")
    return array.astype(np.int64)


def _type(array: NDArray[Any]) -> str:
    return f"({', '.join(array.dtype.names)})" if array.dtype.names else str(array.dtype)
