"""Stage `pseudogap`: one shard for each exponent, both sides measured, failures keep their rows."""

from dataclasses import replace

import numpy as np
import pytest

from models.physics.pseudogap.flow import FlowSettings
from pipeline.impurity import pseudogap
from pipeline.impurity.pseudogap import PseudogapParams, generate, measure_shard
from pipeline.impurity.records import PseudogapMetrics
from stores.outcome import FAILED, OK
from stores.pseudogap import PSEUDOGAP
from stores.zarr_store import open_store

PARAMS = PseudogapParams(
    exponents=(0.3, 0.4),
    interaction=0.5,
    lowest_temperature=1e-24,
    largest_distance=1e-2,
    n_distances=4,
    periods_between=1,
    nrg=FlowSettings(discretization=9.0, n_keep=40),
    nrg_check=FlowSettings(discretization=12.0, n_keep=40),
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    monkeypatch.setattr(pseudogap, "shard_key", lambda *_: "0" * 32)
    monkeypatch.setattr(pseudogap, "numerical_versions", lambda _: {})


def test_both_sides_of_each_critical_point_are_in_the_store_and_the_metrics(here):
    generate(PARAMS)
    store = open_store(pseudogap.OUT, PSEUDOGAP).load()
    assert store.sizes["sample"] == 2 * 2 * 4
    assert np.all(store["status"].values == OK)
    rows = store.isel(sample=slice(0, 4))
    assert np.all(np.diff(np.log(rows["crossover_temperature"].values)) < -1)  # T* falls with the distance
    metrics = PseudogapMetrics.read()
    assert (metrics.n_rows, metrics.n_failed, [e.exponent for e in metrics.exponents]) == (16, 0, [0.3, 0.4])
    for found in metrics.exponents:
        value, low, high = found.inverse_nu
        assert low < value < high
        for nu, _, _ in (found.nu_screened, found.nu_local_moment):
            assert nu == pytest.approx(1 / value, rel=0.01)
        assert value < min(found.inverse_nu_near_zero, found.inverse_nu_near_one_half)


def test_a_bath_without_a_transition_keeps_its_rows(here):
    """U = 1e-9 D: below it the bath has so little weight left that every coupling up to U leaves the spin free."""
    columns = measure_shard([0.3], params=replace(PARAMS, interaction=1e-9))
    assert columns["status"].tolist() == [FAILED] * 8
    assert all("expected a free moment and a screened one" in reason for reason in columns["failure"])
    assert np.isnan(columns["critical_coupling"]).all()
    assert len({abs(x) for x in columns["distance"]}) == 4


def test_a_scale_below_the_lowest_temperature_fails_alone(here):
    columns = measure_shard([0.3], params=replace(PARAMS, periods_between=4, n_distances=5))
    assert {OK, FAILED} == set(columns["status"].tolist())
    assert set(columns["failure"][columns["status"] == FAILED]) == {"T* lies below the lowest temperature"}
    assert np.isfinite(columns["critical_coupling"]).all()


def test_exponents_without_a_transition_are_refused():
    for wrong, message in (((0.3, 0.5), "expected a number > 0 and < 0.5"), ((0.4, 0.3), "ascending")):
        with pytest.raises(ValueError, match=message):
            replace(PARAMS, exponents=wrong)
