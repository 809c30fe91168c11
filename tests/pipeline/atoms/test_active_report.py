"""Numbers of the control: the gain is a geometric mean over paired seeds, its interval Student's of the logarithms."""

import numpy as np
import pytest
from pipeline.atoms.active_params import ActiveLearningParams
from pipeline.atoms.active_report import control_metrics
from pipeline.atoms.active_rounds import Lane, Round
from pipeline.atoms.active_sampling import Arm
from pipeline.atoms.active_training import Errors
from scipy.stats import ttest_1samp

from tests.profiles import section_params

PARAMS = section_params(ActiveLearningParams, "active_learning", "tiny")


def lane(seed: int, arm: Arm, force_rmse: list[float]) -> Lane:
    errors = [
        Errors(energy_rmse_eV_atom=0.01, force_rmse_eV_A=f, energy_mae_eV_atom=0.01, force_mae_eV_A=f)
        for f in force_rmse
    ]
    rounds = [Round(number=i, n_labels=10 + 8 * i, errors=e) for i, e in enumerate(errors)]
    return Lane(seed=seed, arm=arm, records=[], rounds=rounds)


def gain_of(ratios: list[float]) -> dict[str, float]:
    lanes = [lane(s, "active", [0.3, 0.2, 0.2 * ratio]) for s, ratio in enumerate(ratios)]
    lanes += [lane(s, "random", [0.3, 0.2, 0.2]) for s in range(len(ratios))]
    return control_metrics(PARAMS, lanes)["force_gain"]


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
