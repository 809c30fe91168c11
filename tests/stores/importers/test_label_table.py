"""Nothing is dropped silently: the report and the store say what was used, ignored, left out, and why."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from models.physics.atoms.reference_energies import least_squares
from models.training.potentials.potential_loss import PotentialLoss
from pipeline.atoms.potential_data import SplitParams, load_training_data
from stores.atoms import ATOMS
from stores.importers.label_problems import far_energies
from stores.zarr_store import open_store
from tests.pipeline.commands.running import run
from tests.stores.importers.frames import TOTAL_EV, frames
from tests.stores.importers.test_rmd17 import arrays, save

ISOLATED = {1: -13.6057, 6: -1030.1, 7: -1486.1, 8: -2043.4}


def write(folder: Path, made: list[Atoms]) -> list[str]:
    ase.io.write(folder / "a.xyz", made, format="extxyz")
    return ["extxyz", str(folder / "a.xyz"), "--out", str(folder / "a.zarr")]


def imported_of(store: Path) -> dict:
    return json.loads(open_store(store, ATOMS).attrs["imported"])


def references_of(store: Path) -> dict[str, float]:
    return json.loads(open_store(store, ATOMS).attrs["reference_energies"])


def isolated(energies: dict[int, float] = ISOLATED, **cell: object) -> list[Atoms]:
    made = []
    for number, energy in energies.items():
        atoms = Atoms([number], [[0, 0, 0]], info={"config_type": "IsolatedAtom"}, **cell)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((1, 3)))
        made.append(atoms)
    return made


def test_the_table_names_keys_records_units_and_what_was_ignored(tmp_path: Path, capsys):
    made = frames(30)
    for index, atoms in enumerate(made):
        atoms.info["temperature"] = 300
        if index < 4:
            del atoms.calc.results["forces"]
    run("import-dataset", *write(tmp_path, made))
    message = capsys.readouterr().out
    lines = [line.split() for line in message.splitlines()]
    assert ["energy", "energy", "30", "eV"] in lines
    assert ["forces", "forces", "26", "eV/A"] in lines
    assert ["stress", "(none", "found)", "0"] in lines
    assert "ignored keys (records that have them): temperature (30)" in message
    assert imported_of(tmp_path / "a.zarr") == {
        "labels": [
            {"label": "energy", "key": "energy", "n_records": 30, "units": "eV"},
            {"label": "forces", "key": "forces", "n_records": 26, "units": "eV/A"},
            {"label": "stress", "key": "", "n_records": 0, "units": ""},
            {"label": "charges", "key": "", "n_records": 0, "units": ""},
        ],
        "ignored_keys": {"temperature": 30},
        "isolated_atoms_eV": {},
        "dropped": {},
    }


def test_a_store_is_the_same_wherever_its_files_lay(tmp_path: Path):
    hashes = []
    for name in ("one", "another, with a comma"):
        (tmp_path / name).mkdir()
        made = frames(30)
        made[5].positions[1] = made[5].positions[0]
        run("import-dataset", *write(tmp_path / name, made), "--drop-bad")
        hashes.append(open_store(tmp_path / name / "a.zarr", ATOMS).attrs["manifest"])
        assert imported_of(tmp_path / name / "a.zarr")["dropped"] == {
            "atoms too close": {"records": 1, "first": ["a.xyz, record 5"]}
        }
    assert hashes[0] == hashes[1]


def test_records_without_forces_are_dropped_where_forces_are_wanted(tmp_path: Path, capsys):
    made = frames(30)
    for index in (3, 7):
        del made[index].calc.results["forces"]
    words = [*write(tmp_path, made), "--forces-key", "forces"]
    with pytest.raises(
        ValueError, match=r"2 of 30 records(.|\n)*record 3, key 'forces': found no such(.|\n)*--drop-bad"
    ):
        run("import-dataset", *words)
    run("import-dataset", *words, "--drop-bad")
    assert "dropped 2: no forces: " in capsys.readouterr().out
    assert imported_of(tmp_path / "a.zarr")["dropped"]["no forces"]["first"] == ["a.xyz, record 3", "a.xyz, record 7"]
    assert open_store(tmp_path / "a.zarr", ATOMS).sizes["config"] == 28


@pytest.mark.parametrize("cell", [{}, {"cell": np.eye(3) * 12, "pbc": True}])
def test_isolated_atoms_are_references_and_no_configurations(tmp_path: Path, capsys, cell: dict):
    run("import-dataset", *write(tmp_path, [*isolated(**cell), *frames(30)]))
    store = open_store(tmp_path / "a.zarr", ATOMS)
    assert store["n_atoms"].values.min() == 3
    assert store.sizes["config"] == 30
    expected = {"H": ISOLATED[1], "C": ISOLATED[6], "N": ISOLATED[7], "O": ISOLATED[8]}
    assert references_of(tmp_path / "a.zarr") == pytest.approx(expected)
    assert imported_of(tmp_path / "a.zarr")["isolated_atoms_eV"] == pytest.approx(expected)
    assert "isolated atoms [eV], kept as references alone, not as configurations: H -13.6057" in capsys.readouterr().out


def test_elements_without_an_isolated_atom_are_fitted_to_the_rest(tmp_path: Path):
    some = {1: TOTAL_EV[1], 6: TOTAL_EV[6]}
    words = write(tmp_path, [*isolated(some), *frames(30)])
    run("import-dataset", *words)
    assert references_of(tmp_path / "a.zarr")["H"] == some[1]
    assert references_of(tmp_path / "a.zarr")["O"] == pytest.approx(TOTAL_EV[8], abs=1.0)
    run("import-dataset", *words, "--references", "least_squares")
    assert references_of(tmp_path / "a.zarr")["H"] != some[1]


def test_isolated_atoms_of_another_method_are_refused(tmp_path: Path):
    words = write(tmp_path, [*isolated({z: 0.0 for z in ISOLATED}), *frames(30)])
    with pytest.raises(
        ValueError, match=r"a.xyz, record 0 and others: found isolated atoms whose energies leave .* take"
    ):
        run("import-dataset", *words)
    with pytest.raises(ValueError, match="found isolated atoms alone, expected configurations to learn from"):
        run("import-dataset", *write(tmp_path, isolated()))


def test_a_crystal_with_one_atom_is_no_isolated_atom(tmp_path: Path):
    made = []
    for a in np.linspace(3.9, 4.3, 12):
        atoms = bulk("Al", a=a)
        atoms.calc = SinglePointCalculator(atoms, energy=-3.7 + (a - 4.05) ** 2, forces=np.zeros((1, 3)))
        made.append(atoms)
    run("import-dataset", *write(tmp_path, made))
    assert open_store(tmp_path / "a.zarr", ATOMS).sizes["config"] == 12


@pytest.mark.parametrize("off", [5000.0, -5000.0])
def test_a_record_that_is_off_by_thousands_of_eV_is_named_or_dropped(tmp_path: Path, off: float):
    made = frames(40)
    made[9].calc.results["energy"] += off
    words = write(tmp_path, made)
    with pytest.raises(
        ValueError, match=r"1 of 40 records(.|\n)*record 9, key 'energy': found .*eV/atom .*--far-energy"
    ):
        run("import-dataset", *words)
    run("import-dataset", *words, "--drop-bad")
    assert imported_of(tmp_path / "a.zarr")["dropped"]["energy far from the others"]["first"] == ["a.xyz, record 9"]
    run("import-dataset", *words, "--far-energy", "1e9")
    assert open_store(tmp_path / "a.zarr", ATOMS).sizes["config"] == 40


def test_a_record_that_is_odd_is_noted_and_refused_on_demand(tmp_path: Path, capsys):
    made = frames(40)
    made[9].calc.results["energy"] += 40.0  # 10 eV/atom
    words = write(tmp_path, made)
    run("import-dataset", *words)
    assert "1 records have energies more than" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"record 9, key 'energy': found .* expected at most 3 eV/atom"):
        run("import-dataset", *words, "--far-energy", "3")
    with pytest.raises(ValueError, match="far-energy: found -1, expected a number > 0"):
        run("import-dataset", *words, "--far-energy", "-1")


def test_far_energies_are_those_that_were_moved():
    """Of random alloys, whatever the energies of elements are; gas and crystal side by side are both usual."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 5, (200, 4)) + np.array([1, 0, 0, 0])
    n_atoms = counts.sum(axis=1)
    energy = counts @ rng.normal(size=4) * 1e4 + n_atoms * rng.choice([0.0, -7.5], 200) + rng.normal(size=200)
    energy[[3, 50]] += np.array([40, -40]) * 20.0
    far, _ = far_energies(energy, n_atoms, np.arange(200), counts / n_atoms[:, None], np.ones(200, dtype=bool))
    assert set(np.argsort(-np.abs(far))[:2]) == {3, 50}
    assert np.abs(np.delete(far, [3, 50])).max() < 12
    fitted = least_squares(np.array([1, 6, 7, 13]), counts, energy)  # squares would blame others too
    assert np.abs(energy - counts @ fitted.energies_eV).max() > np.abs(np.delete(far * n_atoms, [3, 50])).max()


def test_a_small_rmd17_file_trains_with_the_default_split(tmp_path: Path):
    save(tmp_path / "a.npz", arrays(60))
    run("import-dataset", "rmd17", str(tmp_path / "a.npz"), "--out", str(tmp_path / "a.zarr"))
    data = load_training_data(tmp_path / "a.zarr", SplitParams(), PotentialLoss())
    sizes = [len(some) for some in (data.train, data.validation, data.test)]
    assert sum(sizes) == 60
    assert sizes[0] > 30
    assert min(sizes) > 0
