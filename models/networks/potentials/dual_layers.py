"""Feed-forward networks on dual numbers x + t x', as ordinary tensors: values and tangents side by side.

    linear     y = W x + b       y' = W x'
    CELU       y = f(x)          y' = f'(x) x'          f(x) = x above 0, a (exp(x/a) - 1) below

The outputs are differentiable with respect to weights, so that going back through y' gives d/dW of a derivative along
x', exactly and with first-order graphs only: twice the work of the network on x alone.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["along"]


def along(network: nn.Sequential, x: Tensor, x_dot: Tensor) -> tuple[Tensor, Tensor]:
    """Value and tangent of a network of linear and CELU layers; raises TypeError for any other layer."""
    for layer in network:
        if isinstance(layer, nn.Linear):
            x, x_dot = F.linear(x, layer.weight, layer.bias), F.linear(x_dot, layer.weight)
        elif isinstance(layer, nn.CELU):
            x, x_dot = DualCELU.apply(x, x_dot, layer.alpha)
        else:
            raise TypeError(f"found a layer {type(layer).__name__}, expected linear and CELU layers")
    return x, x_dot


class DualCELU(torch.autograd.Function):
    """(x, x', a) -> (f(x), f'(x) x')."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, x_dot: Tensor, alpha: float) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        slope = torch.exp(x.clamp(max=0.0).div_(alpha))
        ctx.save_for_backward(x, x_dot, slope)
        ctx.alpha = alpha
        return F.celu(x, alpha), slope * x_dot

    @staticmethod
    def backward(ctx: Any, g: Tensor, g_dot: Tensor) -> tuple[Tensor, Tensor, None]:  # noqa: ANN401
        x, x_dot, slope = ctx.saved_tensors
        bend = torch.where(x > 0, 0, x_dot / ctx.alpha)  # f''(x) x' over f'(x)
        return slope * torch.addcmul(g, g_dot, bend), slope * g_dot, None
