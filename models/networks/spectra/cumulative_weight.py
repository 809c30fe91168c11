"""Spectra as distributions of weight over log |omega|: a geometry in which a change of energy scale is a straight line.

On a grid that is symmetric and logarithmic in |omega|, let w_k > 0 be its frequencies and

    p(k, +-) = x(+-w_k) / sum_k [x(w_k) + x(-w_k)]        weight per step of log |omega|, amplitude divided out
    F(k, +-) = sum_{k' <= k} p(k', +-)                    cumulated outwards from omega = 0 on either side

Sum of (F - G)^2 is the Cramer (energy) distance of two spectra; Szekely and Rizzo, J. Stat. Plan. Inference 143, 1249
(2013). Its square root grows in proportion to how far weight has to be moved along log |omega|, whereas the pointwise
distance of two peaks stops growing as soon as they no longer overlap, which curls the manifold of spectra up. The
impurity model knows scales only through ratios: where the band is wide, scaling all energies by a factor shifts x along
log |omega|, and F moves straight.

The mirror x(omega) -> x(-omega) exchanges the two branches of F as it does those of x.
Suffixes: B batch, W frequency.
"""

import torch
from torch import Tensor

__all__ = ["cumulative_weight"]


def cumulative_weight(x_BW: Tensor) -> Tensor:
    """F on the grid of x, 0 at omega = 0 (when the grid holds it); spectra are >= 0 up to rounding."""
    n_side = x_BW.shape[-1] // 2
    left_BK, right_BK = x_BW[..., :n_side].flip(-1), x_BW[..., -n_side:]
    total_B1 = (left_BK.sum(-1, keepdim=True) + right_BK.sum(-1, keepdim=True)).clamp_min(1e-6)
    middle = torch.zeros_like(x_BW[..., n_side : x_BW.shape[-1] - n_side])
    left_BK, right_BK = (left_BK / total_B1).cumsum(-1), (right_BK / total_B1).cumsum(-1)
    return torch.cat([left_BK.flip(-1), middle, right_BK], dim=-1)
