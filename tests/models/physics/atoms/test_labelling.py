"""Labels made in child processes: exact, isolated, bounded in time, with every failure recorded and none in the way."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from models.frames import Frames
from models.physics.atoms.child_process import ChildFailed, ChildLimits, run_in_child
from models.physics.atoms.distances import minimum_distance
from models.physics.atoms.engine import EngineMissing, Label, require_package
from models.physics.atoms.labelling import Failure, LabelLimits, outcomes_of
from tests.models.physics.atoms import fragile
from tests.models.physics.atoms.fragile import Fragile

ROOT = Path(__file__).parents[4]
LIMITS = LabelLimits(time_limit_s=60, maximum_net_force_eV_A=100)


def structure(mood: int = fragile.GOOD, *, seed: int = 0) -> Frames:
    rng = np.random.default_rng(seed)
    corners = np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 0]])
    return Frames.one(numbers=np.array([mood, 1, 1]), positions_A=corners + rng.normal(0, 0.1, (3, 3)))


def only(outcomes) -> Label | Failure:
    (outcome,) = outcomes
    return outcome


def reason(outcome) -> str:
    assert isinstance(outcome, Failure)
    return outcome.reason


def test_a_label_from_a_child_has_the_very_bits_of_one_made_here():
    structures = [structure(seed=seed) for seed in range(5)]
    for given, outcome in zip(structures, outcomes_of(Fragile(), structures, LIMITS), strict=True):
        assert isinstance(outcome, Label)
        np.testing.assert_array_equal(outcome.forces_eV_A, -fragile.SPRING_EV_A2 * given.positions_A)
        assert outcome.energy_eV == fragile.SPRING_EV_A2 * float(np.sum(given.positions_A**2)) / 2


def test_a_crash_harms_only_the_configuration_that_crashed():
    moods = [fragile.GOOD, fragile.CRASHING, fragile.GOOD, fragile.BROKEN, fragile.GOOD]
    outcomes = outcomes_of(Fragile(), [structure(mood) for mood in moods], LIMITS)
    assert [isinstance(outcome, Label) for outcome in outcomes] == [True, False, True, False, True]
    assert reason(outcomes[1]).count("SIGSEGV") == 2  # with the first settings and with the safer ones
    assert "ZeroDivisionError: a bug of the library" in reason(outcomes[3])


def test_a_hanging_calculation_is_killed_with_its_children_and_the_rest_goes_on(tmp_path: Path):
    engine = Fragile(has_safer=False, pid_file=str(tmp_path / "pids"))
    begin = time.monotonic()
    outcomes = outcomes_of(
        engine,
        [structure(), structure(fragile.HANGING), structure()],
        LabelLimits(time_limit_s=3, maximum_net_force_eV_A=100),
    )
    assert time.monotonic() - begin < 300  # the hanging one would take 600
    assert [isinstance(outcome, Label) for outcome in outcomes] == [True, False, True]
    assert reason(outcomes[1]) == "time limit of 3 s exceeded"
    assert not any(is_running(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_what_does_not_converge_is_retried_once_with_safer_settings():
    outcome = only(outcomes_of(Fragile(), [structure(fragile.UNCONVERGED)], LIMITS))
    assert isinstance(outcome, Label)
    assert outcome.provenance["first_attempt"] == "no self-consistency, safe: False"
    message = reason(only(outcomes_of(Fragile(), [structure(fragile.STUBBORN)], LIMITS)))
    assert message == "no self-consistency, safe: False; with safer settings: no self-consistency, safe: True"
    message = reason(only(outcomes_of(Fragile(has_safer=False), [structure(fragile.UNCONVERGED)], LIMITS)))
    assert message == "no self-consistency, safe: False"


def test_safer_settings_must_keep_the_level_of_theory():
    with pytest.raises(ValueError, match="other springs"):
        outcomes_of(Fragile(safer_level="other springs"), [structure(fragile.UNCONVERGED)], LIMITS)


@pytest.mark.parametrize(
    ("given", "limits", "message"),
    [
        (structure(fragile.NAN), LIMITS, "NaN"),
        (structure(fragile.REFUSED), LIMITS, "springs do not like this"),
        (structure(), LabelLimits(maximum_force_eV_A=1.0), "found a force of"),
        (structure(), LabelLimits(maximum_net_force_eV_A=0.1), "net force"),
        (structure(), LabelLimits(minimum_distance_A=5.0), "atoms fused"),
    ],
)
def test_what_no_potential_should_learn_from_is_a_failure(given: Frames, limits: LabelLimits, message: str):
    assert message in reason(only(outcomes_of(Fragile(has_safer=False), [given], limits)))


@pytest.mark.parametrize(
    ("positions", "cell", "message"),
    [
        ([[0, 0, 0], [0, 0, 0.1]], None, "atoms fused: found a distance of 0.100 A"),
        ([[0, 0, 0], [0, 0, np.nan]], None, "not finite"),
        ([[0, 0, 0], [1, 1, 1]], np.diag([3.0, 3.0, 1e-6]), "collapsed"),
        ([[0, 0, 0], [0, 0, 2.9]], 3 * np.eye(3), "atoms fused: found a distance of 0.100 A"),
    ],
)
def test_impossible_configurations_never_reach_the_engine(positions, cell, message: str):
    given = Frames.one(
        numbers=np.array([fragile.CRASHING, 1]), positions_A=np.array(positions, dtype=float), cell_A=cell
    )
    outcome = only(outcomes_of(Fragile(), [given], LIMITS))
    assert message in reason(outcome)
    assert isinstance(outcome, Failure)
    assert outcome.final


class Unreachable(Fragile):
    """No child can read one."""

    def __reduce__(self):
        return missing_in_children, ()


def missing_in_children():
    raise AttributeError("not there")


def test_a_child_that_cannot_start_fails_all_it_was_given():
    outcomes = outcomes_of(Unreachable(has_safer=False), [structure(), structure()], LIMITS)
    assert all("status 1" in reason(outcome) and "AttributeError" in reason(outcome) for outcome in outcomes)


def test_what_a_library_prints_is_not_taken_for_a_reply():
    assert isinstance(only(outcomes_of(Fragile(), [structure(fragile.LOUD)], LIMITS)), Label)


def test_threads_are_pinned_and_temporary_files_private_and_gone_afterwards(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    limits = LabelLimits(n_threads=2, maximum_net_force_eV_A=100)
    outcome = only(outcomes_of(Fragile(), [structure()], limits))
    assert isinstance(outcome, Label)
    assert outcome.provenance["threads"] == "2"
    assert outcome.provenance["n_threads"] == 2
    assert not Path(str(outcome.provenance["folder"])).exists()


def test_labels_can_be_made_off_the_main_thread():
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda seed: outcomes_of(Fragile(), [structure(seed=seed)], LIMITS), range(2)))
    assert all(isinstance(only(outcome), Label) for outcome in outcomes)


def test_a_child_dies_with_its_parent(tmp_path: Path):
    code = f"""
        from models.physics.atoms.labelling import LabelLimits, outcomes_of
        from tests.models.physics.atoms.fragile import HANGING, Fragile
        from tests.models.physics.atoms.test_labelling import structure
        outcomes_of(Fragile(pid_file={str(tmp_path / "pids")!r}), [structure(HANGING)], LabelLimits())
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, env=environment)
    assert soon(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
    child, sleeper = (int(pid) for pid in (tmp_path / "pids").read_text().split())
    parent.kill()
    parent.wait()
    assert soon(lambda: not is_running(child))
    if is_running(sleeper):  # of the test's own making; a real engine starts no process of its own
        os.kill(sleeper, signal.SIGKILL)


def test_an_engine_that_is_not_there_is_reported_with_the_command_that_installs_it():
    with pytest.raises(EngineMissing, match=r"no package not_a_package.*pip install -e '\.\[atoms\]'"):
        require_package("not_a_package", "imaginary")


def test_a_function_that_raises_ends_its_child_with_the_error_reported():
    with pytest.raises(ChildFailed, match=r"status 1.*no_such_function"):
        list(run_in_child("models.physics.atoms.labelling:no_such_function", {}, ChildLimits()))


def test_the_minimum_distance_sees_images_and_an_atom_s_own():
    lone = Frames.one(numbers=np.array([13]), positions_A=np.zeros((1, 3)), cell_A=np.diag([2.0, 3.0, 4.0]))
    assert minimum_distance(lone) == 2.0
    assert minimum_distance(Frames.one(numbers=np.array([13]), positions_A=np.zeros((1, 3)))) == np.inf
    across = Frames.one(
        numbers=np.array([13, 13]), positions_A=np.array([[0.1, 0, 0], [4.9, 0, 0]]), cell_A=5 * np.eye(3)
    )
    assert minimum_distance(across) == pytest.approx(0.2)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def soon(condition, patience_s: float = 300.0) -> bool:
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False
