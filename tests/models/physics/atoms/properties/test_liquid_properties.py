"""Dynamics and what it measures: conserved energy, ideal gas, random walk, shells of a crystal, shock states."""

from dataclasses import replace

import ase.units
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from models.physics.atoms.properties.compression import CompressionSettings, compression, disordered_cell
from models.physics.atoms.properties.crystals import Lattice, PropertyFailed, crystal, energy_per_atom
from models.physics.atoms.properties.dynamics import DynamicsSettings, run_dynamics, thermal_velocities
from models.physics.atoms.properties.hugoniot import HugoniotSettings, hugoniot
from models.physics.atoms.properties.liquid_structure import (
    crystalline_order,
    diffusion_coefficient,
    mean_square_displacement,
    radial_distribution,
)
from models.physics.atoms.properties.melt import MeltSettings, melt
from models.physics.atoms.properties.melting_point import MeltingPointSettings, crystalline_share, melting_point
from models.physics.atoms.properties.relaxation import shortest_distance_A
from tests.models.physics.atoms.properties.pair_crystal import DEPTH, DISTANCE, LATTICE_CONSTANT, NearestNeighbours

EMT_LATTICE = Lattice(element="Al", a0_A=3.9943, energy_eV=-0.00488)


def warm(temperature, seed=0, cells=2):
    atoms = bulk("Al", a=LATTICE_CONSTANT, cubic=True).repeat(cells)
    thermal_velocities(atoms, temperature, np.random.default_rng(seed))
    return atoms


def test_thermal_velocities_have_the_temperature_and_no_drift():
    atoms = warm(700.0, cells=8)
    assert atoms.get_temperature() == pytest.approx(700, rel=0.03)
    np.testing.assert_allclose(atoms.get_momenta().sum(0), 0, atol=1e-9)


def test_energy_is_conserved_to_the_square_of_the_time_step():
    errors = []
    for step in (4.0, 2.0):
        settings = DynamicsSettings(time_step_fs=step)
        run = run_dynamics(
            warm(300.0), NearestNeighbours(), 0.4, settings, np.random.default_rng(0), sample_every=round(8 / step)
        )
        errors.append(np.ptp(run.total_energies_eV))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)
    assert errors[1] < 0.01


def test_the_bath_holds_its_temperature():
    settings = DynamicsSettings(time_step_fs=4.0, friction_1_fs=0.04)
    run = run_dynamics(warm(100.0), NearestNeighbours(), 2.4, settings, np.random.default_rng(1), temperature_K=400.0)
    late = run.temperatures_K[len(run.temperatures_K) // 4 :]
    assert late.mean() == pytest.approx(400, rel=0.1)


def test_the_barostat_brings_a_squeezed_crystal_back_to_its_volume():
    atoms = bulk("Al", a=0.98 * LATTICE_CONSTANT, cubic=True).repeat(2)
    thermal_velocities(atoms, 1.0, np.random.default_rng(0))
    settings = DynamicsSettings(time_step_fs=4.0)
    run = run_dynamics(
        atoms, NearestNeighbours(), 1.6, settings, np.random.default_rng(0), temperature_K=1.0, pressure_GPa=0.0
    )
    assert run.volumes_A3[-1] == pytest.approx(LATTICE_CONSTANT**3 * 8, rel=5e-3)


def test_held_atoms_stay_and_the_same_seed_gives_the_same_run():
    held = np.arange(32) < 16
    runs = [
        run_dynamics(
            warm(500.0), EMT(), 0.05, DynamicsSettings(), np.random.default_rng(3), temperature_K=500.0, held=held
        ).atoms.positions
        for _ in range(2)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0][:16], warm(500.0).positions[:16])
    assert np.abs(runs[0][16:] - warm(500.0).positions[16:]).max() > 0.05


@pytest.mark.parametrize(
    ("temperature", "step", "message"),
    [(300.0, 80.0, "blew up|fused|volume went"), (60000.0, 2.0, "blew up|fused")],
)
def test_a_run_that_breaks_says_how(temperature, step, message):
    atoms = warm(temperature)
    with pytest.raises(PropertyFailed, match=message):
        settings = DynamicsSettings(time_step_fs=step)
        run_dynamics(atoms, EMT(), 100 * step / 1000, settings, np.random.default_rng(0), temperature_K=300.0)


def test_an_ideal_gas_has_a_flat_radial_distribution():
    positions = np.random.default_rng(0).uniform(0, 12.0, size=(40, 200, 3))
    found = radial_distribution(positions, np.full(3, 12.0), bin_A=0.5)
    np.testing.assert_allclose(found.g[4:], 1.0, atol=0.05)
    assert found.r_A[-1] < 6.0


def test_radial_distribution_counts_the_shells_of_the_fcc_crystal():
    """12, 6, 24 neighbours at 1, sqrt 2, sqrt 3 distances."""
    atoms = bulk("Al", a=LATTICE_CONSTANT, cubic=True).repeat(3)
    found = radial_distribution(atoms.positions[None], atoms.cell.lengths(), bin_A=0.02)
    for radius, count in ((1.2, 12), (1.6, 18), (1.9, 42)):
        assert found.neighbours_within(radius * DISTANCE) == pytest.approx(count, rel=1e-3)
    assert found.first_peak[0] == pytest.approx(DISTANCE, abs=0.02)


def test_a_random_walk_diffuses_with_its_coefficient():
    coefficient, interval = 0.7, 0.02
    steps = np.random.default_rng(0).normal(scale=np.sqrt(2 * coefficient * interval), size=(200, 2000, 3))
    drift = np.arange(200)[:, None, None] * 0.1
    assert diffusion_coefficient(steps.cumsum(axis=0) + drift, interval) == pytest.approx(coefficient, rel=0.05)
    assert mean_square_displacement(np.zeros((8, 5, 3))).tolist() == [0.0] * 5


def test_order_is_one_in_the_crystal_and_gone_in_a_gas():
    atoms = bulk("Al", a=LATTICE_CONSTANT, cubic=True).repeat((3, 3, 4))
    edges = atoms.cell.lengths()
    assert crystalline_order(atoms.positions + 0.3, edges, (3, 3, 4)) == pytest.approx(1)
    gas = np.random.default_rng(0).uniform(size=atoms.positions.shape) * edges
    assert crystalline_order(gas, edges, (3, 3, 4)) < 0.05


def test_the_crystalline_share_of_half_a_crystal_is_a_half():
    settings = MeltingPointSettings(cells=3, long_cells=8)
    atoms = bulk("Al", a=LATTICE_CONSTANT, cubic=True).repeat((3, 3, 8))
    atoms.positions += 1e-6
    upper = atoms.positions[:, 2] > atoms.cell.lengths()[2] / 2
    assert crystalline_share(atoms, settings) == 1
    atoms.positions[upper, :2] = np.random.default_rng(0).uniform(0, 3 * LATTICE_CONSTANT, size=(upper.sum(), 2))
    assert crystalline_share(atoms, settings) == 0.5


@pytest.mark.long
def test_the_melt_of_emt_is_a_liquid():
    """Its neighbours are as many as in the crystal or a few less, it diffuses, and it takes more room."""
    found = melt(EMT(), EMT_LATTICE, MeltSettings(sampling_ps=2.0))
    assert found.diffusion_A2_ps > 0.1
    assert found.volume_A3 > EMT_LATTICE.a0_A**3 / 4
    assert 10 < found.quantities()["melt_coordination"].value < 15
    assert found.radial.g[found.radial.r_A < 2.0].max() == 0
    assert found.radial.first_peak[1] < 4


def test_a_crystal_that_stays_a_crystal_is_not_called_a_melt():
    settings = MeltSettings(
        cells=2, temperature_K=100.0, melting_temperature_K=200.0, melting_ps=0.2, equilibration_ps=0.1, sampling_ps=0.1
    )
    with pytest.raises(PropertyFailed, match="did not melt at 200 K"):
        melt(EMT(), EMT_LATTICE, settings)


@pytest.mark.long
def test_a_cell_without_two_phases_has_no_melting_point():
    settings = MeltingPointSettings(
        cells=2,
        long_cells=6,
        first_temperature_K=200.0,
        melting_temperature_K=300.0,
        preparation_ps=0.1,
        coexistence_ps=0.2,
        max_attempts=2,
    )
    with pytest.raises(PropertyFailed, match=r"one phase took the whole cell .*200 K: 100% crystal; 216 K"):
        melting_point(EMT(), EMT_LATTICE, settings)


def test_compressed_cells_are_the_same_for_every_calculator_and_keep_their_distances():
    settings = CompressionSettings()
    one, other = (disordered_cell("Al", a, settings) for a in (4.05, 4.05 * 0.6 ** (1 / 3)))
    np.testing.assert_allclose(one.get_scaled_positions(), other.get_scaled_positions(), atol=1e-9)
    assert shortest_distance_A(one) > 0.7 * DISTANCE
    displaced = one.positions - bulk("Al", a=4.05, cubic=True).repeat(2).positions
    displaced -= np.round(displaced / one.cell.lengths()) * one.cell.lengths()
    assert displaced.std() > 0.2


def test_compressed_energies_of_springs_follow_the_pair_potential_and_pressures_its_slope():
    found = compression(NearestNeighbours(reach=1.05), "Al", CompressionSettings(ratios=(0.9, 0.7)))
    for ratio in (0.9, 0.7):
        a = LATTICE_CONSTANT * ratio ** (1 / 3)
        cell = found.cells["fcc", ratio]
        energies = [
            energy_per_atom(crystal("Al", "fcc", a * s), NearestNeighbours(reach=1.05)) for s in (1 - 1e-4, 1, 1 + 1e-4)
        ]
        assert cell.energy_eV == pytest.approx(energies[1] + 6 * DEPTH, rel=1e-9)
        volumes = [(a * s) ** 3 / 4 for s in (1 - 1e-4, 1 + 1e-4)]
        slope = -(energies[2] - energies[0]) / (volumes[1] - volumes[0]) / ase.units.GPa
        assert cell.pressure_GPa == pytest.approx(slope, rel=1e-5)


@pytest.mark.long
def test_a_shock_heats_and_ends_above_the_cold_curve():
    settings = HugoniotSettings(cells=2, ratios=(0.85,), run_ps=0.4, tolerance_K=60.0)
    point = hugoniot(EMT(), EMT_LATTICE, settings).points[0.85]
    cold = crystal("Al", "fcc", EMT_LATTICE.a0_A * 0.85 ** (1 / 3))
    cold.calc = EMT()
    assert point.failure == ""
    assert point.temperature_K > settings.initial_temperature_K
    assert point.pressure_GPa > -cold.get_stress()[:3].mean() / ase.units.GPa


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (MeltSettings, {"melting_temperature_K": 500.0}, "expected more than temperature_K"),
        (CompressionSettings, {"ratios": (1.2,)}, "expected a number >= 0.3 and <= 1"),
        (HugoniotSettings, {"ratios": (0.2,)}, "expected a number >= 0.55 and < 1"),
        (MeltingPointSettings, {"coexistence_ps": 0.0}, "coexistence_ps: found 0.0"),
        (DynamicsSettings, {"time_step_fs": -2.0}, "time_step_fs: found -2.0"),
    ],
)
def test_settings_out_of_range_are_refused(kind, change, message):
    with pytest.raises(ValueError, match=message):
        replace(kind(), **change)
