"""Above which spread a frame is uncertain: rules on frames that were learnt, on frames left out, and stated values."""

import numpy as np
import pytest

from models.active_learning.threshold_rule import THRESHOLD_RULES, Calibration
from models.active_learning.threshold_rules.fixed import FixedThresholds
from models.active_learning.threshold_rules.held_out import HeldOutThresholds
from models.active_learning.threshold_rules.quantile import QuantileThresholds
from models.frames import FloatArray, Frames
from models.networks.potentials.batched_dynamics import Thresholds
from models.training.potentials.ensembles import Prediction, frame_errors, spreads_of

NOTHING = Calibration(spreads=np.zeros((0, 3)), held_out_errors=np.zeros((0, 3)))
STATED = {"energy_eV_atom": 0.1, "force_mean_eV_A": 0.2, "force_max_eV_A": 0.3}


def table(scale: float) -> FloatArray:
    """(11, 3), whose medians are 1.5 scale x (1, 10, 30)."""
    return scale * np.linspace(1, 2, 11)[:, None] * np.array([1.0, 10.0, 30.0])


def values(found: Thresholds) -> list[float]:
    return [found.energy_eV_atom, found.force_mean_eV_A, found.force_max_eV_A]


def test_rules_are_found_by_their_names():
    assert THRESHOLD_RULES.names() == ["fixed", "held_out", "quantile"]


def test_quantile_looks_at_the_spreads_and_held_out_at_the_errors():
    known = Calibration(spreads=table(0.01), held_out_errors=table(0.05))
    assert values(QuantileThresholds(quantile=0.5, factor=2.0).thresholds(known)) == pytest.approx([0.03, 0.3, 0.9])
    assert values(HeldOutThresholds(quantile=1.0, factor=0.5).thresholds(known)) == pytest.approx([0.05, 0.5, 1.5])


@pytest.mark.parametrize(
    "rule", [QuantileThresholds(quantile=0.9, factor=1.5), HeldOutThresholds(quantile=0.9, factor=1.5)]
)
def test_the_same_frames_are_uncertain_whatever_the_scale_of_the_spread(rule):
    small, large = (rule.thresholds(Calibration(spreads=table(s), held_out_errors=table(s))) for s in (1e-3, 1.0))
    assert small.ratios(table(2e-3)) == pytest.approx(large.ratios(table(2.0)))


def test_fixed_thresholds_do_not_look_at_the_frames():
    assert values(FixedThresholds(**STATED).thresholds(NOTHING)) == [0.1, 0.2, 0.3]


def test_the_worst_of_the_three_spreads_decides():
    assert FixedThresholds(**STATED).thresholds(NOTHING).ratios(np.array([[0.05, 0.1, 0.6]])) == pytest.approx([2.0])


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        (QuantileThresholds, {"quantile": 0.5, "factor": 0.0}),
        (HeldOutThresholds, {"quantile": 1.5, "factor": 1.0}),
        (FixedThresholds, STATED | {"energy_eV_atom": -1.0}),
        (FixedThresholds, STATED | {"force_max_eV_A": 0.0}),
    ],
)
def test_rules_without_a_threshold_above_zero_are_refused(rule, wrong):
    with pytest.raises(ValueError, match="expected"):
        rule(**wrong)


@pytest.mark.parametrize(
    "rule", [QuantileThresholds(quantile=0.5, factor=1.0), HeldOutThresholds(quantile=0.5, factor=1.0)]
)
def test_members_that_agree_everywhere_and_no_frames_give_no_threshold(rule):
    nothing = np.zeros((1, 3))
    for known in (Calibration(spreads=nothing, held_out_errors=nothing), NOTHING):
        with pytest.raises(ValueError, match="thresholds"):
            rule.thresholds(known)


def test_members_with_independent_errors_spread_below_the_error_of_one_of_them():
    """What the rule held_out rests on: a spread of n has the variance (n - 1) / n of one member's error."""
    n_frames, n_atoms, n_members, rng = 400, 50, 3, np.random.default_rng(0)
    frame = Frames.one(
        numbers=np.full(n_atoms, 13),
        positions_A=np.zeros((n_atoms, 3)),
        cell_A=np.eye(3),
        energy_eV=0.0,
        forces_eV_A=np.zeros((n_atoms, 3)),
    )
    frames = Frames.concatenate([frame] * n_frames)
    members = [
        Prediction(energies_eV=rng.standard_normal(n_frames), forces_eV_A=rng.standard_normal((n_frames * n_atoms, 3)))
        for _ in range(n_members)
    ]
    spread = spreads_of(members, frames)
    error = np.concatenate([frame_errors(one, frames) for one in members])
    ratio = np.sqrt((spread**2).mean(axis=0) / (error**2).mean(axis=0))
    assert ratio[0] == pytest.approx(np.sqrt(2 / 3), rel=0.05)
    assert (ratio < 1).all()


def test_errors_of_frames_are_those_of_energies_per_atom_and_of_force_components():
    two = Frames.concatenate(
        Frames.one(
            numbers=np.full(n, 13),
            positions_A=np.zeros((n, 3)),
            cell_A=np.eye(3),
            energy_eV=0.0,
            forces_eV_A=np.zeros((n, 3)),
        )
        for n in (2, 1)
    )
    said = Prediction(
        energies_eV=np.array([-4.0, 1.0]), forces_eV_A=np.array([[0, 0, 6.0], [0, -3.0, 0], [1.0, 1.0, 1.0]])
    )
    assert frame_errors(said, two) == pytest.approx(np.array([[2.0, 1.5, 6.0], [1.0, 1.0, 1.0]]))
