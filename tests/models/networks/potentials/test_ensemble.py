import json

import ase.build
import numpy as np
import pytest
import torch

from models.networks.potentials.ensemble import ABOUT, Ensemble, load_potential, save_potential
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hipnn_ts import HIPNNTS
from models.networks.potentials.potential import evaluate
from tests.models.networks.potentials.morse import Morse, batch, known_to_folders, morse_members


@pytest.fixture
def systems():
    rng = np.random.default_rng(0)
    cell = ase.build.bulk("Al", cubic=True) * (2, 1, 1)
    systems = [ase.build.molecule("CH3CH2OH"), cell, ase.build.molecule("H2O")]
    for atoms in systems:
        atoms.positions += 0.1 * rng.normal(size=atoms.positions.shape)
    return batch(systems, 5.0)


@pytest.fixture
def named(monkeypatch):
    known_to_folders(monkeypatch)


def test_one_member_is_its_own_mean_without_spread(systems):
    (member,) = morse_members(1)
    alone, found = evaluate(member, *systems), Ensemble([member]).evaluate(*systems)
    for name in ("energy_M", "energy_N", "forces_N3", "stress_M33"):
        np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
    for name in ("energy_spread_M", "energy_rho_M", "forces_spread_N3", "forces_spread_max_M"):
        assert not getattr(found, name).any()


def test_spread_is_the_population_deviation_over_members(systems):
    graph, vectors = systems
    members = morse_members(4)
    alone = [evaluate(member, graph, vectors) for member in members]
    found = Ensemble(members).evaluate(graph, vectors)
    energies = np.array([p.energy_M.numpy() for p in alone])
    forces = np.array([p.forces_N3.numpy() for p in alone])
    n_atoms = np.array([9, 8, 3])
    np.testing.assert_allclose(found.energy_M, energies.mean(0))
    np.testing.assert_allclose(found.energy_spread_M, energies.std(0))
    np.testing.assert_allclose(found.energy_spread_per_atom_M, energies.std(0) / n_atoms)
    np.testing.assert_allclose(found.energy_rho_M, energies.std(0) / np.sqrt(n_atoms))
    np.testing.assert_allclose(found.forces_spread_N3, forces.std(0))
    of_config = np.split(forces.std(0), np.cumsum(n_atoms)[:-1])
    np.testing.assert_allclose(found.forces_spread_mean_M, [part.mean() for part in of_config])
    np.testing.assert_allclose(found.forces_spread_max_M, [part.max() for part in of_config])


def test_mean_forces_are_the_slope_of_the_mean_energy(systems):
    graph, vectors = systems
    ensemble, step = Ensemble(morse_members(3)), 1e-4
    atom, axis = 2, 1
    moved = torch.zeros_like(vectors)
    moved[graph.first_H == atom, axis] -= step
    moved[graph.second_H == atom, axis] += step
    up, down = (ensemble.evaluate(graph, vectors + sign * moved).energy_M.sum() for sign in (1, -1))
    slope = (up - down) / (2 * step)
    assert float(ensemble.evaluate(graph, vectors).forces_N3[atom, axis]) == pytest.approx(-float(slope), rel=1e-6)


def test_hierarchicality_is_averaged_over_members_then_atoms(systems):
    graph, vectors = systems
    members = morse_members(2)
    found = Ensemble(members).evaluate(graph, vectors)
    squares = found.terms_ENT.numpy() ** 2
    of_atoms = (squares[:, :, 1:] / (squares[:, :, 1:] + squares[:, :, :-1])).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(found.hierarchicality_N, of_atoms)
    np.testing.assert_allclose(found.hierarchicality_M[2], of_atoms[-3:].mean())


def test_a_change_of_precision_leaves_reference_energies_whole(systems):
    graph, vectors = systems
    ensemble = Ensemble(morse_members(1, reference_energies_eV=(-13.6, -1036.123456789, -2043.0, -540.0)))
    ensemble.to(dtype=torch.float32)
    assert ensemble.members[0].reference_S.dtype == torch.float64
    found = ensemble.evaluate(graph.to(dtype=torch.float32), vectors.float())
    above = found.energy_M[0] - found.terms_ENT[0, :9].double().sum()
    assert float(above) == pytest.approx(2 * -1036.123456789 - 2043 - 6 * 13.6, rel=1e-14)
    assert found.forces_N3.dtype == torch.float32


def test_folder_round_trip_keeps_every_bit(systems, named, tmp_path):
    members = morse_members(2)
    save_potential(tmp_path / "model", members, {"level": "PBE", "metrics": {"mae": 0.1}})
    loaded = load_potential(tmp_path / "model")
    assert loaded.info == {"model": "morse", "n_members": 2, "level": "PBE", "metrics": {"mae": 0.1}}
    assert (loaded.species, loaded.cutoff_A) == ((1, 6, 8, 13), 5.0)
    np.testing.assert_array_equal(loaded.evaluate(*systems).forces_EN3, Ensemble(members).evaluate(*systems).forces_EN3)


def test_fewer_members_saved_over_more_are_loaded(named, tmp_path):
    save_potential(tmp_path, morse_members(3), {})
    save_potential(tmp_path, morse_members(1), {})
    assert len(load_potential(tmp_path).members) == 1


@pytest.mark.parametrize(("kind", "name"), [(HIPNN, "hipnn"), (HIPNNTS, "hipnn_ts")])
def test_hipnn_folders_load_by_name(tmp_path, kind, name):
    member = kind(kind.Config(species=(1, 8), n_features=4, n_sensitivities=4)).double()
    save_potential(tmp_path, [member], {})
    (again,) = load_potential(tmp_path).members
    assert type(again) is kind and json.loads((tmp_path / ABOUT).read_text())["model"] == name
    for key, value in member.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)


def test_all_that_is_missing_is_named_with_the_cure(named, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder.*expected potential\.json.*train-potential"):
        load_potential(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"found \[\], expected potential\.json"):
        load_potential(tmp_path)
    save_potential(tmp_path, morse_members(3), {})
    (tmp_path / "member_1" / "config.json").unlink()
    (tmp_path / "member_2" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"member_1/config\.json, member_2/model\.safetensors missing"):
        load_potential(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        (json.dumps({"model": "painn", "n_members": 0}), r"'painn', expected one of .*n_members: found 0"),
    ],
)
def test_a_broken_description_is_refused(tmp_path, content, message):
    (tmp_path / ABOUT).write_text(content)
    with pytest.raises(ValueError, match=message):
        load_potential(tmp_path)


def test_members_that_do_not_belong_together_are_refused(tmp_path):
    with pytest.raises(ValueError, match="found no members"):
        Ensemble([])
    other = Morse(Morse.Config(species=(1, 6), cutoff_A=4.0))
    with pytest.raises(ValueError, match=r"expected them equal"):
        Ensemble([*morse_members(1), other])
    with pytest.raises(ValueError, match=r"expected one of .*hipnn.*register it"):
        save_potential(tmp_path, [other], {})


def test_info_cannot_contradict_the_folder(named, tmp_path):
    with pytest.raises(ValueError, match=r"found \['n_members'\]"):
        save_potential(tmp_path, morse_members(1), {"n_members": 4})
