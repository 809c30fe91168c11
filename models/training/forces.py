"""The gradient of a loss of forces, at the price of a few energy gradients (Smith, Lubbers, Thompson, Barros, 2020).

A loss of energy terms E_k, forces and stress is a function L(E_k, g) with g = dE/dv of all pair vectors v, because forces
and stress are linear in g. With a_k = dL/dE_k and eta = dL/dg at the present weights,

    dL/dW = sum_k a_k dE_k/dW + d/dW [eta . dE/dv]

and the last bracket is the derivative of E along eta: no graph of second derivatives is needed. Three ways to take it,
one result:

    double_backward       builds the graph of g and goes back through it: the reference
    forward_over_reverse  exact: tangent of the weight gradient along (v, c) -> (eta, a) at c = 1, where
                          h(v, c) = d/dW sum_k c_k E_k(v); torch.func.jvp of torch.func.grad
    finite_difference     [dE/dW (v + e eta) - dE/dW (v - e eta)] / 2e, the energy part folded into the same two
                          evaluations as a_k/2 each (its error is of order e^2 too). The step e is chosen per
                          configuration, such that no pair vector moves by more than `displacement_A`

Costs in forward passes of the network, a backward pass counting 2 over weights and 1 over positions: energy step 3,
double backward 6, forward over reverse 7 with shared primal values (8 here), finite difference 8.
Neighbour lists are those of the undisplaced configuration in all of them.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.func import functional_call

from models.networks.graph import Graph
from models.networks.potential import PotentialNetwork, forces_of, stress_of
from models.networks.second_derivatives import weights_only
from models.training.labelled import Labelled
from models.training.potential_loss import LossParts, PotentialLoss

__all__ = ["DISPLACEMENT_A", "Method", "accumulate_gradients", "step_sizes"]

Method = Literal["double_backward", "forward_over_reverse", "finite_difference"]
DISPLACEMENT_A = 5e-4  # rounding and curvature errors meet near here in float32: benchmarks/force_training.md


def accumulate_gradients(
    model: PotentialNetwork,
    labelled: Labelled,
    loss: PotentialLoss,
    *,
    method: Method = "double_backward",
    displacement_A: float = DISPLACEMENT_A,
) -> LossParts:
    """Add dL/dW to the `grad` of every trainable weight; returns the loss, detached.

    Where neither forces nor stress weigh anything this is the usual energy step, whatever the method.
    """
    if not loss.needs_gradient:
        return _energy_step(model, labelled, loss)
    if method == "double_backward":
        return _double_backward(model, labelled, loss)
    if method == "forward_over_reverse":
        return _forward_over_reverse(model, labelled, loss)
    if method == "finite_difference":
        if not displacement_A > 0:
            raise ValueError(f"displacement_A: found {displacement_A}, expected more than 0")
        return _finite_difference(model, labelled, loss, displacement_A)
    raise ValueError(f"method: found {method!r}, expected one of {get_args(Method)}")


def _energy_step(model: PotentialNetwork, labelled: Labelled, loss: PotentialLoss) -> LossParts:
    terms_NT = model(labelled.graph, labelled.vectors_H3)
    parts = loss.parts(labelled, terms_NT, None, None)
    torch.autograd.backward(parts.total, inputs=_trainable(model))
    return _detached(parts)


def _double_backward(model: PotentialNetwork, labelled: Labelled, loss: PotentialLoss) -> LossParts:
    vectors_H3 = labelled.vectors_H3.detach().requires_grad_(True)
    terms_NT = model(labelled.graph, vectors_H3)
    with weights_only():
        (gradient_H3,) = torch.autograd.grad(terms_NT.sum(), vectors_H3, create_graph=True)
        parts = _loss_of(loss, labelled, terms_NT, gradient_H3)
        torch.autograd.backward(parts.total, inputs=_trainable(model))
    return _detached(parts)


def _forward_over_reverse(model: PotentialNetwork, labelled: Labelled, loss: PotentialLoss) -> LossParts:
    graph, vectors_H3 = labelled.graph, labelled.vectors_H3.detach()
    parts, a_NT, eta_H3 = _coefficients(model, labelled, loss)
    trainable = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    weights = {name: weight.detach() for name, weight in trainable.items()}

    def weight_gradient(vectors: Tensor, c_NT: Tensor) -> dict[str, Tensor]:
        def weighted_energy(w: dict[str, Tensor]) -> Tensor:
            terms: Tensor = functional_call(model, w, (graph, vectors))
            return (c_NT * terms).sum()

        gradient: dict[str, Tensor] = torch.func.grad(weighted_energy)(weights)
        return gradient

    tangent = torch.func.jvp(weight_gradient, (vectors_H3, torch.ones_like(a_NT)), (eta_H3, a_NT))[1]
    for name, weight in trainable.items():
        weight.grad = tangent[name] if weight.grad is None else weight.grad + tangent[name]
    return parts


def _finite_difference(
    model: PotentialNetwork, labelled: Labelled, loss: PotentialLoss, displacement_A: float
) -> LossParts:
    graph, vectors_H3 = labelled.graph, labelled.vectors_H3.detach()
    parts, a_NT, eta_H3 = _coefficients(model, labelled, loss)
    step_M = step_sizes(graph, eta_H3, displacement_A)
    moved_H3 = step_M[graph.config_H, None] * eta_H3
    slope_N1 = torch.where(step_M > 0, 0.5 / step_M, 0)[graph.config_N, None]
    weights = _trainable(model)
    for sign in (1.0, -1.0):
        terms_NT = model(graph, vectors_H3 + sign * moved_H3)
        torch.autograd.backward(terms_NT, 0.5 * a_NT + sign * slope_N1, inputs=weights)
    return parts


def step_sizes(graph: Graph, eta_H3: Tensor, displacement_A: float) -> Tensor:
    """Step of each configuration which moves its most moved pair vector component by `displacement_A`; 0 where eta is."""
    largest_H = eta_H3.abs().amax(dim=1) if graph.n_pairs else eta_H3.new_zeros(0)
    largest_M = eta_H3.new_zeros(graph.n_configs).scatter_reduce(0, graph.config_H, largest_H, "amax")
    return torch.where(largest_M > 0, displacement_A / largest_M, 0)


def _coefficients(model: PotentialNetwork, labelled: Labelled, loss: PotentialLoss) -> tuple[LossParts, Tensor, Tensor]:
    """The loss, a = dL/dE of every energy term (N, T) and eta = dL/dg of every pair vector (H, 3)."""
    frozen = {name: weight.detach() for name, weight in model.named_parameters()}
    vectors_H3 = labelled.vectors_H3.detach().requires_grad_(True)
    terms_NT = functional_call(model, frozen, (labelled.graph, vectors_H3))
    (gradient_H3,) = torch.autograd.grad(terms_NT.sum(), vectors_H3)
    terms_NT, gradient_H3 = terms_NT.detach().requires_grad_(True), gradient_H3.requires_grad_(True)
    parts = _loss_of(loss, labelled, terms_NT, gradient_H3)
    a_NT, eta_H3 = torch.autograd.grad(parts.total, (terms_NT, gradient_H3), materialize_grads=True)
    return _detached(parts), a_NT, eta_H3


def _loss_of(loss: PotentialLoss, labelled: Labelled, terms_NT: Tensor, gradient_H3: Tensor) -> LossParts:
    graph = labelled.graph
    forces_N3 = forces_of(graph, gradient_H3) if loss.forces else None
    stress_M33 = stress_of(graph, labelled.vectors_H3, gradient_H3) if loss.stress else None
    return loss.parts(labelled, terms_NT, forces_N3, stress_M33)


def _trainable(model: PotentialNetwork) -> list[Tensor]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def _detached(parts: LossParts) -> LossParts:
    read: Callable[[str], Tensor] = lambda name: getattr(parts, name).detach()  # noqa: E731
    return LossParts(
        total=read("total"),
        energy=read("energy"),
        forces=read("forces"),
        stress=read("stress"),
        hierarchicality=read("hierarchicality"),
    )
