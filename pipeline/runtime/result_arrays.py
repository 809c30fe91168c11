"""Results of tasks as flat arrays and back: what npz keeps of a dataclass.

dataclass       its fields, nested ones with the path of their names: "predictions/test/energies_eV"
mapping         its entries, likewise
array           itself
number, text    an array without dimensions
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "arrays_of", "result_from"]

Arrays = dict[str, NDArray[Any]]
Result = TypeVar("Result")
SEPARATOR = "/"


def arrays_of(result: object) -> Arrays:
    """`result`: a dataclass, or a mapping, of arrays, numbers, texts and further ones of its kind."""
    return dict(_leaves(result, ""))


def result_from(kind: type[Result], arrays: Mapping[str, NDArray[Any]]) -> Result:
    """The `kind` that `arrays_of` was given. Raises KeyError where arrays are missing."""
    made: Result = _value(kind, dict(arrays))
    return made


def _leaves(value: Any, path: str) -> Iterator[tuple[str, NDArray[Any]]]:  # noqa: ANN401 - of any kind above
    inside: Mapping[str, Any] | None = value if isinstance(value, Mapping) else None
    if is_dataclass(value):
        inside = {field.name: getattr(value, field.name) for field in fields(value)}
    if inside is None:
        yield path, np.asarray(value)
        return
    for name, one in inside.items():
        yield from _leaves(one, f"{path}{SEPARATOR}{name}" if path else name)


def _value(kind: Any, arrays: Arrays) -> Any:  # noqa: ANN401 - a type
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{f.name: _value(hints[f.name], _below(arrays, f.name)) for f in fields(kind)})  # type: ignore[operator]
    if isinstance(get_origin(kind), type) and issubclass(get_origin(kind), Mapping):
        of = get_args(kind)[1]
        names = dict.fromkeys(path.partition(SEPARATOR)[0] for path in arrays)
        return {name: _value(of, _below(arrays, name)) for name in names}
    (array,) = arrays.values()
    return array if array.ndim else array.item()


def _below(arrays: Arrays, name: str) -> Arrays:
    return {
        path.removeprefix(name).removeprefix(SEPARATOR): array
        for path, array in arrays.items()
        if path == name or path.startswith(f"{name}{SEPARATOR}")
    }
