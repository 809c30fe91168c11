import pytest
import torch

from models.networks.spectra.spectrum_vae import SpectrumVAE


def network(architecture="mirror", dtype=torch.float64, **more):
    torch.manual_seed(1)
    config = SpectrumVAE.Config(architecture=architecture, n_omega=21, n_latent=5, n_odd=2, hidden=(16, 8), **more)
    return SpectrumVAE(config).to(dtype)


def spectra(dtype=torch.float64, n=7):
    return torch.rand(n, 21, generator=torch.Generator().manual_seed(2), dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_mirror_turns_the_odd_latents_and_leaves_the_even_ones(dtype, tolerance):
    model, x = network(dtype=dtype), spectra(dtype)
    mean, logvar = model.encode(x)
    mirror_mean, mirror_logvar = model.encode(x.flip(-1))
    torch.testing.assert_close(mirror_mean[:, :3], mean[:, :3], rtol=0, atol=tolerance)
    torch.testing.assert_close(mirror_mean[:, 3:], -mean[:, 3:], rtol=0, atol=tolerance)
    torch.testing.assert_close(mirror_logvar, logvar, rtol=0, atol=tolerance)
    assert mean[:, 3:].abs().max() > 1e-3


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_decoding_turned_odd_latents_gives_the_mirrored_spectrum(dtype, tolerance):
    model = network(dtype=dtype)
    z = torch.randn(7, 5, generator=torch.Generator().manual_seed(3), dtype=dtype)
    turned = z * torch.tensor([1, 1, 1, -1, -1])
    torch.testing.assert_close(model.decode(turned), model.decode(z).flip(-1), rtol=0, atol=tolerance)


def test_a_spectrum_that_is_its_own_mirror_has_no_odd_part():
    model, x = network(), spectra()
    assert model.encode(x + x.flip(-1)).mean_BL[:, 3:].abs().max() < 1e-12


def test_plain_network_knows_no_mirror():
    model, x = network("plain"), spectra()
    assert (model.encode(x.flip(-1)).mean_BL.abs() - model.encode(x).mean_BL.abs()).abs().max() > 1e-4
    assert [list(sector) for sector in model.sectors] == [[0, 1, 2, 3, 4]]


def test_sectors_of_the_mirror_network_are_even_then_odd():
    assert [list(sector) for sector in network().sectors] == [[0, 1, 2], [3, 4]]


def test_decoded_spectra_are_not_negative():
    assert (network().decode(10 * torch.randn(50, 5, dtype=torch.float64)) >= 0).all()


def test_autoencoder_does_not_sample():
    model, x = network(variational=False), spectra()
    posterior = model.encode(x)
    assert torch.equal(model.sample(posterior), posterior.mean_BL)


def test_samples_have_the_mean_and_width_of_the_posterior():
    model = network()
    posterior = model.encode(spectra(n=1).expand(20000, -1))
    z = model.sample(posterior, torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(0), posterior.mean_BL[0], rtol=0, atol=0.05)
    torch.testing.assert_close(z.std(0), (posterior.logvar_BL[0] / 2).exp(), rtol=0.03, atol=0)


def test_traversing_a_latent_that_the_decoder_ignores_changes_nothing():
    model = network()
    with torch.no_grad():
        model.decoder[0].weight[:, 1] = 0
    z = torch.zeros(7, 5, dtype=torch.float64)
    z[:, 1] = torch.linspace(-2, 2, 7)
    assert torch.equal(model.decode(z), model.decode(torch.zeros_like(z)))


def test_bad_configuration_is_refused_with_all_its_problems():
    with pytest.raises(ValueError, match=r"architecture: found 'odd'.*n_latent: found 0.*n_odd: found -3.*hidden"):
        SpectrumVAE.Config(architecture="odd", n_latent=0, n_odd=-3, hidden=())
    with pytest.raises(ValueError, match=r"n_odd: found 3, expected 0 .. n_latent = 2"):
        SpectrumVAE.Config(n_latent=2, n_odd=3)
