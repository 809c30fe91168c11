"""Molecular dynamics of many periodic cells side by side, in one batch, each stopped where the ensemble is uncertain.

Langevin's equation by models.physics.atoms.baoab, without friction velocity Verlet. Each trajectory has its own path of
temperature and density, its own random numbers and its own end:

    uncertain   the spread of the members has passed a threshold at a check: the frame should be labelled
    asked       the step came at which the caller wants the frame, certain or not
    finished    all steps done
    discarded   the frame is unphysical, and its failure says in which way

Neighbours are searched within cutoff + skin and kept while a cell is scaled by s (relative to that search) and atoms
move by at most m in its coordinates: s (cutoff + skin - 2 m) >= cutoff holds until a pair could have come in unseen.

Batches share nothing but matrix products, so a trajectory is that of a batch of one up to their rounding (and the chaos
that follows). Positions and velocities are float64; forces come in the dtype of the members. Units: A, fs, u, K, eV.

Shape suffixes: M configurations, N atoms, H pairs, 3 Cartesian.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from ase.data import atomic_masses
from numpy.typing import NDArray
from torch import Tensor

from models.frames import FloatArray, Frames, IntArray
from models.networks.potentials.ensemble import SPREADS, Ensemble
from models.networks.potentials.graph import Configuration, Graph, collate
from models.networks.potentials.mean_force import mean_forces
from models.networks.potentials.neighbours import find_neighbours
from models.physics.atoms.baoab import BOLTZMANN_EV_K, FORCE_TO_ACCELERATION, baoab_step

__all__ = ["Drive", "Dynamics", "Physical", "Reason", "Thresholds", "Trajectories", "run_trajectories"]

Reason = Literal["uncertain", "asked", "finished", "discarded"]


class Path(Protocol):
    """Something that changes along a trajectory."""

    def at(self, time_fs: float, duration_fs: float) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """How trajectories run; spreads are looked at every `check_every` steps."""

    n_steps: int
    time_step_fs: float = 1.0
    friction_1_fs: float = 0.02
    check_every: int = 10
    skin_A: float = 0.6

    def __post_init__(self) -> None:
        ranges = {"n_steps": 1, "check_every": 1, "time_step_fs": 1e-6, "friction_1_fs": 0.0, "skin_A": 0.0}
        problems = [
            f"{name} = {getattr(self, name)!r}: expected >= {low:g}"
            for name, low in ranges.items()
            if not low <= getattr(self, name) < np.inf
        ]
        if self.check_every > self.n_steps:
            problems.append(f"check_every = {self.check_every}: expected <= n_steps = {self.n_steps}")
        if problems:
            raise ValueError("; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """A frame is uncertain when any of its spreads is larger."""

    energy_eV_atom: float
    force_mean_eV_A: float
    force_max_eV_A: float

    def __post_init__(self) -> None:
        wrong = [f"{name} = {value!r}" for name, value in vars(self).items() if not value > 0]
        if wrong:
            raise ValueError(f"thresholds: found {', '.join(wrong)}, expected numbers > 0")

    def ratios(self, spreads: FloatArray) -> FloatArray:
        """Largest quotient of a spread and its threshold for each row of `spreads` (M, 3): uncertain above 1."""
        bounds = np.array([getattr(self, name) for name in SPREADS])
        return np.asarray((spreads / bounds).max(axis=1))


@dataclass(frozen=True, kw_only=True)
class Physical:
    """What a frame must satisfy at every check."""

    minimum_distance_A: float = 1.2
    maximum_temperature_K: float = 20000.0  # kinetic, of the whole cell
    minimum_volume_A3: float = 5.0  # per atom

    def __post_init__(self) -> None:
        wrong = [f"{name} = {value!r}" for name, value in vars(self).items() if not value > 0]
        if wrong:
            raise ValueError(f"limits of physical frames: found {', '.join(wrong)}, expected numbers > 0")


@dataclass(frozen=True, kw_only=True)
class Drive:
    """What drives one trajectory; `rng` is its own. `end_at` ends it at this step (a multiple of `check_every`)."""

    temperature_K: Path
    density_1_A3: Path
    rng: np.random.Generator
    end_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Trajectories:
    """How M trajectories ended, and what was seen at the C checks of all of them.

    `frames` are those at the end, positions inside the cell; of a discarded one `failures` says why. `spreads` are
    population standard deviations over members, in the order of `SPREADS` (models.networks.potentials.ensemble).
    """

    frames: Frames
    reasons: NDArray[Any]  # (M,) text, see Reason
    steps: IntArray  # (M,)
    spreads: FloatArray  # (M, 3)
    temperatures_K: FloatArray  # (M,) of the bath
    kinetic_temperatures_K: FloatArray  # (M,)
    check_owners: IntArray  # (C,) trajectory
    check_steps: IntArray  # (C,)
    check_spreads: FloatArray  # (C, 3)

    def __len__(self) -> int:
        return len(self.steps)

    @classmethod
    def concatenate(cls, parts: "Sequence[Trajectories]") -> "Trajectories":
        """Of several batches, in their order."""
        shifts = np.cumsum([0, *(len(part) for part in parts[:-1])])
        owners = [part.check_owners + shift for part, shift in zip(parts, shifts, strict=True)]
        names = ("reasons", "steps", "spreads", "temperatures_K", "kinetic_temperatures_K", "check_steps")
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in (*names, "check_spreads")
        }
        return cls(
            frames=Frames.concatenate(part.frames for part in parts), check_owners=np.concatenate(owners), **joined
        )


@dataclass(frozen=True, kw_only=True)
class _End:
    """Of one trajectory."""

    frame: Frames
    reason: Reason
    step: int
    spread: FloatArray
    temperature_K: float
    kinetic_temperature_K: float


def run_trajectories(
    ensemble: Ensemble,
    starts: Frames,
    drives: Sequence[Drive],
    dynamics: Dynamics,
    thresholds: Thresholds | None = None,
    physical: Physical | None = None,
) -> Trajectories:
    """Run all to their end, on the device of the members; `thresholds` None: nothing is uncertain.

    Starts are periodic in all directions. Raises ValueError for elements that the ensemble does not know and cells
    without volume.
    """
    batch = _Batch(ensemble, starts, drives, dynamics)
    ends: dict[int, _End] = {}
    checks: list[tuple[int, int, FloatArray]] = []  # trajectory, step, spreads
    for step in range(1, dynamics.n_steps + 1):
        lost = batch.advance(step)
        decided: dict[int, tuple[Reason, str]] = {row: ("discarded", "exploded: atoms are lost") for row in lost}
        spreads = np.full((len(batch.members), len(SPREADS)), np.nan)
        if step % dynamics.check_every == 0 or step == dynamics.n_steps:
            spreads = batch.spreads()
            checks += [(batch.members[row], step, spread) for row, spread in enumerate(spreads)]
            for row, spread in enumerate(spreads):
                if row not in decided and (
                    verdict := _verdict(batch, row, step, spread, thresholds, physical or Physical())
                ):
                    decided[row] = verdict
        if decided:
            for row, (reason, why) in decided.items():
                ends[batch.members[row]] = batch.end(row, reason, why, step, spreads[row])
            batch.keep([row for row in range(len(batch.members)) if row not in decided])
        if not batch.members:
            break
    checks.sort(key=lambda check: check[0])
    ended = [ends[index] for index in range(len(starts))]
    return Trajectories(
        frames=Frames.concatenate(end.frame for end in ended),
        reasons=np.array([end.reason for end in ended], dtype=np.str_),
        steps=np.array([end.step for end in ended], dtype=np.int64),
        spreads=np.array([end.spread for end in ended]).reshape(-1, len(SPREADS)),
        temperatures_K=np.array([end.temperature_K for end in ended], dtype=np.float64),
        kinetic_temperatures_K=np.array([end.kinetic_temperature_K for end in ended], dtype=np.float64),
        check_owners=np.array([owner for owner, _, _ in checks], dtype=np.int64),
        check_steps=np.array([step for _, step, _ in checks], dtype=np.int64),
        check_spreads=np.array([spread for _, _, spread in checks]).reshape(-1, len(SPREADS)),
    )


def _verdict(
    batch: "_Batch", row: int, step: int, spread: FloatArray, thresholds: Thresholds | None, physical: Physical
) -> tuple[Reason, str] | None:
    if wrong := batch.unphysical(row, physical):
        return "discarded", wrong
    if not np.isfinite(spread).all():
        return "discarded", "exploded: the potential is not finite"
    if thresholds is not None and thresholds.ratios(spread[None])[0] > 1:
        return "uncertain", ""
    if batch.drives[row].end_at == step:
        return "asked", ""
    return ("finished", "") if step == batch.dynamics.n_steps else None


class _Batch:
    """State of the trajectories that still run; `members` are their row numbers among all."""

    def __init__(self, ensemble: Ensemble, starts: Frames, drives: Sequence[Drive], dynamics: Dynamics) -> None:
        self.ensemble, self.dynamics = ensemble, dynamics
        weight = next(ensemble.members[0].parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.starts, self.drives, self.members = starts, list(drives), list(range(len(starts)))
        self.length_M = np.ones(len(starts))  # edge of the cell now, relative to the start
        self.noise: list[FloatArray] = [np.zeros((0, 0, 3))] * len(starts)
        self.position_N3 = self._tensor(starts.positions_A)
        self._lay_out()
        bath = np.array([drive.temperature_K.at(0.0, self.duration_fs) for drive in drives])
        drawn = np.concatenate([d.rng.standard_normal((n, 3)) for d, n in zip(drives, starts.n_atoms, strict=True)])
        self.velocity_N3 = self._tensor(drawn) * self._speed(bath)
        self._search()
        self.acceleration_N3 = self._acceleration()

    @property
    def duration_fs(self) -> float:
        return self.dynamics.n_steps * self.dynamics.time_step_fs

    def advance(self, step: int) -> list[int]:
        """One step; returns the rows whose positions are lost."""
        time, friction = step * self.dynamics.time_step_fs, self.dynamics.friction_1_fs
        lost: list[int] = []

        def bath(velocity_N3: Tensor) -> Tensor:
            kept = float(np.exp(-friction * self.dynamics.time_step_fs))  # of the velocity
            temperature = np.array([max(0.0, d.temperature_K.at(time, self.duration_fs)) for d in self.drives])
            noise = self._tensor(self._next_noise(step))
            return kept * velocity_N3 + float((1 - kept**2) ** 0.5) * noise * self._speed(temperature)

        def accelerate(position_N3: Tensor) -> Tensor:
            length = np.array([_edge(drive, time, self.duration_fs) for drive in self.drives])
            growth = self._tensor(length / self.length_M)[self.config_N, None]
            self.length_M, self.position_N3 = length, position_N3 * growth
            lost.extend(self._refresh())
            return self._acceleration()

        _, self.velocity_N3, self.acceleration_N3 = baoab_step(
            self.position_N3,
            self.velocity_N3,
            self.acceleration_N3,
            half_step=self.dynamics.time_step_fs / 2,
            bath=bath if friction > 0 else None,
            accelerate=accelerate,
        )
        return lost

    def spreads(self) -> FloatArray:
        """(M, 3), in the order of SPREADS."""
        prediction = self.ensemble.evaluate(self.graph, self._vectors())
        self.shortest_M = self._shortest()
        self.kinetic_M = self._kinetic_temperature()
        return torch.stack([column.double() for column in prediction.spreads], dim=1).cpu().numpy()

    def unphysical(self, row: int, physical: Physical) -> str:
        """What is wrong with a frame, "" for nothing; of the last `spreads`."""
        distance, kinetic = self.shortest_M[row], self.kinetic_M[row]
        volume = abs(np.linalg.det(self.starts.cells_A[row])) * self.length_M[row] ** 3 / self.starts.n_atoms[row]
        if volume < physical.minimum_volume_A3:
            return f"the cell has collapsed: {volume:.2f} A^3 per atom, expected {physical.minimum_volume_A3:g} or more"
        if not kinetic <= physical.maximum_temperature_K:
            return (
                f"exploded: kinetic temperature {kinetic:.0f} K, expected at most {physical.maximum_temperature_K:g} K"
            )
        if not distance >= physical.minimum_distance_A:
            return f"atoms fused: a distance of {distance:.3f} A, expected {physical.minimum_distance_A:g} A or more"
        return ""

    def end(self, row: int, reason: Reason, why: str, step: int, spread: FloatArray) -> _End:
        cell = self.starts.cells_A[row] * self.length_M[row]
        positions = self.position_N3[self.config_N == row].cpu().numpy()
        fractional = positions @ np.linalg.inv(cell)
        inside = (fractional - np.floor(fractional)) @ cell
        time = step * self.dynamics.time_step_fs
        return _End(
            frame=self.starts[row].changed(positions_A=inside, cell_A=cell, failure=why),
            reason=reason,
            step=step,
            spread=spread,
            temperature_K=max(0.0, self.drives[row].temperature_K.at(time, self.duration_fs)),
            kinetic_temperature_K=float(self._kinetic_temperature()[row]),
        )

    def keep(self, rows: list[int]) -> None:
        """Go on with these only."""
        taken = torch.isin(self.config_N, torch.tensor(rows, device=self.device, dtype=torch.int64))
        self.position_N3, self.velocity_N3 = self.position_N3[taken], self.velocity_N3[taken]
        acceleration_N3 = self.acceleration_N3[taken]
        self.starts, self.drives = self.starts.select(rows), [self.drives[r] for r in rows]
        self.members = [self.members[r] for r in rows]
        self.length_M, self.noise = self.length_M[rows], [self.noise[r] for r in rows]
        if rows:
            self._lay_out()
            self._search()
            self.acceleration_N3 = acceleration_N3

    def _lay_out(self) -> None:
        self.config_N = torch.from_numpy(self.starts.frame_of_atoms).to(self.device)
        self.mass_N1 = self._tensor(np.asarray(atomic_masses[self.starts.numbers], dtype=np.float64))[:, None]
        self.n_atoms_M = self._tensor(self.starts.n_atoms.astype(np.float64))

    def _next_noise(self, step: int) -> FloatArray:
        """Normal numbers of this step, drawn some steps ahead; the stream of a trajectory does not depend on that."""
        offset = (step - 1) % self.dynamics.check_every
        if offset == 0 or len(self.noise[0]) <= offset:
            shapes = [(self.dynamics.check_every, n, 3) for n in self.starts.n_atoms.tolist()]
            self.noise = [d.rng.standard_normal(shape) for d, shape in zip(self.drives, shapes, strict=True)]
        return np.concatenate([drawn[offset] for drawn in self.noise])

    def _speed(self, temperature_M: FloatArray) -> Tensor:
        """Thermal speed of each atom (N, 1) [A/fs]."""
        energy = BOLTZMANN_EV_K * FORCE_TO_ACCELERATION * self._tensor(temperature_M)[self.config_N, None]
        return torch.sqrt(energy / self.mass_N1)

    def _refresh(self) -> list[int]:
        """Search again where pairs may have come in unseen."""
        scale_M = self._tensor(self.length_M / self.searched_length_M)
        moved_N = torch.linalg.vector_norm(self.position_N3 / scale_M[self.config_N, None] - self.searched_N3, dim=1)
        moved_M = moved_N.new_zeros(len(self.starts)).scatter_reduce(0, self.config_N, moved_N, "amax")
        reach_M = scale_M * (self.ensemble.cutoff_A + self.dynamics.skin_A - 2 * moved_M)
        valid_M = reach_M >= self.ensemble.cutoff_A
        self.scale_M = scale_M
        if bool(valid_M.all()):
            return []
        lost = [row for row, moved in enumerate(moved_M.tolist()) if not moved < 10 * self.ensemble.cutoff_A]
        for row in lost:  # it leaves the batch after this step: the old frame serves as well as any
            rows = self.config_N == row
            self.position_N3[rows] = self.searched_N3[rows] * scale_M[row]
        self._search()
        return lost

    def _search(self) -> None:
        positions = self.position_N3.cpu().numpy()
        systems, offsets = [], []
        for row, first in enumerate(self.starts.first_atom):
            atoms, cell = slice(first, first + self.starts.n_atoms[row]), self.starts.cells_A[row] * self.length_M[row]
            near = find_neighbours(
                positions[atoms], cell, np.array([True] * 3), self.ensemble.cutoff_A + self.dynamics.skin_A
            )
            numbers = self.starts.numbers[atoms]
            systems.append(Configuration(numbers=numbers, positions_A=positions[atoms], cell_A=cell, neighbours=near))
            offsets.append(near.shift @ cell)
        graph, _ = collate(systems, self.dtype)
        self.graph: Graph = graph.to(self.device)
        self.offset_H3 = self._tensor(np.concatenate(offsets))
        self.searched_N3, self.searched_length_M = self.position_N3.clone(), self.length_M.copy()
        self.scale_M = torch.ones(len(self.starts), dtype=torch.float64, device=self.device)

    def _vectors(self) -> Tensor:
        return self._vectors64().to(self.dtype)

    def _vectors64(self) -> Tensor:
        offset_H3 = self.offset_H3 * self.scale_M[self.graph.config_H, None]
        return self.position_N3[self.graph.second_H] - self.position_N3[self.graph.first_H] + offset_H3

    def _acceleration(self) -> Tensor:
        forces_N3 = mean_forces(self.ensemble, self.graph, self._vectors()).double()
        return FORCE_TO_ACCELERATION * forces_N3 / self.mass_N1

    def _shortest(self) -> list[float]:
        distance_H = torch.linalg.vector_norm(self._vectors64(), dim=1)
        none = torch.full((len(self.starts),), torch.inf, dtype=torch.float64, device=self.device)
        shortest: list[float] = none.scatter_reduce(0, self.graph.config_H, distance_H, "amin").tolist()
        return shortest

    def _kinetic_temperature(self) -> list[float]:
        """Twice the kinetic energy per degree of freedom."""
        twice_N = (self.mass_N1 * self.velocity_N3.square()).sum(dim=1) / FORCE_TO_ACCELERATION
        twice_M = twice_N.new_zeros(len(self.starts)).index_add(0, self.config_N, twice_N)
        temperature: list[float] = (twice_M / (3 * self.n_atoms_M * BOLTZMANN_EV_K)).tolist()
        return temperature

    def _tensor(self, values: FloatArray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float64, device=self.device)


def _edge(drive: Drive, time_fs: float, duration_fs: float) -> float:
    """Edge of the cell relative to the start."""
    density = drive.density_1_A3
    return float((density.at(0.0, duration_fs) / density.at(time_fs, duration_fs)) ** (1 / 3))
