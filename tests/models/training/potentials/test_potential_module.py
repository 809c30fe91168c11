import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.potential import evaluate
from models.training import progress
from models.training.batches import EpochBatches
from models.training.potentials import potential_module
from models.training.potentials.potential_loss import PotentialLoss
from models.training.potentials.potential_module import train_potential
from models.training.potentials.potential_settings import PotentialSettings
from tests.models.training.potentials.clusters import TINY, clusters, prepared

QUICK = PotentialSettings(loss=PotentialLoss(energy=1.0, forces=1.0), max_epochs=6, batch_size=8, learning_rate=0.01)


def train(folder, settings=QUICK, *, n_train=40, **more):
    dtype = settings.torch_dtype
    sets = {"train": prepared(clusters(n_train), dtype), "validation": prepared(clusters(12, seed=1), dtype)}
    return train_potential(
        HIPNN, TINY, settings, **{**sets, "seed": 3, "checkpoints": folder, "accelerator": "cpu", **more}
    )


def weights(trained):
    return torch.cat([value.flatten().double() for value in trained.model.state_dict().values()])


def force_mae(model, data):
    labelled = data.batch(range(len(data)))
    found = evaluate(model, labelled.graph, labelled.vectors_H3)
    return float((found.forces_N3 - labelled.forces_N3).abs().mean())


PLATEAU = replace(QUICK, schedule="plateau", patience=0, max_batch_size=16, learning_rate=0.1, ema_decay=0.0)


@pytest.mark.parametrize("settings", [QUICK, PLATEAU, replace(QUICK, dtype="float64", method="finite_difference")])
def test_a_cut_and_resumed_training_ends_with_the_same_weights(tmp_path, settings):
    whole = train(tmp_path / "whole", settings)
    train(tmp_path / "cut", settings, stop_after=3)
    resumed = train(tmp_path / "cut", settings)
    assert torch.equal(weights(whole), weights(resumed))
    assert whole.history == resumed.history
    assert (whole.best_epoch, whole.best_objective, whole.epochs) == (
        resumed.best_epoch,
        resumed.best_objective,
        resumed.epochs,
    )


def test_a_training_that_tells_how_far_it_is_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "LEAST_S", 0.0)
    reported = []
    assert torch.equal(weights(train(tmp_path / "a")), weights(train(tmp_path / "b", report=reported.append)))
    steps = [far.step for far in reported]
    assert 6 <= len(reported) <= 10 and steps == sorted(set(steps))
    assert {far.epoch for far in reported} == {1, 2, 3, 4, 5, 6} and {far.n_epochs for far in reported} == {6}
    assert math.isnan(reported[0].objective) and reported[-1].objective > 0
    assert all(far.seconds_left >= 0 for far in reported)


def test_the_seed_decides(tmp_path):
    settings = replace(QUICK, max_epochs=2)
    first, second = train(tmp_path / "a", settings), train(tmp_path / "b", settings)
    other = train(tmp_path / "c", settings, seed=4)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


def test_training_learns(tmp_path):
    first = train(tmp_path, replace(QUICK, max_epochs=30))
    fresh = prepared(clusters(30, seed=2))
    assert force_mae(first.model, fresh) < 0.5 * float(fresh.forces_A3.abs().mean())
    assert first.history[-1]["validation_loss"] < 0.5 * first.history[0]["validation_loss"]


def test_the_history_tells_the_errors_of_the_kept_weights(tmp_path):
    trained = train(tmp_path, replace(QUICK, max_epochs=12))
    validation = prepared(clusters(12, seed=1))
    record = next(r for r in trained.history if r["epoch"] == trained.best_epoch)
    assert record["validation_loss"] == min(r["validation_loss"] for r in trained.history)
    assert record["validation_loss"] == pytest.approx(trained.best_objective, rel=1e-6)
    assert record["force_mae_eV_A"] == pytest.approx(force_mae(trained.model, validation), rel=1e-5)
    rmse = [record["energy_rmse_eV_atom"], record["force_rmse_eV_A"]]
    assert record["validation_loss"] == pytest.approx(sum(x**2 for x in rmse), rel=1e-5)


def test_the_best_weights_are_those_of_the_lowest_validation_and_patience_ends_the_training(tmp_path, monkeypatch):
    objectives = iter([3.0, 1.0, *[2.0 + i for i in range(100)]])
    seen = {}

    class Spy(potential_module.BestWeights):
        def validation_objective(self, trainer):
            return next(objectives)

        def on_validation_end(self, trainer, pl_module):
            super().on_validation_end(trainer, pl_module)
            seen[trainer.current_epoch] = {k: v.clone() for k, v in pl_module.average.state_dict().items()}

    monkeypatch.setattr(potential_module, "BestWeights", Spy)
    trained = train(tmp_path, replace(QUICK, max_epochs=12, termination_patience=4))
    assert (trained.best_epoch, trained.epochs) == (1, 6)
    assert all(torch.equal(value, seen[1][name]) for name, value in trained.model.state_dict().items())


def test_the_average_follows_the_weights_by_its_decay(tmp_path, monkeypatch):
    """After one step it is the weighted mean of the start and of the first step."""
    steps = []
    step = potential_module.PotentialModule.training_step

    def watched(self, labelled, index):
        before = [w.detach().clone() for w in self.average.parameters()]
        step(self, labelled, index)
        steps.append((before, [w.detach().clone() for w in self.model.parameters()], self))

    monkeypatch.setattr(potential_module.PotentialModule, "training_step", watched)
    train(tmp_path, replace(QUICK, max_epochs=1, ema_decay=0.05), n_train=8)
    ((before, after, module),) = steps
    for old, new, average in zip(before, after, module.average.parameters(), strict=True):
        torch.testing.assert_close(average, 0.05 * old + 0.95 * new)
        assert average.is_leaf  # no graph of past steps is kept


def test_a_plateau_changes_the_batches_of_the_next_epoch(tmp_path):
    trained = train(tmp_path, replace(PLATEAU, max_epochs=14, learning_rate=1e-9, max_batch_size=32))
    sizes = [record["batch_size"] for record in trained.history]
    assert sizes[0] == 8 and 16 in sizes and sizes[-1] == 32
    steps = np.diff([0, *(record["step"] for record in trained.history)])
    assert steps.tolist() == [40 // int(size) for size in sizes]
    rates = [record["learning_rate"] for record in trained.history]
    first = sizes.index(32)
    assert set(rates[: first + 1]) == {1e-9} and rates[-1] < 1e-9


def test_batches_are_a_function_of_seed_and_epoch():
    def orders(epochs):
        batches = EpochBatches(20, 4, seed=5)
        for epoch in epochs:
            batches.set_epoch(epoch)
            yield list(batches)

    assert list(orders([3])) == list(orders([0, 1, 2, 3]))[3:]
    assert list(orders([0])) != list(orders([1]))


@pytest.mark.slow
def test_two_devices_train_as_one(tmp_path):
    settings = replace(QUICK, dtype="float64", max_epochs=3, loss=PotentialLoss(energy=1.0, forces=1.0, stress=1.0))
    sets = {"train": prepared(clusters(30, periodic=True), torch.float64)}
    sets["validation"] = prepared(clusters(9, seed=1, periodic=True), torch.float64)
    one = train(tmp_path / "one", settings, **sets)
    two = train(tmp_path / "two", settings, devices=2, **sets)
    torch.testing.assert_close(weights(one), weights(two), rtol=1e-9, atol=1e-11)
    assert one.best_objective == pytest.approx(two.best_objective, rel=1e-9)
    assert [r["train_loss"] for r in one.history] == pytest.approx([r["train_loss"] for r in two.history], rel=1e-9)


def test_double_precision_reaches_the_network_and_its_references(tmp_path):
    config = replace(TINY, reference_energies_eV=(-3.0000000001, -100.0000000001))
    data = prepared(clusters(16), torch.float64)
    settings = replace(QUICK, dtype="float64", max_epochs=1)
    trained = train_potential(HIPNN, config, settings, train=data, validation=data, seed=0, checkpoints=tmp_path)
    assert {weight.dtype for weight in trained.model.parameters()} == {torch.float64}
    assert trained.model.reference_S.tolist() == [-3.0000000001, -100.0000000001]


def test_single_precision_leaves_the_references_alone(tmp_path):
    config = replace(TINY, reference_energies_eV=(-3.0000000001, -100.0000000001))
    data = prepared(clusters(16))
    settings = replace(QUICK, max_epochs=1)
    trained = train_potential(HIPNN, config, settings, train=data, validation=data, seed=0, checkpoints=tmp_path)
    assert trained.model.reference_S.tolist() == [-3.0000000001, -100.0000000001]


def test_squared_weights_in_the_loss_shrink_matrices(tmp_path):
    def size(l2):
        model = train(tmp_path / str(l2), replace(QUICK, max_epochs=10, l2=l2)).model
        return sum(float(w.detach().square().sum()) for w in model.parameters() if w.ndim > 1)

    assert size(0.1) < 0.9 * size(0.0)


def test_stress_is_trained_in_batches_that_hold_open_systems_too(tmp_path):
    settings = replace(QUICK, loss=PotentialLoss(energy=1.0, forces=1.0, stress=1.0), max_epochs=3)
    boxed = prepared(clusters(12, seed=1, periodic=True))
    trained = train(tmp_path, settings, train=prepared(clusters(30, periodic=True)), validation=boxed)
    assert torch.isfinite(weights(trained)).all()
    assert 0 < trained.history[-1]["validation_loss"] < trained.history[0]["validation_loss"]


def test_bfloat16_products_train_to_nearly_the_same_errors(tmp_path):
    rounded = train(tmp_path / "autocast", replace(QUICK, autocast=True))
    plain = train(tmp_path / "plain", QUICK)
    assert rounded.best_objective == pytest.approx(plain.best_objective, rel=0.2)
    assert not torch.equal(weights(rounded), weights(plain))


def test_a_loss_that_is_not_finite_names_its_epoch(tmp_path):
    data = clusters(40)
    wrong = prepared(replace(data, energies_eV=data.energies_eV + 1e30))
    with pytest.raises(FloatingPointError, match="not finite in epoch 0: lower the learning rate, or look for wrong"):
        train(tmp_path, replace(QUICK, validate_every=2), train=wrong)


def test_sets_without_what_the_loss_asks_for_are_refused_before_training(tmp_path):
    data = clusters(10)
    silent = prepared(replace(data, forces_eV_A=np.full_like(data.forces_eV_A, np.nan)))
    with pytest.raises(ValueError, match="training set: found no forces, expected some") as raised:
        train(tmp_path, replace(QUICK, loss=PotentialLoss(forces=1.0, stress=1.0)), train=silent)
    assert "training set: found no stress" in str(raised.value)
    with pytest.raises(ValueError, match=r"validation set: found torch\.float32, expected torch\.float64"):
        train(tmp_path, replace(QUICK, dtype="float64"), validation=silent)
    energies = replace(QUICK, loss=PotentialLoss(energy=1.0, forces=0.0), max_epochs=2)
    trained = train(tmp_path / "energies", energies, train=silent)
    assert np.isfinite(trained.best_objective)


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        (
            {"learning_rate": 2.0, "batch_size": 0, "method": "x"},
            ("learning_rate: found 2.0", "batch_size: found 0", "method"),
        ),
        (
            {"validate_every": 500, "max_epochs": 10, "compile": True},
            ("validate_every: found 500", "compile: found method"),
        ),
    ],
)
def test_settings_out_of_range_are_listed_together(wrong, parts):
    """Ranges of single settings first; rules that tie several of them once each is in range."""
    with pytest.raises(ValueError, match="PotentialSettings: ") as caught:
        PotentialSettings(**wrong)
    for part in parts:
        assert part in str(caught.value)
