"""Second-moment tight binding as an ASE calculator: a smooth many-body potential of a metal, a cheap oracle.

    E_i = A sum_j exp[-p (r_ij / r_0 - 1)] f(r_ij)  -  xi sqrt( sum_j exp[-2 q (r_ij / r_0 - 1)] f(r_ij) )

F. Cleri and V. Rosato, Phys. Rev. B 48, 22 (1993), with their parameters of aluminium. f falls from 1 to 0 between two
radii by a quintic with two continuous derivatives (theirs cuts at the fifth shell), so values differ a little from the
published ones; what a potential learns is this function, not aluminium.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import NDArray

__all__ = ["SecondMoment"]

FloatArray = NDArray[np.float64]
AMPLITUDE_EV, HOPPING_EV = 0.1221, 1.316  # A, xi
REPULSION, ATTRACTION = 8.612, 2.516  # p, q
NEAREST_A = 2.8637824638  # r_0, of fcc with a = 4.05 A


class SecondMoment(Calculator):
    """Energy, forces and, for periodic cells, stress."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, inner_A: float = 4.5, outer_A: float = 6.0) -> None:
        """The switch f is 1 up to `inner_A` and 0 from `outer_A` on."""
        super().__init__()  # type: ignore[no-untyped-call]
        if not 0 < inner_A < outer_A:
            raise ValueError(f"switch: found {inner_A} .. {outer_A} A, expected 0 < inner < outer")
        self.inner_A, self.outer_A = inner_A, outer_A

    def calculate(
        self,
        atoms: Any = None,  # noqa: ANN401 - ase.Atoms, which has no types
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """All at once."""
        from matscipy.neighbours import neighbour_list

        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        first, second, distance, vector = neighbour_list("ijdD", atoms, self.outer_A)
        n = len(atoms)
        switch, switch_slope = self._switch(distance)
        repulsion = AMPLITUDE_EV * np.exp(-REPULSION * (distance / NEAREST_A - 1))
        hopping = HOPPING_EV**2 * np.exp(-2 * ATTRACTION * (distance / NEAREST_A - 1))
        density = np.bincount(first, hopping * switch, minlength=n)
        root = np.sqrt(density)
        energy = float((repulsion * switch).sum() - root.sum())
        # dE/dr of one pair from one of its ends: the sum over both directions of the list has all of it.
        slope = repulsion * (switch_slope - REPULSION / NEAREST_A * switch)
        inverse = np.divide(0.5, root, out=np.zeros(n), where=root > 0)
        slope -= inverse[first] * hopping * (switch_slope - 2 * ATTRACTION / NEAREST_A * switch)
        gradient = slope[:, None] * vector / distance[:, None]  # (n_pairs, 3), dE/d(r_second - r_first)
        forces = np.stack(
            [np.bincount(first, g, minlength=n) - np.bincount(second, g, minlength=n) for g in gradient.T], axis=1
        )
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if atoms.pbc.all():
            virial = vector.T @ gradient / atoms.get_volume()
            virial = (virial + virial.T) / 2
            self.results["stress"] = virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]

    def _switch(self, distance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """f and df/dr: 1 - 10 x^3 + 15 x^4 - 6 x^5 between the radii."""
        width = self.outer_A - self.inner_A
        x = np.clip((distance - self.inner_A) / width, 0, 1)
        return 1 - x**3 * (10 - 15 * x + 6 * x**2), -30 * x**2 * (1 - x) ** 2 / width
