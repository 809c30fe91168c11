"""Sampled configurations: thermal statistics, geometry of crystals and defects, packing, and repeatable randomness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.frames import Frames
from models.physics.atoms.baoab import BOLTZMANN_EV_K
from models.physics.atoms.child_process import ChildLimits
from models.physics.atoms.distances import minimum_distance
from models.physics.atoms.engines.ase import ASEEngine
from models.physics.atoms.engines.tblite import TbliteEngine
from models.physics.atoms.sampling.crystals import PROTOTYPES, Crystals, prototype, repeated, sample_crystals
from models.physics.atoms.sampling.defects import DEFECTS, Defects, sample_defects, stacking_fault
from models.physics.atoms.sampling.disordered import RandomPacked, _overlap, sample_random_packed
from models.physics.atoms.sampling.driven import SamplingFailed, sample, sample_each_in_child, sample_in_child
from models.physics.atoms.sampling.langevin import BlownUp, Langevin, sample_langevin
from models.physics.atoms.sampling.molecules import molecule, relaxed, rotatable_bonds
from models.physics.atoms.sampling.normal_modes import NormalModes, hessian, masses_of, modes_of
from models.physics.atoms.sampling.torsions import Torsions, sample_torsions, turned
from tests.models.physics.atoms.fragile import CRASHING, SPRING_EV_A2, Fragile

EMT = ASEEngine()  # knows H, C, N and O too: crude, and fast
LIMITS = ChildLimits()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(autouse=True)
def folder_for_springs(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/tmp")


@pytest.mark.parametrize(("name", "n_modes"), [("H2O", 3), ("CO2", 4), ("CH4", 9)])
def test_a_molecule_has_3n_minus_6_vibrations_and_a_linear_one_3n_minus_5(name: str, n_modes: int):
    minimum = relaxed(molecule(name), EMT)
    modes, _ = modes_of(hessian(minimum, EMT), masses_of(minimum), positions_A=minimum.positions_A)
    assert len(modes) == n_modes
    weights = masses_of(minimum)[None, :, None]
    np.testing.assert_allclose(np.sum(modes * weights, axis=1), 0, atol=1e-8)  # the centre of mass rests
    np.testing.assert_allclose(np.einsum("kax,a,lax->kl", modes, masses_of(minimum), modes), np.eye(n_modes), atol=1e-8)


@pytest.mark.physics
def test_normal_modes_hold_half_kt_each_in_the_harmonic_energy():
    temperature = 50.0
    sampler = NormalModes(n_frames=2000, temperature_K=(temperature, temperature * (1 + 1e-9)), softest_1_cm=1)
    minimum = relaxed(molecule("NH3"), EMT)
    matrix = hessian(minimum, EMT)
    frames = sample(minimum, EMT, sampler, rng())
    again = relaxed(minimum, EMT).positions_A
    moves = np.stack([(frame.positions_A - again).ravel() for frame in frames])
    energies = np.einsum("fi,ij,fj->f", moves, matrix, moves) / 2
    expected = 6 * BOLTZMANN_EV_K * temperature / 2
    assert energies.mean() == pytest.approx(expected, abs=5 * expected * np.sqrt(2 / 6 / 2000))


@pytest.mark.physics
def test_vibrations_of_water_lie_where_tight_binding_has_them():
    try:
        TbliteEngine().check()
    except ImportError as error:
        pytest.skip(str(error))
    minimum = relaxed(molecule("H2O"), TbliteEngine())
    _, squares = modes_of(hessian(minimum, TbliteEngine()), masses_of(minimum), positions_A=minimum.positions_A)
    wavenumbers = np.sqrt(squares * 4.1801593e-3) / 1.239841984e-4
    np.testing.assert_allclose(wavenumbers, [1539, 3643, 3651], rtol=0.01)  # GFN2-xTB


def test_frames_drawn_in_parts_are_those_drawn_at_once():
    def draw(**parts):
        return [
            f.positions_A for f in sample(molecule("H2O"), EMT, NormalModes(temperature_K=(100, 900), **parts), rng())
        ]

    at_once = draw(n_frames=5)
    np.testing.assert_array_equal(draw(n_frames=2) + draw(n_frames=3, first=2), at_once)


@pytest.mark.physics
def test_langevin_dynamics_has_the_temperature_of_its_bath():
    """Springs to the origin: <k x^2> = k_B T for each coordinate."""
    temperature = 300.0
    start = Frames.one(numbers=np.array([1]), positions_A=np.zeros((1, 3)), cell_A=1e4 * np.eye(3))  # or it is centred
    bath = Langevin(
        n_frames=3000,
        temperature_K=(temperature, temperature),
        time_step_fs=1.0,
        equilibration_steps=200,
        steps_per_frame=20,
        friction_1_fs=0.1,
    )
    frames = list(sample_langevin(start, Fragile(), bath, rng()))
    coordinates = np.stack([frame.positions_A for frame in frames])
    coordinates -= 1e4 * np.round(coordinates / 1e4)
    measured = SPRING_EV_A2 * np.mean(coordinates**2) / BOLTZMANN_EV_K
    assert measured == pytest.approx(temperature, rel=0.08)


def test_a_trajectory_that_blows_up_says_so():
    wild = Langevin(n_frames=5, temperature_K=(300, 300), time_step_fs=400.0, friction_1_fs=0.0)
    with np.errstate(all="ignore"), pytest.raises(BlownUp, match="smaller time step"):
        list(sample_langevin(molecule("CH4"), Fragile(), wild, rng()))
    with pytest.raises(SamplingFailed, match="smaller time step"):
        sample_in_child(molecule("H2"), Fragile(), wild, seed=0, spawn_key=(0,), limits=LIMITS)


def test_frames_from_a_child_are_those_drawn_here():
    sampler = Langevin(n_frames=3, temperature_K=(300, 600), equilibration_steps=5, steps_per_frame=3)
    child = sample_in_child(molecule("H2O"), EMT, sampler, seed=7, spawn_key=(1, 2), limits=LIMITS)
    here = sample(molecule("H2O"), EMT, sampler, np.random.default_rng(np.random.SeedSequence(7, spawn_key=(1, 2))))
    for first, second in zip(child, here, strict=True):
        np.testing.assert_array_equal(first.positions_A, second.positions_A)


def test_starts_that_share_a_child_give_what_they_give_alone_and_one_that_fails_stops_no_other():
    gentle = Langevin(n_frames=2, temperature_K=(300, 600), equilibration_steps=2, steps_per_frame=2)
    wild = Langevin(n_frames=5, temperature_K=(300, 300), time_step_fs=400.0, friction_1_fs=0.0)
    starts, samplers, keys = [molecule("H2")] * 3, [gentle, wild, gentle], [(1,), (0,), (3,)]
    together = sample_each_in_child(starts, Fragile(), samplers, seed=7, spawn_keys=keys, limits=LIMITS)
    assert isinstance(together[1], SamplingFailed) and "smaller time step" in str(together[1])
    for row in (0, 2):
        alone = sample_in_child(starts[row], Fragile(), gentle, seed=7, spawn_key=keys[row], limits=LIMITS)
        np.testing.assert_array_equal(together[row].positions_A, alone.positions_A)


def test_a_start_whose_child_dies_has_failed_and_the_others_go_on():
    gentle = Langevin(n_frames=1, temperature_K=(300, 300), equilibration_steps=1, steps_per_frame=1)
    deadly = Frames.one(numbers=[CRASHING, 1], positions_A=np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    starts, keys = [molecule("H2"), deadly, molecule("H2")], [(1,), (2,), (3,)]
    found = sample_each_in_child(starts, Fragile(), [gentle] * 3, seed=7, spawn_keys=keys, limits=LIMITS)
    assert [isinstance(one, SamplingFailed) for one in found] == [False, True, False]
    assert "SIGSEGV" in str(found[1])


@pytest.mark.parametrize(("name", "n_bonds"), [("H2O", 0), ("CH4", 0), ("CH3OH", 1), ("CH3CH2OH", 2), ("C6H6", 0)])
def test_single_bonds_between_groups_turn_and_rings_do_not(name: str, n_bonds: int):
    assert len(rotatable_bonds(molecule(name))) == n_bonds


def test_a_turn_keeps_bonds_and_angles_and_a_full_one_changes_nothing():
    ethanol = molecule("CH3CH2OH")
    for bond in rotatable_bonds(ethanol):
        a, b, moving = bond
        third, full = turned(ethanol, bond, 2 * np.pi / 3), turned(ethanol, bond, 2 * np.pi)
        np.testing.assert_allclose(full.positions_A, ethanol.positions_A, atol=1e-12)
        for part in ([a, b, *moving], [i for i in range(9) if i not in moving]):
            np.testing.assert_allclose(distances(third, part), distances(ethanol, part), atol=1e-12)
        assert np.abs(third.positions_A - ethanol.positions_A).max() > 0.5


def test_torsions_cover_the_circle_and_molecules_without_them_are_refused():
    frames = sample_torsions(molecule("CH3OH"), EMT, Torsions(n_frames=6, temperature_K=(1, 2)), rng())
    assert len(frames) == 6
    assert min(minimum_distance(frame) for frame in frames) >= 0.8
    with pytest.raises(ValueError, match="no bond that turns"):
        sample_torsions(molecule("H2O"), EMT, Torsions(n_frames=1, temperature_K=(1, 2)), rng())


def test_an_unknown_molecule_is_reported_with_names_that_are_near():
    with pytest.raises(ValueError, match=r"'H2X'.*near: .*H2O"):
        molecule("H2X")


@pytest.mark.parametrize(("name", "n_neighbours"), [("fcc", 12), ("hcp", 12), ("bcc", 8), ("sc", 6), ("diamond", 4)])
def test_prototypes_have_their_volume_and_number_of_nearest_neighbours(name: str, n_neighbours: int):
    crystal = repeated(prototype(name, 13, 16.5), (3, 3, 3))
    assert crystal.cell_A is not None
    assert np.linalg.det(crystal.cell_A) / len(crystal.numbers) == pytest.approx(16.5)
    np.testing.assert_array_equal(neighbours(crystal, 1.02 * minimum_distance(crystal)), n_neighbours)


def test_crystals_take_prototypes_in_turn_within_their_volumes_and_sizes():
    ranges = Crystals(
        n_frames=10, prototypes=tuple(PROTOTYPES), n_atoms=(8, 16), volume_A3=(14, 20), strain=0.05, rattle_A=0.1
    )
    frames = sample_crystals(13, ranges, rng())
    assert [frame.source for frame in frames] == 2 * list(PROTOTYPES)
    for frame in frames:
        assert 14 <= volume_per_atom(frame) <= 20
        assert len(frame.numbers) <= 16
        lengths = np.linalg.norm(frame.cell_A, axis=1)
        assert lengths.max() / lengths.min() < 4


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), n_atoms=st.integers(2, 12), volume=st.floats(12.5, 30.0))
def test_random_packed_cells_keep_their_density_and_distance(seed: int, n_atoms: int, volume: float):
    ranges = RandomPacked(n_frames=1, n_atoms=(n_atoms, n_atoms), volume_A3=(volume, volume), minimum_distance_A=2.1)
    (frame,) = sample_random_packed(13, ranges, rng(seed))
    assert len(frame.numbers) == n_atoms
    assert volume_per_atom(frame) == pytest.approx(volume)
    assert minimum_distance(frame) >= 2.1


def test_the_soft_repulsion_has_the_gradient_it_claims():
    cell = np.array([[4.0, 0, 0], [1.0, 4, 0], [0, 0.5, 5]])
    flat = (rng().random((5, 3)) @ cell).ravel()
    _, gradient = _overlap(flat, cell, 2.5)
    for i in range(flat.size):
        ahead, behind = (_overlap(flat + sign * 1e-6 * np.eye(flat.size)[i], cell, 2.5)[0] for sign in (1, -1))
        assert gradient[i] == pytest.approx((ahead - behind) / 2e-6, abs=1e-8)


def test_an_impossible_density_is_refused_with_one_that_is_possible():
    with pytest.raises(ValueError, match=r"impossible density.*raise volume_A3 to 17\.3"):
        RandomPacked(n_frames=1, n_atoms=(8, 8), volume_A3=(10.0, 12.0), minimum_distance_A=2.63)
    RandomPacked(n_frames=1, n_atoms=(8, 8), volume_A3=(17.34, 18.0), minimum_distance_A=2.63)


def test_a_stacking_fault_keeps_nearest_neighbours_and_has_two_planes_of_hcp():
    fault = repeated(stacking_fault(13, 16.5, 9), (3, 3, 1))
    near = minimum_distance(fault)
    np.testing.assert_array_equal(neighbours(fault, 1.1 * near), 12)
    # ..ABC|BCA.. : B and C stand twice with one plane between, sqrt(8/3) nearest distances apart; fcc has none there
    above = neighbours(fault, 1.66 * near) - neighbours(fault, 1.60 * near)
    np.testing.assert_array_equal(np.bincount(above), [5 * 9, 4 * 9])
    assert volume_per_atom(fault) == pytest.approx(16.5)


def test_defects_have_an_atom_less_an_atom_more_or_a_vacuum():
    ranges = Defects(
        n_frames=4, kinds=DEFECTS, repeats=(2, 2, 1), n_layers=6, vacuum_A=8, volume_A3=(16.5, 16.6), rattle_A=0.0
    )
    vacancy, interstitial, slab, _ = sample_defects(13, ranges, rng())
    assert (len(vacancy.numbers), len(interstitial.numbers), len(slab.numbers)) == (15, 17, 16)
    edge = (4 * 16.55) ** (1 / 3)
    assert volume_per_atom(interstitial) == pytest.approx(16.55, abs=0.1)
    assert minimum_distance(interstitial) == pytest.approx(edge / 2 * (17 / 16) ** (1 / 3), abs=0.02)  # octahedral
    assert slab.cell_A is not None
    assert slab.cell_A[2, 2] == pytest.approx(edge + 8, abs=0.02)


CRYSTALS = {"n_frames": 1, "prototypes": ("fcc",), "n_atoms": (4, 8), "volume_A3": (10, 20), "strain": 0, "rattle_A": 0}
DEFECTIVE = {
    "n_frames": 1,
    "kinds": ("slab",),
    "repeats": (2, 1, 1),
    "n_layers": 6,
    "vacuum_A": 6,
    "volume_A3": (16, 17),
    "rattle_A": 0,
}


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (Crystals, CRYSTALS | {"prototypes": ("fccc",), "volume_A3": (20, 10)}, r"fccc.*volume_A3"),
        (Defects, DEFECTIVE | {"kinds": ("hole",), "n_layers": 5}, r"hole.*n_layers"),
        (NormalModes, {"n_frames": -1, "temperature_K": (0, 10)}, r"temperature_K.*n_frames"),
        (
            Langevin,
            {"n_frames": 1, "temperature_K": (300, 300), "time_step_fs": 0, "steps_per_frame": 0},
            r"steps_per_frame.*time_step_fs",
        ),
    ],
)
def test_impossible_settings_of_samplers_are_refused_all_at_once(kind, given, message: str):
    with pytest.raises(ValueError, match=message):
        kind(**given)


def distances(structure: Frames, atoms: list[int]) -> np.ndarray:
    points = structure.positions_A[atoms]
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def volume_per_atom(structure: Frames) -> float:
    assert structure.cell_A is not None
    return abs(float(np.linalg.det(structure.cell_A))) / len(structure.numbers)


def neighbours(structure: Frames, cutoff_A: float) -> np.ndarray:
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    atoms = Atoms(numbers=structure.numbers, positions=structure.positions_A, cell=structure.cell_A, pbc=True)
    return np.bincount(neighbor_list("i", atoms, cutoff_A), minlength=len(atoms))
