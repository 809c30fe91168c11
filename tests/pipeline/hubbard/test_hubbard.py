"""Stage `hubbard`: each point is solved by itself; what does not converge keeps its last iterate and its reason."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.physics.dmft.hubbard import HubbardSolution, matsubara_weight
from models.physics.impurity.solver import SolverError
from pipeline.hubbard import hubbard
from pipeline.hubbard.hubbard import HubbardParams, draw_point, filling_below, generate, solve_shard
from pipeline.hubbard.records import HubbardMetrics
from pipeline.runtime.params import load_params
from stores.hubbard import HUBBARD
from stores.outcome import FAILED, OK
from stores.schema import block_violations
from stores.zarr_store import open_store

PARAMS = load_params(HubbardParams, "hubbard", Path(__file__).parents[3] / "params.yaml")
COARSE = replace(PARAMS.mean_field, nrg=replace(PARAMS.mean_field.nrg, n_keep=32, broadening=0.6), max_iterations=12)
SMALL = replace(
    PARAMS, n_points=4, points_per_shard=2, interaction=(0.2, 1.0), temperature=(0.01, 0.1), mean_field=COARSE
)


def test_a_point_depends_on_its_number_alone_and_draws_keep_their_ranges():
    points = [draw_point(PARAMS, index) for index in range(4000)]
    assert points[7] == draw_point(replace(PARAMS, n_points=1), 7)
    half = np.array([point.filling == 1 for point in points])
    assert abs(half.mean() - PARAMS.half_filled_fraction) < 0.03
    lowest = np.array([point.temperature == PARAMS.temperature[0] for point in points])
    assert abs(lowest[half].mean() - PARAMS.lowest_temperature_fraction) < 0.03 and not lowest[~half].any()
    assert min(point.filling for point in points) >= PARAMS.filling[0]
    drawn = np.array([point.interaction for point in points])
    np.testing.assert_allclose(np.histogram(drawn, 4, PARAMS.interaction)[0] / drawn.size, 0.25, atol=0.03)


def test_both_starts_are_tried_where_metal_and_insulator_may_coexist():
    low, high = PARAMS.coexistence
    for point in (draw_point(PARAMS, index) for index in range(500)):
        expected = ("metal",)
        if point.filling == 1 and point.interaction >= low:
            expected = ("metal", "insulator") if point.interaction <= high else ("insulator",)
        assert point.starts == expected


def test_a_store_of_metals_keeps_the_sum_rule_and_is_pinned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    generate(SMALL)
    store = open_store(Path("data/hubbard.zarr"), HUBBARD)
    assert store.sizes["sample"] == 4 and (store["status"].values == OK).all()
    np.testing.assert_allclose(store["spectral_weight"].values, 1, atol=0.025)
    weight = store["matsubara_weight"].values
    assert ((weight > 0.5) & (weight < 1)).all()
    metrics = HubbardMetrics.read()
    assert metrics.n_points == 4 and metrics.n_not_converged == 0


def test_an_iteration_that_does_not_end_keeps_its_last_iterate(monkeypatch):
    point = draw_point(SMALL, 0)
    rows = solve_shard([point], omega=PARAMS.grid.omega(), mean_field=replace(COARSE, max_iterations=1, tolerance=1e-9))
    assert rows["status"].tolist() == [FAILED] and "expected 1e-09 or less" in rows["failure"][0]
    assert np.isfinite(rows["spectrum"]).all() and rows["iterations"][0] == 2

    def broken(*given, **named):
        raise SolverError("no chain")

    monkeypatch.setattr(hubbard, "solve_hubbard", broken)
    rows = solve_shard([point], omega=PARAMS.grid.omega(), mean_field=COARSE)
    assert rows["failure"].tolist() == ["SolverError: no chain"] and np.isnan(rows["spectrum"]).all()
    assert rows["iterations"][0] == 0
    columns = rows | {"omega": PARAMS.grid.omega()}
    dataset = HUBBARD.dataset(columns, {"lattice": "bethe", "settings": "{}", "seed": "0"})
    assert block_violations(dataset, HUBBARD) == []


def test_the_metrics_see_a_metal_that_is_not_pinned():
    omega = PARAMS.grid.omega()
    solution = HubbardSolution(
        omega=omega,
        spectrum=np.full(omega.shape, 1 / np.pi),  # (pi/2) A(0) = 1/2
        self_energy=np.zeros(omega.shape, dtype=complex),
        bath=np.ones(omega.shape),
        chemical_potential=0.0,
        filling=1.0,
        lattice_filling=1.0,
        double_occupancy=0.2,
        quasiparticle_weight=0.9,
        changes=[1e-3],
    )
    point = replace_point(filling=1.0, temperature=1e-4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hubbard, "solve_hubbard", lambda *given, **named: solution)
        rows = solve_shard([point], omega=omega, mean_field=COARSE)
    dataset = HUBBARD.dataset(rows | {"omega": omega}, {"lattice": "bethe", "settings": "{}", "seed": "0"})
    metrics = hubbard.metrics_of(dataset, "x")
    assert metrics.pinning.n_rows == 1 and metrics.pinning.worst == pytest.approx(0.5)
    assert metrics.luttinger.n_rows == 0 and metrics.luttinger.worst is None


def replace_point(**changes):
    return replace(draw_point(SMALL, 0), starts=("metal",), **changes)


def test_the_semicircle_is_filled_as_it_should_be():
    np.testing.assert_allclose(filling_below(np.array([-1.0, 0.0, 1.0, 5.0])), [0, 1, 2, 2], atol=1e-12)
    energy = np.linspace(-1, 0.3, 20001)
    expected = 2 * np.trapezoid(2 / np.pi * np.sqrt(1 - energy**2), energy)
    assert filling_below(np.array([0.3]))[0] == pytest.approx(expected, abs=1e-6)


def test_the_matsubara_weight_is_that_of_a_pole():
    """Im Sigma of a pole of weight a at e: Im Sigma(i w) = -a w / (w^2 + e^2)."""
    omega = np.linspace(-2, 2, 400001)
    width, place, strength, temperature = 1e-3, 0.4, 0.3, 0.05
    pole = -strength * width / ((omega - place) ** 2 + width**2)
    lowest = np.pi * temperature
    assert matsubara_weight(omega, pole, temperature) == pytest.approx(
        1 / (1 + strength / (lowest**2 + place**2)), rel=5e-3
    )
    assert matsubara_weight(omega, 0 * omega, temperature) == 1.0
