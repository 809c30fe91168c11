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
    return Run(seed=seed, arm=arm, frames=Frames.concatenate([]), rounds=rounds)


def gain_of(ratios: list[float]) -> dict[str, float]:
    runs = [run(s, "active", [0.3, 0.2, 0.2 * ratio]) for s, ratio in enumerate(ratios)]
    runs += [run(s, "random", [0.3, 0.2, 0.2]) for s in range(len(ratios))]
    return control_metrics(PARAMS, runs)["force_gain"]


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
