"""Properties of crystals at rest: closed forms of nearest-neighbour and Lennard-Jones crystals."""

from dataclasses import replace

import ase.units
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.data import atomic_masses, atomic_numbers
from scipy.optimize import minimize_scalar

from models.physics.atoms.properties.crystals import Lattice, PropertyFailed, crystal, energy_per_atom
from models.physics.atoms.properties.elastic import ElasticSettings, cubic_elastic_constants, elastic_constants
from models.physics.atoms.properties.equation_of_state import (
    EquationOfStateSettings,
    equation_of_state,
    fit_birch_murnaghan,
)
from models.physics.atoms.properties.phonons import PhononSettings, phonons
from models.physics.atoms.properties.relaxation import RelaxationSettings, relaxed
from models.physics.atoms.properties.stacking_fault import StackingFaultSettings, faulted_cell, stacking_fault
from models.physics.atoms.properties.structures import StructureSettings, structure_energies
from models.physics.atoms.properties.surfaces import J_PER_M2, SurfaceSettings, surfaces
from models.physics.atoms.properties.thermal_expansion import ThermalExpansionSettings, thermal_expansion
from models.physics.atoms.properties.vacancy import VacancySettings, vacancy
from tests.models.physics.atoms.properties.pair_crystal import (
    DEPTH,
    DISTANCE,
    LATTICE_CONSTANT,
    STIFFNESS,
    WIDTH,
    Broken,
    NearestNeighbours,
    Repulsive,
)

PAIRS = Lattice(element="Al", a0_A=LATTICE_CONSTANT, energy_eV=-6 * DEPTH)
GPA = ase.units.GPa


@pytest.fixture(scope="module")
def emt():
    return equation_of_state(EMT(), "Al", EquationOfStateSettings())


def test_the_pair_model_of_these_tests_has_forces_and_stress_of_its_energy():
    from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

    atoms = bulk("Al", a=4.0, cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.calc = NearestNeighbours()
    np.testing.assert_allclose(
        atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4, force_consistent=False), atol=1e-5
    )
    np.testing.assert_allclose(
        atoms.get_stress(), calculate_numerical_stress(atoms, 1e-5, force_consistent=False), atol=1e-7
    )


def test_a_birch_murnaghan_curve_is_fitted_exactly():
    v0, e0, b0, slope = 16.5, -3.7, 0.48, 4.6
    volumes = np.linspace(14.0, 19.0, 9)
    x = (v0 / volumes) ** (2 / 3)
    energies = e0 + 9 * v0 * b0 / 16 * ((x - 1) ** 3 * slope + (x - 1) ** 2 * (6 - 4 * x))
    fit = fit_birch_murnaghan(volumes, energies)
    assert fit.volume_A3 == pytest.approx(v0, rel=1e-9)
    assert fit.energy_eV == pytest.approx(e0, abs=1e-9)
    assert fit.bulk_modulus_GPa == pytest.approx(b0 / GPA, rel=1e-7)
    assert fit.derivative == pytest.approx(slope, rel=1e-6)


def test_the_lennard_jones_crystal_has_the_lattice_constant_and_modulus_of_the_lattice_sums():
    """A6 = 14.45392, A12 = 12.13188 (C. Kittel): d = (2 A12/A6)^(1/6) sigma, B = sqrt(2)/9 d^2 E''(d)/d^3 per atom."""
    a6, a12, sigma, epsilon = 14.45392, 12.13188, 2.626, 0.2
    distance = (2 * a12 / a6) ** (1 / 6) * sigma
    curvature = 2 * epsilon * (a12 * 156 * sigma**12 / distance**14 - a6 * 42 * sigma**6 / distance**8)
    found = equation_of_state(
        LennardJones(sigma=sigma, epsilon=epsilon, rc=12 * sigma),
        "Al",
        EquationOfStateSettings(strain=0.01, local_strain=0.002),
    )
    assert found.a0_A == pytest.approx(np.sqrt(2) * distance, rel=3e-4)
    assert found.bulk_modulus_GPa == pytest.approx(np.sqrt(2) / 9 * curvature / distance / GPA, rel=5e-3)
    assert found.local_energy_eV == pytest.approx(-epsilon * a6**2 / (2 * a12), rel=2e-3)  # ASE shifts by phi(rc)


def test_a_fit_over_less_strain_comes_closer_to_the_curvature_at_the_minimum():
    exact = 2 * np.sqrt(2) / 3 * STIFFNESS / DISTANCE / GPA
    errors = []
    for strain in (0.04, 0.02, 0.01):
        settings = EquationOfStateSettings(strain=strain, local_strain=0.002)
        errors.append(abs(equation_of_state(NearestNeighbours(), "Al", settings).bulk_modulus_GPa / exact - 1))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 2e-4


def test_nearest_neighbour_elastic_constants_are_those_of_the_springs():
    """C11 = sqrt(2) k/d, C12 = C44 = C11/2 (Cauchy), B = (C11 + 2 C12)/3."""
    c11 = np.sqrt(2) * STIFFNESS / DISTANCE / GPA
    found = elastic_constants(NearestNeighbours(), PAIRS, ElasticSettings(strain=0.001))
    np.testing.assert_allclose([found.c11_GPa, found.c12_GPa, found.c44_GPa], [c11, c11 / 2, c11 / 2], rtol=1e-4)
    local = equation_of_state(NearestNeighbours(), "Al", EquationOfStateSettings()).local_bulk_modulus_GPa
    assert found.bulk_modulus_GPa == pytest.approx(local, rel=1e-3)


def test_elastic_constants_converge_with_the_square_of_the_strain():
    c11 = np.sqrt(2) * STIFFNESS / DISTANCE / GPA
    errors = [
        elastic_constants(NearestNeighbours(), PAIRS, ElasticSettings(strain=strain)).c11_GPa - c11
        for strain in (0.02, 0.01)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def test_the_bulk_modulus_of_emt_is_the_same_from_energies_and_from_stresses(emt):
    found = elastic_constants(EMT(), emt.lattice, ElasticSettings())
    assert found.bulk_modulus_GPa == pytest.approx(emt.local_bulk_modulus_GPa, rel=2e-3)


def test_a_calculator_without_stress_gives_the_same_elastic_constants():
    class WithoutStress(NearestNeighbours):
        implemented_properties = ["energy", "forces"]  # noqa: RUF012

    one, other = (elastic_constants(kind(), PAIRS, ElasticSettings()) for kind in (NearestNeighbours, WithoutStress))
    np.testing.assert_allclose([one.c11_GPa, one.c44_GPa], [other.c11_GPa, other.c44_GPa], rtol=1e-5)


def test_atoms_between_others_relax_under_shear():
    """Diamond: the frozen crystal resists shear more than the relaxed one."""
    cell = crystal("Al", "diamond", 6.1)
    settings = ElasticSettings(relaxation=RelaxationSettings(force_eV_A=1e-3))
    soft = cubic_elastic_constants(EMT(), cell, settings)
    frozen = cubic_elastic_constants(EMT(), cell, replace(settings, relaxation=RelaxationSettings(force_eV_A=1e3)))
    assert soft.c44_GPa < frozen.c44_GPa - 0.1
    assert soft.c11_GPa == pytest.approx(frozen.c11_GPa, rel=1e-6)


def test_close_packed_structures_of_nearest_neighbours_have_the_same_energy():
    found = structure_energies(NearestNeighbours(), PAIRS, StructureSettings(structures=("hcp", "sc")))
    assert found.quantities()["hcp_minus_fcc"].value == pytest.approx(0, abs=1e-5)
    assert found.minima["hcp"].c_over_a == pytest.approx(np.sqrt(8 / 3), abs=2e-3)
    assert found.minima["hcp"].volume_A3 == pytest.approx(LATTICE_CONSTANT**3 / 4, rel=1e-3)
    assert found.quantities()["sc_minus_fcc"].value == pytest.approx((6 - 3) * DEPTH, abs=1e-4)


def test_each_structure_lies_at_its_own_lowest_energy():
    lattice = equation_of_state(EMT(), "Cu", EquationOfStateSettings()).lattice
    for minimum in structure_energies(EMT(), lattice, StructureSettings()).minima.values():
        energies = [
            energy_per_atom(crystal("Cu", minimum.structure, minimum.a_A * s, c_over_a=minimum.c_over_a), EMT())
            for s in (0.99, 1.0, 1.01)
        ]
        assert energies[1] < min(energies[0], energies[2])
        assert energies[1] == pytest.approx(minimum.energy_eV, abs=1e-9)


def test_a_nearest_neighbour_vacancy_costs_half_of_its_twelve_bonds():
    found = vacancy(NearestNeighbours(), PAIRS, VacancySettings(cells=2))
    assert found.unrelaxed_formation_eV == pytest.approx(6 * DEPTH, rel=1e-9)
    assert found.formation_eV == pytest.approx(6 * DEPTH, rel=1e-9)


@pytest.mark.long
def test_vacancy_energies_of_emt_hardly_change_with_the_cell_and_the_path(emt):
    small, large = (vacancy(EMT(), emt.lattice, VacancySettings(cells=cells)) for cells in (3, 4))
    assert small.migration_method == "symmetric saddle"
    assert small.formation_eV == pytest.approx(large.formation_eV, rel=0.01)
    assert small.migration_eV == pytest.approx(large.migration_eV, rel=0.03)


@pytest.mark.long
def test_the_symmetric_saddle_is_the_top_of_the_elastic_band(emt, monkeypatch):
    saddle = vacancy(EMT(), emt.lattice, VacancySettings())
    monkeypatch.setattr("models.physics.atoms.properties.vacancy._force_constant", lambda *_: 1.0)
    band = vacancy(EMT(), emt.lattice, VacancySettings(relaxation=RelaxationSettings(force_eV_A=0.004)))
    assert band.migration_method == "nudged elastic band"
    assert band.migration_eV == pytest.approx(saddle.migration_eV, abs=2e-3)


def test_surfaces_of_nearest_neighbours_count_broken_bonds():
    """3, 4 and 6 bonds per surface cell of sqrt(3)/2, 1 and sqrt(2) d^2; half of each bond to either side."""
    found = surfaces(NearestNeighbours(), PAIRS, SurfaceSettings()).surfaces
    per_area = DEPTH / DISTANCE**2 / J_PER_M2
    assert found["111"].unrelaxed == pytest.approx(np.sqrt(3) * per_area, rel=1e-6)
    assert found["100"].unrelaxed == pytest.approx(2 * per_area, rel=1e-6)
    assert found["110"].unrelaxed == pytest.approx(3 / np.sqrt(2) * per_area, rel=1e-6)
    assert all(surface.energy <= surface.unrelaxed + 1e-9 for surface in found.values())


def test_surface_energies_of_emt_do_not_depend_on_the_thickness(emt):
    thin, thick = (
        surfaces(EMT(), emt.lattice, SurfaceSettings(layers_111=n, layers_100=n, layers_110=n + 4)).surfaces
        for n in (8, 12)
    )
    for name in thin:
        assert thin[name].energy == pytest.approx(thick[name].energy, rel=5e-3)


def test_a_joule_per_square_metre_is_62_meV_per_square_angstrom():
    assert pytest.approx(0.0624151, rel=1e-6) == J_PER_M2


def test_a_stacking_fault_keeps_all_nearest_neighbours():
    found = stacking_fault(NearestNeighbours(), PAIRS, StackingFaultSettings())
    assert found.unrelaxed == pytest.approx(0, abs=1e-6)
    assert found.intrinsic == pytest.approx(0, abs=1e-3)


def test_the_stacking_of_the_faulted_cell_has_two_hexagonal_layers_and_the_perfect_one_none():
    """A layer is hexagonal where the layers above and below it lie at the same place."""
    counts = []
    for faulted in (True, False):
        cell = faulted_cell(PAIRS, 9, faulted=faulted).repeat((1, 1, 3))
        layers = cell.positions[:, :2]
        same = []
        for index in range(9, 18):
            offset = np.linalg.solve(cell.cell.array[:2, :2].T, layers[index + 1] - layers[index - 1])
            same.append(np.abs(offset - np.round(offset)).max() < 1e-6)
        counts.append(sum(same))
    assert counts == [2, 0]


def test_a_perfect_cell_of_layers_has_the_energy_of_the_crystal(emt):
    cell = faulted_cell(emt.lattice, 9, faulted=False)
    assert energy_per_atom(cell, EMT()) == pytest.approx(emt.lattice.energy_eV, abs=1e-9)


def test_phonons_of_nearest_neighbours_at_x_and_l_follow_the_spring_and_the_mass():
    """m w^2 = 8 k and 4 k at X, 8 k and 2 k at L."""
    mass = atomic_masses[atomic_numbers["Al"]]
    terahertz = np.sqrt(STIFFNESS / mass) / (2 * np.pi) * 1e-12 * ase.units.s
    found = phonons(NearestNeighbours(), PAIRS, PhononSettings(displacement_A=0.005))
    assert found.x_longitudinal == pytest.approx(np.sqrt(8) * terahertz, rel=1e-4)
    assert found.x_transverse == pytest.approx(2 * terahertz, rel=1e-4)
    assert found.l_longitudinal == pytest.approx(np.sqrt(8) * terahertz, rel=1e-4)
    assert found.l_transverse == pytest.approx(np.sqrt(2) * terahertz, rel=1e-4)
    assert found.frequencies_QB.min() == pytest.approx(0, abs=1e-2)
    assert found.frequencies_QB.shape == (84, 3)
    assert np.abs(np.diff(found.frequencies_QB[:, 2])).max() < 1.5  # the path has no jump: U and K are the same wave


def test_slow_phonons_travel_at_the_speed_of_sound():
    """w/q of the longitudinal branch along [100] near Gamma is sqrt(C11/density)."""
    found = phonons(NearestNeighbours(), PAIRS, PhononSettings(points_per_segment=101))
    c11 = np.sqrt(2) * STIFFNESS / DISTANCE
    density = atomic_masses[13] / (LATTICE_CONSTANT**3 / 4)
    speed = 2 * np.pi * found.frequencies_QB[4, 2] / found.distance_Q[4] / (2 * np.pi) / (1e-12 * ase.units.s)
    assert speed == pytest.approx(np.sqrt(c11 / density), rel=5e-3)


@pytest.mark.long
def test_expansion_far_above_the_debye_temperature_is_that_of_classical_springs():
    """F = E(a) + kT <ln det D(q)> / 2 with D(q) = sum (1 - cos q.r) [phi'' n n + phi'/r (1 - n n)] in closed form."""
    temperature = 1000.0
    neighbours = np.array([n for n in np.ndindex(3, 3, 3)]) - 1
    normals = neighbours[(neighbours**2).sum(1) == 2] / np.sqrt(2)
    along = np.einsum("ni,nj->nij", normals, normals)
    grid = (np.array(list(np.ndindex(12, 12, 12))) + 0.5) / 12
    waves = grid @ np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])  # in units of 2 pi/a
    weights = 1 - np.cos(2 * np.pi * waves @ (normals / np.sqrt(2)).T)

    def free_energy(a, kt):
        distance = a / np.sqrt(2)
        decay = np.exp(-WIDTH * (distance - DISTANCE))
        slope, bend = 2 * DEPTH * WIDTH * (1 - decay) * decay, 2 * DEPTH * WIDTH**2 * decay * (2 * decay - 1)
        springs = bend * along + slope / distance * (np.eye(3) - along)
        matrices = np.einsum("qn,nij->qij", weights, springs)
        return 6 * DEPTH * ((1 - decay) ** 2 - 1) + 0.5 * kt * np.linalg.slogdet(matrices)[1].mean()

    def lattice_constant(kelvin):
        return minimize_scalar(
            free_energy, bounds=(4.0, 4.3), method="bounded", args=(ase.units.kB * kelvin,), options={"xatol": 1e-9}
        ).x

    expected = (lattice_constant(1100) - lattice_constant(900)) / 200 / lattice_constant(1000)
    settings = ThermalExpansionSettings(temperature_K=temperature, lowest_strain=-0.01, highest_strain=0.05)
    found = thermal_expansion(NearestNeighbours(), PAIRS, settings)
    assert found.coefficient == pytest.approx(expected, rel=0.03)
    assert found.lattice_constants_A[0] > LATTICE_CONSTANT  # zero-point motion expands
    assert np.all(np.diff(found.lattice_constants_A) > -1e-9)


@pytest.mark.parametrize("calculator", [Repulsive(), Broken()])
def test_a_crystal_without_a_minimum_is_a_recorded_failure(calculator):
    with pytest.raises(PropertyFailed, match=r"no energy minimum between .* falls towards|energy of 1 atoms .* is nan"):
        equation_of_state(calculator, "Al", EquationOfStateSettings())


def test_a_relaxation_out_of_steps_says_how_far_it_is():
    atoms = bulk("Al", a=4.0, cubic=True)
    atoms.rattle(0.2, seed=0)
    with pytest.raises(PropertyFailed, match=r"test cell: not relaxed after 2 steps, the largest force is .* eV/A"):
        relaxed(atoms, EMT(), RelaxationSettings(max_steps=2), what="test cell")
    before = atoms.positions.copy()
    found, energy = relaxed(atoms, EMT(), RelaxationSettings(force_eV_A=1e-3))
    np.testing.assert_array_equal(atoms.positions, before)
    assert energy == pytest.approx(4 * energy_per_atom(crystal("Al", "fcc", 4.0), EMT()), abs=1e-4)
    assert np.abs(found.get_forces()).max() < 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EquationOfStateSettings(strain=0.3), r"strain: found 0.3 \(float\), expected a number > 0 and < 0.2"),
        (lambda: ElasticSettings(strain=-1), r"strain: found -1 \(int\), expected a number > 0"),
        (lambda: PhononSettings(supercell=3), "expected a whole number >= 2 and a multiple of 2"),
        (lambda: StructureSettings(structures=("fcc",)), r"structures: found \['fcc'\]"),
        (lambda: VacancySettings(cells=1), r"cells: found 1 \(int\), expected a whole number >= 2"),
        (lambda: RelaxationSettings(force_eV_A=float("nan")), "force_eV_A: found nan"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
