"""Frames of atoms side by side: the one carrier from sampling to the loss, NumPy alone.

Molecules and crystals of any size lie one after another (CSR): frame m owns the n_atoms[m] rows from first_atom[m] on
of the arrays per atom. Samplers draw frames without labels, engines add labels or the reason why there are none,
stores keep them, training reads them; other forms exist only at the two ends, file formats and tensors.

    per atom    numbers, positions_A, forces_eV_A, charges_e
    per frame   n_atoms, cells_A, pbc, energies_eV, stresses_eV_A3, groups, sources, provenances, failures

    cells_A[m, k]        lattice vector k; zeros where no direction is periodic
    energies_eV[m]       total, the one whose negative gradient the forces are
    stresses_eV_A3[m]    dE/dstrain / volume, positive under tension; of fully periodic frames only
    groups[m]            split by it: frames of one trajectory and copies of one molecule share it
    provenances[m]       JSON object of who labelled it and how, "" where nobody said
    failures[m]          why the frame could not be labelled, "" where it was (or nobody tried)

A label that nobody gave is NaN. `frames[m]` is again Frames, of one frame, with its values as attributes without the
plural s. Both `stores` and `models` import this file, so it imports nothing of the project.

Suffixes: M frames, N atoms of all of them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONTACT_A", "FloatArray", "Frames", "IntArray"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
CONTACT_A = 0.3  # nearer atoms are a mistake of units or of the cell, not chemistry
PER_ATOM = {"numbers": (), "positions_A": (3,), "forces_eV_A": (3,), "charges_e": ()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """Frames side by side. Raises ValueError that lists every array of a wrong shape."""

    numbers: NDArray[np.integer]  # (N,) atomic numbers
    positions_A: FloatArray  # (N, 3)
    n_atoms: NDArray[np.integer]  # (M,)
    cells_A: FloatArray  # (M, 3, 3), rows are lattice vectors
    pbc: NDArray[np.bool_]  # (M, 3)
    energies_eV: FloatArray  # (M,)
    forces_eV_A: FloatArray  # (N, 3)
    stresses_eV_A3: FloatArray  # (M, 3, 3)
    charges_e: FloatArray  # (N,)
    groups: IntArray  # (M,)
    sources: NDArray[Any]  # (M,) text
    provenances: NDArray[Any]  # (M,) text
    failures: NDArray[Any]  # (M,) text

    def __post_init__(self) -> None:
        n_atoms = int(self.n_atoms.sum())
        trailing = {"cells_A": (3, 3), "pbc": (3,), "stresses_eV_A3": (3, 3)} | PER_ATOM
        problems = []
        for field in fields(self):
            rows = n_atoms if field.name in PER_ATOM else len(self.n_atoms)
            shape, expected = getattr(self, field.name).shape, (rows, *trailing.get(field.name, ()))
            if shape != expected:
                problems.append(f"{field.name}: found shape {shape}, expected {expected}")
        if problems:
            raise ValueError("frames: " + "; ".join(problems))

    @classmethod
    def one(
        cls,
        *,
        numbers: NDArray[Any] | Sequence[int],  # (n_atoms,)
        positions_A: NDArray[Any],  # (n_atoms, 3)
        cell_A: NDArray[Any] | None = None,  # (3, 3); None: open
        pbc: Sequence[bool] | None = None,  # None: periodic in all directions where a cell is given
        energy_eV: float = np.nan,
        forces_eV_A: NDArray[Any] | None = None,
        stress_eV_A3: NDArray[Any] | None = None,
        charges_e: NDArray[Any] | None = None,
        group: int = 0,
        source: str = "",
        provenance: Mapping[str, Any] | None = None,
        failure: str = "",
    ) -> "Frames":
        """A single frame. Raises ValueError for no atoms and for arrays of wrong shapes, all in one message."""
        n_atoms = int(np.size(numbers))
        periodic = (cell_A is not None,) * 3 if pbc is None else pbc

        def given(values: NDArray[Any] | None, *shape: int) -> FloatArray:
            return np.full(shape, np.nan) if values is None else np.array(values, dtype=np.float64, order="C")

        if n_atoms == 0:
            raise ValueError(f"frame {source or '(no source)'}: found no atoms, expected at least one")
        cell = np.zeros((3, 3)) if cell_A is None or not any(periodic) else cell_A
        return cls(
            numbers=np.array(numbers, dtype=np.int64),
            positions_A=np.array(positions_A, dtype=np.float64, order="C"),
            n_atoms=np.array([n_atoms]),
            cells_A=np.array(cell, dtype=np.float64, order="C")[None],
            pbc=np.array([periodic], dtype=bool),
            energies_eV=np.array([energy_eV], dtype=np.float64),
            forces_eV_A=given(forces_eV_A, n_atoms, 3),
            stresses_eV_A3=given(stress_eV_A3, 3, 3)[None],
            charges_e=given(charges_e, n_atoms),
            groups=np.array([group], dtype=np.int64),
            sources=np.array([source], dtype=np.str_),
            provenances=np.array([_text(provenance)], dtype=np.str_),
            failures=np.array([failure], dtype=np.str_),
        )

    @classmethod
    def concatenate(cls, parts: "Iterable[Frames]") -> "Frames":
        """All frames of all parts, in their order; no parts are no frames."""
        listed = list(parts) or [_NONE]
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in listed]) for f in fields(cls)})

    def __len__(self) -> int:
        return len(self.n_atoms)

    def __getitem__(self, index: int | slice) -> "Frames":
        rows = range(len(self))[index]
        return self.select([rows] if isinstance(rows, int) else rows)

    def __iter__(self) -> "Iterator[Frames]":
        return (self.select([index]) for index in range(len(self)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array by its name: what `Frames(**arrays)` takes, and npz."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def select(self, chosen: NDArray[Any] | Sequence[int]) -> "Frames":
        """Some of them: row numbers, in that order, or a mask."""
        rows = np.asarray(chosen)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        counts = self.n_atoms[rows]
        atoms = np.arange(int(counts.sum())) + np.repeat(self.first_atom[rows] - (np.cumsum(counts) - counts), counts)
        return Frames(**{name: values[atoms if name in PER_ATOM else rows] for name, values in self.arrays().items()})

    def changed(self, **changes: Any) -> "Frames":  # noqa: ANN401 - arguments of `one`
        """This one frame without labels, and with what is given instead (numbers, positions_A, cell_A, ...)."""
        mine = {name: getattr(self, name) for name in ("numbers", "positions_A", "cell_A", "source", "group")}
        return Frames.one(**mine | {"provenance": self.provenance} | changes)

    @property
    def first_atom(self) -> IntArray:
        """Row of the first atom of each frame, (M,)."""
        return np.asarray(np.cumsum(self.n_atoms) - self.n_atoms, dtype=np.int64)

    @property
    def frame_of_atoms(self) -> IntArray:
        """Frame of each atom, (N,)."""
        return np.repeat(np.arange(len(self)), self.n_atoms)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Frames with an energy or forces, (M,)."""
        forces = np.zeros(len(self), dtype=bool)
        forces[self.frame_of_atoms[np.isfinite(self.forces_eV_A).all(axis=1)]] = True
        return np.asarray(forces | np.isfinite(self.energies_eV))

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers that occur, ascending."""
        return tuple(int(number) for number in np.unique(self.numbers))

    def counts(self, species: Sequence[int]) -> FloatArray:
        """How many atoms of each element a frame has, (M, len(species))."""
        owner = self.frame_of_atoms
        rows = [np.bincount(owner[self.numbers == number], minlength=len(self)) for number in species]
        return np.stack(rows, axis=1).astype(np.float64)

    # Of a single frame; of several the first cell or label would be none of theirs, so these ask for exactly one.

    @property
    def periodic(self) -> bool:
        return bool(self._only(self.pbc).any())

    @property
    def cell_A(self) -> FloatArray | None:
        """(3, 3); None where open."""
        return self._only(self.cells_A) if self.periodic else None

    @property
    def energy_eV(self) -> float:
        return float(self._only(self.energies_eV))

    @property
    def stress_eV_A3(self) -> FloatArray | None:
        """(3, 3); None where not given."""
        stress: FloatArray = self._only(self.stresses_eV_A3)
        return None if np.isnan(stress).all() else stress

    @property
    def group(self) -> int:
        return int(self._only(self.groups))

    @property
    def source(self) -> str:
        return str(self._only(self.sources))

    @property
    def provenance(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(str(self._only(self.provenances)) or "{}")
        return read

    @property
    def failure(self) -> str:
        return str(self._only(self.failures))

    def _only(self, values: NDArray[Any]) -> Any:  # noqa: ANN401 - one value of the array
        if len(self) != 1:
            raise ValueError(f"found {len(self)} frames, expected one; choose it by frames[i]")
        return values[0]


def _text(provenance: Mapping[str, Any] | None) -> str:
    """JSON as stores keep it: sorted keys, no spaces, no NaN."""
    return json.dumps(dict(provenance), sort_keys=True, separators=(",", ":"), allow_nan=False) if provenance else ""


_NONE = Frames(
    numbers=np.zeros(0, dtype=np.int64),
    positions_A=np.zeros((0, 3)),
    n_atoms=np.zeros(0, dtype=np.int64),
    cells_A=np.zeros((0, 3, 3)),
    pbc=np.zeros((0, 3), dtype=bool),
    energies_eV=np.zeros(0),
    forces_eV_A=np.zeros((0, 3)),
    stresses_eV_A3=np.zeros((0, 3, 3)),
    charges_e=np.zeros(0),
    groups=np.zeros(0, dtype=np.int64),
    sources=np.zeros(0, dtype=np.str_),
    provenances=np.zeros(0, dtype=np.str_),
    failures=np.zeros(0, dtype=np.str_),
)
