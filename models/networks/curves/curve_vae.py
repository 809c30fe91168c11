"""Variational autoencoder of any curves or small images: multilayer perceptrons on standardised values.

x = (curve - mean curve) / scale, one scale for all points, so that points where nothing varies weigh nothing. With
`symmetry="mirror"` curves come in pairs f(w), f(-w) on an axis that is symmetric about its middle, and the network is
equivariant under the mirror P as in models.networks.spectra.spectrum_vae: the last `n_odd` latents change sign,

    mean(x)   = (h_mean(x) + S h_mean(Px)) / 2         logvar(x) = (h_logvar(x) + h_logvar(Px)) / 2
    decode(z) = (g(z) + P g(Sz)) / 2                   S = diag(+1, ..., -1, ...)

Suffixes: B batch, W points, L latent.
"""

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from models.networks.spectra.spectrum_vae import Posterior, perceptron
from models.settings import Some, settings

__all__ = ["CurveVAE"]


class CurveVAE(nn.Module):
    """Takes and gives curves in their own units; `mean_W` and `scale` are set from the training rows."""

    @settings
    class Config:
        """Shape of the network."""

        n_points: PositiveInt
        n_latent: PositiveInt
        n_odd: NonNegativeInt
        hidden: Some[PositiveInt]
        symmetry: Literal["none", "mirror"]

        def __post_init__(self) -> None:
            if self.n_odd > (self.n_latent if self.symmetry == "mirror" else 0):
                raise ValueError(f"n_odd: found {self.n_odd}, expected at most n_latent, and 0 without the mirror")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = perceptron([config.n_points, *config.hidden, 2 * config.n_latent])
        self.decoder = perceptron([config.n_latent, *reversed(config.hidden), config.n_points])
        sign_L = torch.ones(config.n_latent)
        sign_L[config.n_latent - config.n_odd :] = -1.0
        self.sign_L: Tensor
        self.mean_W: Tensor
        self.scale: Tensor
        self.register_buffer("sign_L", sign_L, persistent=False)
        self.register_buffer("mean_W", torch.zeros(config.n_points))
        self.register_buffer("scale", torch.ones(()))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the latents: `latent k`, with the mirror `even k` and `odd k`."""
        n_even = self.config.n_latent - self.config.n_odd
        if self.config.symmetry == "none":
            return tuple(f"latent {i + 1}" for i in range(n_even))
        return (*(f"even {i + 1}" for i in range(n_even)), *(f"odd {i + 1}" for i in range(self.config.n_odd)))

    @property
    def sectors(self) -> list[range]:
        """Latent indices which the symmetry keeps apart: [even, odd], or [all]."""
        n_even = self.config.n_latent - self.config.n_odd
        return [part for part in (range(n_even), range(n_even, self.config.n_latent)) if len(part)]

    def standardise(self, train_BW: Tensor) -> None:
        """Set mean and scale from the training rows."""
        mean_W = train_BW.mean(0)
        if self.config.symmetry == "mirror":
            mean_W = (mean_W + mean_W.flip(-1)) / 2
        self.mean_W.copy_(mean_W)
        self.scale.copy_((train_BW - mean_W).square().mean().sqrt().clamp_min(1e-30))

    def encode(self, curve_BW: Tensor) -> Posterior:
        """Mean and log variance of q(z|x)."""
        x_BW = (curve_BW - self.mean_W) / self.scale
        mean_BL, logvar_BL = self.encoder(x_BW).chunk(2, dim=-1)
        if self.config.symmetry == "mirror":
            mirror_mean_BL, mirror_logvar_BL = self.encoder(x_BW.flip(-1)).chunk(2, dim=-1)
            mean_BL = (mean_BL + self.sign_L * mirror_mean_BL) / 2
            logvar_BL = (logvar_BL + mirror_logvar_BL) / 2
        return Posterior(mean_BL, logvar_BL.clamp(-14.0, 4.0))

    def decode(self, z_BL: Tensor) -> Tensor:
        """Curve of a latent point."""
        x_BW = self.decoder(z_BL)
        if self.config.symmetry == "mirror":
            x_BW = (x_BW + self.decoder(self.sign_L * z_BL).flip(-1)) / 2
        curve_BW: Tensor = self.mean_W + self.scale * x_BW
        return curve_BW

    def forward(self, curve_BW: Tensor) -> Tensor:
        """Reconstruction through the mean of q(z|x)."""
        return self.decode(self.encode(curve_BW).mean_BL)
