"""A promise that second derivatives are wanted with respect to weights only.

Fused kernels of descriptors without weights can go back through forces cheaply where the second derivative with
respect to positions is not asked for. Force training never asks for it; a Hessian does. So the kernels refuse, unless
the caller has promised:

    with weights_only():
        loss_of_forces.backward(inputs=weights)
"""

import contextlib
import threading
from collections.abc import Iterator

__all__ = ["only_weights_are_wanted", "weights_only"]

_lock = threading.Lock()
_depth = 0  # of the process: autograd may run backward passes in threads of its own


@contextlib.contextmanager
def weights_only() -> Iterator[None]:
    """Within: no second derivative with respect to positions will be asked for."""
    global _depth
    with _lock:
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1


def only_weights_are_wanted() -> bool:
    """Has the caller promised?"""
    return _depth > 0
