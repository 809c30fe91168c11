"""Settings are frozen dataclasses that are checked wherever they are made: from params.yaml, by a caller, by `replace`.

    @settings
    class NRGSettings:
        discretization: Annotated[float, Field(ge=1.2, le=20)]      # Lambda
        n_keep: PositiveInt

A wrong value raises ValueError that lists all wrong fields: found, expected, cure. Types are strict (true is no
number, nor is "1") and numbers finite. A rule that ties several fields together raises ValueError in `__post_init__`.
`dataclasses.asdict` and `replace` work as always.
"""

from collections.abc import Sequence
from dataclasses import field
from functools import wraps
from itertools import pairwise
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from models.setting_problems import setting_problems

__all__ = ["Ascending", "Fraction", "Range", "Some", "settings"]

T = TypeVar("T")
Items = TypeVar("Items", bound=Sequence[Any])
CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def settings(kind: type[T]) -> type[T]:
    """Decorator: a frozen dataclass with keyword arguments only, whose values are checked."""
    made = cast(type[T], dataclass(frozen=True, kw_only=True, config=CONFIG)(kind))
    check = made.__init__

    @wraps(check)
    def initialise(self: T, **given: Any) -> None:  # noqa: ANN401 - the fields of any settings class
        try:
            check(self, **given)
        except ValidationError as error:
            raise ValueError(f"{kind.__qualname__}: " + "; ".join(setting_problems(made, given, error))) from None

    made.__init__ = initialise  # type: ignore[assignment, method-assign]
    return made


def ascending(values: Items) -> Items:
    if any(b <= a for a, b in pairwise(values)):
        raise PydanticCustomError("ascending", "expected ascending values, [low, high]")
    return values


Ascending = AfterValidator(ascending)
Fraction = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[T, T], Ascending, Field(strict=False)]  # [low, high]
Some = Annotated[tuple[T, ...], Field(min_length=1, strict=False)]  # one or more; a list becomes a tuple
