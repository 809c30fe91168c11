"""Sums over neighbours, closed under differentiation.

With sensitivities s of pairs, features z of atoms and cotangents g of environments there are three sums, each bilinear,

    environments(s, z)_iv = sum_j s_v(ij) z_j                  (N, E, S)
    pair_sums(g, z)_v     = g_iv . z_j + g_jv . z_i            (H, S)       a pair counts for both its atoms
    atom_sums(g, s)_j     = sum_i sum_v s_v(ij) g_iv           (N, E)

and the derivative of any of them is made of the other two. So gradients, gradients of gradients and tangents all run as
the same three batched matrix products over slots, with nothing scattered but at the ends. Gathered copies (slots) of s
and z are carried along for reuse; derivatives belong to s and z themselves.

Shape suffixes: N atoms, K slots, H pairs, S sensitivities, E features.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.potentials.graph import Graph

__all__ = ["environment_sum"]


def environment_sum(sense_HS: Tensor, z_NE: Tensor, graph: Graph) -> Tensor:
    """sum_j s_v(r_ij) z_j over the neighbours of each atom, (N, E, S)."""
    index = (graph.slot_pair_NK, graph.slot_atom_NK, graph.ends_2H)
    with torch.no_grad():
        slots = _slots_of_pairs(sense_HS.detach(), index[0]), _slots_of_atoms(z_NE.detach(), index[1])
    environments: Tensor = Environments.apply(sense_HS, z_NE, *slots, *index)
    return environments


class Environments(torch.autograd.Function):
    """environments(s, z)."""

    @staticmethod
    def forward(s_HS: Tensor, z_NE: Tensor, s_NKS: Tensor, z_NKE: Tensor, *index: Tensor) -> Tensor:
        return torch.bmm(z_NKE.transpose(1, 2), s_NKS)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ANN401
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, g_NES: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        s_HS, z_NE, s_NKS, z_NKE, *index = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        of_s = PairSums.apply(g_NES, z_NE, z_NKE, *index) if wanted[0] else None
        of_z = AtomSums.apply(g_NES, s_HS, s_NKS, *index) if wanted[1] else None
        return of_s, of_z, None, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, s_dot: Tensor | None, z_dot: Tensor | None, *_: None) -> Tensor:  # noqa: ANN401
        s_HS, z_NE, s_NKS, z_NKE, *index = ctx.saved_tensors
        first = None if s_dot is None else _environments(s_dot, z_NE, index, z_NKE=z_NKE)
        second = None if z_dot is None else _environments(s_HS, z_dot, index, s_NKS=s_NKS)
        return _sum(first, second)


class PairSums(torch.autograd.Function):
    """pair_sums(g, z)."""

    @staticmethod
    def forward(g_NES: Tensor, z_NE: Tensor, z_NKE: Tensor, *index: Tensor) -> Tensor:
        slots = torch.bmm(z_NKE, g_NES).flatten(0, 1)
        ends_2H = index[2]
        return slots.index_select(0, ends_2H[0]).add_(slots.index_select(0, ends_2H[1]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ANN401
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, a_HS: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        g_NES, z_NE, z_NKE, *index = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        a_NKS = _slots_of_pairs(a_HS.detach(), index[0])
        of_g = _environments(a_HS, z_NE, index, s_NKS=a_NKS, z_NKE=z_NKE) if wanted[0] else None
        of_z = AtomSums.apply(g_NES, a_HS, a_NKS, *index) if wanted[1] else None
        return of_g, of_z, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, g_dot: Tensor | None, z_dot: Tensor | None, *_: None) -> Tensor:  # noqa: ANN401
        g_NES, z_NE, z_NKE, *index = ctx.saved_tensors
        first = None if g_dot is None else PairSums.apply(g_dot, z_NE, z_NKE, *index)
        second = None
        if z_dot is not None:
            second = PairSums.apply(g_NES, z_dot, _slots_of_atoms(z_dot.detach(), index[1]), *index)
        return _sum(first, second)


class AtomSums(torch.autograd.Function):
    """atom_sums(g, s)."""

    @staticmethod
    def forward(g_NES: Tensor, s_HS: Tensor, s_NKS: Tensor, *index: Tensor) -> Tensor:
        slots = torch.bmm(s_NKS, g_NES.transpose(1, 2)).flatten(0, 1)
        n_atoms = len(g_NES)
        other = index[1].clamp(max=n_atoms - 1).flatten()  # empty slots add zeros to the last atom
        return slots.new_zeros((n_atoms, slots.shape[1])).index_add_(0, other, slots)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ANN401
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, b_NE: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        g_NES, s_HS, s_NKS, *index = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        b_NKE = _slots_of_atoms(b_NE.detach(), index[1])
        of_g = _environments(s_HS, b_NE, index, s_NKS=s_NKS, z_NKE=b_NKE) if wanted[0] else None
        of_s = PairSums.apply(g_NES, b_NE, b_NKE, *index) if wanted[1] else None
        return of_g, of_s, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, g_dot: Tensor | None, s_dot: Tensor | None, *_: None) -> Tensor:  # noqa: ANN401
        g_NES, s_HS, s_NKS, *index = ctx.saved_tensors
        first = None if g_dot is None else AtomSums.apply(g_dot, s_HS, s_NKS, *index)
        second = None
        if s_dot is not None:
            second = AtomSums.apply(g_NES, s_dot, _slots_of_pairs(s_dot.detach(), index[0]), *index)
        return _sum(first, second)


def _environments(
    s_HS: Tensor, z_NE: Tensor, index: list[Tensor], *, s_NKS: Tensor | None = None, z_NKE: Tensor | None = None
) -> Tensor:
    s_NKS = _slots_of_pairs(s_HS.detach(), index[0]) if s_NKS is None else s_NKS
    z_NKE = _slots_of_atoms(z_NE.detach(), index[1]) if z_NKE is None else z_NKE
    result: Tensor = Environments.apply(s_HS, z_NE, s_NKS, z_NKE, *index)
    return result


def _slots_of_pairs(s_HS: Tensor, slot_pair_NK: Tensor) -> Tensor:
    """An empty slot reads a row of zeros, one past the last pair."""
    n_atoms, n_slots = slot_pair_NK.shape
    return F.pad(s_HS, (0, 0, 0, 1)).index_select(0, slot_pair_NK.flatten()).view(n_atoms, n_slots, s_HS.shape[1])


def _slots_of_atoms(z_NE: Tensor, slot_atom_NK: Tensor) -> Tensor:
    """An empty slot reads the last atom: what it meets is zero."""
    n_atoms, n_slots = slot_atom_NK.shape
    return z_NE.index_select(0, slot_atom_NK.clamp(max=len(z_NE) - 1).flatten()).view(n_atoms, n_slots, z_NE.shape[1])


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor:
    if first is None or second is None:
        one = second if first is None else first
        assert one is not None  # autograd asks for a tangent only where an input has one
        return one
    return first + second
