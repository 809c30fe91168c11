"""One step of Langevin dynamics by BAOAB, for arrays of NumPy and tensors of torch alike.

    half kick, half drift, bath, half drift, half kick            (letters B, A, O, A, B)

B. Leimkuhler and C. Matthews, Appl. Math. Res. Express 2013, 34; J. Chem. Phys. 138, 174102 (2013). The bath is the
exact Ornstein-Uhlenbeck step v <- c v + sqrt((1 - c^2) kT/m) xi with c = exp(-friction dt); without it this is velocity
Verlet. Units are the caller's: position = time x velocity, velocity = time x acceleration.
"""

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["BOLTZMANN_EV_K", "FORCE_TO_ACCELERATION", "baoab_step"]

BOLTZMANN_EV_K = 8.617333262e-5
FORCE_TO_ACCELERATION = 9.64853322e-3  # eV / (A u) in A/fs^2

A = TypeVar("A", bound=Any)  # np.ndarray or torch.Tensor, (n_atoms, 3)


def baoab_step(
    position: A,
    velocity: A,
    acceleration: A,
    *,
    half_step: float,
    bath: Callable[[A], A] | None,
    accelerate: Callable[[A], A],
) -> tuple[A, A, A]:
    """Position, velocity and acceleration one step later; `accelerate` gets the new position, `bath` a velocity."""
    velocity = velocity + half_step * acceleration
    position = position + half_step * velocity
    if bath is not None:
        velocity = bath(velocity)
    position = position + half_step * velocity
    acceleration = accelerate(position)
    return position, velocity + half_step * acceleration, acceleration
