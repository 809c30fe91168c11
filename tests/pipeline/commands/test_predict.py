import ase.build
import ase.io
import numpy as np
import pytest

from models.networks.potentials.calculator import PotentialCalculator
from models.networks.potentials.ensemble import Ensemble, save_potential
from tests.models.networks.potentials.morse import known_to_folders, morse_members
from tests.pipeline.commands.running import run


@pytest.fixture(autouse=True)
def named(monkeypatch):
    known_to_folders(monkeypatch)


@pytest.fixture
def model(tmp_path):
    save_potential(tmp_path / "model", morse_members(3), {"level": "made up"})
    return tmp_path / "model"


def structures(n=12):
    rng = np.random.default_rng(0)
    kinds = [ase.build.molecule("CH3CH2OH"), ase.build.bulk("Al", cubic=True) * (2, 2, 1), ase.build.molecule("H2O")]
    frames = []
    for number in range(n):
        atoms = kinds[number % 3].copy()
        atoms.positions += 0.04 * rng.normal(size=atoms.positions.shape)
        frames.append(atoms)
    return frames


def labelled(path, model, n=12, shift_eV=0.0):
    """Labels by the potential itself, shifted by so much an atom."""
    frames = structures(n)
    for atoms in frames:
        calculator = PotentialCalculator(model)
        calculator.calculate(atoms)
        atoms.info["REF_energy"] = calculator.results["energy"] + shift_eV * len(atoms)
        atoms.arrays["REF_forces"] = calculator.results["forces"]
        atoms.info["name"] = "kept"
    ase.io.write(path, frames, format="extxyz")
    return ase.io.read(path, ":")  # positions as the file rounds them


@pytest.mark.parametrize("more", [(), ("--chunk", "5", "--batch-atoms", "1"), ("--batch-atoms", "30")])
def test_the_written_frames_have_what_the_calculator_says(tmp_path, model, more):
    frames = labelled(tmp_path / "in.extxyz", model)
    (tmp_path / "new").mkdir()
    run("predict", str(model), str(tmp_path / "in.extxyz"), "--out", str(tmp_path / "new" / "out.extxyz"), *more)
    found = ase.io.read(tmp_path / "new" / "out.extxyz", ":")
    assert len(found) == len(frames)
    for atoms, source in zip(found, frames, strict=True):
        calculator = PotentialCalculator(model)
        calculator.calculate(source)
        expected = calculator.results
        assert atoms.get_potential_energy() == pytest.approx(expected["energy"])
        np.testing.assert_allclose(atoms.get_forces(), expected["forces"], atol=2e-8)
        np.testing.assert_allclose(atoms.get_potential_energies(), expected["energies"], atol=2e-7)
        np.testing.assert_allclose(atoms.arrays["forces_spread"], expected["forces_spread"], atol=2e-8)
        np.testing.assert_allclose(atoms.arrays["hierarchicality"], expected["hierarchicality"], atol=2e-8)
        for name in ("energy_spread", "forces_spread_mean", "forces_spread_max"):
            assert atoms.info[name] == pytest.approx(expected[name])
        if source.pbc.all():
            np.testing.assert_allclose(atoms.get_stress(), expected["stress"], atol=1e-8)
        assert atoms.info["name"] == "kept"
        assert atoms.info["REF_energy"] == pytest.approx(expected["energy"])


def test_errors_against_labels_are_printed(tmp_path, model, capsys):
    labelled(tmp_path / "in.extxyz", model, shift_eV=0.002)
    arguments = [str(model), str(tmp_path / "in.extxyz"), "--out", str(tmp_path / "out.extxyz")]
    run("predict", *arguments, "--energy-key", "REF_energy", "--force-key", "REF_forces")
    message = capsys.readouterr().out
    assert "12 frames, 112 atoms" in message
    assert "energy per atom: MAE 2, RMSE 2 meV; Spearman of spread and error" in message
    assert "force components: MAE" in message


def test_labels_under_the_names_of_ase_are_kept_aside(tmp_path, model):
    frames = structures(2)
    for atoms in frames:
        atoms.positions = atoms.positions.round(8)
        atoms.calc = PotentialCalculator(Ensemble(morse_members(1)))
        atoms.get_forces()
    ase.io.write(tmp_path / "in.extxyz", frames, format="extxyz")
    run(
        "predict",
        *[str(model), str(tmp_path / "in.extxyz"), "--out", str(tmp_path / "out.extxyz"), "--energy-key", "energy"],
    )
    found = ase.io.read(tmp_path / "out.extxyz", ":")
    for atoms, source in zip(found, frames, strict=True):
        assert atoms.info["label_energy"] == pytest.approx(source.get_potential_energy())
        np.testing.assert_allclose(atoms.arrays["label_forces"], source.get_forces(), atol=1e-7)
        assert atoms.get_potential_energy() != pytest.approx(source.get_potential_energy())


def test_a_single_member_has_no_spread(tmp_path):
    save_potential(tmp_path / "one", morse_members(1), {})
    ase.io.write(tmp_path / "in.extxyz", structures(1), format="extxyz")
    run("predict", str(tmp_path / "one"), str(tmp_path / "in.extxyz"), "--out", str(tmp_path / "out.extxyz"))
    found = ase.io.read(tmp_path / "out.extxyz")
    assert not {"energy_spread", "forces_spread"} & {*found.info, *found.arrays}
    assert "hierarchicality" in found.arrays


def spoiled(tmp_path, model, name):
    frames = labelled(tmp_path / "in.extxyz", model, 3)
    arguments: list[str] = []
    if name == "element":
        frames[1].numbers[0] = 2
    elif name == "near":
        frames[1].positions[1] = frames[1].positions[0] + (0.1, 0, 0)
    elif name == "key":
        del frames[2].info["REF_energy"]
        arguments = ["--energy-key", "REF_energy"]
    elif name == "nan":
        frames[1].arrays["REF_forces"][0] = np.nan
        arguments = ["--force-key", "REF_forces"]
    elif name == "units":
        for atoms in frames:
            atoms.info["REF_energy"] = -154.1
        arguments = ["--energy-key", "REF_energy"]
    ase.io.write(tmp_path / "in.extxyz", frames, format="extxyz")
    text = (tmp_path / "in.extxyz").read_text()
    if name == "cut off":
        (tmp_path / "in.extxyz").write_text("\n".join(text.splitlines()[:-3]))
    elif name == "empty":
        (tmp_path / "in.extxyz").write_text("")
    elif name == "no file":
        (tmp_path / "in.extxyz").unlink()
    return arguments


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("element", r"in\.extxyz, record 1: found the elements \['He'\], this potential knows"),
        ("near", r"in\.extxyz, record 1: found atoms 0 and 1 0\.1 A apart, expected at least 0\.3 A"),
        ("key", r"record 2: found .*, expected the key 'REF_energy'; name one that is there with --energy-key"),
        ("nan", r"record 1, key 'REF_forces': found 3 not finite, expected finite numbers of shape \(16, 3\)"),
        (
            "units",
            r"record 0, key 'REF_energy': found -154\.1, a total energy in Ha, expected eV; .*--units Ha",
        ),
        ("cut off", r"record 2: cannot be read"),
        ("empty", r"found no frame, expected at least one; the file is empty"),
        ("no file", r"found no file"),
    ],
)
def test_bad_input_gets_one_message_and_no_output(tmp_path, model, name, message):
    arguments = spoiled(tmp_path, model, name)
    with pytest.raises(ValueError, match=message):
        run("predict", str(model), str(tmp_path / "in.extxyz"), "--out", str(tmp_path / "out.extxyz"), *arguments)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_an_older_output_survives_a_failure(tmp_path, model):
    (tmp_path / "out.extxyz").write_text("old")
    spoiled(tmp_path, model, "element")
    arguments = [str(model), str(tmp_path / "in.extxyz"), "--out", str(tmp_path / "out.extxyz"), "--batch-atoms", "1"]
    with pytest.raises(ValueError, match="record 1"):
        run("predict", *arguments, "--overwrite")
    assert (tmp_path / "out.extxyz").read_text() == "old"


def test_the_input_is_never_the_output(tmp_path, model):
    labelled(tmp_path / "in.extxyz", model, 1)
    with pytest.raises(ValueError, match=r"--out: found the file that is read.*name another one"):
        run("predict", str(model), str(tmp_path / "in.extxyz"), "--out", str(tmp_path / "in.extxyz"))
