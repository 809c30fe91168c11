"""The contract of atoms stores: records come back exactly, and each way of breaking the contract is named."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from models.frames import Frames
from stores.atoms import ATOMS, columns_of, dataset_of, frames_of, load_atoms, place_after, tiny
from stores.atoms_ase import from_ase, to_ase
from stores.schema import SchemaError
from stores.validate import find_schema
from stores.zarr_store import open_store, write_store

ATTRIBUTES = {"level": "test", "reference_energies": json.dumps({"H": -13.6, "O": -2040.0}), "settings": "{}"}


def frames(n: int, seed: int) -> Frames:
    """Random configurations with any set of labels, open, periodic and partly periodic."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(n):
        n_atoms = int(rng.integers(1, 6))
        pbc = tuple(bool(axis) for axis in rng.random(3) < 0.5)
        sites = np.array(np.unravel_index(rng.choice(27, n_atoms, replace=False), (3, 3, 3))).T
        stress = rng.normal(size=(3, 3))
        has_forces, failed = rng.random() < 0.7, rng.random() < 0.2
        made.append(
            Frames.one(
                numbers=rng.integers(1, 119, n_atoms),
                positions_A=sites * 2.0 + rng.normal(size=(n_atoms, 3)) * 0.1,
                cell_A=np.eye(3) * 8 + rng.normal(size=(3, 3)) * 0.3 if any(pbc) else None,
                pbc=pbc,
                energy_eV=np.nan if failed or (has_forces and rng.random() < 0.3) else rng.normal() * 1e3,
                forces_eV_A=rng.normal(size=(n_atoms, 3)) * 0.01 if has_forces and not failed else None,
                stress_eV_A3=(stress + stress.T) / 2 if all(pbc) and not failed and rng.random() < 0.5 else None,
                charges_e=rng.normal(size=n_atoms) if rng.random() < 0.5 else None,
                group=int(rng.integers(0, 5)),
                source=f"file.xyz, record {index}",
                provenance={"level": "test", "z": [1, 2.5], "a": "ä"},
                failure="not converged" if failed else "",
            )
        )
    return Frames.concatenate(made)


def assert_same(left: Frames, right: Frames) -> None:
    first, second = columns_of(left), columns_of(right)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@given(n=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_frames_go_to_ase_and_columns_and_back_exactly(n, seed):
    made = frames(n, seed)
    assert_same(Frames.concatenate(from_ase(to_ase(frame)) for frame in made), made)
    assert_same(frames_of(dataset_of(columns_of(made), ATTRIBUTES)), made)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_any_frames_make_a_valid_store_that_holds_them(tmp_path_factory, seed):
    made = frames(7, seed)
    path = tmp_path_factory.mktemp("store") / "any.zarr"
    write_store(path, ATOMS, dataset_of(columns_of(made), ATTRIBUTES))
    assert_same(frames_of(open_store(path, ATOMS), [5, 0, 3]), made.select([5, 0, 3]))


def test_the_free_energy_of_ase_is_preferred_and_the_box_of_open_systems_dropped():
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]], cell=[50, 50, 50], pbc=False)
    atoms.calc = SinglePointCalculator(atoms, energy=-31.0, free_energy=-31.5)
    record = from_ase(atoms, group=3, source="a", provenance={"level": "x"})
    assert (record.energy_eV, record.cell_A, record.group, record.source) == (-31.5, None, 3, "a")
    assert record.provenance == {"level": "x"}


def test_stress_keeps_its_components():
    stress = np.arange(9.0).reshape(3, 3) + np.arange(9.0).reshape(3, 3).T
    record = Frames.one(numbers=[13], positions_A=np.zeros((1, 3)), cell_A=np.eye(3) * 4, stress_eV_A3=stress)
    np.testing.assert_array_equal(to_ase(record).get_stress(voigt=False), stress)


def test_wrong_shapes_are_all_reported():
    with pytest.raises(ValueError, match=r"positions_A: .*\(2, 2\).*; forces_eV_A: .*expected \(2, 3\)"):
        Frames.one(numbers=[1, 1], positions_A=np.zeros((2, 2)), forces_eV_A=np.zeros((3, 3)), source="a")


def test_the_example_is_valid_and_comes_back(tmp_path):
    write_store(tmp_path / "a.zarr", ATOMS, tiny())
    assert find_schema("atoms") is ATOMS
    assert_same(frames_of(open_store(tmp_path / "a.zarr", ATOMS)), frames_of(tiny()))


def broken(name: str, index, value) -> xr.Dataset:
    dataset = tiny()
    values = dataset[name].values.copy()
    values[index] = value
    dataset[name] = (dataset[name].dims, values, dataset[name].attrs)
    return dataset


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("n_atoms", 1, 0, "values >= 1"),
        ("n_atoms", 0, 2, "first_atom to be the sum of n_atoms before"),
        ("n_atoms", 2, 3, "first_atom to be the sum of n_atoms before"),
        ("first_atom", 1, 2, "first_atom to be the sum of n_atoms before"),
        ("number", 0, 0, "values >= 1"),
        ("number", 0, 119, "values <= 118"),
        ("position", 0, np.nan, "finite numbers"),
        ("position", 1, [0.0, 0.0, 0.2], "at least 0.3 A apart"),
        ("cell", 1, np.eye(3) * [4, 4, 0.2], "at least 0.3 A apart"),
        ("cell", 1, np.ones((3, 3)), "a volume above zero where periodic"),
        ("cell", 0, np.eye(3), "zeros as cell where not"),
        ("cell", (1, 0, 0), np.nan, "found nan, expected finite numbers"),
        ("energy", 0, np.inf, "finite numbers or NaN"),
        ("energy", 2, -1.0, "NaN where status is 1"),
        ("force", 1, np.nan, "forces of all atoms or none"),
        ("force", 0, [0.0, 0.0, 1.0], "sum of forces"),
        ("force", 5, 0.0, "NaN where status is 1"),
        ("stress", 0, np.eye(3), "only where status is 0 and all directions are periodic"),
        ("stress", (1, 0, 1), 1.0, "a symmetric stress"),
        ("stress", (1, 0, 0), np.nan, "a symmetric stress"),
        ("group", 0, -1, "values >= 0"),
        ("provenance", 0, "{", "a JSON object"),
        ("provenance", 0, "{}", 'the key "level"'),
        ("provenance", 0, '{"level":"another"}', "one level of theory"),
        ("status", 0, 1, "a reason exactly where status is not 0"),
        ("failure", 2, "", "a reason exactly where status is not 0"),
        ("charge", 0, np.inf, "finite numbers or NaN"),
    ],
)
def test_a_broken_row_is_named(tmp_path, name, index, value, message):
    with pytest.raises(SchemaError) as raised:
        write_store(tmp_path / "a.zarr", ATOMS, broken(name, index, value))
    assert message in str(raised.value)
    assert not (tmp_path / "a.zarr").exists()


def test_a_row_without_any_label_needs_a_reason(tmp_path):
    dataset = broken("energy", 0, np.nan)
    dataset["force"].values[:3] = np.nan
    with pytest.raises(SchemaError, match=r"row 0: expected energy or forces where status is 0"):
        write_store(tmp_path / "a.zarr", ATOMS, dataset)


@pytest.mark.parametrize("missing", ["level", "reference_energies", "settings"])
def test_what_the_store_must_say_of_itself(tmp_path, missing):
    dataset = tiny()
    del dataset.attrs[missing]
    with pytest.raises(SchemaError, match=f"attribute '{missing}' is missing"):
        write_store(tmp_path / "a.zarr", ATOMS, dataset)


def test_shards_placed_behind_each_other_are_one_store(tmp_path):
    made = frames(9, 3)
    parts = [columns_of(made.select(range(4))), columns_of(made.select(range(4, 9)))]
    n_before = {"atom": parts[0]["number"].size, "config": 4}
    both = [parts[0], place_after(parts[1], n_before)]
    joined = {name: np.concatenate([part[name] for part in both]) for name in both[0]}
    for name, values in columns_of(made).items():
        np.testing.assert_array_equal(joined[name], values, err_msg=name)


def test_only_labelled_frames_are_loaded():
    everything = frames(20, 1)
    atoms = load_atoms(dataset_of(columns_of(everything), ATTRIBUTES))
    kept = np.flatnonzero(everything.failures == "")
    assert len(atoms.frames) == len(kept) < 20
    assert atoms.row.tolist() == kept.tolist()
    assert atoms.reference_energies_eV == {1: -13.6, 8: -2040.0}
    for position, row in enumerate(kept):
        np.testing.assert_array_equal(atoms.frames[position].positions_A, everything[row].positions_A)
        np.testing.assert_array_equal(atoms.frames[position].numbers, everything[row].numbers)
        np.testing.assert_array_equal(atoms.frames.energies_eV[position], everything.energies_eV[row])


def test_a_store_without_labels_cannot_be_trained_on():
    made = frames(30, 1)
    with pytest.raises(ValueError, match="found no labelled configuration"):
        load_atoms(dataset_of(columns_of(made.select(made.failures != "")), ATTRIBUTES))
