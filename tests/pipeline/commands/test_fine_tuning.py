"""train-potential --from: where it begins, where it may end, and what contradicts it."""

import json
from pathlib import Path

import ase
import numpy as np
import pytest
import torch

from models.networks.potentials.baseline import potential_hash
from models.networks.potentials.calculator import PotentialCalculator
from models.networks.potentials.ensemble import load_potential, save_potential
from models.networks.potentials.hipnn import HIPNN
from pipeline.atoms import potential_training
from stores.atoms import load_atoms
from tests.models.training.potentials.clusters import TINY
from tests.pipeline.atoms.atom_stores import write_clusters
from tests.pipeline.commands.running import run

STORE = ["--store", "a.zarr", "--batch-size", 8]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    write_clusters("a.zarr", 24)
    return tmp_path


def source(name="source", n_members=2, dtype=torch.float32, **changes):
    """A network of HIP-NN with any weights."""
    members = []
    for seed in range(n_members):
        torch.manual_seed(seed)
        config = HIPNN.Config(
            **{
                **vars(TINY),
                "species": (1, 8),
                "reference_energies_eV": (-3.0, -100.0),
                "energy_scale_eV": 0.1,
                **changes,
            }
        )
        members.append(HIPNN(config).to(dtype))
    save_potential(Path(name), members, {})


def go_on(*arguments, out="tuned"):
    assert run("train-potential", *STORE, "--from", "source", "--out", out, *arguments) == 0
    return json.loads(Path(out, "potential.json").read_text())


def frames():
    return [ase.Atoms(frame.numbers, frame.positions_A) for frame in load_atoms("a.zarr").frames]


def energies(folder):
    calculator = PotentialCalculator(folder)
    return np.array([calculator.get_property("energy", atoms) for atoms in frames()])


def histories(folder):
    lines = [path.read_text().splitlines() for path in sorted(Path(folder).glob("member_*/history.csv"))]
    return [
        [dict(zip(table[0].split(","), map(float, row.split(",")), strict=True)) for row in table[1:]]
        for table in lines
    ]


def test_without_steps_it_is_the_source():
    source()
    about = go_on("--members", 2, "--epochs", 1, "--learning-rate", 1e-12)
    np.testing.assert_allclose(energies("tuned"), energies("source"), rtol=0, atol=1e-7)
    assert about["from"]["folder"] == "source" and about["from"]["hash"] == potential_hash(Path("source"))
    assert about["metrics"]["force_mae_eV_A"] == pytest.approx(
        about["from"]["metrics"]["test"]["force_mae_eV_A"], rel=1e-5
    )
    before, after = load_potential("source"), load_potential("tuned")
    assert [member.config for member in after.members] == [member.config for member in before.members]
    assert after.info["model"] == "hipnn"


def test_it_begins_at_the_error_of_the_source_and_ends_below():
    source()
    go_on("--members", 2, "--epochs", 3)
    again = go_on("--members", 2, "--epochs", 1, "--learning-rate", 1e-12, out="again")
    for tuned, still in zip(histories("tuned"), histories("again"), strict=True):
        assert tuned[0]["epoch"] == -1
        assert tuned[0] == pytest.approx(still[0], nan_ok=True)
        assert tuned[0]["force_rmse_eV_A"] == pytest.approx(still[1]["force_rmse_eV_A"], rel=1e-4)
        assert min(record["validation_loss"] for record in tuned) <= tuned[0]["validation_loss"]
    assert again["metrics"]["n_members"] == 2


def test_a_training_that_only_makes_it_worse_ends_with_the_source():
    source(n_members=1)
    about = go_on("--epochs", 1, "--learning-rate", 1.0, "--gradient-clip", 0, "--ema-decay", 0)
    (history,) = histories("tuned")
    assert history[1]["validation_loss"] > history[0]["validation_loss"]  # or this tests nothing
    assert about["metrics"]["members"] == [{"seed": 0, "best_epoch": -1, "epochs": 1}]
    np.testing.assert_array_equal(energies("tuned"), energies("source"))


def test_members_start_from_their_own_or_in_turn(capsys, monkeypatch):
    source()
    starts = []
    train = potential_training.train_member
    monkeypatch.setattr(
        potential_training, "train_member", lambda t, **o: starts.append((t.seed, t.start)) or train(t, **o)
    )
    go_on("--members", 3, "--epochs", 1, "--seed", 7)
    assert "3 members start from 2, taken in turn" in capsys.readouterr().out
    members = load_potential("source").members
    for seed, weights in starts:
        for name, value in members[(seed - 7) % 2].state_dict().items():
            np.testing.assert_array_equal(weights[name], value)
    assert sorted(seed for seed, _ in starts) == [7, 8, 9]


def test_references_are_kept_or_moved_by_what_the_source_is_off():
    source(n_members=1, reference_energies_eV=(-4.0, -98.0))
    kept = go_on("--epochs", 1, "--learning-rate", 1e-12)
    assert load_potential("tuned").members[0].config.reference_energies_eV == (-4.0, -98.0)
    moved = go_on("--epochs", 1, "--learning-rate", 1e-12, "--refit-references", out="moved")
    found = load_potential("moved").members[0].config.reference_energies_eV
    assert abs(found[0] + 3.0) < 0.6 and abs(found[1] + 100.0) < 0.6
    assert moved["metrics"]["energy_mae_meV_atom"] < 0.2 * kept["metrics"]["energy_mae_meV_atom"]


def test_the_baseline_of_the_source_goes_with_it():
    quick = ["--model", "hipnn", "--features", 4, "--cutoff", 4, "--epochs", 1]
    run("train-potential", *STORE, *quick, "--baseline", "ase.calculators.emt:EMT", "--out", "source")
    about = go_on("--epochs", 1, "--learning-rate", 1e-12)
    assert about["baseline"]["calculator"] == "ase.calculators.emt:EMT"
    np.testing.assert_allclose(energies("tuned"), energies("source"), rtol=0, atol=1e-6)


def test_precisions_follow_the_option():
    source(n_members=1, dtype=torch.float64)
    go_on("--epochs", 1, "--learning-rate", 1e-12, "--dtype", "float64")
    np.testing.assert_allclose(energies("tuned"), energies("source"), rtol=0, atol=1e-9)
    go_on("--epochs", 1, "--learning-rate", 1e-12, out="single")
    np.testing.assert_allclose(energies("single"), energies("source"), rtol=0, atol=1e-4)


def test_what_contradicts_the_source_is_refused_before_training(monkeypatch):
    monkeypatch.setattr(potential_training, "train_member", lambda *_, **__: pytest.fail("training began"))
    source()
    source("hydrogen", species=(1,), reference_energies_eV=(-3.0,))
    cases = {
        (
            "--from",
            "source",
            "--model",
            "ani",
        ): "--model: found ani, expected hipnn, that of --from source; leave it out",
        ("--from", "source", "--cutoff", 6): r"--cutoff: found 6\.0, expected 4\.0",
        ("--from", "source", "--features", 9): "--features: found 9, expected 4",
        ("--from", "hydrogen"): "found the elements O in the data, expected some of H, which the source knows",
        ("--from", "source", "--baseline", "ase.calculators.emt:EMT"): "--baseline: found one beside --from",
        ("--model", "hipnn", "--refit-references"): "--refit-references: found it without --from",
        (): "--model: found nothing, expected a network, or a potential to start --from",
    }
    for arguments, message in cases.items():
        with pytest.raises(ValueError, match=message):
            run("train-potential", *STORE, "--out", "mine", *arguments)
    with pytest.raises(
        ValueError, match=r"--from: nowhere: .*expected potential\.json and member_0 of a trained potential"
    ):
        run("train-potential", *STORE, "--out", "mine", "--from", "nowhere")
    assert not Path("mine").exists()
