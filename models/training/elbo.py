"""Objective of the spectrum VAE: evidence lower bound, with latents put in order by prefix dropout.

Per spectrum x with weights w_k on the frequency grid,

    loss = sum_k w_k (x_k - decode(m * z)_k)^2 + beta sum_l KL_l,      z ~ q(z|x)
    KL_l = KL(N(mean, var) || N(0, 1)) = (mean^2 + var - 1 - log var) / 2      [nats]

(a unit-normal likelihood of x up to a factor 2 that is absorbed in beta; beta = 0 and no sampling is the plain
autoencoder). beta ramps linearly from 0 during the first part of the training, or the latents die before they carry
anything.

Prefix ("nested") dropout, Rippel, Gelbart and Adams, arXiv:1402.0915: the mask m keeps the first k latents of each
symmetry sector and sets the others to the prior mean 0, k drawn per spectrum and sector. The first latent must then do
as well as one number can, the second add what is left, as in principal components, but nonlinear: an order, and with it
a choice of axes, out of the data alone. `prefix = 0` leaves it out.

Suffixes: B batch, W frequency, L latent.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.networks.spectrum_vae import Posterior, SpectrumVAE

__all__ = ["Objective", "kl_per_latent", "latent_activity", "negative_elbo", "prefix_mask", "ramp"]


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
    prefix: float = 0.0,
    weight_W: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Objective:
    """Batch mean of the objective above; with beta = 0 of a non-variational network, the plain squared error."""
    posterior = model.encode(x_BW)
    z_BL = model.sample(posterior, generator)
    if prefix > 0:
        z_BL = z_BL * prefix_mask(len(x_BW), model.sectors, prefix, generator=generator, like_L=model.sign_L)
    squared_error_BW = (x_BW - model.decode(z_BL)) ** 2
    if weight_W is not None:
        squared_error_BW = squared_error_BW * weight_W
    squared_error = squared_error_BW.sum(-1).mean()
    kl_L = kl_per_latent(posterior.mean_BL, posterior.logvar_BL).mean(0)
    return Objective(squared_error + beta * kl_L.sum(), squared_error, kl_L)


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


def prefix_mask(
    n_batch: int,
    sectors: Sequence[range],
    prefix: float,
    *,
    like_L: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """1 for the latents that are kept, 0 for the others, shape (B, L).

    In each sector, with probability `prefix`, only the first k latents are kept, k = 1 .. n_sector - 1 uniform;
    otherwise all of them.
    """
    mask_BL = torch.ones(n_batch, len(like_L), dtype=like_L.dtype, device=like_L.device)
    for sector in sectors:
        n = len(sector)
        if n < 2:
            continue
        kept_B = torch.randint(1, n, (n_batch, 1), generator=generator, device=like_L.device)
        cut_B = torch.rand(n_batch, 1, generator=generator, device=like_L.device) < prefix
        position_L = torch.arange(n, device=like_L.device)
        mask_BL[:, sector.start : sector.stop] = ((position_L < kept_B) | ~cut_B).to(like_L.dtype)
    return mask_BL


def ramp(step: int, n_ramp: int) -> float:
    """Linear rise 0 -> 1 over `n_ramp` steps, 1 afterwards."""
    return 1.0 if n_ramp <= 0 else min(1.0, step / n_ramp)
