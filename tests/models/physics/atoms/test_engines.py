"""Every engine: forces are the gradient of its energy, the stress the derivative by strain, and bits repeat."""

import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from ase.calculators.calculator import FileIOCalculator

from models.frames import Frames
from models.physics.atoms.engine import Engine, EngineMissing, EngineRefused, Label, NotConverged
from models.physics.atoms.engines.ase import ASEEngine
from models.physics.atoms.engines.gpaw import GPAWEngine, k_mesh_of
from models.physics.atoms.engines.pyscf import PySCFEngine
from models.physics.atoms.engines.tblite import TbliteEngine
from models.physics.atoms.labelling import Failure, LabelLimits, outcomes_of
from models.physics.atoms.sampling.crystals import prototype, repeated, strained_and_rattled
from models.physics.atoms.sampling.molecules import molecule

ENGINES: list[Engine] = [GPAWEngine(), PySCFEngine(), TbliteEngine(), ASEEngine()]
GPA = 160.21766208  # eV/A^3
COARSE = GPAWEngine(cutoff_eV=200, k_mesh=(2, 2, 2))
EMT = ASEEngine(factory="ase.calculators.emt:EMT")


def ready(engine: Engine) -> Engine:
    try:
        engine.check()
    except EngineMissing as error:
        pytest.skip(str(error))
    return engine


def shaken(name: str, seed: int = 0) -> Frames:
    start = molecule(name)
    rng = np.random.default_rng(seed)
    return start.changed(positions_A=start.positions_A + rng.normal(0, 0.05, start.positions_A.shape))


def crystal(seed: int = 0) -> Frames:
    rng = np.random.default_rng(seed)
    return strained_and_rattled(prototype("fcc", 13, 16.0), strain=0.05, rattle_A=0.1, rng=rng)


def diamond() -> Frames:
    return strained_and_rattled(prototype("diamond", 6, 6.0), strain=0.02, rattle_A=0.03, rng=np.random.default_rng(1))


def label(engine: Engine, structure: Frames) -> Label:
    return engine.label(structure.numbers, structure.positions_A, structure.cell_A)


def force_by_differences(engine: Engine, structure: Frames, atom: int, axis: int, step_A: float) -> float:
    def energy(sign: int) -> float:
        positions = structure.positions_A.copy()
        positions[atom, axis] += sign * step_A
        return label(engine, structure.changed(positions_A=positions)).energy_eV

    return (energy(-1) - energy(1)) / (2 * step_A)


def stress_by_differences(engine: Engine, structure: Frames, i: int, j: int, step: float) -> float:
    assert structure.cell_A is not None

    def energy(sign: int) -> float:
        strain = np.zeros((3, 3))
        strain[i, j] += sign * step / 2
        strain[j, i] += sign * step / 2
        deformation = np.eye(3) + strain
        strained = structure.changed(
            positions_A=structure.positions_A @ deformation, cell_A=structure.cell_A @ deformation
        )
        return label(engine, strained).energy_eV

    return (energy(1) - energy(-1)) / (2 * step * abs(np.linalg.det(structure.cell_A)))


@pytest.mark.physics
@pytest.mark.parametrize(
    ("engine", "given", "tolerance"),
    [
        (TbliteEngine(accuracy=0.01), shaken("CH3OH"), 2e-4),
        (TbliteEngine(method="GFN1-xTB", accuracy=0.01), shaken("H2CO"), 2e-4),
        (PySCFEngine(basis="sto-3g", grid_level=0), shaken("H2O"), 5e-4),  # on any grid, its response counts
        (PySCFEngine(basis="sto-3g", density_fit=False), shaken("H2O"), 5e-4),
        (PySCFEngine(method="hf", basis="def2-SVP", spin=2), shaken("H2CO"), 2e-3),
        (EMT, crystal(), 1e-4),
        pytest.param(COARSE, crystal(), 1e-3, marks=pytest.mark.slow),
        pytest.param(replace(COARSE, mixing="cautious"), crystal(), 3e-3, marks=pytest.mark.slow),
        pytest.param(PySCFEngine(xc="wB97X", basis="6-31G*"), shaken("H2O"), 5e-4, marks=pytest.mark.slow),
    ],
    ids=lambda value: value.level if hasattr(value, "level") else "",
)
def test_forces_are_minus_the_gradient_of_the_energy(engine: Engine, given: Frames, tolerance: float):
    ready(engine)
    labelled = label(engine, given)
    step_A = 0.004 if isinstance(engine, GPAWEngine) else 0.001
    assert labelled.forces_eV_A[1, 0] == pytest.approx(force_by_differences(engine, given, 1, 0, step_A), abs=tolerance)
    assert np.linalg.norm(labelled.forces_eV_A.sum(axis=0)) < 2e-3
    assert np.abs(labelled.forces_eV_A).max() > 0.3


@pytest.mark.physics
@pytest.mark.parametrize(
    ("engine", "given", "tolerance"),
    [
        (EMT, crystal(), 2e-5),
        pytest.param(TbliteEngine(), diamond(), 1e-3, marks=pytest.mark.slow),
        pytest.param(GPAWEngine(cutoff_eV=300, k_mesh=(2, 2, 2)), crystal(), 5e-4, marks=pytest.mark.slow),
    ],
    ids=lambda value: value.level if hasattr(value, "level") else "",
)
def test_stress_is_the_derivative_of_the_energy_by_strain(engine: Engine, given: Frames, tolerance: float):
    ready(engine)
    stress = label(engine, given).stress_eV_A3
    assert stress is not None
    np.testing.assert_array_equal(stress, stress.T)
    for i, j in ((0, 0), (0, 1)):
        assert stress[i, j] == pytest.approx(stress_by_differences(engine, given, i, j, 0.004), abs=tolerance)


@pytest.mark.physics
def test_grid_response_makes_the_net_force_vanish_on_a_coarse_grid():
    engine = ready(PySCFEngine(basis="sto-3g", grid_level=0))
    labelled = label(engine, shaken("NH3"))
    np.testing.assert_allclose(labelled.forces_eV_A.sum(axis=0), 0, atol=1e-10)


@pytest.mark.physics
def test_charges_sum_to_the_charge_of_the_molecule():
    for engine in (PySCFEngine(basis="sto-3g", charge=1), TbliteEngine(charge=1)):
        charges = label(ready(engine), shaken("H2O")).charges_e
        assert charges is not None
        assert charges.sum() == pytest.approx(1, abs=1e-6)
        assert charges[0] < charges[1]  # oxygen takes electrons from hydrogen


@pytest.mark.physics
def test_an_odd_number_of_electrons_is_an_open_shell():
    labelled = label(ready(PySCFEngine(basis="sto-3g")), shaken("CH3"))
    assert labelled.provenance["unpaired_electrons"] == 1


@pytest.mark.parametrize("solver", ["diis", "second_order"])
def test_both_solvers_of_the_molecular_field_find_the_same_energy(solver):
    engine = ready(PySCFEngine(basis="sto-3g", solver=solver, grid_level=0))
    reference = label(PySCFEngine(basis="sto-3g", grid_level=0), shaken("H2O"))
    assert label(engine, shaken("H2O")).energy_eV == pytest.approx(reference.energy_eV, abs=1e-6)
    assert engine.level == PySCFEngine(basis="sto-3g", grid_level=0).level


@pytest.mark.physics
@pytest.mark.long
def test_fcc_aluminium_has_the_lattice_constant_and_bulk_modulus_of_pbe():
    from ase.eos import EquationOfState

    engine = ready(GPAWEngine(cutoff_eV=250, k_mesh=(8, 8, 8)))
    edges = np.linspace(3.94, 4.15, 6)
    primitive = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
    energies = [engine.label(np.array([13]), np.zeros((1, 3)), edge * primitive).energy_eV for edge in edges]
    volume, _, modulus = EquationOfState(edges**3 / 4, energies, eos="birchmurnaghan").fit()
    assert (4 * volume) ** (1 / 3) == pytest.approx(4.04, abs=0.01)
    assert modulus * GPA == pytest.approx(77, abs=4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "given"),
    [(COARSE, crystal()), (PySCFEngine(basis="sto-3g"), shaken("H2O")), (TbliteEngine(), shaken("CH3OH"))],
    ids=lambda value: value.level if hasattr(value, "level") else "",
)
def test_labels_repeat_bit_by_bit_in_another_process(engine: Engine, given: Frames):
    ready(engine)
    (first,), (again,) = (outcomes_of(engine, [given], LabelLimits()) for _ in range(2))
    assert isinstance(first, Label)
    assert isinstance(again, Label)
    assert first.energy_eV == again.energy_eV
    np.testing.assert_array_equal(first.forces_eV_A, again.forces_eV_A)
    assert first.provenance == again.provenance


@pytest.mark.slow
def test_a_field_that_does_not_converge_is_reported_by_both_dft_engines():
    with pytest.raises(NotConverged, match="GPAW"):
        label(ready(replace(COARSE, max_iterations=2)), crystal())
    with pytest.raises(NotConverged, match="no self-consistency after 2 cycles"):
        label(ready(PySCFEngine(basis="sto-3g", max_cycles=2)), shaken("H2O"))
    (outcome,) = outcomes_of(replace(COARSE, max_iterations=2), [crystal()], LabelLimits())
    assert isinstance(outcome, Failure)
    assert outcome.reason.count("GPAW") == 2


def test_tblite_tells_what_does_not_converge():
    with pytest.raises(NotConverged, match="tblite"):
        label(ready(TbliteEngine(max_iterations=1)), shaken("H2O"))


@pytest.mark.long
def test_a_molecule_in_a_box_has_forces_near_those_of_gaussian_orbitals():
    water = shaken("H2O")
    plane_waves = label(ready(GPAWEngine(cutoff_eV=600, vacuum_A=3.5)), water)
    orbitals = label(ready(PySCFEngine(basis="def2-TZVP")), water)
    assert plane_waves.stress_eV_A3 is None
    np.testing.assert_allclose(plane_waves.forces_eV_A, orbitals.forces_eV_A, atol=0.1)


def test_tight_binding_refuses_metals():
    for given in (crystal(), crystal().changed(cell_A=None)):
        with pytest.raises(EngineRefused, match=r"atomic numbers \[13\].*Choose the engine gpaw"):
            TbliteEngine().refuse(given.numbers, periodic=given.periodic)
    assert TbliteEngine().refuse(molecule("CH3OH").numbers, periodic=False) is None


def test_pyscf_refuses_cells_and_impossible_spins():
    with pytest.raises(EngineRefused, match="periodic cell"):
        PySCFEngine().refuse(crystal().numbers, periodic=True)
    with pytest.raises(EngineRefused, match="10 electrons and spin 1"):
        PySCFEngine(spin=1).refuse(molecule("H2O").numbers, periodic=False)


def test_gamma_alone_is_refused_for_small_cells_and_never_follows_from_a_spacing():
    with pytest.raises(EngineRefused, match="1x1x1"):
        GPAWEngine(k_mesh=(1, 1, 1)).refuse(crystal().numbers, periodic=True)
    assert k_mesh_of(20 * np.eye(3), 16, 0.9) == (2, 2, 2)
    assert k_mesh_of(20 * np.eye(3), 216, 0.9) == (1, 1, 1)


def test_the_mesh_is_as_dense_in_a_supercell_as_in_its_cell():
    cell = prototype("fcc", 13, 16.6).cell_A
    assert cell is not None
    assert k_mesh_of(cell, 4, 2 * np.pi / cell[0, 0] / 4) == (4, 4, 4)
    assert k_mesh_of(repeated(prototype("fcc", 13, 16.6), (2, 1, 1)).cell_A, 8, 2 * np.pi / cell[0, 0] / 4) == (2, 4, 4)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: type(engine).__name__)
def test_an_engine_reaches_another_process_as_it_is_and_its_settings_are_json(engine: Engine):
    assert pickle.loads(pickle.dumps(engine)) == engine
    assert json.loads(json.dumps(asdict(engine))) == json.loads(json.dumps(asdict(pickle.loads(pickle.dumps(engine)))))


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: type(engine).__name__)
def test_safer_settings_are_another_way_to_the_same_level_and_end(engine: Engine):
    n_steps, current = 0, engine
    while (safer := current.safer()) is not None:
        assert safer.level == engine.level
        assert safer != current
        current, n_steps = safer, n_steps + 1
        assert n_steps < 3


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (GPAWEngine, {"cutoff_eV": -1.0, "max_iterations": 0}, "cutoff_eV: found -1.0.*max_iterations: found 0"),
        (GPAWEngine, {"k_mesh": (2, 2)}, "k_mesh"),
        (PySCFEngine, {"grid_level": 12, "tolerance_Ha": 1.0}, "grid_level.*tolerance_Ha"),
        (TbliteEngine, {"damping": 0.0, "accuracy": 0.0}, "accuracy.*damping"),
        (ASEEngine, {"factory": "nonsense", "keywords": "[]"}, "factory.*keywords"),
    ],
)
def test_impossible_settings_are_refused_all_at_once(kind, settings, message: str):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


def test_a_calculator_that_cannot_be_imported_is_reported_by_its_name():
    with pytest.raises(EngineMissing, match="no_such_module:Thing"):
        ASEEngine(factory="no_such_module:Thing").check()


def test_the_semi_empirical_level_says_so():
    assert "semi-empirical" in TbliteEngine().level
    assert len({engine.level for engine in ENGINES}) == len(ENGINES)


class Writing(FileIOCalculator):
    """Sees in `folders` where it runs and what lies there."""

    implemented_properties = ("energy", "forces")
    folders: ClassVar[list[Path]] = []

    def __init__(self) -> None:
        super().__init__(command="true")

    def write_input(self, atoms: Any, properties: Any = None, system_changes: Any = None) -> None:
        folder = Path(self.directory)
        assert folder.is_absolute() and list(folder.iterdir()) == []
        (folder / "input").write_text("input")
        self.folders.append(folder)

    def read_results(self) -> None:
        self.results = {"energy": 1.0, "forces": np.zeros((len(self.atoms), 3))}


def test_a_program_that_works_through_files_has_a_folder_of_its_own_for_each_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = ASEEngine(factory=f"{__name__}:Writing")
    for _ in range(2):
        assert label(engine, crystal()).energy_eV == 1.0
    first, second = Writing.folders
    assert first != second and not first.exists() and not second.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_shared_folder_of_labels_that_are_made_side_by_side_is_refused():
    with pytest.raises(ValueError, match="found 'directory', expected none"):
        ASEEngine(keywords='{"directory": "here"}')
