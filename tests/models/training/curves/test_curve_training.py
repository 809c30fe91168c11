"""Training of the curve VAE: what varies is found, and the same seed gives the same network."""

import numpy as np
import pytest
import torch

from models.laws.correlation import spearman
from models.networks.curves.curve_vae import CurveVAE
from models.training.curves.curve_training import CurveTraining, train_curve_vae
from models.training.spectra.elbo import kl_per_latent

RNG = np.random.default_rng(3)
RATE = RNG.uniform(0.3, 3.0, 400)
CURVES = np.exp(-RATE[:, None] * np.linspace(0, 3, 24)) + 0.01 * RNG.standard_normal((400, 24))
CONFIG = CurveVAE.Config(n_points=24, n_latent=3, n_odd=0, hidden=(48, 24), symmetry="none")


def trained(**more):
    settings = {"beta": 0.3, "nested_dropout": 0.3, "learning_rate": 3e-3, "weight_decay": 1e-4, "batch_size": 64}
    training = CurveTraining(**(settings | {"n_steps": 800} | more))
    return train_curve_vae(CONFIG, training, train_BW=CURVES[:300], validation_BW=CURVES[300:], seed=5)


def test_one_parameter_becomes_one_latent():
    found = trained()
    with torch.inference_mode():
        posterior = found.model.encode(torch.from_numpy(CURVES).float())
    kl_L = kl_per_latent(*posterior).mean(0)
    ranked = kl_L.sort(descending=True).values
    assert ranked[0] > 10 * ranked[1] and ranked[0] > 2.0
    z_N = posterior.mean_BL[300:, int(kl_L.argmax())].double().numpy()
    assert abs(spearman(z_N, RATE[300:])) > 0.98
    assert found.validation_error < 0.1


def test_the_same_seed_gives_the_same_network():
    one, other = trained(n_steps=60), trained(n_steps=60)
    assert one.best_step == other.best_step
    for name, values in one.model.state_dict().items():
        assert torch.equal(values, other.model.state_dict()[name]), name


def test_rows_of_another_length_or_not_finite_are_refused():
    training = CurveTraining(
        beta=1.0, nested_dropout=0.0, learning_rate=1e-3, weight_decay=0.0, batch_size=8, n_steps=10
    )
    with pytest.raises(ValueError, match=r"training curves: found shape \(5, 3\).*validation curves: 1 cells"):
        bad = CURVES[:4].copy()
        bad[1, 1] = np.nan
        train_curve_vae(CONFIG, training, train_BW=np.ones((5, 3)), validation_BW=bad, seed=0)
