"""Stage `aluminium`: small periodic cells of one element, labelled by quantum mechanics.

    reads   params.yaml: aluminium
    writes  data/aluminium.zarr             (stores.atoms.ATOMS)
            reports/metrics/aluminium.json  {n_configs, n_failed, n_retried, level, sources, hash}

    melt      frames of Langevin trajectories from random-packed cells, driven by a cheap engine (`driver`, effective
              medium theory by default); one group each
    crystal   fcc, bcc, hcp, ... strained and rattled, at volumes of a range
    packed    random-packed cells, likewise; density is a range
    defect    vacancy, interstitial, slab, stacking fault

Energies, forces and stresses come from `engine` alone (GPAW plane waves by default). Frame i of kind k is drawn with
SeedSequence(seed, spawn_key=(k, i)), so that more frames of one kind change no other.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from models.frames import Frames
from models.physics.atoms.child_process import ChildLimits
from models.physics.atoms.distances import minimum_distance
from models.physics.atoms.engine import ENGINES, EngineMissing
from models.physics.atoms.labelling import LabelLimits, failed_frames, label_frames
from models.physics.atoms.sampling.crystals import Crystals, prototype, sample_crystals
from models.physics.atoms.sampling.defects import Defects, sample_defects
from models.physics.atoms.sampling.disordered import RandomPacked, sample_random_packed
from models.physics.atoms.sampling.driven import SamplingFailed, sample_in_child
from models.physics.atoms.sampling.langevin import Langevin
from models.registry import Chosen
from models.settings import settings
from pipeline.atoms.labelling import (
    LabelledStore,
    engine_problems,
    generate_labels,
)
from pipeline.runtime.execution import load_execution
from pipeline.runtime.kept_results import Arrays
from pipeline.runtime.params import load_params
from pipeline.runtime.stage import run_stage
from stores.atoms import columns_of

__all__ = [
    "AluminiumParams",
    "Job",
    "MeltsParams",
    "draw_jobs",
    "draw_start",
    "generate",
    "label_job",
    "main",
    "problems_of",
]

OUT = Path("data/aluminium.zarr")
METRICS = Path("reports/metrics/aluminium.json")
KINDS = ("melt", "crystal", "packed", "defect")
COUNTS = {"melts": "n_trajectories", "crystals": "n_frames", "packed": "n_frames", "defects": "n_frames"}


@settings
class MeltsParams:
    """Trajectories from random-packed cells (`start`, one frame each) by Langevin dynamics."""

    n_trajectories: NonNegativeInt
    start: RandomPacked
    dynamics: Langevin


@settings
class AluminiumParams:
    """Section `aluminium` of params.yaml."""

    seed: NonNegativeInt
    element: str
    frames_per_shard: PositiveInt  # a trajectory is one shard
    engine: Annotated[Chosen, ENGINES]
    driver: Annotated[Chosen, ENGINES]
    limits: LabelLimits
    melts: MeltsParams
    crystals: Crystals
    packed: RandomPacked
    defects: Defects

    def __post_init__(self) -> None:
        from ase.data import atomic_numbers

        problems = []
        if self.element not in atomic_numbers:
            problems.append(f"element: found {self.element!r}, expected a chemical symbol such as Al")
        if not any((self.melts.n_trajectories, self.crystals.n_frames, self.packed.n_frames, self.defects.n_frames)):
            problems.append("found no frames of any kind, expected some")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def number(self) -> int:
        from ase.data import atomic_numbers

        return int(atomic_numbers[self.element])


@dataclass(frozen=True, kw_only=True)
class Job:
    """Frames of one kind that are labelled together, first .. first + n_frames; of melts, trajectory `first`."""

    kind: str
    first: int
    n_frames: int
    group: int


def main() -> None:
    generate(load_params(AluminiumParams, "aluminium"))


def generate(params: AluminiumParams) -> None:
    """Make the store and its metrics in the working directory. Raises ValueError with all that hinders, at once."""
    if problems := problems_of(params):
        raise ValueError("\n".join(["aluminium cannot be labelled:", *(f"  {problem}" for problem in problems)]))
    store = LabelledStore(
        stage="aluminium",
        out=OUT,
        metrics=METRICS,
        params=params,
        shaping=_shaping(params),
        engine=ENGINES.make(params.engine),
        jobs=[(job, job.n_frames) for job in draw_jobs(params)],
        solve_shard=partial(label_job, params=params),
    )
    generate_labels(store, load_execution())


def problems_of(params: AluminiumParams) -> list[str]:
    """All that would hinder the stage, in words; nothing is computed."""
    example = Frames.one(
        numbers=np.full(n_atoms := _fewest_atoms(params), params.number),
        positions_A=np.zeros((n_atoms, 3)),
        cell_A=np.eye(3),
    )
    problems = engine_problems(ENGINES.make(params.engine), [example], "engine")
    if params.melts.n_trajectories:
        problems += engine_problems(ENGINES.make(params.driver), [example], "driver")
    closest = params.limits.minimum_distance_A
    for name in params.crystals.prototypes if params.crystals.n_frames else ():
        distance = minimum_distance(prototype(name, params.number, params.crystals.volume_A3[0]))
        if distance < closest:
            problems.append(
                f"crystals.volume_A3: impossible density: {name} at {params.crystals.volume_A3[0]:g} A^3 per atom has "
                f"atoms {distance:.2f} A apart, expected {closest:g} A or more (limits.minimum_distance_A)"
            )
    return list(dict.fromkeys(problems))


def draw_jobs(params: AluminiumParams) -> list[Job]:
    """Every set of frames of the store, in its order: trajectories first, which take longest."""
    n_frames = {
        "crystal": params.crystals.n_frames,
        "packed": params.packed.n_frames,
        "defect": params.defects.n_frames,
    }
    n_melt = params.melts.dynamics.n_frames
    jobs = [Job(kind="melt", first=j, n_frames=n_melt, group=j) for j in range(params.melts.n_trajectories)]
    group = len(jobs)
    for kind, n in n_frames.items():
        for first in range(0, n, params.frames_per_shard):
            jobs.append(
                Job(kind=kind, first=first, n_frames=min(params.frames_per_shard, n - first), group=group + first)
            )
        group += n
    return jobs


def _shaping(params: AluminiumParams) -> dict[str, Any]:
    """What shapes the labels of a job: all but how many jobs there are, and what a job says itself."""
    shaping: dict[str, Any] = asdict(params)
    del shaping["frames_per_shard"]
    for kind, count in COUNTS.items():
        del shaping[kind][count]
    return shaping


def draw_start(params: AluminiumParams, kind: str, index: int) -> Frames:
    """Frame number `index` of a kind, whatever the others are; of melts, where the trajectory starts."""
    rng = np.random.default_rng(np.random.SeedSequence(params.seed, spawn_key=(KINDS.index(kind), index)))
    if kind == "crystal":
        crystal = sample_crystals(params.number, replace(params.crystals, n_frames=1), rng, first=index)[0]
        return crystal.changed(source=f"crystal {crystal.source}")
    if kind == "defect":
        defect = sample_defects(params.number, replace(params.defects, n_frames=1), rng, first=index)[0]
        return defect.changed(source=f"defect {params.defects.kinds[index % len(params.defects.kinds)]}")
    packing = params.packed if kind == "packed" else params.melts.start
    return sample_random_packed(params.number, replace(packing, n_frames=1), rng)[0].changed(source=kind)


def label_job(items: Sequence[Job], *, params: AluminiumParams) -> Arrays:
    """Rows of one job (`items` repeats it, once for each frame): draw the frames, label them."""
    job, engine = items[0], ENGINES.make(params.engine)
    known: list[dict[str, Any]] = [{"sampling": job.kind, "seed": params.seed} for _ in range(job.n_frames)]
    if job.kind != "melt":
        starts = [draw_start(params, job.kind, job.first + i) for i in range(job.n_frames)]
        frames = Frames.concatenate(start.changed(group=i) for i, start in enumerate(starts))
        for i, mine in enumerate(known):
            mine["spawn_key"] = [KINDS.index(job.kind), job.first + i]
        return columns_of(label_frames(engine, frames, params.limits, known))
    driver = ENGINES.make(params.driver)
    start = draw_start(params, "melt", job.first)
    limits = ChildLimits(time_limit_s=params.limits.time_limit_s, n_threads=params.limits.n_threads)
    spawn_key = (KINDS.index("melt"), job.first, 1)
    for i, mine in enumerate(known):
        mine |= {"sampling_level": driver.level, "spawn_key": list(spawn_key), "frame": i}
    try:
        frames = sample_in_child(
            start, driver, params.melts.dynamics, seed=params.seed, spawn_key=spawn_key, limits=limits
        )
    except SamplingFailed as error:
        return columns_of(failed_frames(engine, [start] * job.n_frames, f"no frame was drawn: {error}", known))
    return columns_of(label_frames(engine, frames, params.limits, known))


def _fewest_atoms(params: AluminiumParams) -> int:
    fewest = [1] if params.crystals.n_frames else []
    fewest += [params.packed.n_atoms[0]] if params.packed.n_frames else []
    return min([*fewest, params.melts.start.n_atoms[0]])


if __name__ == "__main__":
    run_stage("aluminium", main, also_explained=(EngineMissing,))
