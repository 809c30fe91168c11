"""A whole search by the library engine: splits, selection, stability, controls, latents up to a monotone map."""

from dataclasses import replace

import numpy as np
import pytest

from models.laws.controls import dummy_control, rival_control, shuffled_control
from models.laws.discovery import Problem, Rules, discover, split_rows
from models.laws.engines.library import LibraryEngine
from models.laws.intervals import bootstrap_coefficients, interval_of, r_squared
from models.laws.kondo_law import LAWS, encode, exponent_equation, law_equation, law_log_ratio
from models.laws.monotone_link import discover_linked
from models.laws.symbolic_engine import Candidate, FrontResult, SymbolicEngine

RULES = Rules(tolerance=0.2, confidence=0.95, n_bootstrap=200, n_seeds=3, max_rows=300, seed=0)
LIBRARY = LibraryEngine(max_power=2, max_total=4, max_terms=6, beam=60)
N = 200


def impurities() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    gamma, u = np.exp(rng.uniform(np.log(5e-4), np.log(2e-3), N)), np.exp(rng.uniform(1.8, 3.4, N))
    return u * gamma, (rng.uniform(-0.6, 0.6, N) - 1) / 2 * u * gamma, gamma


def problem(law: str, *, target: str = "nrg", encoding: str = "dimensionless", scatter: float = 0.003) -> Problem:
    interaction, level, gamma = impurities()
    values = law_log_ratio(law, interaction, level, gamma) + scatter * np.random.default_rng(1).standard_normal(N)
    if target == "latent":
        values = np.tanh((values + np.log(gamma) + 12) / 5)
    names, inputs, units = encode(encoding, target, interaction, level, gamma)
    train, test, box = split_rows(interaction / gamma, 0.2, 0.2, 300, 0)
    laws = {name: law_equation(name, encoding, target) for name in LAWS}
    return Problem(
        target=target,
        encoding=encoding,
        names=names,
        inputs=inputs,
        units=units,
        values=values,
        train=train,
        test=test,
        extrapolation=box,
        laws=laws,
        exponent=exponent_equation(encoding),
    )


def test_the_box_holds_the_largest_ratios_and_rows_are_used_once():
    ratio = np.random.default_rng(0).uniform(size=100)
    train, test, box = split_rows(ratio, 0.2, 0.1, 50, seed=3)
    assert (len(train), len(test), len(box)) == (50, 20, 10)
    assert ratio[box].min() > np.concatenate([ratio[train], ratio[test]]).max()
    assert len(np.unique(np.concatenate([train, test, box]))) == 80


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("encoding", ["dimensionless", "raw"])
def test_the_library_tells_the_two_laws_apart(law, encoding):
    found = discover(problem(law, encoding=encoding), LIBRARY, RULES, unit_constraint=encoding == "raw")
    assert found.selected.matches == law
    assert found.selected.has_exponent
    assert found.selected.r2_extrapolation > 0.999
    assert found.seed_stability > 0.5
    assert not found.selected.equivalent_srbench


def test_exact_data_gives_a_symbolic_solution():
    found = discover(problem("haldane", scatter=0.0), LIBRARY, replace(RULES, n_seeds=1))
    assert found.selected.equivalent_srbench
    assert found.selected.equivalent_to == "haldane"


def test_intervals_hold_the_true_coefficients():
    selected = discover(problem("haldane_corrected"), LIBRARY, replace(RULES, n_seeds=1)).selected
    truth = {"1/u": np.pi / 2, "log(u)": 0.5, "u*x": np.pi / 2, "u*x**2": np.pi / 2}
    held = [selected.coefficients[t].low <= c <= selected.coefficients[t].high for t, c in truth.items()]
    assert sum(held) >= 3


class OneEquation(SymbolicEngine):
    """An engine that always answers the same, but for odd seeds."""

    name = "fixed"

    def fit(self, inputs, target, names, *, seed, units=None):
        text = "u*x + u*x**2 + log(u)" if seed % 2 == 0 else "u*x"
        return FrontResult(
            engine="fixed", names=tuple(names), candidates=(Candidate(equation=text, complexity=9, loss=1.0),)
        )


def test_stability_is_the_share_of_runs_with_the_selected_terms():
    found = discover(problem("haldane"), OneEquation(), replace(RULES, n_seeds=5))
    assert found.seed_stability == 3 / 5
    assert found.selected.has_exponent
    assert not discover(problem("haldane"), OneEquation(), replace(RULES, n_seeds=1, seed=1)).selected.has_exponent
    assert found.stability_by == "seed"


class TestControls:
    def test_nothing_is_found_in_a_shuffled_target(self):
        result = shuffled_control(problem("haldane"), LIBRARY, RULES)
        assert result.passed, result

    def test_dummy_inputs_are_left_out(self):
        result = dummy_control(problem("haldane"), LIBRARY, RULES)
        assert result.passed, result

    def test_rival_laws_are_separated(self):
        interaction, level, gamma = impurities()
        rivals = {law: law_log_ratio(law, interaction, level, gamma) for law in LAWS}
        rivals["power_law"] = -2 * np.log(interaction / gamma)
        results = rival_control(problem("haldane"), LIBRARY, RULES, rivals, 0.003)
        assert [r.passed for r in results] == [True, True, True], results

    def test_a_control_can_fail(self):
        noisy = rival_control(problem("haldane"), LIBRARY, RULES, {"haldane": problem("haldane").values}, 5.0)
        assert not noisy[0].passed


def test_a_latent_up_to_a_monotone_map_gives_the_law():
    linked = discover_linked(problem("haldane_corrected", target="latent", scatter=0.0), LIBRARY, RULES, n_spline=16)
    found = linked.finding
    assert set(found.equation.terms) == {"1/u", "log(Gamma)", "log(u)", "u*x", "u*x**2"}
    assert linked.link_monotone > 0.95
    assert found.r2_test > 0.999
    ratios = found.affine["haldane_corrected"].ratios
    assert ratios["u*x**2" if "u*x**2" in ratios else "u*x"].coefficient == pytest.approx(1.0, abs=0.05)
    assert ratios["log(Gamma)"].coefficient == pytest.approx(1.0, abs=0.2)


def test_a_latent_of_something_else_matches_no_law():
    something = problem("haldane", target="latent")
    values = something.inputs[:, 1] + 0.01 * np.random.default_rng(0).standard_normal(N)
    assert discover_linked(replace(something, values=values), LIBRARY, RULES, n_spline=10).finding.matches is None


def test_bootstrap_intervals_cover_at_their_confidence():
    rng, covered = np.random.default_rng(0), 0
    for trial in range(200):
        design = np.column_stack([np.ones(60), rng.uniform(size=60)])
        target = design @ [1.0, 2.0] + 0.1 * rng.standard_normal(60)
        interval = interval_of(bootstrap_coefficients(design, target, 200, trial)[:, 1], 0.9)
        covered += interval.low <= 2.0 <= interval.high
    assert 0.80 <= covered / 200 <= 0.97


def test_bootstrap_point_is_least_squares():
    rng = np.random.default_rng(0)
    design, target = rng.uniform(size=(30, 3)), rng.uniform(size=30)
    expected = np.linalg.lstsq(design, target, rcond=None)[0]
    np.testing.assert_allclose(bootstrap_coefficients(design, target, 5, 0)[0], expected, rtol=1e-8)


def test_r_squared_of_a_prediction_that_is_not_finite():
    assert r_squared(np.arange(3.0), np.array([0.0, np.nan, 2.0])) == -np.inf
    assert r_squared(np.arange(3.0), np.arange(3.0)) == 1.0
