import pytest

from models.training.schedule import Plateau, one_cycle


def test_a_plateau_doubles_the_batch_until_its_largest_and_then_halves_the_learning_rate():
    schedule = Plateau(learning_rate=0.01, batch_size=8, max_batch_size=20, patience=2)
    seen = []
    for epoch in range(13):
        schedule.observe(1.0, epoch)
        seen.append((schedule.batch_size, schedule.learning_rate))
    assert seen[2] == (8, 0.01)  # two epochs without gain are borne
    assert seen[3] == (16, 0.01)
    assert seen[6] == (20, 0.01)
    assert seen[9] == (20, 0.005)
    assert seen[12] == (20, 0.0025)


def test_a_gain_starts_the_patience_anew():
    schedule = Plateau(learning_rate=0.01, batch_size=8, max_batch_size=64, patience=1)
    for epoch, objective in enumerate([3.0, 3.0, 2.0, 2.0, 1.0]):
        schedule.observe(objective, epoch)
    assert schedule.batch_size == 8
    assert (schedule.best, schedule.since) == (1.0, 4)


def test_its_state_is_all_it_knows():
    one = Plateau(learning_rate=0.01, batch_size=8, max_batch_size=64, patience=1)
    one.observe(2.0, 0)
    other = Plateau(**one.state())
    for epoch in range(1, 9):
        one.observe(3.0, epoch)
        other.observe(3.0, epoch)
    assert one == other


def test_one_cycle_rises_to_one_and_falls_to_a_thousandth():
    values = [one_cycle(step / 1000) for step in range(1001)]
    assert values[0] == pytest.approx(0.1)
    assert max(values) == pytest.approx(1.0, abs=1e-4)
    assert values.index(max(values)) == 50
    assert values[50:] == sorted(values[50:], reverse=True)
    assert values[-1] == pytest.approx(1e-3)
