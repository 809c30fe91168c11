"""Numbers of the control: the gain is a geometric mean over paired seeds, its interval Student's of the logarithms."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from models.active_learning.rounds import Arm, Round, Run
from models.active_learning.settings import ActiveLearningParams
from models.frames import Frames
from models.training.potentials.ensembles import Errors
from pipeline.atoms.active_learning import control_metrics
from tests.profiles import section_params

PARAMS = section_params(ActiveLearningParams, "active_learning", "tiny")


def run(seed: int, arm: Arm, force_rmse: list[float]) -> Run:
    errors = [
        Errors(energy_rmse_eV_atom=0.01, force_rmse_eV_A=f, energy_mae_eV_atom=0.01, force_mae_eV_A=f)
        for f in force_rmse
    ]
    rounds = [Round(number=i, n_labels=10 + 8 * i, errors=e) for i, e in enumerate(errors)]
    none = Frames.concatenate([])
    return Run(seed=seed, arm=arm, frames=none, test=none, rounds=rounds)


def runs_of(ratios: list[float]) -> list[Run]:
    runs = [run(s, "active", [0.3, 0.2, 0.2 * ratio]) for s, ratio in enumerate(ratios)]
    runs += [run(s, "random", [0.3, 0.2, 0.2]) for s in range(len(ratios))]
    return runs + [run(s, "plain", [0.3, 0.2, 0.4]) for s in range(len(ratios))]


def gain_of(ratios: list[float]) -> dict[str, float]:
    return control_metrics(PARAMS, runs_of(ratios))["force_gain"]


def test_errors_that_are_always_halved_are_a_gain_of_a_half_without_doubt():
    assert list(gain_of([0.5, 0.5, 0.5]).values()) == pytest.approx([0.5, 0.5, 0.5])


def test_halved_and_doubled_are_no_gain():
    gain = gain_of([0.5, 2.0, 0.5, 2.0])
    assert gain["mean"] == pytest.approx(0.0)
    assert gain["low"] < 0 < gain["high"]


def test_the_interval_is_students_of_the_logarithms():
    ratios = [0.6, 0.7, 0.9, 0.5, 0.8]
    interval = ttest_1samp(np.log(ratios), 0.0).confidence_interval(0.95)
    gain = gain_of(ratios)
    assert (gain["low"], gain["high"]) == pytest.approx((1 - np.exp(interval.high), 1 - np.exp(interval.low)))


def test_each_control_has_its_own_gain():
    assert control_metrics(PARAMS, runs_of([0.5, 0.5]))["force_gain_over_plain"]["mean"] == pytest.approx(0.75)


def test_a_seed_that_ended_early_is_judged_after_its_own_last_round():
    runs = runs_of([0.5, 0.5, 0.5])
    for short in (one for one in runs if one.seed == 1):
        short.rounds = short.rounds[:2]  # equal errors there
    assert 1 - control_metrics(PARAMS, runs)["force_gain"]["mean"] == pytest.approx(0.5 ** (2 / 3))
