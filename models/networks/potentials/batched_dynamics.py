"""Molecular dynamics of many periodic cells side by side, in one batch, each stopped where the ensemble is unsure.

Langevin's equation by BAOAB (B. Leimkuhler and C. Matthews, Appl. Math. Res. Express 2013, 34), without friction
velocity Verlet. Each trajectory has its own path of temperature and density, its own random numbers and its own end:

    uncertain   the spread of the members has passed a threshold at a check: the frame should be labelled
    asked       the step came at which the caller wants the frame, certain or not
    finished    all steps done
    discarded   the frame is unphysical, and `why` says in which way

Neighbours are searched within cutoff + skin and kept while a cell is scaled by s (relative to that search) and atoms
move by at most m in its coordinates: s (cutoff + skin - 2 m) >= cutoff holds until a pair could have come in unseen.

Batches share nothing but matrix products, so a trajectory is that of a batch of one up to their rounding (and the chaos
that follows). Positions and velocities are float64; forces come in the dtype of the members. Units: A, fs, u, K, eV.

Shape suffixes: M configurations, N atoms, H pairs, 3 Cartesian.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.networks.potentials.ensemble import Ensemble, EnsemblePrediction
from models.networks.potentials.graph import Configuration, Graph, collate
from models.networks.potentials.mean_force import mean_forces
from models.networks.potentials.neighbours import find_neighbours

__all__ = ["Dynamics", "Ended", "Physical", "Reason", "Spread", "Start", "Thresholds", "run_trajectories"]

FloatArray = NDArray[np.float64]
Reason = Literal["uncertain", "asked", "finished", "discarded"]
BOLTZMANN_EV_K = 8.617333262e-5
FORCE_TO_ACCELERATION = 9.64853322e-3  # eV / (A u) in A/fs^2


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
class Spread:
    """Disagreement of members on one frame: population standard deviations (models.networks.potentials.ensemble)."""

    energy_eV_atom: float
    force_mean_eV_A: float
    force_max_eV_A: float


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

    def ratio(self, spread: Spread) -> float:
        """Largest quotient of a spread and its threshold: uncertain above 1."""
        return max(float(getattr(spread, name)) / float(value) for name, value in vars(self).items())


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
class Start:
    """Where a trajectory begins; `rng` is its own. `end_at` ends it at this step (a multiple of `check_every`)."""

    numbers: NDArray[np.int64]
    masses_u: FloatArray
    positions_A: FloatArray  # (n_atoms, 3)
    cell_A: FloatArray  # (3, 3), periodic in all directions
    temperature_K: Path
    density_1_A3: Path
    rng: np.random.Generator
    end_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a trajectory ended, the frame there (positions inside the cell), and what was seen at the checks."""

    reason: Reason
    why: str
    step: int
    positions_A: FloatArray
    cell_A: FloatArray
    spread: Spread
    temperature_K: float  # of the bath
    kinetic_temperature_K: float
    checks: list[tuple[int, Spread]] = field(default_factory=list)


def run_trajectories(
    ensemble: Ensemble,
    starts: Sequence[Start],
    dynamics: Dynamics,
    thresholds: Thresholds | None = None,
    physical: Physical | None = None,
) -> list[Ended]:
    """Run all to their end, on the device of the members; `thresholds` None: nothing is uncertain.

    Raises ValueError for elements that the ensemble does not know and cells without volume.
    """
    batch = _Batch(ensemble, starts, dynamics)
    ended: dict[int, Ended] = {}
    seen: list[list[tuple[int, Spread]]] = [[] for _ in starts]
    for step in range(1, dynamics.n_steps + 1):
        lost = batch.advance(step)
        decided: dict[int, tuple[Reason, str]] = {row: ("discarded", "exploded: atoms are lost") for row in lost}
        spreads: list[Spread] = []
        if step % dynamics.check_every == 0 or step == dynamics.n_steps:
            spreads = batch.spreads()
            for row, spread in enumerate(spreads):
                own = seen[batch.members[row]]
                own.append((step, spread))
                if row not in decided and (
                    verdict := _verdict(batch, row, step, spread, thresholds, physical or Physical())
                ):
                    decided[row] = verdict
        if decided:
            for row, (reason, why) in decided.items():
                index = batch.members[row]
                spread = spreads[row] if spreads else UNKNOWN
                ended[index] = batch.end(row, reason, why, step, spread, seen[index])
            batch.keep([row for row in range(len(batch.members)) if row not in decided])
        if not batch.members:
            break
    return [ended[index] for index in range(len(starts))]


UNKNOWN = Spread(energy_eV_atom=np.nan, force_mean_eV_A=np.nan, force_max_eV_A=np.nan)


def _verdict(
    batch: "_Batch", row: int, step: int, spread: Spread, thresholds: Thresholds | None, physical: Physical
) -> tuple[Reason, str] | None:
    if told := batch.unphysical(row, physical):
        return "discarded", told
    if not all(np.isfinite(value) for value in vars(spread).values()):
        return "discarded", "exploded: the potential is not finite"
    if thresholds is not None and thresholds.ratio(spread) > 1:
        return "uncertain", ""
    if batch.starts[row].end_at == step:
        return "asked", ""
    return ("finished", "") if step == batch.dynamics.n_steps else None


class _Batch:
    """State of the trajectories that still run; `members` are their places among all."""

    def __init__(self, ensemble: Ensemble, starts: Sequence[Start], dynamics: Dynamics) -> None:
        self.ensemble, self.dynamics = ensemble, dynamics
        weight = next(ensemble.members[0].parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.starts, self.members = list(starts), list(range(len(starts)))
        self.length_M = np.ones(len(starts))  # edge of the cell now, relative to the start
        self.noise: list[FloatArray] = [np.zeros((0, 0, 3))] * len(starts)
        self.position_N3 = self._tensor(np.concatenate([s.positions_A for s in starts]))
        self._lay_out()
        bath = np.array([s.temperature_K.at(0.0, self.duration_fs) for s in starts])
        drawn = np.concatenate([s.rng.standard_normal(s.positions_A.shape) for s in starts])
        self.velocity_N3 = self._tensor(drawn) * self._speed(bath)
        self._search()
        self.acceleration_N3 = self._acceleration()

    @property
    def duration_fs(self) -> float:
        return self.dynamics.n_steps * self.dynamics.time_step_fs

    def advance(self, step: int) -> list[int]:
        """One step; returns the rows whose positions are lost."""
        half, time = self.dynamics.time_step_fs / 2, step * self.dynamics.time_step_fs
        velocity = self.velocity_N3 + half * self.acceleration_N3
        position = self.position_N3 + half * velocity
        if self.dynamics.friction_1_fs > 0:
            kept = float(np.exp(-self.dynamics.friction_1_fs * self.dynamics.time_step_fs))
            bath = np.array([max(0.0, s.temperature_K.at(time, self.duration_fs)) for s in self.starts])
            noise = self._tensor(self._next_noise(step))
            velocity = kept * velocity + (1 - kept**2) ** 0.5 * noise * self._speed(bath)
        position = position + half * velocity
        length = np.array([_edge(s, time, self.duration_fs) for s in self.starts])
        growth = self._tensor(length / self.length_M)[self.config_N, None]
        self.length_M, self.position_N3 = length, position * growth
        lost = self._refresh()
        self.acceleration_N3 = self._acceleration()
        self.velocity_N3 = velocity + half * self.acceleration_N3
        return lost

    def spreads(self) -> list[Spread]:
        found: EnsemblePrediction = self.ensemble.evaluate(self.graph, self._vectors())
        columns = (found.energy_spread_per_atom_M, found.forces_spread_mean_M, found.forces_spread_max_M)
        self.shortest_M = self._shortest()
        self.kinetic_M = self._kinetic_temperature()
        table = torch.stack([column.double() for column in columns], dim=1).tolist()
        return [Spread(energy_eV_atom=e, force_mean_eV_A=f, force_max_eV_A=m) for e, f, m in table]

    def unphysical(self, row: int, physical: Physical) -> str:
        """What is wrong with a frame, "" for nothing; of the last `spreads`."""
        distance, kinetic = self.shortest_M[row], self.kinetic_M[row]
        start = self.starts[row]
        volume = abs(np.linalg.det(start.cell_A)) * self.length_M[row] ** 3 / len(start.numbers)
        if volume < physical.minimum_volume_A3:
            return f"the cell has collapsed: {volume:.2f} A^3 per atom, expected {physical.minimum_volume_A3:g} or more"
        if not kinetic <= physical.maximum_temperature_K:
            return (
                f"exploded: kinetic temperature {kinetic:.0f} K, expected at most {physical.maximum_temperature_K:g} K"
            )
        if not distance >= physical.minimum_distance_A:
            return f"atoms fused: a distance of {distance:.3f} A, expected {physical.minimum_distance_A:g} A or more"
        return ""

    def end(
        self, row: int, reason: Reason, why: str, step: int, spread: Spread, checks: list[tuple[int, Spread]]
    ) -> Ended:
        cell = self.starts[row].cell_A * self.length_M[row]
        positions = self.position_N3[self.config_N == row].cpu().numpy()
        fractional = positions @ np.linalg.inv(cell)
        time = step * self.dynamics.time_step_fs
        return Ended(
            reason=reason,
            why=why,
            step=step,
            positions_A=(fractional - np.floor(fractional)) @ cell,
            cell_A=cell,
            spread=spread,
            temperature_K=max(0.0, self.starts[row].temperature_K.at(time, self.duration_fs)),
            kinetic_temperature_K=float(self._kinetic_temperature()[row]),
            checks=checks,
        )

    def keep(self, rows: list[int]) -> None:
        """Go on with these only."""
        taken = torch.isin(self.config_N, torch.tensor(rows, device=self.device, dtype=torch.int64))
        self.position_N3, self.velocity_N3 = self.position_N3[taken], self.velocity_N3[taken]
        acceleration_N3 = self.acceleration_N3[taken]
        self.starts, self.members = [self.starts[r] for r in rows], [self.members[r] for r in rows]
        self.length_M, self.noise = self.length_M[rows], [self.noise[r] for r in rows]
        if rows:
            self._lay_out()
            self._search()
            self.acceleration_N3 = acceleration_N3

    def _lay_out(self) -> None:
        n_atoms = [len(s.numbers) for s in self.starts]
        self.first_M = np.concatenate([[0], np.cumsum(n_atoms)[:-1]])
        self.config_N = torch.repeat_interleave(
            torch.arange(len(n_atoms), device=self.device), torch.tensor(n_atoms, device=self.device)
        )
        self.mass_N1 = self._tensor(np.concatenate([s.masses_u for s in self.starts]))[:, None]
        self.n_atoms_M = self._tensor(np.array(n_atoms, dtype=np.float64))

    def _next_noise(self, step: int) -> FloatArray:
        """Normal numbers of this step, drawn some steps ahead; the stream of a trajectory does not depend on that."""
        place = (step - 1) % self.dynamics.check_every
        if place == 0 or len(self.noise[0]) <= place:
            self.noise = [s.rng.standard_normal((self.dynamics.check_every, len(s.numbers), 3)) for s in self.starts]
        return np.concatenate([drawn[place] for drawn in self.noise])

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
        found, offsets = [], []
        for start, length, first in zip(self.starts, self.length_M, self.first_M, strict=True):
            cell, own = start.cell_A * length, positions[first : first + len(start.numbers)]
            near = find_neighbours(own, cell, np.array([True] * 3), self.ensemble.cutoff_A + self.dynamics.skin_A)
            found.append(Configuration(numbers=start.numbers, positions_A=own, cell_A=cell, neighbours=near))
            offsets.append(near.shift @ cell)
        graph, _ = collate(found, self.dtype)
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


def _edge(start: Start, time_fs: float, duration_fs: float) -> float:
    """Edge of the cell relative to the start."""
    density = start.density_1_A3
    return float((density.at(0.0, duration_fs) / density.at(time_fs, duration_fs)) ** (1 / 3))
