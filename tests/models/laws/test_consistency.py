import numpy as np
import pytest

from models.laws.consistency import Candidate, agreement, most_consistent

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(400, 2))
TURNED = Z @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)


def test_permuted_flipped_and_stretched_latents_agree_fully():
    assert agreement(Z, np.column_stack([-np.exp(Z[:, 1]), Z[:, 0]])) == pytest.approx(1)


def test_turned_latents_agree_less():
    assert agreement(Z, TURNED) < 0.8
    assert agreement(Z, TURNED) == pytest.approx(agreement(TURNED, Z))


def test_a_training_without_latents_agrees_with_nothing():
    assert agreement(Z, Z[:, :0]) == 0


def test_the_setting_whose_seeds_agree_is_chosen_and_its_most_typical_seed():
    steady = Candidate(setting=0.3, latents=[TURNED, Z, -Z], error=0.011)
    turning = Candidate(setting=0.1, latents=[Z, TURNED, RNG.normal(size=(400, 2))], error=0.010)
    choice = most_consistent([turning, steady], error_slack=1.25)
    assert (choice.setting, choice.member) == (0.3, 1)
    assert len(choice.consistency) == 2


def test_a_setting_that_reconstructs_badly_does_not_compete():
    blunt = Candidate(setting=10.0, latents=[Z, Z], error=0.1)
    sharp = Candidate(setting=0.1, latents=[Z, TURNED], error=0.01)
    assert most_consistent([blunt, sharp], error_slack=1.25).setting == 0.1


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(ValueError, match="found none"):
        most_consistent([], error_slack=1.0)
