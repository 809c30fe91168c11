import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from models.networks.spectra.geometry import cumulative_weight
from models.networks.spectra.spectrum_vae import Posterior, SpectrumVAE
from models.training.spectra.elbo import kl_per_latent, latent_activity, negative_elbo, nested_mask, ramp


def test_kl_of_gaussians_follows_its_closed_form():
    mean, logvar = torch.tensor([[0.0, 1.5, -2.0]]).double(), torch.tensor([[0.0, -3.0, 1.0]]).double()
    expected = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(torch.zeros(3), torch.ones(3)))
    torch.testing.assert_close(kl_per_latent(mean, logvar), expected, rtol=0, atol=1e-14)
    assert kl_per_latent(mean, logvar)[0, 0] == 0


def test_objective_is_squared_error_plus_beta_times_kl():
    torch.manual_seed(0)
    model = SpectrumVAE(SpectrumVAE.Config(n_omega=11, n_latent=3, n_odd=1, hidden=(8,), variational=False))
    x = torch.rand(6, 11)
    found = negative_elbo(model, x, beta=0.7)
    torch.testing.assert_close(found.squared_error, ((x - model(x)) ** 2).sum(1).mean())
    torch.testing.assert_close(found.loss, found.squared_error + 0.7 * found.kl_L.sum())
    torch.testing.assert_close(negative_elbo(model, x, beta=0.0).loss, found.squared_error)


def test_objective_of_the_mirrored_spectrum_is_the_same_number():
    torch.manual_seed(0)
    model = SpectrumVAE(SpectrumVAE.Config(n_omega=11, n_latent=3, n_odd=1, hidden=(8,), variational=False)).double()
    x = torch.rand(6, 11).double()
    one, other = negative_elbo(model, x, beta=1.0), negative_elbo(model, x.flip(-1), beta=1.0)
    torch.testing.assert_close(one.loss, other.loss, rtol=0, atol=1e-12)


def test_prefix_dropout_compares_cut_spectra_by_their_weight_alone():
    torch.manual_seed(0)
    model = SpectrumVAE(SpectrumVAE.Config(n_omega=11, n_latent=3, n_odd=1, hidden=(8,), variational=False))
    x = torch.rand(4000, 11)
    found = negative_elbo(model, x, beta=0.0, nested_dropout=1.0, generator=torch.Generator().manual_seed(0))
    whole = negative_elbo(model, x, beta=0.0)
    share = (1 / 3) * (1 / 2)  # of prefixes which happen to keep both even latents and the odd one
    assert found.loss.item() == pytest.approx(share * whole.loss.item(), rel=0.15)
    moved = negative_elbo(model, x, beta=0.0, cramer_weight=2.0)
    weight = ((cumulative_weight(x) - cumulative_weight(model(x))) ** 2).sum(1).mean()
    torch.testing.assert_close(moved.loss, whole.loss + 2 * weight)


def test_nested_masks_keep_leading_latents_of_each_sector():
    generator = torch.Generator().manual_seed(0)
    mask = nested_mask(4000, [range(0, 3), range(3, 5)], 0.6, like_L=torch.ones(5), generator=generator)
    assert (mask[:, 0] >= mask[:, 1]).all()
    assert (mask[:, 1] >= mask[:, 2]).all()
    assert (mask[:, 3] >= mask[:, 4]).all()
    shares = [0.4 + 0.6 * kept for kept in (3 / 4, 2 / 4, 1 / 4, 2 / 3, 1 / 3)]
    assert mask.mean(0).tolist() == pytest.approx(shares, abs=0.03)


def test_no_prefix_dropout_keeps_everything():
    assert (nested_mask(10, [range(0, 5)], 0.0, like_L=torch.ones(5)) == 1).all()


def test_ramp_rises_linearly_and_stays():
    assert [ramp(step, 4) for step in range(6)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert ramp(0, 0) == 1.0


def test_activity_is_the_kl_or_the_information_in_the_mean():
    mean = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double()
    posterior = Posterior(mean, torch.zeros_like(mean))
    assert latent_activity(posterior, variational=True).tolist() == [[0.5, 0.0], [0.5, 0.0]]
    activity = latent_activity(posterior, variational=False)[0]
    assert activity[0].item() == pytest.approx(math.log(101) / 2)
    assert activity[1] == 0
