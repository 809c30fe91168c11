"""What a baseline and a network give together is their sum, and the slope of it; no file chooses what is imported."""

import copy
import json
import pickle
import re
import shutil
import sys
import textwrap
from pathlib import Path

import ase.build
import numpy as np
import pytest
import torch
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from models.networks.potentials.baseline import KNOWN, Baseline, BaselineFailed, BaselineRefused, named_baseline
from models.networks.potentials.calculator import PotentialCalculator, configuration_of
from models.networks.potentials.chunked import evaluate_in_chunks
from models.networks.potentials.ensemble import Ensemble, load_potential, save_potential
from models.networks.potentials.graph import collate
from tests.models.networks.potentials.morse import known_to_folders, morse_members

EMT_NAME = "ase.calculators.emt:EMT"
SPREADS = ("energy_spread", "energy_spread_per_atom", "forces_spread", "forces_spread_mean", "forces_spread_max")


@pytest.fixture(autouse=True)
def named(monkeypatch):
    known_to_folders(monkeypatch)


def rattled(atoms, seed=0):
    atoms.positions += 0.05 * np.random.default_rng(seed).normal(size=atoms.positions.shape)
    return atoms


def molecule():
    return rattled(ase.build.molecule("CH3CH2OH"))


def crystal():
    atoms = ase.build.bulk("Al", cubic=True) * (2, 2, 2)
    strain = np.array([[0, 0.02, 0], [0, 0.01, 0.03], [0, 0, -0.01]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return rattled(atoms)


def slab():
    return rattled(ase.build.fcc111("Al", (2, 2, 3), vacuum=6.0))


def results(potential, atoms, **options):
    calculator = PotentialCalculator(potential, **options)
    calculator.calculate(atoms)
    return calculator.results


def above(baseline, n_members=2):
    return Ensemble(morse_members(n_members), baseline=baseline)


def emt():
    return named_baseline(EMT_NAME, {})


@pytest.mark.parametrize("make", [molecule, crystal, slab])
def test_the_sum_less_the_baseline_is_the_network(make):
    atoms = make()
    network, both = results(Ensemble(morse_members(2)), atoms), results(above(emt()), atoms)
    atoms.calc = EMT()
    for name in ("energy", "free_energy", "forces", "energies", *(["stress"] if atoms.pbc.all() else [])):
        alone = atoms.calc.get_property("energy" if name == "free_energy" else name, atoms)
        np.testing.assert_allclose(both[name] - alone, network[name], rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        both["energies_members"] - atoms.get_potential_energy(), network["energies_members"], rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(both["forces_members"] - atoms.get_forces(), network["forces_members"], atol=1e-10)
    assert both["energies"].sum() == pytest.approx(both["energy"], abs=1e-9)
    for name in (*SPREADS, "hierarchicality"):
        np.testing.assert_array_equal(both[name], network[name])


def test_an_exact_sum_also_above_tight_binding():
    tblite = pytest.importorskip("tblite.ase")
    atoms = molecule()
    baseline = named_baseline("tblite.ase:TBLite", {"method": "GFN1-xTB"})
    network, both = results(Ensemble(morse_members(1)), atoms), results(above(baseline, 1), atoms)
    alone = tblite.TBLite(method="GFN1-xTB", verbosity=0)
    assert both["energy"] - alone.get_property("energy", atoms) == pytest.approx(network["energy"], abs=1e-10)
    np.testing.assert_allclose(both["forces"] - alone.get_property("forces", atoms), network["forces"], atol=1e-10)
    again = results(above(baseline, 1), atoms)  # what was computed before leaves nothing behind
    results(above(baseline, 1), rattled(molecule(), 3))
    assert results(above(baseline, 1), atoms)["energy"] == again["energy"]


@pytest.mark.parametrize("make", [molecule, crystal])
def test_forces_are_the_slope_of_the_energy(make):
    atoms, h = make(), 1e-4
    atoms.calc = PotentialCalculator(above(emt()))
    forces = atoms.get_forces()
    for atom, axis in ((0, 0), (3, 1), (5, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * h
            moved.calc = atoms.calc
            energies.append(moved.get_potential_energy())
        assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(forces[atom, axis], abs=2e-6)


def test_stress_is_the_slope_of_the_energy_against_strain():
    atoms, h = crystal(), 1e-5
    atoms.calc = PotentialCalculator(above(emt()))
    stress = atoms.get_stress(voigt=False)
    for i, j in ((0, 0), (1, 2), (2, 0)):
        energies = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += 0.5 * sign * h
            strain[j, i] += 0.5 * sign * h
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            strained.calc = atoms.calc
            energies.append(strained.get_potential_energy())
        assert (energies[0] - energies[1]) / (2 * h * atoms.get_volume()) == pytest.approx(stress[i, j], abs=1e-7)


def test_chunks_have_the_baseline_of_the_whole():
    atoms = crystal()
    expected = results(above(emt()), atoms)
    found = evaluate_in_chunks(
        above(emt()), atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, chunk_atoms=10
    )
    assert float(found.energy_M[0]) == pytest.approx(expected["energy"], abs=1e-9)
    np.testing.assert_allclose(found.forces_N3.numpy(), expected["forces"], atol=1e-9)
    np.testing.assert_allclose(found.stress_M33[0].numpy().flat[[0, 4, 8, 5, 2, 1]], expected["stress"], atol=1e-11)


def test_a_network_is_never_taken_for_the_sum():
    ensemble = above(emt())
    graph, vectors = collate([configuration_of(molecule(), ensemble.cutoff_A)], torch.float64)
    with pytest.raises(ValueError, match="found 0 structures for 1 configurations of a potential with the baseline"):
        ensemble.evaluate(graph, vectors)
    with pytest.raises(ValueError, match="expected each"):
        ensemble.evaluate(graph, vectors, [crystal()])


def test_a_folder_keeps_its_baseline_as_json(tmp_path):
    save_potential(tmp_path / "a", morse_members(1), {}, emt())
    record = json.loads((tmp_path / "a/potential.json").read_text())["baseline"]
    assert record["calculator"] == EMT_NAME and record["version"].startswith("ase ")
    atoms = crystal()
    assert results(tmp_path / "a", atoms)["energy"] == results(above(emt(), 1), atoms)["energy"]
    loaded = load_potential(tmp_path / "a")
    with pytest.raises(ValueError, match="found a baseline, expected the baseline itself"):
        save_potential(tmp_path / "b", loaded.members, {"baseline": loaded.info["baseline"]})


def test_a_potential_may_stand_on_a_potential(tmp_path):
    save_potential(tmp_path / "low", morse_members(1), {}, emt())
    save_potential(tmp_path / "high", morse_members(2)[1:], {}, named_baseline(str(tmp_path / "low"), {}))
    atoms = molecule()
    parts = [results(Ensemble([member]), atoms) for member in morse_members(2)]
    atoms.calc = EMT()
    expected = sum(part["energy"] for part in parts) + atoms.get_potential_energy()
    found = results(tmp_path / "high", atoms)
    assert found["energy"] == pytest.approx(expected, abs=1e-10)
    np.testing.assert_allclose(
        found["forces"], parts[0]["forces"] + parts[1]["forces"] + atoms.get_forces(), atol=1e-10
    )
    weights = tmp_path / "high/baseline/member_0/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BaselineRefused, match="copy the folder again"):
        load_potential(tmp_path / "high")
    (tmp_path / "low/baseline").symlink_to(tmp_path / "low")
    told(tmp_path / "low", {"potential": "0" * 64})
    with pytest.raises(BaselineRefused, match="found no potential in baseline/"):
        load_potential(tmp_path / "low")


def told(folder, record):
    """potential.json with another baseline."""
    path = folder / "potential.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"baseline": record}))


def module(tmp_path, monkeypatch, body, name="their_method"):
    """A user's own file of Python, which leaves a mark when it is imported."""
    (tmp_path / "their").mkdir(exist_ok=True)
    text = (
        "from pathlib import Path\nfrom ase.calculators.emt import EMT\nfrom ase.calculators.lj import LennardJones\n"
    )
    mark = f"Path({str(tmp_path / 'ran')!r}).write_text('ran')\n"
    (tmp_path / "their" / f"{name}.py").write_text(text + mark + textwrap.dedent(body))
    monkeypatch.syspath_prepend(tmp_path / "their")
    monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_module_that_a_hostile_folder_names_is_not_imported(tmp_path, monkeypatch):
    module(tmp_path, monkeypatch, "class Cheap(EMT): pass\n")
    save_potential(tmp_path / "a", morse_members(1), {}, emt())
    hostile = [
        {"calculator": "their_method:Cheap", "arguments": {}, "version": "1"},
        {"calculator": "os:system", "arguments": {"command": f"touch {tmp_path / 'ran'}"}, "version": "1"},
        {"calculator": "tblite.ase:TBLite", "arguments": {"xtb_config": {"a": 1}}, "version": "1"},
        {"calculator": EMT_NAME, "arguments": {"restart": str(tmp_path / "a/potential.json")}, "version": "1"},
        {"calculator": EMT_NAME, "arguments": {"asap_cutoff": ["x"]}, "version": "1"},
        {"calculator": EMT_NAME, "arguments": {}, "version": "1", "more": 1},
        {"calculator": "models.networks.potentials.calculator:PotentialCalculator", "arguments": {}, "version": "1"},
        {"potential": "0" * 64},
        {"potential": "../../elsewhere"},
        ["their_method:Cheap"],
        "their_method:Cheap",
    ]
    for record in hostile:
        told(tmp_path / "a", record)
        with pytest.raises(BaselineRefused, match="expected"):
            load_potential(tmp_path / "a")
        with pytest.raises(BaselineRefused, match="expected"):
            PotentialCalculator(tmp_path / "a", allow_baseline="their_method:Other")
    assert "their_method" not in sys.modules and not (tmp_path / "ran").exists()


def test_the_page_of_promises_lists_what_is_known():
    section = (
        (Path(__file__).parents[4] / "docs/promises.md").read_text().partition("- Known are")[2].partition("\n- ")[0]
    )
    assert set(re.findall(r"`([\w.]+:\w+)`", section)) == set(KNOWN)


def test_potentials_beneath_each_other_without_end_are_refused(tmp_path):
    save_potential(tmp_path / "0", morse_members(1), {})
    for number in range(3):
        beneath = named_baseline(str(tmp_path / f"{number}"), {})
        save_potential(tmp_path / f"{number + 1}", morse_members(1), {}, beneath)
    atoms, alone = molecule(), Ensemble(morse_members(1))
    assert results(tmp_path / "3", atoms)["energy"] == pytest.approx(4 * results(alone, atoms)["energy"], abs=1e-9)
    deep = tmp_path.joinpath(*["baseline"] * 8)
    shutil.copytree(tmp_path / "3", deep)
    with pytest.raises(BaselineRefused, match="found more than 8 potentials beneath"):
        load_potential(deep)


def test_a_module_of_ones_own_is_imported_where_it_is_allowed(tmp_path, monkeypatch):
    module(tmp_path, monkeypatch, "class Cheap(EMT): pass\n")
    save_potential(tmp_path / "a", morse_members(1), {}, named_baseline("their_method:Cheap", {}))
    record = json.loads((tmp_path / "a/potential.json").read_text())["baseline"]
    assert record["version"].startswith("sha256 ")
    with pytest.raises(BaselineRefused, match=r"allow it by name \(--allow-baseline their_method:Cheap"):
        load_potential(tmp_path / "a")
    atoms = crystal()
    found = results(tmp_path / "a", atoms, allow_baseline="their_method:Cheap")
    assert found["energy"] == results(above(emt(), 1), atoms)["energy"]
    with (tmp_path / "their/their_method.py").open("a") as file:
        file.write("# changed\n")
    with pytest.warns(UserWarning, match="found sha256 .*, expected sha256 .*, whose energies"):
        load_potential(tmp_path / "a", allow_baseline="their_method:Cheap")


def test_another_version_is_taken_with_a_warning_and_a_missing_module_is_not(tmp_path):
    save_potential(tmp_path / "a", morse_members(1), {}, emt())
    told(tmp_path / "a", {"calculator": EMT_NAME, "arguments": {}, "version": "ase 3.1"})
    with pytest.warns(UserWarning, match=r"found ase 3\.\d+\.\d+, expected ase 3.1, whose energies .* compare errors"):
        load_potential(tmp_path / "a")
    told(tmp_path / "a", {"calculator": "nowhere_at_all:X", "arguments": {}, "version": "1"})
    with pytest.raises(BaselineRefused, match=r"found no module 'nowhere_at_all', expected it .*install its package"):
        load_potential(tmp_path / "a", allow_baseline="nowhere_at_all:X")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("emt", {}, "found 'emt', expected module:calculator, such as ase.calculators.emt:EMT"),
        ("ase.calculators.emt:", {}, "expected module:calculator"),
        ("ase calculators:EMT", {}, "expected module:calculator"),
        ("nowhere_at_all:EMT", {}, "found no module 'nowhere_at_all'"),
        ("ase.calculators.emt:None_", {}, "found no 'None_' in ase.calculators.emt"),
        ("ase.calculators.no:EMT", {}, "expected the module 'ase.calculators.no'"),
        ("pathlib:Path", {}, r"found \w*Path of pathlib:Path\(\), expected an ASE calculator"),
        ("their_method:Needs", {}, "TypeError.*correct its arguments"),
        ("their_method:Silent", {}, r"with energy, expected also forces; choose"),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path, monkeypatch, name, arguments, message):
    body = """
        class Needs(EMT):
            def __init__(self, file): pass
        class Silent(EMT):
            implemented_properties = ["energy"]
    """
    module(tmp_path, monkeypatch, body)
    with pytest.raises(BaselineRefused, match=message):
        named_baseline(name, arguments)


def test_what_a_baseline_lacks_is_not_made_up(tmp_path, monkeypatch):
    body = """
        class Plain(EMT):
            implemented_properties = ["energy", "free_energy", "forces"]
        class Partial(EMT):
            def calculate(self, *arguments):
                super().calculate(*arguments)
                self.results["energies"] = self.results["energies"] + 1.0
    """
    module(tmp_path, monkeypatch, body)
    plain = PotentialCalculator(above(named_baseline("their_method:Plain", {})))
    assert not {"stress", "energies"} & set(plain.implemented_properties)
    atoms = crystal()
    atoms.calc = plain
    assert atoms.get_forces() == pytest.approx(results(above(emt()), atoms)["forces"])
    for ask in (atoms.get_stress, atoms.get_potential_energies):
        with pytest.raises(PropertyNotImplementedError):
            ask()
    assert "energies" not in results(above(named_baseline("their_method:Partial", {})), crystal())


def test_a_structure_that_a_baseline_does_not_serve_is_named(tmp_path, monkeypatch):
    body = """
        class Broken(LennardJones):
            def calculate(self, *arguments):
                super().calculate(*arguments)
                self.results["forces"][0] = float("nan")
    """
    module(tmp_path, monkeypatch, body)
    atoms = ase.Atoms("AlF", [[0, 0, 0], [0, 0, 2]])
    with pytest.raises(BaselineFailed, match=r"AlF: found NotImplementedError: .* of the baseline ase.calculators.emt"):
        emt().label(atoms)
    with pytest.raises(BaselineFailed, match=r"forces of the baseline .* that is not finite"):
        named_baseline("their_method:Broken", {}).label(atoms)


def test_a_baseline_that_runs_a_program_does_so_in_an_empty_folder_each_time(tmp_path, monkeypatch):
    body = """
        from ase.calculators.calculator import FileIOCalculator
        class Program(FileIOCalculator):
            implemented_properties = ["energy", "forces"]
            def __init__(self):
                super().__init__(command="true")
            def write_input(self, atoms, properties=None, system_changes=None):
                assert list(Path(self.directory).iterdir()) == []
                Path(self.directory, "input").write_text("input")
            def read_results(self):
                self.results = {"energy": 1.0, "forces": [[0.0, 0.0, 0.0]] * len(self.atoms)}
    """
    module(tmp_path, monkeypatch, body)
    monkeypatch.chdir(tmp_path)
    baseline = named_baseline("their_method:Program", {})
    assert [baseline.label(ase.build.molecule("H2O")).energy_eV for _ in range(2)] == [1.0, 1.0]
    assert not (tmp_path / "input").exists()


def test_structures_reach_a_baseline_bare():
    atoms = molecule()
    boxed = atoms.copy()
    boxed.set_cell(20 * np.eye(3))
    boxed.set_initial_charges(np.ones(len(atoms)))
    baseline = named_baseline("ase.calculators.lj:LennardJones", {"sigma": 1.5, "epsilon": 0.1, "smooth": True})
    assert baseline.label(boxed).energy_eV == baseline.label(atoms).energy_eV
    alone = LennardJones(sigma=1.5, epsilon=0.1, smooth=True)
    assert baseline.label(atoms).energy_eV == pytest.approx(alone.get_property("energy", atoms), abs=1e-12)


def test_a_baseline_is_plain_values():
    baseline = named_baseline(EMT_NAME, {"asap_cutoff": True})
    assert copy.deepcopy(baseline) == baseline == pickle.loads(pickle.dumps(baseline))
    assert baseline.name == "ase.calculators.emt:EMT(asap_cutoff=True)" and isinstance(baseline, Baseline)
