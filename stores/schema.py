"""What a valid dataset is: one contract per store, and the checks of loaded blocks against it.

A `StoreSchema` names every variable with its dimensions, dtype, units and allowed values, and every `Fact` that ties
variables together. pandera decides whether a dataset keeps the contract. Two of its habits shape this file:

* on lazily loaded data it skips value checks without a word, so values are checked on loaded blocks only
  (`block_violations`) and structure on metadata only (`structure_violations`);
* a failing element-wise check lists every bad cell, in Python, without saying where it is. So each `Rule` hands pandera
  one bool, and where a rule fails the same mask tells the rows.

Units are part of the contract: they stand in `attrs["units"]` of each variable.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = [
    "MISSING_TEXT",
    "Fact",
    "Rule",
    "SchemaError",
    "StoreSchema",
    "Variable",
    "Violation",
    "block_violations",
    "owner_violations",
    "structure_violations",
]

Mask = NDArray[np.bool_]
N_ROWS_SHOWN = 8
MISSING_TEXT = "\u2400"  # symbol for null: what columns of text name as missing value, and no cell holds
# What facts raise on values that break the rules which the facts build on.
FACT_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError)


@dataclass(frozen=True)
class Variable:
    """One array of a store. `dtype` is a NumPy name or "str"; `low` and `high` are allowed, `above` is not."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    units: str
    description: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    nan_allowed: bool = False
    increasing: bool = False
    choices: tuple[int | str, ...] = ()

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(object) if self.dtype == "str" else np.dtype(self.dtype)

    @property
    def attrs(self) -> dict[str, str]:
        return {"description": self.description, "units": self.units}


@dataclass(frozen=True)
class Fact:
    """A relation between variables which share their leading dimension.

    `violated` gets a dataset with `variables` (and the schema's coordinates) loaded and returns one bool per row. It
    sees blocks of rows in any partition, unless `whole`: then it sees all rows at once, and may return a mask over any
    list of rows, or a single bool.

    With `owners`, names of two of its variables, it may see them in blocks too: row m owns the owners[1][m] rows from
    owners[0][m] on of the variables of another leading dimension, and no row is parted from what it owns.
    """

    name: str
    expected: str
    variables: tuple[str, ...]
    violated: Callable[[xr.Dataset], Mask]
    whole: bool = False
    owners: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`bad` gives one bool per row of the array."""

    name: str
    expected: str
    bad: Callable[[NDArray[Any]], Mask]


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One broken rule: `where` names rows, a shard or a file inside the store."""

    variable: str
    where: str
    problem: str

    def __str__(self) -> str:
        """Printable everywhere: names and texts from a damaged store may hold what no terminal takes."""
        text = f"{self.variable}, {self.where}: {self.problem}"
        return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class SchemaError(ValueError):
    """A dataset breaks its contract; `violations` holds every breach, the message lists them all."""

    def __init__(self, what: str, violations: Sequence[Violation], cure: str) -> None:
        self.violations = tuple(violations)
        lines = [f"{what}: {len(self.violations)} violation(s)"]
        super().__init__("\n".join([*lines, *(f"  {violation}" for violation in self.violations), f"  Cure: {cure}"]))


@dataclass(frozen=True, kw_only=True)
class StoreSchema:
    """The contract of one kind of store. Facts name variables of one leading dimension, unless they are `whole`."""

    name: str
    version: str
    coordinates: tuple[Variable, ...]
    variables: tuple[Variable, ...]
    facts: tuple[Fact, ...] = ()
    attributes: tuple[str, ...] = ()  # global attributes besides schema, schema_version and manifest

    def __post_init__(self) -> None:
        names = [variable.name for variable in self.all_variables]
        if len(set(names)) != len(names):
            raise ValueError(f"schema {self.name}: a variable name occurs twice in {names}")
        unknown = {name for fact in self.facts for name in fact.variables} - set(names)
        if unknown:
            raise ValueError(f"schema {self.name}: facts speak of unknown variables {sorted(unknown)}")
        for fact in self.facts:  # a block holds variables of one leading dimension, others would never be looked at
            if not fact.whole and len(leading := {self.variable(name).dims[0] for name in fact.variables}) > 1:
                raise ValueError(f"schema {self.name}: fact {fact.name} spans {sorted(leading)}; give it whole=True")

    @property
    def all_variables(self) -> tuple[Variable, ...]:
        return self.coordinates + self.variables

    def dataset(self, columns: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]) -> xr.Dataset:
        """The variables and coordinates by name, with their dimensions and units, not yet validated."""

        def arrays(variables: Sequence[Variable]) -> dict[str, Any]:
            return {v.name: (v.dims, columns[v.name], v.attrs) for v in variables}

        return xr.Dataset(arrays(self.variables), coords=arrays(self.coordinates), attrs=dict(attributes))

    def variable(self, name: str) -> Variable:
        for variable in self.all_variables:
            if variable.name == name:
                return variable
        raise KeyError(f"schema {self.name} has no variable {name!r}")


def structure_violations(template: xr.Dataset, schema: StoreSchema) -> list[Violation]:
    """Names, dimensions, dtypes, units and attributes of `template`, by metadata only: no value is read."""
    import pandera.xarray as pa
    from pandera.config import ValidationDepth, config_context
    from pandera.errors import SchemaErrors

    contract = pa.DatasetSchema(
        data_vars={v.name: pa.DataVar(**_structure(v), attrs={"units": v.units}) for v in schema.variables},
        coords={v.name: pa.Coordinate(**_structure(v)) for v in schema.coordinates},
        attrs={"schema": schema.name, "schema_version": schema.version},
        strict=True,
        strict_coords=True,
    )
    breaches: list[Violation] = []
    for variable in schema.all_variables:
        if variable.dtype == "str" and variable.name in template and template[variable.name].dtype.kind not in "OUT":
            breaches.append(_breach(variable.name, f"expected dtype str, got {template[variable.name].dtype}"))
    for name in schema.attributes:
        if name not in template.attrs:
            breaches.append(Violation(variable="(store)", where="attributes", problem=f"attribute {name!r} is missing"))
    for variable in schema.coordinates:  # pandera checks no attributes of coordinates
        units = template[variable.name].attrs.get("units") if variable.name in template.coords else variable.units
        if units != variable.units:
            breaches.append(
                _breach(variable.name, f"attribute mismatch 'units': expected {variable.units!r}, got {units!r}")
            )
    try:
        with config_context(validation_depth=ValidationDepth.SCHEMA_ONLY):
            contract.validate(template, lazy=True)
    except SchemaErrors as errors:
        for error in errors.schema_errors:
            owner = getattr(error.schema, "name", None) or "(store)"
            breaches.append(_breach(str(owner), str(error).strip()))
    return list(dict.fromkeys(breaches))


def block_violations(block: xr.Dataset, schema: StoreSchema, *, first_row: int = 0) -> list[Violation]:
    """Values of the variables that `block` holds (loaded in memory), and the facts all of whose variables it holds.

    Rows are reported counted from `first_row`. Whole-store facts are left out: see `whole_violations`.
    """
    present = [variable for variable in schema.all_variables if variable.name in block.variables]
    facts = [f for f in schema.facts if not f.whole and all(name in block.variables for name in f.variables)]
    breaches: list[Violation] = []
    columns = [variable for variable in present if variable.name not in block.coords]
    if _pandera_accepts(block, columns, facts):
        columns, facts = [], []
    for variable in [v for v in present if v.name in block.coords] + columns:  # pandera checks no values of coordinates
        values = np.asarray(block[variable.name].values)
        for rule in rules_of(variable):
            rows = np.flatnonzero(rule.bad(values))
            if rows.size:
                problem = f"found {_sample(values, rows)}, expected {rule.expected}"
                breaches.append(Violation(variable=variable.name, where=_rows(rows + first_row), problem=problem))
    for fact in facts:
        breaches += _breaches(fact, block, first_row)
    return breaches


def whole_violations(dataset: xr.Dataset, schema: StoreSchema) -> list[Violation]:
    """Facts that need all rows at once, on a dataset which holds their variables loaded."""
    breaches: list[Violation] = []
    for fact in schema.facts:
        if fact.whole and all(name in dataset.variables for name in fact.variables):
            breaches += _breaches(fact, dataset)
    return breaches


def owner_violations(blocks: Iterable[tuple[int, xr.Dataset]], facts: Sequence[Fact]) -> list[Violation]:
    """Facts on blocks of owners with all that they own, each with its first row; one violation for each fact."""
    rows: list[list[NDArray[np.intp]]] = [[] for _ in facts]
    found: list[Violation] = []
    for first_row, block in blocks:
        for fact, broken in zip(facts, rows, strict=True):
            try:
                broken.append(_broken_rows(fact, block) + first_row)
            except FACT_ERRORS as error:
                found.append(_unchecked(fact, error))
    for fact, broken in zip(facts, rows, strict=True):
        if any(some.size for some in broken):
            found.append(_broken_fact(fact, _rows(np.concatenate(broken))))
    return list(dict.fromkeys(found))


def rules_of(variable: Variable) -> list[Rule]:
    """The value rules of one variable, each a mask over its rows."""
    rules: list[Rule] = []

    def add(name: str, expected: str, bad_cells: Callable[[NDArray[Any]], Mask]) -> None:
        rules.append(Rule(name=name, expected=expected, bad=lambda a: _any_in_row(bad_cells(a))))

    if variable.dtype == "str":
        is_not_text = np.frompyfunc(lambda cell: not isinstance(cell, str) or cell == MISSING_TEXT, 1, 1)
        add(
            "text", f"text other than {MISSING_TEXT!r}", lambda a: np.asarray(is_not_text(a.astype(object)), dtype=bool)
        )
    elif variable.numpy_dtype.kind == "f":
        if variable.nan_allowed:
            add("finite_or_nan", "finite numbers or NaN", np.isinf)
        else:
            add("finite", "finite numbers", lambda a: ~np.isfinite(a))
    if (low := variable.low) is not None:
        add("low", f"values >= {low:g}", lambda a: a < low)
    if (above := variable.above) is not None:
        add("above", f"values > {above:g}", lambda a: a <= above)
    if (high := variable.high) is not None:
        add("high", f"values <= {high:g}", lambda a: a > high)
    if variable.choices:
        add("choices", f"one of {list(variable.choices)}", lambda a: ~np.isin(a, np.asarray(variable.choices)))
    if variable.increasing:
        rules.append(Rule(name="increasing", expected="strictly increasing values", bad=_not_above_previous))
    return rules


def _pandera_accepts(block: xr.Dataset, present: Sequence[Variable], facts: Sequence[Fact]) -> bool:
    import pandera.xarray as pa
    from pandera.config import ValidationDepth, config_context
    from pandera.errors import SchemaErrors

    checks: dict[str, list[Any]] = {
        v.name: [pa.Check(_passes(rule), name=rule.name) for rule in rules_of(v)] for v in present
    }
    contract = pa.DatasetSchema(
        data_vars={v.name: pa.DataVar(dims=v.dims, nullable=True, checks=checks[v.name]) for v in present},
        checks=[pa.Check(_holds(fact), name=fact.name) for fact in facts],
    )
    try:
        with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            contract.validate(block, lazy=True)
    except SchemaErrors:
        return False
    return True


def _passes(rule: Rule) -> Callable[[xr.DataArray], bool]:
    return lambda array: not bool(rule.bad(np.asarray(array.values)).any())


def _holds(fact: Fact) -> Callable[[xr.Dataset], bool]:
    return lambda dataset: not _breaches(fact, dataset)


def _breaches(fact: Fact, dataset: xr.Dataset, first_row: int = 0) -> list[Violation]:
    try:
        rows = _broken_rows(fact, dataset)
    except FACT_ERRORS as error:
        return [_unchecked(fact, error)]
    return [_broken_fact(fact, _rows(rows + first_row))] if rows.size else []


def _broken_rows(fact: Fact, dataset: xr.Dataset) -> NDArray[np.intp]:
    with np.errstate(all="ignore"):
        return np.flatnonzero(np.atleast_1d(fact.violated(dataset)))


def _unchecked(fact: Fact, error: Exception) -> Violation:
    problem = f"cannot be checked, expected {fact.expected} ({fact.name}): {type(error).__name__}: {error}"
    return Violation(variable=" + ".join(fact.variables), where="values", problem=problem)


def _structure(variable: Variable) -> Mapping[str, Any]:
    dtype = None if variable.dtype == "str" else variable.numpy_dtype
    return {"dims": variable.dims, "dtype": dtype}


def _any_in_row(bad: Mask) -> Mask:
    return np.asarray(bad.reshape(bad.shape[0], -1).any(axis=1) if bad.size else np.zeros(bad.shape[:1], dtype=bool))


def _not_above_previous(values: NDArray[Any]) -> Mask:
    return np.concatenate([[False], ~(values[1:] > values[:-1])])  # a difference may overflow


def _breach(variable: str, problem: str) -> Violation:
    return Violation(variable=variable, where="structure", problem=problem)


def _broken_fact(fact: Fact, where: str) -> Violation:
    return Violation(
        variable=" + ".join(fact.variables), where=where, problem=f"expected {fact.expected} ({fact.name})"
    )


def _rows(rows: NDArray[np.intp]) -> str:
    shown = ", ".join(str(row) for row in rows[:N_ROWS_SHOWN])
    return (
        f"row {shown}" if rows.size == 1 else f"{rows.size} rows ({shown}{', ...' if rows.size > N_ROWS_SHOWN else ''})"
    )


def _sample(values: NDArray[Any], rows: NDArray[np.intp]) -> str:
    row = np.ravel(values[rows[0]])
    if row.dtype.kind == "f" and not np.isfinite(row).all():
        return str(row[~np.isfinite(row)][0])
    return f"{row[0]!s}" if row.size == 1 else f"values from {row.min()} to {row.max()}"
