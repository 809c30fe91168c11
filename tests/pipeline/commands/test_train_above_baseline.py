"""train-potential --baseline: what is learnt, what is kept, what stands against it; and the commands that use it."""

import json
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
from ase.calculators.emt import EMT

from models.frames import Frames
from models.networks.potentials.calculator import PotentialCalculator
from models.networks.potentials.ensemble import Ensemble, load_potential
from pipeline.atoms import baseline_labels, potential_training
from stores.atoms import ATOMS, columns_of, dataset_of
from stores.zarr_store import write_store
from tests.pipeline.atoms.atom_stores import write_clusters
from tests.pipeline.commands.running import run

EMT_NAME = "ase.calculators.emt:EMT"
QUICK = ["--model", "hipnn", "--epochs", 2, "--features", 4, "--cutoff", 4, "--batch-size", 8]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    return tmp_path


def train(*arguments, out="mine"):
    return run("train-potential", "--out", out, *arguments)


def write_crystals(path, n_frames=24, *, numbers=(13,), references="{}", scale=1.0):
    """Rattled cells of aluminium labelled by EMT, times `scale`, plus -3 eV an atom; with stress."""
    rng, frames = np.random.default_rng(0), []
    for number in range(n_frames):
        atoms = ase.build.bulk("Al", cubic=True)
        atoms.numbers[:] = numbers[number % len(numbers)]
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.02 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.positions += 0.1 * rng.normal(size=atoms.positions.shape)
        atoms.calc = EMT() if atoms.numbers[0] != 12 else None
        known = atoms.calc is not None
        frames.append(
            Frames.one(
                numbers=atoms.numbers,
                positions_A=atoms.positions,
                cell_A=atoms.cell.array,
                energy_eV=(scale * atoms.get_potential_energy() if known else 0.0) - 3.0 * len(atoms),
                forces_eV_A=scale * atoms.get_forces() if known else np.zeros((4, 3)),
                stress_eV_A3=scale * atoms.get_stress(voigt=False) if known else np.zeros((3, 3)),
                group=number,
                source="crystal",
                provenance={"level": "EMT"},
            )
        )
    columns = columns_of(Frames.concatenate(frames))
    write_store(path, ATOMS, dataset_of(columns, {"level": "EMT", "reference_energies": references, "settings": "{}"}))


def test_labels_of_the_baseline_itself_leave_nothing_to_learn():
    write_crystals("al.zarr", references='{"Al": -50.0}')
    train("--store", "al.zarr", "--baseline", EMT_NAME, "--stress-weight", 0.1, "--dtype", "float64", *QUICK)
    about = json.loads(Path("mine/potential.json").read_text())
    metrics = about["metrics"]
    assert metrics["force_mean_abs_eV_A"] < 1e-12 and metrics["energy_sd_meV_atom"] < 1e-9
    (reference,) = load_potential("mine").members[0].config.reference_energies_eV
    assert reference == pytest.approx(-3.0, abs=1e-9)  # of the differences: neither of the store nor of the totals
    atoms = ase.build.bulk("Al", cubic=True)
    atoms.positions[0] += 0.1
    calculator = PotentialCalculator("mine")
    calculator.calculate(atoms)
    network = PotentialCalculator(Ensemble(load_potential("mine").members))
    network.calculate(atoms)
    atoms.calc = EMT()
    for name, alone in (("energy", atoms.get_potential_energy()), ("forces", atoms.get_forces())):
        np.testing.assert_allclose(calculator.results[name] - alone, network.results[name], rtol=0, atol=1e-10)
    np.testing.assert_allclose(calculator.results["stress"] - atoms.get_stress(), network.results["stress"], atol=1e-10)


def test_errors_are_those_of_the_sum(capsys):
    write_clusters("a.zarr", 24)
    write_clusters("b.zarr", 6, seed=5)
    train("--store", "a.zarr", "--test-store", "b.zarr", "--baseline", EMT_NAME, "--members", 2, *QUICK)
    assert f"({EMT_NAME} alone " in capsys.readouterr().out
    about = json.loads(Path("mine/potential.json").read_text())
    assert about["baseline"]["calculator"] == EMT_NAME
    from stores.atoms import load_atoms

    errors = []
    for frame in load_atoms("b.zarr").frames:
        atoms = ase.Atoms(frame.numbers, frame.positions_A, calculator=PotentialCalculator("mine"))
        errors.append(atoms.get_forces() - frame.forces_eV_A)
    assert about["metrics"]["b"]["force_mae_eV_A"] == pytest.approx(np.abs(np.concatenate(errors)).mean(), rel=1e-5)


def test_a_baseline_is_computed_once_for_each_configuration(monkeypatch, capsys):
    asked = []
    label = baseline_labels._label
    monkeypatch.setattr(baseline_labels, "_label", lambda item: asked.append(item) or label(item))
    write_clusters("a.zarr", 24)
    train("--store", "a.zarr", "--baseline", EMT_NAME, *QUICK)
    assert len(asked) == 24
    torn = next(iter(baseline_labels.KEPT.rglob("*.task")))
    torn.write_bytes(torn.read_bytes()[:-3])
    write_clusters("b.zarr", 30)  # begins with the same frames
    train("--store", "b.zarr", "--baseline", EMT_NAME, "--seed", 3, *QUICK)
    assert 1 <= len(asked) - 24 <= 31
    before = len(asked)
    train("--store", "b.zarr", "--baseline", EMT_NAME, "--seed", 4, *QUICK)
    assert len(asked) == before


class SwitchedOff(BaseException):
    """No task survives it."""


def test_what_was_computed_before_a_stop_is_kept(monkeypatch):
    label, asked = baseline_labels._label, []

    def fails_later(item):
        asked.append(item)
        if len(asked) == 11:
            raise SwitchedOff
        return label(item)

    write_clusters("a.zarr", 24)
    monkeypatch.setattr(baseline_labels, "_label", fails_later)
    with pytest.raises(SwitchedOff):
        train("--store", "a.zarr", "--baseline", EMT_NAME, *QUICK)
    assert not Path("mine").exists()
    train("--store", "a.zarr", "--baseline", EMT_NAME, *QUICK)
    assert len(asked) == 11 + 14


def test_configurations_at_which_it_fails_are_named_or_left_out(monkeypatch, capsys):
    write_crystals("mixed.zarr", 24, numbers=(13, 13, 13, 13, 13, 12))  # EMT knows no magnesium
    arguments = ["--store", "mixed.zarr", "--baseline", EMT_NAME, "--split", "frame", *QUICK]
    with pytest.raises(
        ValueError, match=r"failed at 4 of 24 configurations.*\n  record 5: Mg4: found NotImplementedError"
    ):
        train(*arguments)
    train(*arguments, "--drop-bad")
    assert (
        "left out 4 of 24 configurations at which the baseline failed, first record 5: Mg4" in capsys.readouterr().out
    )
    split = np.load("mine/split.npy")
    assert set(np.flatnonzero(split == -1)) == {5, 11, 17, 23}
    assert json.loads(Path("mine/potential.json").read_text())["species"] == [13]


def test_what_stands_against_it_is_said_before_anything_is_computed(workplace, monkeypatch):
    monkeypatch.setattr(baseline_labels, "_label", lambda item: pytest.fail("a label was computed"))
    monkeypatch.setattr(potential_training, "train_member", lambda *_, **__: pytest.fail("training began"))
    (workplace / "plain_method.py").write_text(
        "from ase.calculators.emt import EMT\n"
        "class Plain(EMT):\n    implemented_properties = ['energy', 'forces']\n"
        "class Silent(EMT):\n    implemented_properties = ['energy', 'stress']\n"
    )
    monkeypatch.syspath_prepend(workplace)
    write_clusters("a.zarr", 24, stress=True)
    cases = {
        (
            "--baseline",
            "plain_method:Plain",
            "--stress-weight",
            1,
        ): r"Plain\(\) without stress, expected it because its",
        ("--baseline", "plain_method:Silent"): "expected also forces",
        ("--baseline", "emt"): "expected module:calculator",
        ("--baseline", "nowhere_at_all:X"): "found no module 'nowhere_at_all'",
        ("--baseline", "pathlib:Path"): "expected an ASE calculator",
        ("--baseline", EMT_NAME, "--baseline-args", "{"): "--baseline-args: found no JSON",
        ("--baseline", EMT_NAME, "--baseline-args", "[1]"): "expected a JSON object",
        ("--baseline-args", '{"a": 1}'): "--baseline-args: found some without --baseline",
    }
    for arguments, message in cases.items():
        with pytest.raises(ValueError, match=message):
            train("--store", "a.zarr", *arguments, *QUICK)
    assert not (workplace / "mine").exists()


def test_commands_that_use_it_add_it_or_refuse(tmp_path):
    write_crystals("al.zarr", scale=1.2)
    train("--store", "al.zarr", "--baseline", EMT_NAME, "--energy-weight", 1, *QUICK)
    atoms = ase.build.bulk("Al", cubic=True)
    atoms.positions[0] += 0.1
    ase.io.write("in.extxyz", atoms, format="extxyz")
    calculator = PotentialCalculator("mine")
    calculator.calculate(ase.io.read("in.extxyz"))
    for more in ([], ["--chunk", 2, "--batch-atoms", 1]):
        run("predict", "mine", "in.extxyz", "--out", "out.extxyz", "--overwrite", *more)
        found = ase.io.read("out.extxyz")
        assert found.get_potential_energy() == pytest.approx(calculator.results["energy"], abs=1e-6)
        np.testing.assert_allclose(found.get_forces(), calculator.results["forces"], atol=2e-8)
        np.testing.assert_allclose(found.get_stress(), calculator.results["stress"], atol=2e-8)
    arguments = json.dumps({"potential": "mine"})
    name = "models.networks.potentials.calculator:PotentialCalculator"
    options = ["--calculator", name, "--calculator-args", arguments, "--properties", "equation_of_state"]
    run("benchmark-potential", *options, "--oracle", EMT_NAME, "--out", "properties.json")
    record = json.loads(Path("properties.json").read_text())["a0"]
    assert record["failure"] == "" and abs(record["value"] - record["oracle"]) < 0.3
    with pytest.raises(ValueError, match=r"mine: found a baseline, .*EMT.*, expected none, for hippynn would"):
        run("export-potential", "mine", "--format", "hippynn", "--out", "exported")
    atoms.symbols[:] = "Mg"
    ase.io.write("mg.extxyz", atoms, format="extxyz")
    with pytest.raises(ValueError, match=r"mg.extxyz, record 0: found the elements \['Mg'\]"):
        run("predict", "mine", "mg.extxyz", "--out", "mg_out.extxyz")


def test_a_module_of_ones_own_is_asked_for_again_where_it_is_used(workplace, monkeypatch):
    (workplace / "own_method.py").write_text("from ase.calculators.emt import EMT\n")
    monkeypatch.syspath_prepend(workplace)
    write_clusters("a.zarr", 24)
    train("--store", "a.zarr", "--baseline", "own_method:EMT", *QUICK)
    ase.io.write("in.extxyz", ase.build.molecule("H2O"), format="extxyz")
    with pytest.raises(ValueError, match="--allow-baseline own_method:EMT"):
        run("predict", "mine", "in.extxyz", "--out", "out.extxyz")
    run("predict", "mine", "in.extxyz", "--out", "out.extxyz", "--allow-baseline", "own_method:EMT")
    assert np.isfinite(ase.io.read("out.extxyz").get_forces()).all()
