"""What is chosen for labelling: no near-duplicates, the most uncertain and most different."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from models.active_learning.acquisitions.diverse import fingerprint, fingerprint_distance, select
from models.frames import Frames

RNG = np.random.default_rng(0)
NUMBERS = np.full(6, 13)
CELL = np.diag([4.5, 4.6, 4.7])
POSITIONS = RNG.random((6, 3)) @ CELL


def of(numbers, positions_A, cell_A) -> np.ndarray:
    """The fingerprint of one frame."""
    return fingerprint(Frames.one(numbers=numbers, positions_A=positions_A, cell_A=cell_A))


def test_a_fingerprint_does_not_change_with_what_leaves_the_physics_alone():
    one = of(NUMBERS, POSITIONS, CELL)
    turn = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()
    order = RNG.permutation(6)
    same = [
        of(NUMBERS, POSITIONS @ turn, CELL @ turn),
        of(NUMBERS, POSITIONS[order] + 1.234, CELL),
        of(np.full(12, 13), np.concatenate([POSITIONS, POSITIONS + CELL[0]]), np.diag([2.0, 1.0, 1.0]) @ CELL),
    ]
    assert fingerprint_distance(one, np.stack(same)) == pytest.approx(np.zeros(3), abs=1e-7)


def test_fingerprints_move_apart_as_atoms_do():
    one = of(NUMBERS, POSITIONS, CELL)
    step = RNG.standard_normal((6, 3))
    moved = np.stack([of(NUMBERS, POSITIONS + size * step, CELL) for size in (0.0, 0.01, 0.1)])
    distances = fingerprint_distance(one, moved)
    assert distances[0] == 0
    assert 0 < distances[1] < distances[2]


def line(*places: float) -> np.ndarray:
    return np.array([[100.0, place] for place in places])


def test_near_duplicates_are_left_out():
    found = select(line(0.0, 0.1, 5.0, 5.05), [4.0, 5.0, 3.0, 2.0], line(), quota=4, least_distance=0.01, diversity=1.0)
    assert found.chosen == [1, 2]
    assert found.duplicates == [0, 3]


def test_what_is_labelled_already_counts_as_chosen():
    found = select(line(0.0, 5.0), [9.0, 1.0], line(0.05), quota=2, least_distance=0.01, diversity=1.0)
    assert found.chosen == [1]
    assert found.duplicates == [0]


def test_the_quota_goes_to_the_most_uncertain_where_distance_counts_nothing():
    found = select(line(0.0, 1.0, 2.0, 3.0), [1.0, 4.0, 2.0, 3.0], line(), quota=2, least_distance=0.0, diversity=0.0)
    assert found.chosen == [1, 3]


def test_equally_uncertain_frames_are_taken_far_from_each_other():
    found = select(line(0.0, 1.0, 2.0, 9.0), [1.0, 1.0, 1.0, 1.0], line(-0.5), quota=2, least_distance=0, diversity=1)
    assert found.chosen == [3, 2]


def test_nothing_to_choose_from_chooses_nothing():
    found = select(np.zeros((0, 2)), [], line(1.0), quota=3, least_distance=0.1, diversity=1.0)
    assert (found.chosen, found.duplicates) == ([], [])
