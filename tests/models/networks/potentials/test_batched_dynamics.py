"""Dynamics of many cells: right temperature, conserved energy, exact paths, and ends with their reasons."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.frames import Frames
from models.networks.potentials.ani import ANI
from models.networks.potentials.batched_dynamics import (
    Drive,
    Dynamics,
    Physical,
    Thresholds,
    Trajectories,
    run_trajectories,
)
from models.networks.potentials.ensemble import SPREADS, Ensemble
from models.networks.potentials.graph import Graph
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hipnn_ts import HIPNNTS
from models.networks.potentials.mean_force import mean_forces
from models.networks.potentials.potential import PotentialNetwork
from models.physics.atoms.baoab import BOLTZMANN_EV_K
from models.physics.atoms.sampling.driving_paths import Ramp

ANYTHING = Physical(minimum_distance_A=1e-9, maximum_temperature_K=1e9, minimum_volume_A3=1e-9)
FORCE_MAX = SPREADS.index("force_max_eV_A")
Start = tuple[Frames, Drive]
BOX_A = 12.0


@dataclass(frozen=True, kw_only=True)
class Springs:
    """Pairs nearer than the cutoff are springs."""

    species: tuple[int, ...] = (13,)
    cutoff_A: float = 4.0
    reference_energies_eV: tuple[float, ...] = (0.0,)
    stiffness_eV_A2: float = 5.0
    length_A: float = 2.5


class SpringNetwork(PotentialNetwork):
    """E = k (r - r0)^2 / 2, half of it at each end; the weight scales it, so members may disagree."""

    Config = Springs

    def __init__(self, config: Springs, scale: float = 1.0) -> None:
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def energy_terms(self, graph: Graph, vectors_H3: Tensor) -> Tensor:
        distance_H = torch.linalg.vector_norm(vectors_H3, dim=1)
        energy_H = 0.5 * self.config.stiffness_eV_A2 * (distance_H - self.config.length_A).square()
        energy_H = self.scale * torch.where(distance_H < self.config.cutoff_A, energy_H, 0.0)
        energy_N = energy_H.new_zeros(graph.n_atoms).index_add(0, graph.first_H, energy_H / 2)
        return energy_N.index_add(0, graph.second_H, energy_H / 2)[:, None]


SPRINGS = Ensemble([SpringNetwork(Springs())])
UNCERTAIN = Ensemble([SpringNetwork(Springs(), 0.9), SpringNetwork(Springs(), 1.1)])


def dimer(seed: int, temperature_K: float, **changes: object) -> Start:
    density = 2 / BOX_A**3
    frame = Frames.one(
        numbers=[13, 13], positions_A=np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 3.5]]), cell_A=BOX_A * np.eye(3)
    )
    drive = Drive(
        temperature_K=Ramp(start=temperature_K, end=temperature_K),
        density_1_A3=Ramp(start=density, end=density),
        rng=np.random.default_rng(np.random.SeedSequence(7, spawn_key=(seed,))),
    )
    return frame, replace(drive, **changes)


def cluster(seed: int, n_atoms: int = 10) -> Start:
    """A periodic cell in which everything sees something."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[[0.0, 2.6, 5.2]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n_atoms]
    volume = 7.8**3 / n_atoms
    positions = grid + 0.1 * rng.standard_normal((n_atoms, 3))
    drive = Drive(
        temperature_K=Ramp(start=300.0, end=900.0, amplitude=200.0, period_fs=30.0),
        density_1_A3=Ramp(start=1 / volume, end=1.1 / volume, amplitude=0.05 / volume, period_fs=20.0),
        rng=np.random.default_rng(np.random.SeedSequence(1, spawn_key=(seed,))),
    )
    return Frames.one(numbers=np.full(n_atoms, 13), positions_A=positions, cell_A=7.8 * np.eye(3)), drive


def run(ensemble: Ensemble, starts: list[Start], *arguments: object, **options: object) -> Trajectories:
    frames, drives = zip(*starts, strict=True)
    return run_trajectories(ensemble, Frames.concatenate(frames), drives, *arguments, **options)


def ani_ensemble(n_members: int = 2) -> Ensemble:
    torch.manual_seed(3)
    config = replace(ANI.Config.ani_al(energy_scale_eV=0.5), hidden=((8,),), cutoff_A=5.0, angular_cutoff_A=4.0)
    return Ensemble([ANI(config) for _ in range(n_members)]).to(dtype=torch.float64)


HIPNN_SIZES = {
    "species": (13,),
    "cutoff_A": 5.0,
    "reference_energies_eV": (0.0,),
    "energy_scale_eV": 0.5,
    "soft_min_A": 1.25,
    "soft_max_A": 4.5,
    "n_features": 4,
    "n_sensitivities": 6,
    "n_interactions": 1,
    "n_onsite": 1,
}


def hipnn_ensemble() -> Ensemble:
    torch.manual_seed(3)
    return Ensemble([HIPNN(HIPNN.Config(**HIPNN_SIZES)) for _ in range(2)]).to(dtype=torch.float64)


def hipnn_ts_ensemble() -> Ensemble:
    torch.manual_seed(3)
    config = HIPNNTS.Config(**HIPNN_SIZES, l_max=2)
    return Ensemble([HIPNNTS(config) for _ in range(2)]).to(dtype=torch.float64)


def total_energies(ended: Trajectories) -> np.ndarray:
    """Of dimers."""
    one, other = ended.frames.positions_A[::2], ended.frames.positions_A[1::2]
    vector = other - one
    distance = np.linalg.norm(vector - BOX_A * np.round(vector / BOX_A), axis=1)
    return 3 * BOLTZMANN_EV_K * ended.kinetic_temperatures_K + 2.5 * (distance - 2.5) ** 2


@pytest.mark.physics
def test_langevin_gives_momenta_and_springs_the_energy_of_the_bath():
    temperature, n = 600.0, 300
    dynamics = Dynamics(n_steps=200, time_step_fs=3.0, friction_1_fs=0.05, check_every=200)
    ended = run(SPRINGS, [dimer(i, temperature) for i in range(n)], dynamics, physical=ANYTHING)
    assert ended.kinetic_temperatures_K.mean() == pytest.approx(temperature, rel=4 * np.sqrt(2 / (6 * n)))
    spring = total_energies(ended) - 3 * BOLTZMANN_EV_K * ended.kinetic_temperatures_K
    # A stiff spring in three dimensions: kT/2 and a correction of order kT / (k r0^2), which is below a hundredth here.
    assert np.mean(spring) == pytest.approx(BOLTZMANN_EV_K * temperature / 2, rel=4 * np.sqrt(2 / n))


@pytest.mark.physics
def test_without_friction_the_energy_error_falls_with_the_square_of_the_time_step():
    def error(time_step: float) -> float:
        steps = round(64.0 / time_step)
        dynamics = Dynamics(n_steps=steps, time_step_fs=time_step, friction_1_fs=0.0, check_every=steps)
        ended = run(SPRINGS, [dimer(i, 800.0) for i in range(8)], dynamics, physical=ANYTHING)
        fine = replace(dynamics, n_steps=10 * steps, time_step_fs=time_step / 10, check_every=10 * steps)
        exact = run(SPRINGS, [dimer(i, 800.0) for i in range(8)], fine, physical=ANYTHING)
        return float(np.linalg.norm(total_energies(ended) - total_energies(exact)))

    assert error(4.0) / error(2.0) == pytest.approx(4.0, rel=0.2)
    assert error(2.0) < 1e-2


@pytest.mark.parametrize("make", [ani_ensemble, hipnn_ensemble, hipnn_ts_ensemble])
def test_a_trajectory_does_not_depend_on_the_others_of_its_batch(make):
    dynamics = Dynamics(n_steps=40, check_every=10)
    ensemble = make()
    together = run(ensemble, [cluster(0), cluster(1, 7), cluster(2)], dynamics, physical=ANYTHING)
    alone = run(ensemble, [cluster(1, 7)], dynamics, physical=ANYTHING)
    np.testing.assert_allclose(together.frames[1].positions_A, alone.frames.positions_A, atol=1e-9)
    assert alone.check_steps.tolist() == [10, 20, 30, 40]
    np.testing.assert_allclose(together.spreads[1], alone.spreads[0], rtol=1e-8)
    np.testing.assert_allclose(together.check_spreads[together.check_owners == 1], alone.check_spreads, rtol=1e-8)


def test_a_kept_list_of_neighbours_is_as_good_as_a_new_one_in_every_step():
    kept = run(ani_ensemble(), [cluster(0)], Dynamics(n_steps=30, check_every=30), physical=ANYTHING)
    fresh = run(ani_ensemble(), [cluster(0)], Dynamics(n_steps=30, check_every=30, skin_A=0.0), physical=ANYTHING)
    np.testing.assert_allclose(kept.frames.positions_A, fresh.frames.positions_A, atol=1e-9)


@pytest.mark.parametrize("make", [ani_ensemble, hipnn_ensemble, hipnn_ts_ensemble])
def test_the_mean_force_is_the_mean_of_the_members_forces(make):
    from models.networks.potentials.graph import Configuration, collate
    from models.networks.potentials.neighbours import find_neighbours

    ensemble, (start, _) = make(), cluster(0)
    near = find_neighbours(start.positions_A, start.cell_A, np.array([True] * 3), ensemble.cutoff_A)
    one = Configuration(numbers=start.numbers, positions_A=start.positions_A, cell_A=start.cell_A, neighbours=near)
    graph, vectors_H3 = collate([one], torch.float64)
    expected = ensemble.evaluate(graph, vectors_H3).forces_N3
    torch.testing.assert_close(mean_forces(ensemble, graph, vectors_H3), expected, rtol=1e-10, atol=1e-12)


def test_cell_and_bath_follow_their_paths():
    start, drive = cluster(0)
    dynamics = Dynamics(n_steps=37, check_every=37)
    ended = run(ani_ensemble(), [(start, drive)], dynamics, physical=ANYTHING)
    frame = ended.frames[0]
    density = len(frame.numbers) / np.linalg.det(frame.cell_A)
    assert density == pytest.approx(drive.density_1_A3.at(37.0, 37.0), rel=1e-12)
    assert ended.temperatures_K[0] == pytest.approx(900.0 + 200.0 * np.sin(np.pi * 37 / 30) ** 2)
    fractional = frame.positions_A @ np.linalg.inv(frame.cell_A)
    assert fractional.min() >= 0 and fractional.max() < 1


def test_a_trajectory_stops_at_the_first_check_that_passes_a_threshold():
    never = Thresholds(energy_eV_atom=1e9, force_mean_eV_A=1e9, force_max_eV_A=1e9)
    dynamics = Dynamics(n_steps=60, check_every=5)
    calm = run(UNCERTAIN, [dimer(0, 600.0)], dynamics, never, ANYTHING)
    assert (calm.reasons.tolist(), calm.steps.tolist()) == (["finished"], [60])
    forces = calm.check_spreads[:, FORCE_MAX]
    bound = float(np.sort(forces)[-3])
    stopped = run(UNCERTAIN, [dimer(0, 600.0)], dynamics, replace(never, force_max_eV_A=bound), ANYTHING)
    first = int(calm.check_steps[forces > bound][0])
    assert (stopped.reasons.tolist(), stopped.steps.tolist()) == (["uncertain"], [first])
    assert stopped.spreads[0, FORCE_MAX] > bound


def test_a_trajectory_ends_where_the_caller_asks():
    dynamics = Dynamics(n_steps=60, check_every=5)
    ended = run(UNCERTAIN, [dimer(0, 600.0, end_at=25), dimer(1, 600.0)], dynamics, None, ANYTHING)
    assert (ended.reasons.tolist(), ended.steps.tolist()) == (["asked", "finished"], [25, 60])


def fused() -> tuple[Ensemble, Start]:
    attractive = Ensemble([SpringNetwork(Springs(length_A=0.0, stiffness_eV_A2=1.5))])
    return attractive, dimer(0, 10.0)


def collapsing() -> tuple[Ensemble, Start]:
    density = 2 / BOX_A**3
    return SPRINGS, dimer(0, 10.0, density_1_A3=Ramp(start=density, end=40 * density))


def hot() -> tuple[Ensemble, Start]:
    return SPRINGS, dimer(0, 1e6)


def not_finite() -> tuple[Ensemble, Start]:
    return Ensemble([SpringNetwork(Springs(), float("nan"))]), dimer(0, 10.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (fused, "atoms fused"),
        (collapsing, "the cell has collapsed"),
        (hot, "exploded: kinetic temperature"),
        (not_finite, "exploded: atoms are lost"),
    ],
)
def test_unphysical_frames_are_discarded_with_their_reason_and_the_others_go_on(make, message):
    ensemble, bad = make()
    dynamics = Dynamics(n_steps=60, check_every=1)
    physical = Physical(minimum_distance_A=1.2, maximum_temperature_K=20000.0, minimum_volume_A3=300.0)
    ended = run(ensemble, [bad], dynamics, physical=physical)
    assert ended.reasons.tolist() == ["discarded"] and message in ended.frames[0].failure
    assert np.isfinite(ended.frames.positions_A).all()
    good = dimer(5, 10.0)
    pair = run(SPRINGS, [bad, good], dynamics, physical=physical)
    assert pair.reasons[1] == "finished"


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_thresholds_that_are_not_positive_are_refused(value):
    with pytest.raises(ValueError, match="force_mean_eV_A"):
        Thresholds(energy_eV_atom=1.0, force_mean_eV_A=value, force_max_eV_A=1.0)


def test_dynamics_that_cannot_run_are_refused_all_at_once():
    with pytest.raises(ValueError, match=r"time_step_fs.*friction_1_fs.*check_every"):
        Dynamics(n_steps=10, time_step_fs=0.0, friction_1_fs=-1.0, check_every=20)
