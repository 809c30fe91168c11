import numpy as np
import pytest
import torch

from models.networks.spectra.spectrum_vae import SpectrumVAE
from models.training import progress
from models.training.batches import EpochBatches
from models.training.spectra import spectrum_module
from models.training.spectra.elbo import kl_per_latent
from models.training.spectra.spectrum_module import TrainingSettings, train_spectrum_vae

CONFIG = SpectrumVAE.Config(n_omega=21, n_latent=3, n_odd=1, hidden=(16,))


def lorentzians(n, seed=0):
    """Two parameters: a width (even) and a shift (odd)."""
    rng = np.random.default_rng(seed)
    omega = np.linspace(-2, 2, 21)
    width, shift = rng.uniform(0.3, 1.0, (n, 1)), rng.uniform(-1, 1, (n, 1))
    return (width**2 / ((omega - shift) ** 2 + width**2)).astype(np.float32)


def train(folder, *, settings=None, config=CONFIG, **more):
    settings = settings or TrainingSettings(max_epochs=20, batch_size=32, validate_every=1, learning_rate=0.01)
    return train_spectrum_vae(
        config,
        settings,
        train_BW=lorentzians(256),
        validation_BW=lorentzians(64, seed=1),
        seed=3,
        checkpoints=folder,
        accelerator="cpu",
        **more,
    )


def weights(trained):
    return torch.cat([value.flatten() for value in trained.model.state_dict().values()])


def test_resumed_training_ends_with_the_same_weights(tmp_path):
    whole = train(tmp_path / "whole")
    train(tmp_path / "cut", stop_after=10)
    resumed = train(tmp_path / "cut")
    assert torch.equal(weights(whole), weights(resumed))
    assert (whole.best_epoch, whole.best_objective) == (resumed.best_epoch, resumed.best_objective)


def test_reporting_how_far_a_training_is_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "LEAST_S", 0.0)
    reported = []
    assert torch.equal(weights(train(tmp_path / "a")), weights(train(tmp_path / "b", report=reported.append)))
    assert 9 <= len(reported) <= 11
    assert reported[-1].step > reported[0].step and reported[-1].epoch <= 20
    assert np.isfinite([far.objective for far in reported[1:]]).all()


def test_training_learns_and_the_seed_decides(tmp_path):
    first, second = train(tmp_path / "a"), train(tmp_path / "b")
    assert torch.equal(weights(first), weights(second))
    x = torch.from_numpy(lorentzians(64, seed=2))
    error = (first.model(x) - x).abs().mean()
    assert error < 0.5 * (x.mean(0) - x).abs().mean()


def test_best_weights_are_a_copy(tmp_path, monkeypatch):
    """What comes after the best validation must not reach the weights that are kept."""
    objectives = iter([3.0, 1.0, *[2.0 + i for i in range(100)]])
    seen = {}

    class Spy(spectrum_module.BestWeights):
        def validation_objective(self, trainer):
            return next(objectives)

        def on_validation_end(self, trainer, pl_module):
            super().on_validation_end(trainer, pl_module)
            seen[trainer.current_epoch] = {k: v.clone() for k, v in pl_module.model.state_dict().items()}

    monkeypatch.setattr(spectrum_module, "BestWeights", Spy)
    settings = TrainingSettings(max_epochs=12, batch_size=32, validate_every=1, ramp_fraction=0.0, patience=4)
    trained = train(tmp_path, settings=settings)
    assert trained.best_epoch == 1
    assert trained.epochs == 6  # stopped early: 4 epochs after the best one, counted from 0
    for name, value in trained.model.state_dict().items():
        assert torch.equal(value, seen[1][name])
    assert any(not torch.equal(seen[1][name], seen[5][name]) for name in seen[1])


def test_active_latents_are_as_many_as_the_data_has_dimensions(tmp_path):
    config = SpectrumVAE.Config(n_omega=21, n_latent=6, n_odd=3, hidden=(64, 32))
    settings = TrainingSettings(
        max_epochs=120, batch_size=64, validate_every=40, learning_rate=0.01, beta=0.1, nested_dropout=0.3
    )
    trained = train(tmp_path, settings=settings, config=config)
    with torch.inference_mode():
        kl = kl_per_latent(*trained.model.encode(torch.from_numpy(lorentzians(256)))).mean(0)
    assert (kl[:3] > 0.1).sum() == 1
    assert (kl[3:] > 0.1).sum() == 1


def test_a_run_too_short_for_a_validation_keeps_its_last_weights(tmp_path):
    trained = train(tmp_path, settings=TrainingSettings(max_epochs=3, batch_size=32, validate_every=2))
    assert trained.best_epoch == 2
    assert trained.epochs == 3


def test_plain_autoencoder_trains_without_noise(tmp_path):
    config = SpectrumVAE.Config(architecture="plain", n_omega=21, n_latent=3, hidden=(16,), variational=False)
    settings = TrainingSettings(max_epochs=10, batch_size=32, beta=0.0, nested_dropout=0.0, cramer_weight=0.0)
    assert train(tmp_path, settings=settings, config=config).best_objective < 5


@pytest.mark.slow
def test_two_processes_share_the_batches_and_one_hands_back_the_weights(tmp_path):
    trained = train(tmp_path, devices=2)
    x = torch.from_numpy(lorentzians(64, seed=2))
    assert trained.epochs == 20
    assert (trained.model(x) - x).abs().mean() < 0.5 * (x.mean(0) - x).abs().mean()


def test_batches_hold_every_row_once_and_change_with_the_epoch():
    batches = EpochBatches(96, 32, seed=0)
    first = list(batches)
    assert sorted(row for batch in first for row in batch) == list(range(96))
    batches.set_epoch(1)
    assert list(batches) != first
    batches.set_epoch(0)
    assert list(batches) == first


def test_bad_settings_and_data_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"beta: found -1.*learning_rate: found nan.*batch_size: found 0"):
        TrainingSettings(beta=-1, learning_rate=float("nan"), batch_size=0)
    bad = lorentzians(8)
    bad[3, 4] = np.nan
    settings = TrainingSettings(max_epochs=1)
    with pytest.raises(ValueError, match=r"training spectra: 1 cells are not finite; validation spectra: found shape"):
        train_spectrum_vae(CONFIG, settings, train_BW=bad, validation_BW=bad[:, :5], seed=0, checkpoints=tmp_path)


@pytest.mark.gpu
def test_training_on_the_gpu_gives_weights_on_the_cpu(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    trained = train_spectrum_vae(
        CONFIG,
        TrainingSettings(max_epochs=10, batch_size=32),
        train_BW=lorentzians(256),
        validation_BW=lorentzians(64, seed=1),
        seed=0,
        checkpoints=tmp_path,
    )
    assert weights(trained).device.type == "cpu"
    assert np.isfinite(trained.best_objective)
