"""Settings are checked wherever they are made, and say what is wrong in one message."""

import json
import pickle
from dataclasses import FrozenInstanceError, asdict, replace
from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveInt, TypeAdapter, ValidationError

from models.registry import Chosen, Registry
from models.setting_problems import setting_problems
from models.settings import Range, Some, settings


@settings
class Inner:
    rate: Annotated[float, Field(gt=0, le=1)]


@settings
class Outer:
    n_steps: PositiveInt
    span: Range[float]
    sizes: Some[PositiveInt] = (1,)
    kind: Literal["a", "b"] = "a"
    inner: Inner = Inner(rate=0.5)

    def __post_init__(self) -> None:
        if self.n_steps < len(self.sizes):
            raise ValueError(f"n_steps: found {self.n_steps}, expected one for each of {len(self.sizes)} sizes")


GOOD = Outer(n_steps=3, span=(0.0, 1.0))


def test_settings_are_frozen_and_hold_tuples_and_survive_copies():
    made = Outer(n_steps=3, span=[0, 1], sizes=[2, 3])
    assert (made.span, made.sizes) == ((0.0, 1.0), (2, 3))
    assert pickle.loads(pickle.dumps(made)) == made
    assert asdict(made)["inner"] == {"rate": 0.5}
    with pytest.raises(FrozenInstanceError):
        made.n_steps = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"n_steps": 0},
            r"Outer: n_steps: found 0 \(int\), expected a whole number >= 1; choose a value in that range",
        ),
        ({"n_steps": True}, r"n_steps: found True \(bool\), expected a whole number >= 1; change its type"),
        ({"n_steps": "3"}, "n_steps: found '3'.*write the number without quotes"),
        ({"span": (1.0, 0.0)}, r"span: found \(1.0, 0.0\) \(tuple\), expected ascending values, \[low, high\]"),
        ({"span": (0.0, float("inf"))}, r"span\[1\]: found inf \(float\), expected a number; choose a finite number"),
        ({"sizes": ()}, r"sizes: found \(\) \(tuple\), expected a list"),
        ({"kind": "c"}, r"kind: found 'c' \(str\), expected one of \['a', 'b'\]"),
        ({"sizes": (1, 2, 3, 4)}, "Outer: n_steps: found 3, expected one for each of 4 sizes"),
        ({"n_steps": 0, "kind": 3}, "n_steps: found 0.*; kind: found 3"),
    ],
)
def test_replace_checks_too_and_names_every_problem(change, message):
    with pytest.raises(ValueError, match=message):
        replace(GOOD, **change)


def test_a_wrong_choice_out_of_a_registry_is_reported_by_its_own_keys():
    """Through the loader: the settings of the entry that is named, not those of the choice."""
    registry: Registry[Inner] = Registry("inner")
    registry.register("one")(Inner)

    @settings
    class Holder:
        inner: Annotated[Chosen, registry]

    for given, problem in (
        ({"name": "one", "rat": 1}, "x.inner.rat: found an unknown key, expected one of ['rate']; remove or rename it"),
        ({"name": "one", "rate": 2}, "x.inner.rate: found 2 (int), expected a number > 0 and <= 1; choose a value"),
        ({"name": "two"}, "x.inner: inner: found 'two', expected one of ['one']; choose one of them"),
    ):
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(Holder).validate_json(json.dumps({"inner": given}))
        assert any(line.startswith(problem) for line in setting_problems(Holder, {"inner": given}, caught.value, "x"))
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Holder).validate_json("{}")
    expected = "x.inner: found nothing, expected {name: one of ['one'], and its settings}; add the key"
    assert setting_problems(Holder, {}, caught.value, "x") == [expected]
