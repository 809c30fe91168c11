"""A contract finds what breaks it and says in which rows; each schema's own example is valid."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from stores import hubbard, kondo_temperatures, pseudogap, spectra
from stores.schema import Fact, StoreSchema, Variable, block_violations, structure_violations, whole_violations

EXAMPLES = [
    (spectra.SPECTRA, spectra.tiny),
    (kondo_temperatures.KONDO_TEMPERATURES, kondo_temperatures.tiny),
    (hubbard.HUBBARD, hubbard.tiny),
    (pseudogap.PSEUDOGAP, pseudogap.tiny),
]


def labelled(schema, dataset):
    return dataset.assign_attrs(schema=schema.name, schema_version=schema.version)


def all_violations(schema, dataset):
    return (
        structure_violations(labelled(schema, dataset), schema)
        + block_violations(dataset, schema)
        + whole_violations(dataset, schema)
    )


@pytest.mark.parametrize(("schema", "tiny"), EXAMPLES)
def test_the_example_of_a_schema_is_valid(schema, tiny):
    assert all_violations(schema, tiny()) == []


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("spectrum", 2, np.nan, "row 2: found nan, expected finite numbers"),
        ("spectrum", 1, -1.0, "expected values >= -0.05"),
        ("spectrum", 1, 16.0, "expected values <= 1.2"),
        ("hybridization", 3, 0.0, "row 3: found 0.0, expected values > 0"),
        ("temperature", 0, -1e-6, "expected values > 0"),
        ("n_d", 0, 2.5, "row 0: found 2.5, expected values <= 2"),
        ("kondo_temperature", 0, np.inf, "expected finite numbers or NaN"),
        ("status", 4, 7, "expected one of [0, 1]"),
        ("failure", 4, "", "a reason exactly where status is not 0 (failure_stated)"),
        ("failure", 0, "late", "a reason exactly where status is not 0 (failure_stated)"),
        ("n_d", 4, 1.0, "zeros where status is not 0 (failed_rows_empty)"),
        ("spectrum", 0, 0.0, "a positive spectrum where status is 0 (solved_rows_filled)"),
        ("double_occupancy", 1, 0.9, "<n_up n_dn> <= min(<n_up>, <n_dn>) (pairs_bounded)"),
        ("clipped_self_energy", 0, 0.06, "row 0: found 0.06, expected values <= 0.05"),
        ("clipped_self_energy", 0, np.nan, "row 0: found nan, expected finite numbers"),
        ("spectrum_error_max", 2, 0.3, "row 2: found 0.3, expected values <= 0.25"),
        ("spectrum_error_mean", 2, 0.06, "row 2: found 0.06, expected values <= 0.05"),
        ("spectrum_error_mean", 2, 0.02, "mean <= largest, none in a failed row (errors_agree)"),
        ("spectrum_error_max", 1, np.nan, "both or neither, mean <= largest"),
        (
            "spectrum_error_max",
            1,
            np.nan,
            "of one Hamiltonian or in none, one error of T_K (errors_of_a_hamiltonian_agree)",
        ),
        ("kondo_temperature_error", 4, 0.01, "none in a failed row (errors_agree)"),
        ("kondo_temperature_error", 0, -0.01, "row 0: found -0.01, expected values >= 0"),
        ("kondo_temperature_error", 0, 0.11, "row 0: found 0.11, expected values <= 0.1"),
        ("kondo_temperature_error", 1, 0.01, "one error of T_K (errors_of_a_hamiltonian_agree)"),
        (
            "interaction",
            1,
            0.3,
            "in all rows of one Hamiltonian (rows_of_a_hamiltonian_agree)",
        ),
    ],
)
def test_each_broken_rule_is_reported_with_its_row(name, row, value, message):
    dataset = spectra.tiny()
    dataset[name][row] = value
    found = [str(violation) for violation in all_violations(spectra.SPECTRA, dataset)]
    assert any(message in line and name in line for line in found), found


def test_structure_is_reported_without_reading_values():
    dataset = labelled(spectra.SPECTRA, spectra.tiny())
    dataset = dataset.drop_vars("field").assign(extra=("sample", np.zeros(5)), n_d=dataset["n_d"].astype("float32"))
    dataset["level"].attrs["units"] = "eV"
    dataset["omega"].attrs["units"] = "eV"
    dataset.attrs["schema_version"] = "0"
    del dataset.attrs["solver"]
    found = "\n".join(str(violation) for violation in structure_violations(dataset, spectra.SPECTRA))
    for message in ("field", "extra", "expected dtype", "'units'", "omega", "schema_version", "'solver' is missing"):
        assert message in found, found


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 199), min_size=1, max_size=20, unique=True), st.integers(1, 200))
def test_bad_rows_are_found_whatever_the_blocks(rows, step):
    schema = StoreSchema(
        name="numbers",
        version="1",
        coordinates=(),
        variables=(
            Variable(name="a", dims=("row",), dtype="float64", units="D", description="a", high=1),
            Variable(name="b", dims=("row",), dtype="float64", units="D", description="b"),
        ),
        facts=(Fact(name="equal", expected="a = b", variables=("a", "b"), violated=lambda d: (d.a != d.b).values),),
    )
    a = np.zeros(200)
    a[rows] = 2.0
    dataset = xr.Dataset({"a": ("row", a), "b": ("row", np.zeros(200))})
    found = [
        violation
        for start in range(0, 200, step)
        for violation in block_violations(dataset.isel(row=slice(start, start + step)), schema, first_row=start)
    ]
    first = next(violation for violation in found if violation.variable == "a")
    assert str(min(rows)) in first.where
    assert any(violation.variable == "a + b" for violation in found)


def test_a_schema_refuses_a_fact_that_no_block_could_hold():
    fact = Fact(name="f", expected="x", variables=("a", "b"), violated=lambda d: np.zeros(1, dtype=bool))
    a, b = (Variable(name=n, dims=(n + n,), dtype="int64", units="D", description=n) for n in "ab")
    with pytest.raises(ValueError, match=r"fact f spans \['aa', 'bb'\]; give it whole=True"):
        StoreSchema(name="s", version="1", coordinates=(), variables=(a, b), facts=(fact,))


def test_a_schema_refuses_facts_about_unknown_variables():
    fact = Fact(name="f", expected="x", variables=("nothing",), violated=lambda d: np.zeros(1, dtype=bool))
    with pytest.raises(ValueError, match=r"unknown variables \['nothing'\]"):
        StoreSchema(name="s", version="1", coordinates=(), variables=(), facts=(fact,))
