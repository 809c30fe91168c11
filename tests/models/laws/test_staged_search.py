"""The staged search with an engine whose answers are known, and the law of T_K from a table."""

from collections.abc import Sequence

import numpy as np
import pytest

from models.laws.general_law import KondoTable, find_kondo_law
from models.laws.staged_search import StagedRules, search_in_stages, split_in_stages
from models.laws.symbolic_engine import Candidate, EngineFailed, FrontResult, SymbolicEngine

RULES = StagedRules(n_seeds=1, n_rounds=1, test_fraction=0.2, extrapolation_fraction=0.2, seed=3)
RNG = np.random.default_rng(2)
N = 80
RATIO = np.pi * np.exp(RNG.uniform(np.log(3.2), np.log(19.1), N))
XI = (RNG.uniform(-0.6, 0.6, N) - 1) / 2
GAMMA = np.exp(RNG.uniform(np.log(2e-6), np.log(2e-5), N))
LOG_T = np.pi / 2 * RATIO * XI * (1 + XI) + 0.5 * np.log(RATIO / 2) + np.log(GAMMA) + np.pi / 2 / RATIO
INPUTS, NAMES = np.stack([RATIO, XI, GAMMA], 1), ("U_per_Gamma", "eps_d_per_U", "Gamma_per_D")


class Answers(SymbolicEngine):
    """Gives the same formulas to every question, and remembers the questions."""

    name = "answers"

    def __init__(self, *texts: str) -> None:
        self.texts, self.asked = texts, list[np.ndarray]()

    def fit(
        self,
        inputs: np.ndarray,
        target: np.ndarray,
        names: Sequence[str],
        *,
        seed: int,
        units: Sequence[int] | None = None,
    ) -> FrontResult:
        self.asked.append(inputs)
        candidates = tuple(Candidate(equation=text, complexity=1, loss=1.0) for text in self.texts)
        return FrontResult(engine=self.name, names=tuple(names), candidates=candidates)


SKELETON = "U_per_Gamma*eps_d_per_U*(1 + eps_d_per_U) + log(Gamma_per_D)"
REST = "log(U_per_Gamma) + 1/U_per_Gamma"


def test_the_logarithm_is_chosen_by_held_out_rows_and_the_stages_add_up():
    rows = split_in_stages(RATIO, RULES)
    found = search_in_stages(INPUTS, np.exp(LOG_T), NAMES, rows, Answers(SKELETON, REST), RULES)
    assert found.link == "log"
    assert found.link_errors["log"] < found.link_errors["fourth_root"] < found.link_errors["identity"]
    assert found.skeleton.terms.keys() < found.equation.terms.keys()
    assert found.equation.terms["1/U_per_Gamma"] == pytest.approx(np.pi / 2, abs=1e-6)
    assert found.error_report < 1e-6


def test_of_formulas_that_the_labels_cannot_tell_apart_the_simpler_is_taken():
    rows = split_in_stages(RATIO, RULES)
    target = np.exp(LOG_T + 1e-5 * np.sin(RATIO))  # smooth, and below the errors of labels
    engine = Answers(SKELETON, REST, "log(U_per_Gamma) + 1/U_per_Gamma + (U_per_Gamma/30)**3/(1 + 40/U_per_Gamma)")
    exact = search_in_stages(INPUTS, target, NAMES, rows, engine, RULES)
    coarse = search_in_stages(INPUTS, target, NAMES, rows, engine, RULES, np.full(N, 5e-4))
    assert coarse.equation.complexity <= exact.equation.complexity
    assert coarse.equation.terms.keys() == {*coarse.skeleton.terms, "log(U_per_Gamma)", "1/U_per_Gamma"}
    coarser = search_in_stages(INPUTS, target, NAMES, rows, engine, RULES, np.full(N, 10.0))
    assert coarser.equation.complexity < coarse.equation.complexity


def test_a_target_that_is_no_exponential_is_left_as_it_is():
    rows = split_in_stages(RATIO, RULES)
    found = search_in_stages(INPUTS, 2 + RATIO / 10, NAMES, rows, Answers("U_per_Gamma"), RULES)
    assert found.link == "identity"
    assert found.equation.terms["U_per_Gamma"] == pytest.approx(0.1)


def test_rows_of_the_report_choose_nothing_and_are_never_trained_on():
    engine = Answers(SKELETON, REST)
    rows = split_in_stages(RATIO, RULES)
    parts = [set(part.tolist()) for part in (rows.train, rows.validation, rows.report)]
    assert sum(map(len, parts)) == N == len(set.union(*parts))
    assert RATIO[rows.report].max() > RATIO[rows.train].max()
    one = search_in_stages(INPUTS, np.exp(LOG_T), NAMES, rows, engine, RULES)
    assert all(set(map(tuple, asked)) <= set(map(tuple, INPUTS[rows.train])) for asked in engine.asked)
    spoilt = np.exp(LOG_T)
    spoilt[rows.report] *= 5
    other = search_in_stages(INPUTS, spoilt, NAMES, rows, Answers(SKELETON, REST), RULES)
    assert other.equation == one.equation
    assert other.error_report == pytest.approx(np.log(5), rel=1e-3)


def table() -> KondoTable:
    scale = np.exp(LOG_T)
    return KondoTable(
        interaction=RATIO * GAMMA,
        level=XI * RATIO * GAMMA,
        hybridization=GAMMA,
        kondo_temperature=scale,
        error=1e-4 * scale,
    )


def test_a_table_of_kondo_temperatures_gives_the_law():
    engine = Answers(SKELETON, REST)
    found = find_kondo_law(table(), engine, RULES, encoding="dimensionless", n_bootstrap=20, confidence=0.9)
    assert set(found.inputs) == set(NAMES)
    assert found.asymptotics is not None and found.asymptotics.exponent and found.asymptotics.prefactor
    assert found.record()["equation"] == found.law.equation.text


def test_an_engine_that_returns_nothing_is_recorded():
    found = find_kondo_law(table(), Answers(), RULES, encoding="raw", n_bootstrap=20, confidence=0.9)
    assert found.law is None and found.asymptotics is None
    assert "answers returned no formula" in found.problem
    assert found.record()["asymptotics"] is None


def test_nothing_for_one_link_does_not_end_the_search():
    class OnlyLog(Answers):
        def with_exponential(self) -> "Answers":
            return Answers()

    rows = split_in_stages(RATIO, RULES)
    found = search_in_stages(INPUTS, np.exp(LOG_T), NAMES, rows, OnlyLog(SKELETON, REST), RULES)
    assert found.link == "log"
    assert [f for f in found.failures if "link identity" in f]


def test_too_few_rows_and_targets_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match="found 0 rows with a local moment, expected at least 30"):
        find_kondo_law(table().local_moments(1e3), Answers(), RULES, encoding="raw", n_bootstrap=20, confidence=0.9)
    with pytest.raises(ValueError, match="not positive"):
        search_in_stages(INPUTS, LOG_T, NAMES, split_in_stages(RATIO, RULES), Answers(SKELETON), RULES)


def test_all_links_failing_says_what_each_said():
    with pytest.raises(EngineFailed, match=r"link identity.*link log"):
        search_in_stages(INPUTS, np.exp(LOG_T), NAMES, split_in_stages(RATIO, RULES), Answers(), RULES)
