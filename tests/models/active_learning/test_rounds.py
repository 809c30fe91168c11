"""Arms of a seed: equal budgets, whose trajectories, at which times; with stand-ins for trainings and labels."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from models.active_learning import rounds
from models.active_learning.rounds import ARMS, Run, Tasks, UnequalBudgets, bootstrap, run_rounds
from models.active_learning.sampling import Labels, Sampled, SampleTask, fixed_check
from models.active_learning.settings import ActiveLearningParams
from models.frames import Frames
from models.networks.potentials.batched_dynamics import Trajectories
from models.training.potentials.ensembles import Member, Prediction
from tests.profiles import section_params

PARAMS = section_params(ActiveLearningParams, "active_learning", "tiny").for_control()
THREE = replace(PARAMS, rounds=replace(PARAMS.rounds, n_rounds=3, n_trajectories=6, quota=2))


def labelled(frame: Frames) -> Frames:
    rng = np.random.default_rng(int(1e6 * abs(frame.positions_A.sum())))
    forces = rng.standard_normal((len(frame.numbers), 3))
    return frame.changed(energy_eV=float(rng.standard_normal()), forces_eV_A=forces)


def labels(kind, names, function, items) -> list[Labels]:
    return [Labels(frames=Frames.concatenate(labelled(f) for f in item.frames), cpu_s=0.0) for item in items]


def member(name: str, task) -> Member:
    rng = np.random.default_rng(zlib.crc32(name.encode()))  # members differ, or no spread would be left
    said = {
        which: Prediction(
            energies_eV=rng.standard_normal(len(frames)), forces_eV_A=rng.standard_normal((len(frames.numbers), 3))
        )
        for which, frames in task.sets.items()
    }
    return Member(
        weights={"made_by": np.array([ord(letter) for letter in name])},
        predictions=said,
        best_epoch=0,
        best_objective=0.0,
        epochs=1,
        history="[]",
        cpu_s=1.0,
    )


class Workers:
    """In the place of trainings and dynamics; remembers the tasks of dynamics by their names."""

    def __init__(self, asked: str = "asked") -> None:
        self.asked, self.moved = asked, dict[str, SampleTask]()

    def __call__(self, kind, names, function, items):
        if kind is Member:
            return [member(name, item) for name, item in zip(names, items, strict=True)]
        self.moved |= dict(zip(names, items, strict=True))
        return [self.sampled(item) for item in items]

    def sampled(self, task: SampleTask) -> Sampled:
        n = task.n
        number = 1000 * task.round + task.first + (0 if task.thresholds else 50)
        frames = Frames.concatenate(
            Frames.one(
                numbers=np.full(4, 13),
                positions_A=np.random.default_rng(number + i).random((4, 3)) * 4.0,
                cell_A=np.eye(3) * 4.0,
            )
            for i in range(n)
        )
        return Sampled(
            trajectories=Trajectories(
                frames=frames,
                reasons=np.array(["uncertain" if task.thresholds else self.asked] * n),
                steps=np.ones(n, dtype=np.int64),
                spreads=np.ones((n, 3)),
                temperatures_K=np.ones(n),
                kinetic_temperatures_K=np.ones(n),
                check_owners=np.arange(n),
                check_steps=np.ones(n, dtype=np.int64),
                check_spreads=np.ones((n, 3)),
            ),
            atom_steps=0,
            cpu_s=0.0,
        )


def rounds_by(workers: Workers, seeds=(0, 1)) -> list[Run]:
    tasks = Tasks(labels=labels, work=workers, train=None, report=lambda _: None)
    runs = []
    for seed in seeds:
        test = rounds.test_set(replace(THREE, seed=seed), tasks)
        frames, _ = bootstrap(THREE, seed, tasks)
        runs += [Run(seed=seed, arm=arm, frames=frames, test=test) for arm in ARMS]
    run_rounds(THREE, runs, tasks)
    return runs


@pytest.fixture(scope="module")
def finished() -> tuple[Workers, list[Run]]:
    """Two seeds at their end, and who worked for them."""
    workers = Workers()
    return workers, rounds_by(workers)


def maker(task: SampleTask) -> str:
    """Name of the training whose first member moves these trajectories."""
    return "".join(chr(letter) for letter in task.weights[0]["made_by"])


def test_all_arms_spend_the_same_labels_in_every_round(finished):
    spent = {run.name: [one.selected for one in run.rounds] for run in finished[1]}
    assert len(spent) == 6
    assert all(numbers == [4, 2, 2, 2] for numbers in spent.values())


def test_random_frames_come_from_the_potential_of_the_active_twin_and_plain_ones_from_their_own(finished):
    workers, _ = finished
    assert maker(workers.moved["random_1/round_003/sample_0"]) == "active_1/round_002/member_0"
    assert maker(workers.moved["active_1/round_003/sample_0"]) == "active_1/round_002/member_0"
    assert maker(workers.moved["plain_1/round_003/sample_0"]) == "plain_1/round_002/member_0"
    assert [workers.moved[f"{arm}_1/round_003/sample_0"].fixed_times for arm in ARMS] == [False, False, True]
    looked = [workers.moved[f"{arm}_1/round_003/sample_0"].thresholds is not None for arm in ARMS]
    assert looked == [True, False, False]


def test_random_frames_are_drawn_from_all_trajectories_in_an_order_of_the_seed_alone(finished):
    one, again = (
        [run.rounds[k].taken for run in runs if run.arm == "random" for k in (1, 2, 3)]
        for runs in (finished[1], rounds_by(Workers()))
    )
    assert one == again
    assert {row for taken in one for row in taken} - {0, 1}


def test_a_control_that_cannot_spend_as_many_labels_ends_the_loop_with_its_name():
    with pytest.raises(
        UnequalBudgets, match=r"random_0, round 1: found 0 physical frames of 6 trajectories.*the 2 labels"
    ):
        rounds_by(Workers(asked="discarded"))


def test_every_seed_has_a_test_set_of_its_own(finished):
    first, second = (run.test for run in finished[1] if run.arm == "active")
    assert len(first) == len(second) == 2
    assert first.positions_A.shape != second.positions_A.shape or (first.positions_A != second.positions_A).any()


@pytest.mark.parametrize(("quota", "n_checks"), [(8, 20), (2, 4), (5, 3), (1, 7)])
def test_fixed_times_divide_a_trajectory_evenly_and_end_with_it(quota: int, n_checks: int):
    checks = [fixed_check(index, quota, n_checks) for index in range(2 * quota)]
    assert checks[:quota] == checks[quota:]
    assert checks[quota - 1] == n_checks and min(checks) >= 1
    steps = np.diff([0, *checks[:quota]])
    assert (abs(steps - n_checks / quota) < 1).all()
