"""Names of shards by what shapes them: the same items have the same name in a dataset of any size.

A shard is a pure function of its items (under the settings and the code that name its folder). Its name hashes them all
but what only tells their place in the store, such as a running number: that is set when the store is put together. So
a dataset that grows finds the shards it had.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from stores.manifest import canonical_json

__all__ = ["shard_name"]

N_DIGITS = 24


def shard_name(items: Sequence[Any], placed: Sequence[str] = ()) -> str:
    """`placed`: fields of the items, or of what they hold, that tell their place alone."""
    held = list(items)  # a range makes its items anew each time
    by_item: dict[int, str] = {}  # a job may stand in a shard once for each of its rows
    for item in held:
        if id(item) not in by_item:
            by_item[id(item)] = canonical_json(_plain(item, frozenset(placed)))
    return hashlib.sha256("\n".join(by_item[id(item)] for item in held).encode()).hexdigest()[:N_DIGITS]


def _plain(value: Any, placed: frozenset[str]) -> Any:  # noqa: ANN401 - whatever a stage makes shards of
    """As JSON, with the names of the classes. Raises TypeError for what has no such form."""
    if is_dataclass(value) and not isinstance(value, type):
        content = {
            one.name: _plain(getattr(value, one.name), placed) for one in fields(value) if one.name not in placed
        }
        return {"class": type(value).__name__, **content}
    if isinstance(value, np.ndarray):
        values = value.tolist() if value.dtype.hasobject else hashlib.sha256(value.tobytes()).hexdigest()
        return {"dtype": value.dtype.str, "shape": value.shape, "values": _plain(values, placed)}
    if isinstance(value, np.generic):
        return _plain(value.item(), placed)
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one, placed) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, placed) for one in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"found an item with {value!r}, expected dataclasses, arrays, numbers and texts")
