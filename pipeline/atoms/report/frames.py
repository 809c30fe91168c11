"""Pictures of molecules and of periodic cells: balls, bonds, the cell, and forces as arrows.

Parallel projection: molecules from where they look widest, cells from one direction slightly off an axis. Far atoms are
paler. Distances are true within a picture, and pictures of one figure may share their scale.
"""

from itertools import product

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle
from numpy.typing import NDArray

from pipeline.report.drawing import CYCLE, INK, MUTED

__all__ = ["CELL_ARROW_A", "MOLECULE_ARROW_A", "draw_cell_on", "draw_molecule_on"]

FloatArray = NDArray[np.float64]
BOND = 1.25  # times the sum of covalent radii
BALL = 0.55  # of the covalent radius
MOLECULE_ARROW_A, CELL_ARROW_A = 0.12, 0.3  # A per eV/A
SHORTEST_A = 0.12  # shorter arrows are left out
IMAGES_A = 2.0  # how far around a cell images are drawn
METAL = "#8794a8"
VIEW = (0.32, 0.42)  # turns of the view about the first and the second axis [rad]


def draw_molecule_on(
    axes: Axes, numbers: NDArray[np.integer], positions_A: FloatArray, forces_eV_A: FloatArray
) -> None:
    """Open structures; arrows are forces."""
    centred = positions_A - positions_A.mean(axis=0)
    widest = np.linalg.svd(centred, full_matrices=True)[2]
    widest = widest * np.sign(widest[:, np.abs(widest).argmax(axis=1)].diagonal())[:, None]
    seen, arrows = centred @ widest.T, forces_eV_A @ widest.T * MOLECULE_ARROW_A
    for i, j in _bonds(numbers, seen):
        axes.plot(*seen[[i, j], :2].T, color=MUTED, linewidth=2.6, solid_capstyle="round", zorder=1)
    _balls(axes, numbers, seen)
    _arrows(axes, seen, arrows)
    _frame(axes, np.concatenate([seen, seen + arrows]), margin=0.5)


def draw_cell_on(
    axes: Axes,
    numbers: NDArray[np.integer],
    positions_A: FloatArray,
    cell_A: FloatArray,
    forces_eV_A: FloatArray | None = None,
    *,
    images: bool = True,
) -> None:
    """A periodic cell, its edges, and pale images of its atoms around it; arrows are forces."""
    view = _view()
    fraction = np.linalg.solve(cell_A.T, positions_A.T).T % 1
    around = IMAGES_A if images else 0.0
    reach = around * np.linalg.norm(np.linalg.inv(cell_A), axis=0)  # of the distance between opposite faces
    shifts = np.array(sorted(product((-1, 0, 1), repeat=3), key=lambda s: any(s)), dtype=float)
    copies = (fraction[None] + shifts[:, None]).reshape(-1, 3)
    kept = np.all((copies > -reach) & (copies < 1 + reach), axis=1)
    kept[: len(numbers)] = True
    seen = copies[kept] @ cell_A @ view.T
    corners = np.array(list(product((0, 1), repeat=3)), dtype=float)
    for a, b in product(range(8), repeat=2):
        if a < b and np.abs(corners[a] - corners[b]).sum() == 1:
            axes.plot(*(corners[[a, b]] @ cell_A @ view.T)[:, :2].T, color=MUTED, linewidth=0.9, zorder=1.5)
    _balls(axes, np.tile(numbers, len(shifts))[kept], seen, faint=np.arange(len(seen)) >= len(numbers))
    if forces_eV_A is not None:
        _arrows(axes, seen[: len(numbers)], forces_eV_A @ view.T * CELL_ARROW_A)
    _frame(axes, np.concatenate([seen, corners @ cell_A @ view.T]), margin=0.9)


def _view() -> FloatArray:
    a, b = VIEW
    tilt = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    return np.asarray(tilt @ turn, dtype=np.float64)


def _bonds(numbers: NDArray[np.integer], positions_A: FloatArray) -> list[tuple[int, int]]:
    apart = np.linalg.norm(positions_A[:, None] - positions_A[None], axis=-1)
    reach = BOND * (covalent_radii[numbers][:, None] + covalent_radii[numbers][None])
    return [(int(i), int(j)) for i, j in zip(*np.nonzero(np.triu(apart < reach, 1)), strict=True)]


def _balls(
    axes: Axes, numbers: NDArray[np.integer], seen: FloatArray, *, faint: NDArray[np.bool_] | None = None
) -> None:
    depth = (seen[:, 2] - seen[:, 2].min()) / max(float(np.ptp(seen[:, 2])), 1e-9)
    for i in np.argsort(seen[:, 2], kind="stable"):
        number, far = int(numbers[i]), 0.4 * (1 - float(depth[i]))
        pale = faint is not None and bool(faint[i])
        colour = np.asarray(to_rgb(METAL) if faint is not None else 0.92 * np.asarray(jmol_colors[number]))
        axes.add_patch(
            Circle(
                (float(seen[i, 0]), float(seen[i, 1])),
                BALL * float(covalent_radii[number]),
                facecolor=tuple(colour * (1 - far) + far),
                edgecolor="#3c4250",
                linewidth=0.5 if pale else 0.8,
                alpha=0.22 if pale else 1.0,
                zorder=(0.5 if pale else 2) + float(depth[i]),
            )
        )


def _arrows(axes: Axes, seen: FloatArray, arrows: FloatArray) -> None:
    long = np.linalg.norm(arrows[:, :2], axis=1) >= SHORTEST_A
    axes.quiver(
        *seen[long, :2].T,
        *arrows[long, :2].T,
        angles="xy",
        scale_units="xy",
        scale=1,
        units="dots",
        width=2.2,
        headwidth=3.4,
        headlength=4.2,
        headaxislength=3.8,
        color=CYCLE[3],
        zorder=4,
    )


def _frame(axes: Axes, seen: FloatArray, *, margin: float) -> None:
    low, high = seen[:, :2].min(0) - margin, seen[:, :2].max(0) + margin
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], aspect="equal")
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.title.set_color(INK)
