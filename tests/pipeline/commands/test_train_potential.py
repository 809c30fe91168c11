import json

import numpy as np
import pytest
import torch

from models.networks.potentials.ensemble import load_potential
from models.training.potentials.potential_settings import epochs_of_steps, whole_validations
from pipeline.atoms import potential_training
from pipeline.commands import train_potential
from pipeline.runtime.stage import OptionsError
from tests.pipeline.atoms.atom_stores import write_clusters
from tests.pipeline.commands.running import run as run_command

QUICK = ["--model", "hipnn", "--epochs", "2", "--features", "4", "--cutoff", "4", "--batch-size", "8"]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    return tmp_path


def run(*arguments):
    return run_command("train-potential", *arguments)


def weights(folder):
    members = load_potential(folder).members
    return [torch.cat([value.flatten() for value in member.state_dict().values()]) for member in members]


def test_a_trained_folder_predicts_and_tells_what_it_is(workplace, monkeypatch, capsys):
    group = write_clusters(workplace / "a.zarr")
    write_clusters(workplace / "b.zarr", 6, seed=5)
    run("--store", "a.zarr", "--out", "mine", "--members", 2, "--test-store", "b.zarr", *QUICK)
    expected_message = json.loads((workplace / "mine" / "potential.json").read_text())
    assert (
        expected_message["model"],
        expected_message["n_members"],
        expected_message["level"],
        expected_message["species"],
    ) == ("hipnn", 2, "Morse pairs", [1, 8])
    assert expected_message["units"]["force"] == "eV/A"
    metrics = expected_message["metrics"]
    assert metrics["n_train"] + metrics["n_validation"] + metrics["n_test"] == 40
    assert 0 < metrics["force_mae_eV_A"] <= metrics["force_rmse_eV_A"]
    assert metrics["b"]["energy_mae_meV_atom"] > 0
    assert "b: energy MAE" in capsys.readouterr().out
    split = np.load(workplace / "mine" / "split.npy")
    assert all(len(set(split[group == name])) == 1 for name in np.unique(group))
    assert set(split) == {0, 1, 2}
    one, two = weights("mine")
    assert not torch.equal(one, two)
    history = (workplace / "mine" / "member_1" / "history.csv").read_text().splitlines()
    assert len(history) == 3 and history[0].startswith("epoch,step,learning_rate")
    curve = (workplace / "mine" / "member_1" / "live/plots/metrics/force_rmse_eV_A.tsv").read_text().splitlines()
    assert [float(line.split("\t")[1]) for line in curve[1:]] == pytest.approx(
        [float(line.split(",")[-1]) for line in history[1:]], rel=1e-6
    )
    assert not (workplace / ".cache" / "potential").exists() or not list((workplace / ".cache" / "potential").iterdir())


@pytest.mark.parametrize("model", ["hipnn", "hipnn_ts", "ani"])
def test_all_networks_train_on_mixed_boundaries_with_stress(workplace, monkeypatch, model):
    write_clusters(workplace / "a.zarr", 24, stress=True)
    options = ["--model", model, "--stress-weight", 1, "--epochs", 1, "--cutoff", 4, "--features", 4]
    run("--store", "a.zarr", "--out", "mine", *options)
    assert all(bool(torch.isfinite(member).all()) for member in weights("mine"))


def test_settings_of_a_network_can_be_stated(workplace):
    write_clusters(workplace / "a.zarr", 24)
    words = ["--store", "a.zarr", "--epochs", 1, "--features", 4, "--cutoff", 4]
    run(*words, "--out", "mine", "--model", "hipnn_ts", "--setting", "l_max=2", "n_sensitivities=5")
    (member,) = load_potential("mine").members
    assert (member.config.l_max, member.config.n_sensitivities, member.config.n_features) == (2, 5, 4)
    for stated, message in {
        "l_max=3": r"--setting: l_max: found 3",
        "l_max": r"--setting: found 'l_max', expected NAME=VALUE",
        "width=3": r"--setting: found 'width=3', expected NAME=VALUE with one of the names cutoff_A",
    }.items():
        with pytest.raises(OptionsError, match=message):
            run(*words, "--out", "other", "--model", "hipnn_ts", "--setting", stated)


@pytest.mark.slow
def test_members_are_the_same_however_many_workers_train_them(workplace, monkeypatch):
    write_clusters(workplace / "a.zarr", 24)
    run("--store", "a.zarr", "--out", "serial", "--members", 2, *QUICK)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "local")
    monkeypatch.setenv("LATENTLAW_WORKERS", "2")
    run("--store", "a.zarr", "--out", "parallel", "--members", 2, *QUICK)
    assert all(torch.equal(a, b) for a, b in zip(weights("serial"), weights("parallel"), strict=True))
    one, other = ((workplace / name / "potential.json").read_text() for name in ("serial", "parallel"))
    assert one == other


def test_the_same_command_goes_on_where_it_was_stopped(workplace, monkeypatch, capsys):
    write_clusters(workplace / "a.zarr", 24)
    arguments = ["--store", "a.zarr", "--out", "mine", "--members", 2, *QUICK]
    train = potential_training.train_member
    trained = []

    def fails_second(task, **options):
        if trained:
            raise RuntimeError("the machine was switched off")
        trained.append(task.name)
        return train(task, **options)

    monkeypatch.setattr(potential_training, "train_member", fails_second)
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert "1 of 2 tasks failed" in error and "potential, seed 1: RuntimeError: the machine was switched off" in error
    assert list((workplace / ".cache" / "potential").glob("*/potential, seed 0.task"))

    def notes(task, **options):
        trained.append(task.name)
        return train(task, **options)

    monkeypatch.setattr(potential_training, "train_member", notes)
    assert run(*arguments) == 0
    assert trained == ["potential, seed 0", "potential, seed 1"]
    assert len(weights("mine")) == 2


def test_a_source_that_is_held_out_is_in_no_set_and_measured(workplace, monkeypatch):
    write_clusters(workplace / "a.zarr", 40)
    run("--store", "a.zarr", "--out", "mine", "--hold-out", "odd", *QUICK)
    split = np.load("mine/split.npy")
    assert (split == -1).sum() == 20 and set(split[np.arange(40) // 2 % 2 == 1]) == {-1}
    assert json.loads((workplace / "mine/potential.json").read_text())["metrics"]["odd"]["force_mae_eV_A"] > 0


def test_smaller_training_sets_are_parts_of_larger_ones(workplace, monkeypatch):
    write_clusters(workplace / "a.zarr", 40)
    chosen = {}
    for n_train in (5, 15):
        run("--store", "a.zarr", "--out", "mine", "--n-train", n_train, *QUICK)
        split = np.load("mine/split.npy")
        chosen[n_train] = set(np.flatnonzero(split == 0)), set(np.flatnonzero(split == 2))
    assert len(chosen[5][0]) == 5 and chosen[5][0] < chosen[15][0]
    assert chosen[5][1] == chosen[15][1]


def test_energies_alone_are_enough_when_forces_weigh_nothing(workplace, monkeypatch, capsys):
    write_clusters(workplace / "a.zarr", 24, forces=False)
    run("--store", "a.zarr", "--out", "mine", "--force-weight", 0, *QUICK)
    assert json.loads((workplace / "mine/potential.json").read_text())["metrics"]["force_mae_eV_A"] is None
    assert "test groups: energy MAE" in capsys.readouterr().out


def test_minutes_become_epochs_once(workplace, monkeypatch):
    write_clusters(workplace / "a.zarr", 24)
    asked = []
    monkeypatch.setattr(train_potential, "_epochs_within", lambda minutes, *_: asked.append(minutes) or 3)
    run("--store", "a.zarr", "--out", "mine", "--minutes", 0.5, *QUICK)
    assert asked == [0.5]
    assert json.loads((workplace / "mine/potential.json").read_text())["settings"]["max_epochs"] == 3


def test_what_stands_against_training_is_said_before_it_begins(workplace, monkeypatch):
    monkeypatch.setattr(potential_training, "train_member", lambda *_, **__: pytest.fail("training began"))
    write_clusters(workplace / "silent.zarr", 24, forces=False)
    write_clusters(workplace / "one.zarr", 24, frames_per_group=24)
    write_clusters(workplace / "other.zarr", 24, level="something else")
    write_clusters(workplace / "good.zarr", 24)
    cases = {
        ("silent.zarr",): r"silent.zarr: forces: found none, expected some because their weight in the loss is 0\.1",
        ("good.zarr", "--stress-weight", 1): "stress: found none",
        ("one.zarr",): r"found 1 groups, expected at least 3 \(train, validation, test\); where frames",
        (
            "good.zarr",
            "--test-store",
            "other.zarr",
        ): "found level 'something else', expected that of the training",
        ("good.zarr", "--hold-out", "CH4"): r"found sources \['even', 'odd'\], expected it among others",
        ("good.zarr", "--n-train", 500): r"found \d+ training configurations, expected at least 500",
        ("good.zarr", "--test-fraction", 0.95): "found 0.1 [+] 0.95, expected less than 1",
        ("good.zarr", "--learning-rate", 7): "learning_rate: found 7",
        ("good.zarr", "--compile"): "compile: found method 'double_backward', expected finite_difference",
    }
    for arguments, message in cases.items():
        with pytest.raises(ValueError, match=message):
            run("--store", *arguments, "--out", "mine", *QUICK)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.zarr: no store found"):
        run("--store", "nowhere.zarr", "--out", "mine", *QUICK)
    assert not (workplace / "mine").exists()


def test_steps_become_epochs_and_the_last_epoch_is_validated():
    assert epochs_of_steps(100, 80, 8) == 10
    assert epochs_of_steps(101, 80, 8) == 11
    assert epochs_of_steps(10, 3, 8) == 10
    for epochs in range(1, 60):
        rounded, every = whole_validations(epochs, 7)
        assert rounded >= epochs and rounded % every == 0 and rounded - epochs < every
