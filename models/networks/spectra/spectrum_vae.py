"""Variational autoencoder of spectral functions, with the particle-hole mirror built in.

Problem: compress spectra x(omega) = pi Gamma A(omega) into a few numbers z whose axes mean something. A plain VAE
(Kingma and Welling, arXiv:1312.6114) may turn its latent axes freely, because prior and loss are both isotropic.
One exact symmetry of the impurity problem takes a part of this freedom away without any label: the mirror
P: x(omega) -> x(-omega) maps spectra onto spectra (eps_d -> -U - eps_d, B -> -B).

`architecture="mirror"` makes the network equivariant under P. With h and g ordinary multilayer perceptrons and
S = diag(+1, ..., +1, -1, ..., -1) acting on the latents (even ones first, then n_odd odd ones):

    mean(x)   = (h_mean(x) + S h_mean(Px)) / 2         so mean(Px)   = S mean(x)
    logvar(x) = (h_logvar(x) + h_logvar(Px)) / 2       so logvar(Px) = logvar(x)
    decode(z) = (g(z) + P g(Sz)) / 2                   so decode(Sz) = P decode(z)

What the mirror leaves alone (energy scales) can live in even latents only, what it turns round (asymmetry, field) in
odd ones only. The objective of x and of Px is the same number, so mirrored copies need not be trained on.
`architecture="plain"` is the usual VAE, with S = 1 and one pass through h and g.

The encoder reads x together with its cumulative weight (models.networks.spectra.geometry).
`variational=False` makes either one an autoencoder: z is the mean, nothing is sampled.

Suffixes: B batch, W frequency, L latent, H hidden.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import softplus

from models.networks.spectra.geometry import cumulative_weight
from models.settings import Some, settings

__all__ = ["Posterior", "SpectrumVAE", "perceptron"]


class Posterior(NamedTuple):
    """Gaussian q(z|x) with diagonal covariance."""

    mean_BL: Tensor
    logvar_BL: Tensor


class SpectrumVAE(nn.Module):
    """MLP (variational) autoencoder of spectra on a frequency grid that is symmetric about zero."""

    @settings
    class Config:
        """Shape of the network; everything that is needed to load its weights again."""

        architecture: Literal["mirror", "plain"] = "mirror"
        n_omega: Annotated[int, Field(ge=2)] = 333
        n_latent: PositiveInt = 6
        n_odd: NonNegativeInt = 2
        hidden: Some[PositiveInt] = (160, 80)
        variational: bool = True

        def __post_init__(self) -> None:
            if self.n_odd > self.n_latent:
                raise ValueError(f"n_odd: found {self.n_odd}, expected 0 .. n_latent = {self.n_latent}")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = perceptron([2 * config.n_omega, *config.hidden, 2 * config.n_latent])
        self.decoder = perceptron([config.n_latent, *reversed(config.hidden), config.n_omega])
        n_odd = config.n_odd if config.architecture == "mirror" else 0
        sign_L = torch.ones(config.n_latent)
        sign_L[config.n_latent - n_odd :] = -1.0
        self.sign_L: Tensor
        self.register_buffer("sign_L", sign_L, persistent=False)

    @property
    def sectors(self) -> list[range]:
        """Latent indices which the symmetry keeps apart: [even, odd] of the mirror network, [all] of the plain one."""
        n_odd = int((self.sign_L < 0).sum())
        n_even = self.config.n_latent - n_odd
        return [part for part in (range(n_even), range(n_even, self.config.n_latent)) if len(part)]

    def encode(self, x_BW: Tensor) -> Posterior:
        """Mean and log variance of q(z|x)."""
        mean_BL, logvar_BL = self._h(x_BW).chunk(2, dim=-1)
        if self.config.architecture == "mirror":
            mirror_mean_BL, mirror_logvar_BL = self._h(x_BW.flip(-1)).chunk(2, dim=-1)
            mean_BL = (mean_BL + self.sign_L * mirror_mean_BL) / 2
            logvar_BL = (logvar_BL + mirror_logvar_BL) / 2
        return Posterior(mean_BL, logvar_BL.clamp(-12.0, 4.0))

    def decode(self, z_BL: Tensor) -> Tensor:
        """Spectrum of a latent point, >= 0."""
        x_BW = softplus(self.decoder(z_BL))
        if self.config.architecture == "mirror":
            x_BW = (x_BW + softplus(self.decoder(self.sign_L * z_BL)).flip(-1)) / 2
        return x_BW

    def sample(self, posterior: Posterior, generator: torch.Generator | None = None) -> Tensor:
        """z ~ q(z|x) by reparametrisation; the mean itself where the network is not variational."""
        if not self.config.variational:
            return posterior.mean_BL
        mean_BL, logvar_BL = posterior
        noise_BL = torch.randn(mean_BL.shape, generator=generator, dtype=mean_BL.dtype, device=mean_BL.device)
        return mean_BL + torch.exp(logvar_BL / 2) * noise_BL

    def forward(self, x_BW: Tensor) -> Tensor:
        """Reconstruction through the mean of q(z|x)."""
        return self.decode(self.encode(x_BW).mean_BL)

    def _h(self, x_BW: Tensor) -> Tensor:
        both: Tensor = self.encoder(torch.cat([x_BW, 2 * cumulative_weight(x_BW)], dim=-1))
        return both


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths[:-1]):
        layers += [nn.Linear(n_in, n_out), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))
