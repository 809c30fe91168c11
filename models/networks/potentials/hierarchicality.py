"""How ordered the hierarchy of an energy expansion is: later terms should be small beside earlier ones.

    R_i = sum_n (E_i^n)^2 / ((E_i^n)^2 + (E_i^{n-1})^2)          n = 1 .. T - 1, between 0 and T - 1

Small values mean that the expansion has converged for atom i (Lubbers, Smith, Barros 2018); R is both the regulariser
of training and the model's own estimate of where it errs.
"""

import torch
from torch import Tensor

__all__ = ["hierarchicality_N"]


def hierarchicality_N(terms_NT: Tensor) -> Tensor:
    """R of every atom from its energy terms (N, T); zero where there is one term, or none that differs from zero."""
    squares = terms_NT.square()
    above, below = squares[:, 1:], squares[:, :-1]
    total = above + below
    return (above / torch.where(total > 0, total, 1)).sum(dim=1)
