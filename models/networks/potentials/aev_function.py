"""Environment vectors from fused CPU kernels, as a function that autograd can differentiate.

G(v) has no weights, so training needs three linear maps only, each a kernel (kernels.environment):

    forward          G(v)
    backward         g -> g . dG/dv = P(g, v)          energies to forces
    its backward     P is linear in g, by dP/dg -> u -> dG/dv . u: forces to the gradient of their loss
    forward mode     the same dG/dv . u: the derivative of weight gradients along a displacement

What is missing is dP/dv, the second derivative by positions. It is refused unless the caller is content without it
(models.networks.potentials.second_derivatives). Shape suffixes: N atoms, H pairs, K slots, F features, 3 Cartesian.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.networks.potentials.aev import AEVSettings
from models.networks.potentials.graph import Graph
from models.networks.potentials.second_derivatives import only_weights_are_wanted

__all__ = ["PositionHessianNeeded", "fused_environment_vectors", "kernels_serve"]

MINIMUM_ATOMS_PER_THREAD = 32


class PositionHessianNeeded(RuntimeError):
    """The fused kernels were asked for second derivatives by positions."""


def kernels_serve(vectors_H3: Tensor) -> bool:
    """Can the fused kernels work on these pair vectors? CPU, single or double precision, numba installed."""
    return vectors_H3.device.type == "cpu" and vectors_H3.dtype in (torch.float32, torch.float64) and _numba_is_here()


@lru_cache(maxsize=1)
def _numba_is_here() -> bool:
    try:
        import numba
    except ImportError:
        return False
    return bool(numba.__version__)


def fused_environment_vectors(settings: AEVSettings, graph: Graph, species_N: Tensor, vectors_H3: Tensor) -> Tensor:
    """As models.networks.potentials.aev.environment_vectors, in a fraction of its time and memory; CPU only."""
    features: Tensor = _Environment.apply(vectors_H3, species_N, _Site(settings=settings, graph=graph))
    return features


class _Site(NamedTuple):
    """What the pair vectors belong to."""

    settings: AEVSettings
    graph: Graph

    @property
    def shape(self) -> tuple[int, int]:
        return self.graph.n_atoms, self.settings.n_features


@lru_cache(maxsize=16)
def _functions(settings: AEVSettings, dtype: str) -> Any:  # noqa: ANN401 - a type that needs numba
    from models.networks.potentials.kernels.environment import Functions

    real = np.dtype(dtype).type
    log2e, angles = math.log2(math.e), np.array(settings.angles)
    n_r, n_a, n_z = (len(values) for values in (settings.radial_shifts_A, settings.angular_shifts_A, settings.angles))
    return Functions(
        radial_cutoff=real(settings.radial_cutoff_A),
        radial_eta=real(settings.radial_eta * log2e),
        angular_cutoff=real(settings.angular_cutoff_A),
        angular_eta=real(settings.angular_eta * log2e),
        zeta=real(settings.zeta),
        quarter=real(0.25),
        half=real(0.5),
        two_ln2=real(2 / log2e),
        tiny=np.finfo(real).tiny,
        radial_shifts=np.array(settings.radial_shifts_A, real),
        angular_shifts=np.array(settings.angular_shifts_A, real),
        cosines=(np.cos(angles) / 2).astype(real),
        sines=(np.sin(angles) / 2).astype(real),
        pair_index=np.array(settings.pair_index()),
        radial_shape=((0,), (0,) * n_r),
        angular_shape=((0,) * n_a, (0,) * n_z),
    )


class _Environment(torch.autograd.Function):
    """G(v)."""

    @staticmethod
    def forward(vectors_H3: Tensor, species_N: Tensor, site: _Site) -> Tensor:
        from models.networks.potentials.kernels.environment import environment

        out = vectors_H3.new_empty(site.shape)
        _over_atoms(environment, site, species_N, vectors_H3, out)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        _remember(ctx, *inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:  # noqa: ANN401
        return _Pullback.apply(gradients[0], *ctx.saved_tensors, ctx.site), None, None

    @staticmethod
    def jvp(ctx: Any, *changes: Any) -> Tensor:  # noqa: ANN401
        change: Tensor = _Pushforward.apply(changes[0], *ctx.saved_tensors, ctx.site)
        return change


class _Pullback(torch.autograd.Function):
    """g . dG/dv, linear in g (N, F)."""

    @staticmethod
    def forward(gradient_NF: Tensor, vectors_H3: Tensor, species_N: Tensor, site: _Site) -> Tensor:
        from models.networks.potentials.kernels.environment import pullback

        ends_2H3 = vectors_H3.new_zeros((2, *vectors_H3.shape))
        _over_atoms(pullback, site, species_N, vectors_H3, gradient_NF, ends_2H3)
        return ends_2H3[0].add_(ends_2H3[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        _remember(ctx, *inputs[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, None, None, None]:  # noqa: ANN401
        _refuse_unless_unwanted(ctx.needs_input_grad[1])
        return _Pushforward.apply(gradients[0], *ctx.saved_tensors, ctx.site), None, None, None

    @staticmethod
    def jvp(ctx: Any, *changes: Any) -> Tensor:  # noqa: ANN401
        _refuse_unless_unwanted(changes[1] is not None)
        change: Tensor = _Pullback.apply(changes[0], *ctx.saved_tensors, ctx.site)
        return change


class _Pushforward(torch.autograd.Function):
    """dG/dv . u, linear in u (H, 3)."""

    @staticmethod
    def forward(change_H3: Tensor, vectors_H3: Tensor, species_N: Tensor, site: _Site) -> Tensor:
        from models.networks.potentials.kernels.environment import pushforward

        out = vectors_H3.new_empty(site.shape)
        _over_atoms(pushforward, site, species_N, vectors_H3, change_H3, out)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        _remember(ctx, *inputs[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, None, None, None]:  # noqa: ANN401
        _refuse_unless_unwanted(ctx.needs_input_grad[1])
        return _Pullback.apply(gradients[0], *ctx.saved_tensors, ctx.site), None, None, None

    @staticmethod
    def jvp(ctx: Any, *changes: Any) -> Tensor:  # noqa: ANN401
        _refuse_unless_unwanted(changes[1] is not None)
        change: Tensor = _Pushforward.apply(changes[0], *ctx.saved_tensors, ctx.site)
        return change


def _remember(ctx: Any, vectors_H3: Tensor, species_N: Tensor, site: _Site) -> None:  # noqa: ANN401
    ctx.site = site
    ctx.save_for_backward(vectors_H3, species_N)
    ctx.save_for_forward(vectors_H3, species_N)


def _refuse_unless_unwanted(needed: bool) -> None:
    if needed and not only_weights_are_wanted():
        raise PositionHessianNeeded(
            "fused environment vectors have no second derivative by positions. For Hessians build ANI with "
            "kernels='torch'; for force training put the second backward pass inside "
            "models.networks.potentials.second_derivatives.weights_only()"
        )


def _over_atoms(
    kernel: Callable[..., None], site: _Site, species_N: Tensor, vectors_H3: Tensor, *arrays: Tensor
) -> None:
    """Run the kernel on chunks of atoms, one per thread that torch may use."""
    from models.networks.potentials.kernels.environment import Pairs

    graph = site.graph
    vectors, *rest = (array.detach().contiguous().numpy() for array in (vectors_H3, *arrays))
    pairs = Pairs(
        vectors=vectors,
        slot_pair=graph.slot_pair_NK.numpy(),
        slot_atom=graph.slot_atom_NK.numpy(),
        slot_sign=graph.slot_sign_NK.to(vectors_H3.dtype).numpy(),
        species=species_N.numpy(),
    )
    functions = _functions(site.settings, vectors.dtype.name)
    n_chunks = max(1, min(torch.get_num_threads(), graph.n_atoms // MINIMUM_ATOMS_PER_THREAD))
    bounds = np.linspace(0, graph.n_atoms, n_chunks + 1).astype(int).tolist()
    chunks = list(pairwise(bounds))
    tasks = [_threads().submit(kernel, chunk, pairs, functions, *rest) for chunk in chunks[1:]]
    kernel(chunks[0], pairs, functions, *rest)
    for task in tasks:
        task.result()


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="environment")
