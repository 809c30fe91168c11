"""The curve VAE: exact behaviour under the mirror, and units of the data."""

import pytest
import torch

from models.networks.curves.curve_vae import CurveVAE


def network(symmetry: str, n_odd: int) -> CurveVAE:
    torch.manual_seed(1)
    config = CurveVAE.Config(n_points=11, n_latent=4, n_odd=n_odd, hidden=(16,), symmetry=symmetry)
    model = CurveVAE(config)
    model.standardise(100 + 5 * torch.randn(50, 11))
    return model


def test_the_mirror_turns_odd_latents_and_leaves_even_ones():
    model, curves = network("mirror", 2), 100 + 5 * torch.randn(7, 11)
    one, other = model.encode(curves), model.encode(curves.flip(-1))
    torch.testing.assert_close(other.mean_BL, one.mean_BL * model.sign_L)
    torch.testing.assert_close(other.logvar_BL, one.logvar_BL)
    z_BL = torch.randn(7, 4)
    torch.testing.assert_close(model.decode(z_BL * model.sign_L), model.decode(z_BL).flip(-1))
    assert model.names == ("even 1", "even 2", "odd 1", "odd 2")


def test_latents_do_not_depend_on_the_unit_of_the_data():
    torch.manual_seed(2)
    curves = torch.randn(50, 11)
    one, other = network("none", 0), network("none", 0)
    one.standardise(curves)
    other.standardise(1000 * curves - 3)
    torch.testing.assert_close(
        one.encode(curves).mean_BL, other.encode(1000 * curves - 3).mean_BL, atol=1e-4, rtol=1e-3
    )
    torch.testing.assert_close(1000 * one(curves) - 3, other(1000 * curves - 3), atol=1e-2, rtol=1e-3)


def test_odd_latents_need_the_mirror():
    with pytest.raises(ValueError, match="n_odd"):
        CurveVAE.Config(n_points=11, n_latent=4, n_odd=1, hidden=(16,), symmetry="none")
