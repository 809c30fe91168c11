"""What is true of every potential: a test class to inherit. A subclass says which model, in float64.

    class TestMyPotential(PotentialContract):
        def model(self):
            return MyPotential(MyPotential.Config(species=(1, 6, 8, 13), ...)).double()

Cutoffs may be anything above 3.2 A; pairs are searched within the model's own.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from models.networks.potentials.graph import Configuration, Graph, collate
from models.networks.potentials.neighbours import find_neighbours
from models.networks.potentials.potential import PotentialNetwork, Prediction, evaluate

OPEN = np.zeros((3, 3))


@dataclass(frozen=True, kw_only=True)
class Structure:
    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: tuple[bool, bool, bool]


def methanol() -> Structure:
    positions = [[-0.05, 0.66, 0.01], [0.02, -0.76, 0.03], [-1.08, 0.98, 0.05], [0.44, 1.07, 0.89]]
    positions += [[0.43, 1.08, -0.91], [0.9, -1.09, -0.02]]
    return Structure(numbers=np.array([6, 8, 1, 1, 1, 1]), positions=np.array(positions), cell=OPEN, pbc=(False,) * 3)


def water() -> Structure:
    positions = np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.05, -0.75, -0.48]])
    return Structure(numbers=np.array([8, 1, 1]), positions=positions, cell=OPEN, pbc=(False,) * 3)


def aluminium(n_atoms: int = 4) -> Structure:
    """The fcc cube of 4 atoms, or its first ones, rattled and sheared: smaller than every cutoff."""
    random = np.random.default_rng(5)
    cell = 4.05 * np.eye(3) + random.normal(scale=0.15, size=(3, 3))
    fractional = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])[:n_atoms]
    positions = fractional @ cell + random.normal(scale=0.1, size=(n_atoms, 3))
    return Structure(numbers=np.full(n_atoms, 13), positions=positions, cell=cell, pbc=(True,) * 3)


def slab() -> Structure:
    """Aluminium periodic in two directions with water on top."""
    metal, molecule = aluminium(), water()
    cell = metal.cell.copy()
    cell[2] = [0.0, 0.0, 30.0]
    positions = np.concatenate([metal.positions, molecule.positions + np.array([2.0, 2.0, 5.0])])
    numbers = np.concatenate([metal.numbers, molecule.numbers])
    return Structure(numbers=numbers, positions=positions, cell=cell, pbc=(True, True, False))


STRUCTURES = {"methanol": methanol, "water": water, "aluminium": aluminium, "slab": slab}


def graph_of(model: PotentialNetwork, *structures: Structure) -> tuple[Graph, torch.Tensor]:
    """Batch in the precision of the model."""
    configurations = [
        Configuration(
            numbers=s.numbers,
            positions_A=s.positions,
            cell_A=s.cell,
            neighbours=find_neighbours(s.positions, s.cell, np.array(s.pbc), model.config.cutoff_A),
        )
        for s in structures
    ]
    return collate(configurations, next(model.parameters()).dtype)


def predict(model: PotentialNetwork, *structures: Structure) -> Prediction:
    return evaluate(model, *graph_of(model, *structures))


def energy(model: PotentialNetwork, structure: Structure) -> float:
    return float(predict(model, structure).energy_M[0])


def rotation(seed: int) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


class PotentialContract:
    """Inherit, and define `model`. Differences are taken in float64 with a step of 1e-5 A."""

    step_A = 1e-5

    def model(self) -> PotentialNetwork:
        raise TypeError("a test class that inherits PotentialContract defines model()")

    @pytest.fixture
    def potential(self) -> PotentialNetwork:
        torch.manual_seed(20)
        model = self.model().eval()
        assert next(model.parameters()).dtype == torch.float64
        return model

    @pytest.fixture(params=STRUCTURES)
    def structure(self, request) -> Structure:
        return STRUCTURES[request.param]()

    def test_energies_vary_between_structures(self, potential):
        """Guards the others: a constant would be invariant too."""
        energies = [energy(potential, make()) for make in STRUCTURES.values()]
        assert np.ptp(energies) > 1e-3
        assert predict(potential, methanol()).forces_N3.abs().max() > 1e-3

    def test_energy_ignores_rotation_and_forces_turn_with_it(self, potential, structure):
        q = rotation(3)
        turned = replace(structure, positions=structure.positions @ q.T, cell=structure.cell @ q.T)
        before, after = predict(potential, structure), predict(potential, turned)
        torch.testing.assert_close(after.energy_M, before.energy_M, rtol=1e-11, atol=1e-11)
        matrix = torch.from_numpy(q)
        torch.testing.assert_close(after.forces_N3, before.forces_N3 @ matrix.T, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(
            after.stress_M33, matrix @ before.stress_M33 @ matrix.T, rtol=1e-9, atol=1e-9, equal_nan=True
        )

    def test_energy_ignores_translation(self, potential, structure):
        moved = replace(structure, positions=structure.positions + np.array([0.3, -1.7, 2.9]))
        assert energy(potential, moved) == pytest.approx(energy(potential, structure), rel=1e-11, abs=1e-11)

    def test_energy_ignores_the_order_of_atoms_and_forces_follow_it(self, potential, structure):
        order = np.random.default_rng(1).permutation(len(structure.numbers))
        shuffled = replace(structure, numbers=structure.numbers[order], positions=structure.positions[order])
        before, after = predict(potential, structure), predict(potential, shuffled)
        torch.testing.assert_close(after.energy_M, before.energy_M, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(after.forces_N3, before.forces_N3[torch.from_numpy(order)], rtol=1e-9, atol=1e-10)

    def test_a_wrapped_atom_is_the_same_atom(self, potential):
        crystal = aluminium()
        positions = crystal.positions.copy()
        positions[1] += crystal.cell[0] - 2 * crystal.cell[2]
        wrapped = replace(crystal, positions=positions)
        assert energy(potential, wrapped) == pytest.approx(energy(potential, crystal), rel=1e-11)

    @pytest.mark.parametrize("n_atoms", [1, 4])
    def test_a_supercell_has_the_energy_of_its_cells(self, potential, n_atoms):
        crystal = aluminium(n_atoms)
        repeats = np.array([2, 1, 3])
        shifts = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), axis=-1).reshape(-1, 3)
        positions = (crystal.positions[None] + (shifts @ crystal.cell)[:, None]).reshape(-1, 3)
        numbers = np.tile(crystal.numbers, len(shifts))
        large = replace(crystal, numbers=numbers, positions=positions, cell=crystal.cell * repeats[:, None])
        small, big = predict(potential, crystal), predict(potential, large)
        torch.testing.assert_close(big.energy_M, small.energy_M * len(shifts), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(big.forces_N3, small.forces_N3.repeat(len(shifts), 1), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(big.stress_M33, small.stress_M33, rtol=1e-9, atol=1e-12)

    def test_forces_are_minus_the_slope_of_the_energy(self, potential, structure):
        forces = predict(potential, structure).forces_N3.numpy()
        slopes = np.empty_like(forces)
        for index in np.ndindex(*forces.shape):
            ends = []
            for sign in (1, -1):
                positions = structure.positions.copy()
                positions[index] += sign * self.step_A
                ends.append(energy(potential, replace(structure, positions=positions)))
            slopes[index] = (ends[0] - ends[1]) / (2 * self.step_A)
        np.testing.assert_allclose(forces, -slopes, atol=1e-7 * max(1.0, np.abs(forces).max()))

    def test_forces_sum_to_zero(self, potential, structure):
        forces = predict(potential, structure).forces_N3
        assert forces.sum(dim=0).abs().max() < 1e-10 * max(1.0, float(forces.abs().max()))

    @pytest.mark.parametrize("n_atoms", [1, 4])
    def test_stress_is_the_slope_of_the_energy_with_strain(self, potential, n_atoms):
        crystal = aluminium(n_atoms)
        stress = predict(potential, crystal).stress_M33[0].numpy()
        slopes = np.empty((3, 3))
        for i, j in np.ndindex(3, 3):
            ends = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[i, j] += sign * self.step_A / 2
                strain[j, i] += sign * self.step_A / 2
                ends.append(
                    energy(
                        potential,
                        replace(crystal, positions=crystal.positions @ strain, cell=crystal.cell @ strain),
                    )
                )
            slopes[i, j] = (ends[0] - ends[1]) / (2 * self.step_A) / abs(np.linalg.det(crystal.cell))
        np.testing.assert_allclose(stress, slopes, atol=1e-7 * max(1.0, np.abs(stress).max()))

    def test_only_periodic_configurations_have_a_stress(self, potential):
        stress = predict(potential, methanol(), aluminium()).stress_M33
        assert stress[0].isnan().all()
        assert stress[1].isfinite().all()

    def test_energy_is_smooth_at_the_cutoff(self, potential):
        """An atom that leaves: energy and force reach those of atoms apart, with no step on the way."""
        cutoff = potential.config.cutoff_A
        pair = [
            Structure(numbers=np.array([8, 1]), positions=np.array([[0, 0, 0], [0, 0, r]]), cell=OPEN, pbc=(False,) * 3)
            for r in (cutoff - 1e-4, cutoff + 1e-4)
        ]
        inside, outside = (predict(potential, structure) for structure in pair)
        assert abs(inside.energy_M - outside.energy_M) < 1e-6
        assert inside.forces_N3.abs().max() < 1e-3
        assert outside.forces_N3.abs().max() == 0

    def test_pairs_beyond_the_cutoff_change_nothing(self, potential, structure):
        """Lists made with a skin serve as they are."""
        s = structure
        neighbours = find_neighbours(s.positions, s.cell, np.array(s.pbc), potential.config.cutoff_A + 0.7)
        wide = Configuration(numbers=s.numbers, positions_A=s.positions, cell_A=s.cell, neighbours=neighbours)
        expected, found = predict(potential, s), evaluate(potential, *collate([wide], torch.float64))
        torch.testing.assert_close(found.energy_M, expected.energy_M, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(found.forces_N3, expected.forces_N3, rtol=1e-9, atol=1e-10)

    def test_a_batch_is_its_members(self, potential):
        members = [methanol(), aluminium(), water(), slab(), aluminium(1), lone_atom(8)]
        batch = predict(potential, *members)
        singles = [predict(potential, member) for member in members]
        for name in ("energy_M", "energy_N", "forces_N3", "stress_M33", "terms_NT"):
            expected = torch.cat([getattr(single, name) for single in singles])
            torch.testing.assert_close(getattr(batch, name), expected, rtol=1e-10, atol=1e-11, equal_nan=True)

    @pytest.mark.parametrize("number", [1, 13])
    def test_a_lone_atom_has_an_energy_and_no_force(self, potential, number):
        found = predict(potential, lone_atom(number))
        assert found.energy_M.isfinite().all()
        assert found.forces_N3.abs().max() == 0

    def test_far_copies_have_twice_the_energy(self, potential):
        one = methanol()
        positions = np.concatenate([one.positions, one.positions + np.array([60.0, 0, 0])])
        two = replace(one, numbers=np.tile(one.numbers, 2), positions=positions)
        assert energy(potential, two) == pytest.approx(2 * energy(potential, one), rel=1e-11)

    def test_single_precision_is_close_to_double(self, potential, structure):
        double = predict(potential, structure)
        single = predict(potential.float(), structure)
        scale = float(double.forces_N3.abs().max()) + 1.0
        assert abs(single.energy_M - double.energy_M).max() < 1e-4 * (1 + abs(double.energy_M).max())
        assert (single.forces_N3 - double.forces_N3).abs().max() < 1e-4 * scale

    def test_unknown_elements_are_named(self, potential):
        gold = replace(lone_atom(1), numbers=np.array([79]))
        with pytest.raises(ValueError, match="79"):
            predict(potential, gold)


def lone_atom(number: int) -> Structure:
    return Structure(numbers=np.array([number]), positions=np.zeros((1, 3)), cell=OPEN, pbc=(False,) * 3)
