"""A study of curves whose law is known: latents, what they know on test rows, formulas, and the page."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.discover import study as steps
from pipeline.discover.page import page_of
from pipeline.discover.study import NETWORK, QUICK, result, study
from stores.importers.curves import CurveTable

RNG = np.random.default_rng(7)
N = 280
RATE, SIZE = RNG.uniform(0.3, 3.0, N), RNG.uniform(1.0, 2.0, N)
AXIS = np.linspace(0.0, 3.0, 24)
BUDGET = replace(QUICK, n_steps=700, generations=8)


def table(n: int = N) -> CurveTable:
    curves = np.exp(-(RATE * SIZE)[:n, None] * AXIS) + 0.005 * np.random.default_rng(1).standard_normal((n, 24))
    return CurveTable(
        curves=curves,
        shape=(24,),
        axis=AXIS,
        axis_name="time",
        columns={"rate": RATE[:n], "size": SIZE[:n], "product": (RATE * SIZE)[:n]},
        groups=np.arange(n),
        n_dropped=0,
    )


@pytest.fixture(scope="module")
def found():
    return study(table(), {"rate": RATE, "size": SIZE}, budget=BUDGET, symmetry="none", seed=0)


def test_the_combination_that_shapes_the_curve_is_the_latent(found):
    best = found.quantities["product"].held_out[NETWORK]
    assert best.spearman.value > 0.97 > abs(found.quantities["size"].held_out[NETWORK].spearman.value)
    assert len(found.names) >= 1
    assert best.n_rows == (found.split_N == 2).sum()


def test_the_formula_holds_on_test_rows(found):
    latent = found.quantities["product"].held_out[NETWORK].coordinate
    formula = next(one for one in found.formulas if one.latent == latent)
    assert formula.finding is not None and formula.finding.r2_test > 0.9
    assert set(formula.finding.equation.names) == {"rate", "size"}


def test_test_rows_choose_nothing(found):
    """Spoilt test rows change what is reported of them, and nothing else."""
    spoilt = table()
    spoilt.columns["product"][found.split_N == 2] = np.random.default_rng(2).permutation(
        spoilt.columns["product"][found.split_N == 2]
    )
    other = study(spoilt, {}, budget=BUDGET, symmetry="none", seed=0)
    np.testing.assert_array_equal(other.mean_NL, found.mean_NL)
    assert other.quantities["product"].held_out[NETWORK].coordinate == (
        found.quantities["product"].held_out[NETWORK].coordinate
    )
    assert abs(other.quantities["product"].held_out[NETWORK].spearman.value) < 0.5


def test_the_record_and_the_page_say_what_was_found(found):
    record = result(found)
    assert record["n_rows"] == N == record["n_groups"]
    assert record["active_latents"] == len(found.names)
    assert record["best"]["product"]["abs_spearman"] == found.quantities["product"].held_out[NETWORK].spearman.value
    assert {f["latent"] for f in record["formulas"]} == set(found.names)
    page = page_of(found, name="<b>decays</b>.csv", scale="linear")
    assert "<b>decays" not in page and "&lt;b&gt;decays" in page
    for anchor in ("latents", "quantities", "formulas"):
        assert f'id="{anchor}"' in page or f"#{anchor}" in page


def test_images_have_a_page_too():
    curves = table()
    images = replace(curves, shape=(4, 6), axis_name="pixel")
    seen = study(images, {}, budget=replace(BUDGET, n_steps=60), symmetry="none", seed=0)
    assert "<svg" in page_of(seen, name="images", scale="linear")


def test_too_few_groups_are_refused():
    with pytest.raises(ValueError, match="found 30 groups of independent rows, expected at least 70"):
        study(table(30), {"rate": RATE[:30]}, budget=BUDGET, symmetry="none", seed=0)


def test_an_input_with_many_rows_at_its_largest_value_keeps_none_back():
    """Half of all fillings are 1: their largest 15 % is no part of the rows."""
    rng = np.random.default_rng(0)
    filling, size = np.minimum(rng.uniform(0.5, 1.5, 400), 1.0), rng.uniform(0, 1, 400)
    columns, split = np.column_stack([filling, size]), np.repeat([0, 1, 2, 0], 100)
    nearest, inside = steps._kept_back(columns, filling, split)
    assert nearest == 1 and inside.sum() == 340 and size[inside].max() < size[~inside].min()
    nearest, inside = steps._kept_back(columns[:, :1], filling, split)
    assert nearest == 0 and inside.all()
    nearest, inside = steps._kept_back(columns, size, split)
    assert nearest == 1
