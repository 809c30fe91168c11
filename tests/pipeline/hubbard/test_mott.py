"""Stage `mott`: planted laws are found, controls are not, and rows beyond are seen by no fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from models.laws.engines.library import LibraryEngine
from pipeline.hubbard.mott import (
    MottParams,
    coexistence,
    metals,
    search_formula,
    split,
    straight_line,
    weight_laws,
    zero_of,
)
from pipeline.runtime.params import load_params

PARAMS = load_params(MottParams, "mott", Path(__file__).parents[3] / "params.yaml")
SEARCH = replace(
    PARAMS.search, engine="library", engines={"library": LibraryEngine(max_power=2, max_total=2, max_terms=2, beam=5)},
    n_seeds=1, n_bootstrap=20,
)  # fmt: skip
FAST = replace(PARAMS, search=SEARCH)
N = 60
U = np.linspace(0.2, 2.8, N)


def store_of(u, z, **changes) -> xr.Dataset:
    columns = {
        "interaction": u,
        "quasiparticle_weight": z,
        "temperature": np.full(len(u), 1e-4),
        "filling": np.ones(len(u)),
        "start": np.full(len(u), "metal"),
        "status": np.zeros(len(u), dtype=np.int8),
        "double_occupancy": np.full(len(u), 0.1),
        "point": np.arange(len(u)),
    } | changes
    return xr.Dataset({name: ("sample", values) for name, values in columns.items()})


def test_a_planted_parabola_is_found_with_its_zero():
    z = 1 - (U / 3) ** 2 + 1e-4 * np.random.default_rng(0).standard_normal(N)
    rows = split(U, z, FAST)
    found = search_formula(rows, LibraryEngine(max_power=2, max_total=2, max_terms=2, beam=5), FAST)
    laws, curves = weight_laws(rows, found, FAST)
    assert laws[0].r2_extrapolation > 0.999 and laws[0].critical_interaction == pytest.approx(3, abs=0.01)
    parabola = next(law for law in laws if law.name == "parabola")
    assert parabola.critical_interaction == pytest.approx(3, abs=1e-3) and parabola.low < parabola.high
    brinkman_rice = next(law for law in laws if law.name == "brinkman_rice")
    assert brinkman_rice.n_fitted == 0 and brinkman_rice.r2_extrapolation < 0.9
    np.testing.assert_allclose(curves["found"](U), z, atol=2e-3)


def test_what_is_beyond_lies_above_what_chooses_and_that_above_what_is_fitted():
    rows = split(U, U, FAST)
    parts = [rows.train, rows.test, rows.validation, rows.extrapolation]
    assert sorted(np.concatenate(parts)) == list(range(N))
    assert U[np.concatenate(parts[:2])].max() < U[rows.validation].min()
    assert U[rows.validation].max() < U[rows.extrapolation].min()


def test_numbers_beyond_change_neither_the_formula_nor_the_fits():
    z = 1 - (U / 3) ** 2
    last = U[split(U, z, FAST).validation].max()
    changed = np.where(last < U, 5 + U, z)
    engine = LibraryEngine(max_power=2, max_total=2, max_terms=2, beam=5)
    before, after = (search_formula(split(U, values, FAST), engine, FAST) for values in (z, changed))
    assert before.text == after.text
    laws = [weight_laws(split(U, values, FAST), before, FAST)[0] for values in (z, changed)]
    assert [law.equation for law in laws[0]] == [law.equation for law in laws[1]]
    assert laws[1][0].r2_extrapolation is None or laws[1][0].r2_extrapolation < 0


def test_weights_of_other_u_give_no_law():
    z = 1 - (U / 3) ** 2
    rows = split(U, z, FAST)
    engine = LibraryEngine(max_power=2, max_total=2, max_terms=2, beam=5)
    control = search_formula(replace(rows, weight=np.random.default_rng(1).permutation(z)), engine, FAST)
    predicted = control.weight(U[rows.test])
    assert 1 - np.sum((predicted - z[rows.test]) ** 2) / np.sum((z[rows.test] - z[rows.test].mean()) ** 2) < 0.5


def test_metals_are_converged_half_filled_and_cold():
    spoilt = {"status": [1], "filling": [0.9], "temperature": [1e-2], "start": ["insulator"]}
    for name, value in spoilt.items():
        whole = store_of(U, 1 - U / 3)
        changed = whole[name].values.copy()
        changed[5] = value[0]
        u, _ = metals(whole.assign({name: ("sample", changed)}))
        assert u.size == N - 1 and U[5] not in u
    with pytest.raises(ValueError, match="found 10 metals at half filling"):
        metals(store_of(U[:10], U[:10]))


def test_a_line_needs_three_weights_and_a_law_may_have_no_zero():
    assert straight_line(U, 1 - U / 3, 0.5)[1] == pytest.approx(3)
    assert np.isnan(straight_line(U, np.ones(N), 0.5)[0])
    assert zero_of(lambda u: np.exp(-u), 2.0) is None
    assert zero_of(lambda u: 1 - u / 3, 2.0) == pytest.approx(3)


def test_two_solutions_are_told_apart_by_their_double_occupancy():
    store = store_of(
        np.array([2.4, 2.4, 2.6, 2.6, 2.7, 2.7]), np.full(6, 0.1),
        start=np.array(["metal", "insulator"] * 3), point=np.array([0, 0, 1, 1, 2, 2]),
        double_occupancy=np.array([0.05, 0.03, 0.04, 0.0399, 0.03, 0.01]), status=np.array([0, 0, 0, 0, 0, 1]),
    )  # fmt: skip
    found = coexistence(store, 5e-3)
    assert (found.n_points, found.n_two_solutions) == (2, 1)
    assert found.lowest_interaction == found.highest_interaction == 2.4
