"""Two geometries of spectra in which a change of energy scale is a straight line.

Spectra x >= 0 lie on a grid that is symmetric about omega = 0 and logarithmic in |omega|, with frequencies w_k > 0.
Both maps take x to a function F(k, +-) that rises outwards from omega = 0 on either side. The sum of (F - G)^2 of two
of them is a Cramer (energy) distance: Szekely and Rizzo, J. Stat. Plan. Inference 143, 1249 (2013). Its square root
grows in proportion to how far something has to be moved along log |omega|, whereas the pointwise distance of two peaks
stops growing as soon as they no longer overlap, which curls the manifold of spectra up. The impurity model knows scales
only through ratios: where the band is wide, scaling all energies shifts x along log |omega|, and F moves straight.

    weight      p(k, +-) = x(+-w_k) / sum_k [x(w_k) + x(-w_k)]     weight per step of log |omega|, amplitude divided out
                F(k, +-) = sum_{k' <= k} p(k', +-)                 where the weight lies

    departure   M(k, +-) = max_{k' <= k} |log(x(+-w_k') + e) - log(x(0) + e)|
                F(k, +-) = 1 - exp(-M / m)                         where x leaves its value at omega = 0

The weight of a spectrum lies where its highest peaks are, at the level and at Gamma. Its lowest energy, be it T_K, T or
|B|, is where the plateau around omega = 0 ends, however little weight lies there: that is what `departure` sees.
The mirror x(omega) -> x(-omega) exchanges the two branches of F as it does those of x.
Suffixes: B batch, W frequency.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

__all__ = ["GEOMETRIES", "cumulative_weight", "departure"]

FLOOR = 0.003  # e: spectra are pi Gamma A, 1 at unitarity, and no more accurate than this
DEPARTURE = 0.2  # m: by this share a spectrum has left its plateau


def cumulative_weight(x_BW: Tensor) -> Tensor:
    """F on the grid of x, 0 at omega = 0 (when the grid holds it); spectra are >= 0 up to rounding."""
    n_side = x_BW.shape[-1] // 2
    left_BK, right_BK = x_BW[..., :n_side].flip(-1), x_BW[..., -n_side:]
    total_B1 = (left_BK.sum(-1, keepdim=True) + right_BK.sum(-1, keepdim=True)).clamp_min(1e-6)
    middle = torch.zeros_like(x_BW[..., n_side : x_BW.shape[-1] - n_side])
    left_BK, right_BK = (left_BK / total_B1).cumsum(-1), (right_BK / total_B1).cumsum(-1)
    return torch.cat([left_BK.flip(-1), middle, right_BK], dim=-1)


def departure(x_BW: Tensor) -> Tensor:
    """F on the grid of x, which holds omega = 0 in its middle; 0 there. Raises ValueError for a grid without it."""
    if x_BW.shape[-1] % 2 == 0:
        raise ValueError(
            f"departure: found {x_BW.shape[-1]} frequencies, expected an odd number, omega = 0 in the middle"
        )
    n_side = x_BW.shape[-1] // 2
    log_BW = torch.log(x_BW.clamp_min(0) + FLOOR)
    away_BW = (log_BW - log_BW[..., n_side : n_side + 1]).abs()
    left_BK = away_BW[..., :n_side].flip(-1).cummax(-1).values.flip(-1)
    right_BK = away_BW[..., n_side + 1 :].cummax(-1).values
    largest_BW = torch.cat([left_BK, torch.zeros_like(away_BW[..., :1]), right_BK], dim=-1)
    return 1 - torch.exp(-largest_BW / DEPARTURE)


GEOMETRIES: Mapping[str, Callable[[Tensor], Tensor]] = {"weight": cumulative_weight, "departure": departure}
