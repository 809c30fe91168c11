"""Values of pairs in the slots of atoms, and messages between the two ends of a pair; closed under differentiation.

    in_slots(x)_ik    = x of the pair in slot k of atom i, 0 where empty           (H, C) -> (N, K, C)
    of_pairs(y)_h     = y in the slot at the first atom + in that at the second    (N, K, C) -> (H, C)
    other_end(y)_ik   = y in the slot of the same pair at its other atom           (N, K, C) -> (N, K, C)

All three are linear. in_slots and of_pairs are adjoint to each other and other_end to itself, so derivatives of any
order, forward and backward, read rows and never scatter them (models.networks.potentials.graph says what slots are).

Shape suffixes: N atoms, K slots, L = N K slots in a row, H pairs, C columns.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.potentials.graph import Graph

__all__ = ["in_slots", "other_end", "other_slot"]


def in_slots(x_HC: Tensor, graph: Graph) -> Tensor:
    """Rows of pairs in the slots at both their ends, (N, K, C); zeros where empty."""
    slots: Tensor = InSlots.apply(x_HC, graph.slot_pair_NK, graph.ends_2H)
    return slots


def other_slot(graph: Graph) -> Tensor:
    """Of every slot, the one at the other end of its pair, (L,); an empty slot: itself. Every pair needs two slots."""
    first_H, second_H = graph.ends_2H
    slots_L = torch.arange(graph.slot_pair_NK.numel(), device=first_H.device)
    return slots_L.index_copy(0, first_H, second_H).index_copy_(0, second_H, first_H)


def other_end(y_NKC: Tensor, other_slot_L: Tensor) -> Tensor:
    """What lies in the slots at the other ends, (N, K, C)."""
    moved: Tensor = OtherEnd.apply(y_NKC, other_slot_L)
    return moved


class InSlots(torch.autograd.Function):
    """in_slots(x)."""

    @staticmethod
    def forward(x_HC: Tensor, slot_pair_NK: Tensor, ends_2H: Tensor) -> Tensor:
        rows = F.pad(x_HC, (0, 0, 0, 1)).index_select(0, slot_pair_NK.flatten())
        return rows.view(*slot_pair_NK.shape, x_HC.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ANN401
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, g_NKC: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return OfPairs.apply(g_NKC, *ctx.saved_tensors), None, None

    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor, *_: None) -> Tensor:  # noqa: ANN401
        tangent: Tensor = InSlots.apply(x_dot, *ctx.saved_tensors)
        return tangent


class OfPairs(torch.autograd.Function):
    """of_pairs(y)."""

    @staticmethod
    def forward(y_NKC: Tensor, slot_pair_NK: Tensor, ends_2H: Tensor) -> Tensor:
        rows = y_NKC.reshape(-1, y_NKC.shape[2])
        return rows.index_select(0, ends_2H[0]).add_(rows.index_select(0, ends_2H[1]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ANN401
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, g_HC: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return InSlots.apply(g_HC, *ctx.saved_tensors), None, None

    @staticmethod
    def jvp(ctx: Any, y_dot: Tensor, *_: None) -> Tensor:  # noqa: ANN401
        tangent: Tensor = OfPairs.apply(y_dot, *ctx.saved_tensors)
        return tangent


class OtherEnd(torch.autograd.Function):
    """other_end(y)."""

    @staticmethod
    def forward(y_NKC: Tensor, other_slot_L: Tensor) -> Tensor:
        return y_NKC.reshape(-1, y_NKC.shape[2]).index_select(0, other_slot_L).view(y_NKC.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ANN401
        ctx.save_for_backward(inputs[1])
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def backward(ctx: Any, g_NKC: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return OtherEnd.apply(g_NKC, *ctx.saved_tensors), None

    @staticmethod
    def jvp(ctx: Any, y_dot: Tensor, *_: None) -> Tensor:  # noqa: ANN401
        tangent: Tensor = OtherEnd.apply(y_dot, *ctx.saved_tensors)
        return tangent
