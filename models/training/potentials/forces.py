"""The gradient of a loss of forces, at the price of a few energy gradients (Smith, Lubbers, Thompson, Barros, 2020).

A loss of energy terms E_k, forces and stress is a function L(E_k, g) with g = dE/dv of all pair vectors v, because
forces and stress are linear in g. With a_k = dL/dE_k and eta = dL/dg at the present weights,

    dL/dW = sum_k a_k dE_k/dW + d/dW [eta . dE/dv]

and the last bracket is the derivative of E along eta: no graph of second derivatives is needed. Three ways to take it,
one result:

    double_backward       builds the graph of g and goes back through it: the reference
    forward_over_reverse  exact: tangent of the weight gradient along (v, c) -> (eta, a) at c = 1, where
                          h(v, c) = d/dW sum_k c_k E_k(v); torch.func.jvp of torch.func.grad
    finite_difference     [dE/dW (v + e eta) - dE/dW (v - e eta)] / 2e, the energy part folded into the same two
                          evaluations as a_k/2 each (its error is of order e^2 too). The step e is chosen per
                          configuration, such that nothing moves by more than `displacement`: pair vectors [A], or
                          descriptors (in their own unit)

Where a network begins with descriptors D(v) that have no weights (ANI), the last two act on D: eta is pushed forward to
(dD/dv) eta, exactly, and only the part with weights is differentiated along it or displaced. The exact form then costs
no more than the displaced one and is the one to take: the curvature of CELU jumps at 0, which spoils differences.

Costs in forward passes of the network, a backward pass counting 2 over weights and 1 over positions: energy step 3,
double backward 6, forward over reverse 7 with shared primal values (8 here), finite difference 8.
Neighbour lists are those of the undisplaced configuration in all of them.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor
from torch.func import functional_call

from models.networks.potentials.graph import Graph
from models.networks.potentials.potential import PotentialNetwork, forces_of, stress_of
from models.networks.potentials.second_derivatives import weights_only
from models.training.potentials.labelled import Labelled
from models.training.potentials.potential_loss import LossParts, PotentialLoss

__all__ = ["DISPLACEMENT", "Method", "accumulate_gradients", "step_sizes"]

Method = Literal["double_backward", "forward_over_reverse", "finite_difference"]
DISPLACEMENT = 5e-4  # rounding and curvature errors meet near here in float32: benchmarks/force_training.md


def accumulate_gradients(
    model: PotentialNetwork,
    labelled: Labelled,
    loss: PotentialLoss,
    *,
    method: Method = "double_backward",
    displacement: float = DISPLACEMENT,
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
        if not displacement > 0:
            raise ValueError(f"displacement: found {displacement}, expected more than 0")
        return _finite_difference(model, labelled, loss, displacement)
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
    parts, path = _direction(model, labelled, loss)
    if isinstance(model, HasTangents):
        a_NT, start, direction, weights_of_model = path.a_NT, path.start, path.direction, _trainable(model)
        for rows, terms, slopes in model.terms_along(labelled.graph, start, direction):
            torch.autograd.backward((a_NT[rows] * terms).sum() + slopes.sum(), inputs=weights_of_model)
        return parts
    module = _FromDescriptors(model)
    trainable = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    weights = {name: weight.detach() for name, weight in trainable.items()}

    def weight_gradient(descriptors: Tensor, c_NT: Tensor) -> dict[str, Tensor]:
        def weighted_energy(w: dict[str, Tensor]) -> Tensor:
            terms: Tensor = functional_call(module, w, (labelled.graph, descriptors))
            return (c_NT * terms).sum()

        gradient: dict[str, Tensor] = torch.func.grad(weighted_energy)(weights)
        return gradient

    here, along = (path.start, torch.ones_like(path.a_NT)), (path.direction, path.a_NT)
    tangent = torch.func.jvp(weight_gradient, here, along)[1]
    for name, weight in trainable.items():
        weight.grad = tangent[name] if weight.grad is None else weight.grad + tangent[name]
    return parts


def _finite_difference(
    model: PotentialNetwork, labelled: Labelled, loss: PotentialLoss, displacement: float
) -> LossParts:
    graph = labelled.graph
    parts, path = _direction(model, labelled, loss)
    step_M = step_sizes(graph.n_configs, path.config, path.direction, displacement)
    half_a_NT, slope_N1 = 0.5 * path.a_NT, torch.where(step_M > 0, 0.5 / step_M, 0)[graph.config_N, None]
    moved = path.direction * step_M[path.config, None]
    shifted = path.start + moved
    del path  # descriptors are the largest arrays here: no more than two of them at a time
    weights = _trainable(model)
    for sign in (1.0, -1.0):
        torch.autograd.backward(model.terms_of_descriptors(graph, shifted), half_a_NT + sign * slope_N1, inputs=weights)
        shifted.add_(moved, alpha=-2.0)
    return parts


def step_sizes(n_configs: int, config: Tensor, direction: Tensor, displacement: float) -> Tensor:
    """Step of each configuration (M,) along which no component of its rows moves by more than `displacement`.

    `config` tells the configuration of every row of `direction`; where all of them are zero, so is the step.
    """
    largest = direction.abs().amax(dim=1) if len(direction) else direction.new_zeros(0)
    largest_M = direction.new_zeros(n_configs).scatter_reduce(0, config, largest, "amax")
    return torch.where(largest_M > 0, displacement / largest_M, 0)


@runtime_checkable
class HasTangents(Protocol):
    """A network that knows the derivative of its terms along descriptors, as tensors to go back through."""

    def terms_along(
        self, graph: Graph, descriptors: Tensor, direction: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]: ...


class _Path(NamedTuple):
    """Where and along what weight gradients are differentiated; `config` of every row, a = dL/dE of the terms."""

    start: Tensor
    direction: Tensor
    config: Tensor
    a_NT: Tensor


def _direction(model: PotentialNetwork, labelled: Labelled, loss: PotentialLoss) -> tuple[LossParts, _Path]:
    """The loss at the present weights, and the path: of pair vectors v + t eta, or of descriptors D + t (dD/dv) eta."""
    graph = labelled.graph
    vectors_H3 = labelled.vectors_H3.detach().requires_grad_(True)
    with weights_only():
        descriptors = model.descriptors(graph, vectors_H3)
        between = descriptors is not vectors_H3
        start = descriptors.detach().requires_grad_(True)
        terms_NT = model.terms_of_descriptors(graph, start)
        (gradient,) = torch.autograd.grad(terms_NT.sum(), start)
        if between:
            gradient.requires_grad_(True)
            (pulled_H3,) = torch.autograd.grad(descriptors, vectors_H3, gradient, create_graph=True)
        else:
            pulled_H3 = gradient
        terms_NT, gradient_H3 = terms_NT.detach().requires_grad_(True), pulled_H3.detach().requires_grad_(True)
        parts = _loss_of(loss, labelled, terms_NT, gradient_H3)
        a_NT, eta_H3 = torch.autograd.grad(parts.total, (terms_NT, gradient_H3), materialize_grads=True)
        # The gradient is pulled back linearly, so the derivative of that is what pushes eta forward.
        direction = torch.autograd.grad(pulled_H3, gradient, eta_H3)[0] if between else eta_H3
    config = graph.config_N if between else graph.config_H
    return _detached(parts), _Path(start=start.detach(), direction=direction, config=config, a_NT=a_NT)


class _FromDescriptors(torch.nn.Module):
    """The part of a potential that has weights, as a module to be called with other ones."""

    def __init__(self, model: PotentialNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, graph: Graph, descriptors: Tensor) -> Tensor:
        return self.model.terms_of_descriptors(graph, descriptors)


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
