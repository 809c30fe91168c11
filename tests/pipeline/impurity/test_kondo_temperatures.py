"""Stage `kondo_temperatures`: sampled in the local-moment regime without a formula for T_K; failures keep their row."""

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.physics.impurity.kondo_label import KondoLabel
from models.physics.impurity.solver import SolverError
from pipeline.impurity import kondo_temperatures
from pipeline.impurity.kondo_temperatures import KondoTemperaturesParams, draw_impurity, generate
from pipeline.runtime.params import load_params
from stores.kondo_temperatures import KONDO_TEMPERATURES
from stores.outcome import FAILED
from stores.zarr_store import open_store

PARAMS = replace(
    load_params(KondoTemperaturesParams, "kondo_temperatures", Path(__file__).parents[3] / "params.yaml"),
    hybridization=(0.002, 0.02),
    interaction_over_pi_gamma=(1.0, 4.0),
    interaction_high=0.3,
)


def test_draws_fill_the_local_moment_regime_evenly():
    drawn = [draw_impurity(PARAMS, index) for index in range(2000)]
    u = np.array([np.log(d.interaction / (np.pi * d.hybridization)) for d in drawn])
    x = np.array([(d.interaction + 2 * d.level) / d.interaction for d in drawn])
    gamma = np.array([d.hybridization for d in drawn])
    for values, (low, high) in (
        (u, np.log(PARAMS.interaction_over_pi_gamma)),
        (x, PARAMS.asymmetry_over_U),
        (np.log(gamma), np.log(PARAMS.hybridization)),
    ):
        workplace = (values - low) / (high - low)
        assert workplace.min() >= -1e-9 and workplace.max() <= 1 + 1e-9
        np.testing.assert_allclose(np.histogram(workplace, 4, (-1e-9, 1 + 1e-9))[0] / workplace.size, 0.25, atol=0.06)
    assert all(-d.interaction < d.level < 0 and d.field == 0 for d in drawn)
    assert max(d.interaction for d in drawn) <= PARAMS.interaction_high


def test_no_formula_for_the_kondo_temperature_enters_the_sampling():
    assert "haldane" not in inspect.getsource(kondo_temperatures).lower()


def test_ranges_that_reach_a_too_large_u_are_refused():
    with pytest.raises(ValueError, match=r"found U up to 1\.26 D .* expected at most interaction_high = 0\.3"):
        replace(PARAMS, hybridization=(0.002, 0.1))


def test_failures_keep_their_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")

    def measure(impurity):
        if impurity.interaction < 0.02:
            raise SolverError("too small for this toy")
        value = np.nan if impurity.interaction > 0.1 else impurity.hybridization
        return KondoLabel(value=value, error=1e-3 * value)

    generate(replace(PARAMS, n_hamiltonians=60, hamiltonians_per_shard=7), measure)
    dataset = open_store(kondo_temperatures.OUT, KONDO_TEMPERATURES).load()
    failed = dataset["status"].values == FAILED
    assert dataset.sizes["sample"] == 60
    assert {str(reason) for reason in dataset["failure"].values[failed]} == {
        "SolverError: too small for this toy",
        "T_K lies below the lowest energy of the chain",
    }
    for name in ("kondo_temperature", "kondo_temperature_error"):
        np.testing.assert_array_equal(np.isnan(dataset[name].values), failed)
