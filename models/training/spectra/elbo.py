"""Objective of the spectrum VAE: evidence lower bound, with latents put in order.

Per spectrum x with F(x) of one of the geometries of models.networks.spectra.geometry, z ~ q(z|x), y = decode(m * z):

    loss = c sum_k (x_k - y_k)^2 + cramer_weight sum_k (F(x)_k - F(y)_k)^2 + beta sum_l KL_l
    KL_l = KL(N(mean, var) || N(0, 1)) = (mean^2 + var - 1 - log var) / 2      [nats]

(unit-normal likelihoods up to a factor 2 that is absorbed in beta; beta = 0 and no sampling is the plain autoencoder.)
beta ramps linearly from 0 during the first part of the training, or latents die before they carry anything.

Order, and with it a choice of axes, out of the data alone: nested dropout, Rippel, Gelbart and Adams, arXiv:1402.0915.
With probability `nested_dropout` a spectrum is decoded from the first latents of each symmetry sector only (mask m;
the others at their prior mean 0). It is then compared in F alone (c = 0), otherwise c = 1. So the first latent
of a sector must place the weight along log |omega| as well as one number can, the second adds what is left, as in
principal components, but nonlinear; and all together reconstruct x.
`nested_dropout = 0, cramer_weight = 0` is the usual beta-VAE.

Suffixes: B batch, W frequency, L latent.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.networks.spectra.geometry import GEOMETRIES
from models.networks.spectra.spectrum_vae import Posterior, SpectrumVAE

__all__ = ["Objective", "kl_per_latent", "latent_activity", "negative_elbo", "nested_mask", "ramp"]


class Objective(NamedTuple):
    """Batch means; `loss` is what is minimised, `kl_L` is in nats per spectrum."""

    loss: Tensor
    squared_error: Tensor
    kl_L: Tensor


def negative_elbo(
    model: SpectrumVAE,
    x_BW: Tensor,
    *,
    beta: float,
    nested_dropout: float = 0.0,
    cramer_weight: float = 0.0,
    geometry: str = "weight",
    generator: torch.Generator | None = None,
) -> Objective:
    """Batch mean of the objective above; `squared_error` is its first term, without c."""
    posterior = model.encode(x_BW)
    z_BL = model.sample(posterior, generator)
    whole_B = torch.ones(len(x_BW), dtype=x_BW.dtype, device=x_BW.device)
    if nested_dropout > 0:
        mask_BL = nested_mask(len(x_BW), model.sectors, nested_dropout, generator=generator, like_L=model.sign_L)
        z_BL = z_BL * mask_BL
        whole_B = mask_BL.amin(-1)
    y_BW = model.decode(z_BL)
    squared_error_B = ((x_BW - y_BW) ** 2).sum(-1)
    kl_L = kl_per_latent(posterior.mean_BL, posterior.logvar_BL).mean(0)
    loss = (whole_B * squared_error_B).mean() + beta * kl_L.sum()
    if cramer_weight > 0:
        outwards = GEOMETRIES[geometry]
        loss = loss + cramer_weight * ((outwards(x_BW) - outwards(y_BW)) ** 2).sum(-1).mean()
    return Objective(loss, squared_error_B.mean(), kl_L)


def kl_per_latent(mean_BL: Tensor, logvar_BL: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)) of every latent [nats]."""
    return (mean_BL**2 + logvar_BL.exp() - 1.0 - logvar_BL) / 2


def latent_activity(posterior: Posterior, *, variational: bool) -> Tensor:
    """How much every latent carries, (B, L), in nats; its mean over the data tells which latents are active.

    The KL to the prior. An autoencoder has no posterior width: there, the information in the mean about its place in
    the data set if it were read with an error of a tenth of the largest latent's spread.
    """
    mean_BL, logvar_BL = posterior
    if variational:
        return kl_per_latent(mean_BL, logvar_BL)
    variance_L = mean_BL.var(0, correction=0)
    return torch.log1p(100.0 * variance_L / variance_L.max().clamp_min(1e-30)).div(2).expand_as(mean_BL)


def nested_mask(
    n_batch: int,
    sectors: Sequence[range],
    nested_dropout: float,
    *,
    like_L: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """1 for the latents that are kept, 0 for the others, shape (B, L).

    With probability `nested_dropout`, only the first k latents of a sector are kept, k = 0 .. n_sector uniform and for
    each sector by itself; otherwise all of them.
    """
    cut_B1 = torch.rand(n_batch, 1, generator=generator, device=like_L.device) < nested_dropout
    mask_BL = torch.ones(n_batch, len(like_L), dtype=like_L.dtype, device=like_L.device)
    for sector in sectors:
        n = len(sector)
        kept_B1 = torch.randint(0, n + 1, (n_batch, 1), generator=generator, device=like_L.device)
        position_L = torch.arange(n, device=like_L.device)
        mask_BL[:, sector.start : sector.stop] = ((position_L < kept_B1) | ~cut_B1).to(like_L.dtype)
    return mask_BL


def ramp(step: int, n_ramp: int) -> float:
    """Linear rise 0 -> 1 over `n_ramp` steps, 1 afterwards."""
    return 1.0 if n_ramp <= 0 else min(1.0, step / n_ramp)
