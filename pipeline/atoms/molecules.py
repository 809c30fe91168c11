"""Stage `molecules`: frames of small molecules, labelled by quantum mechanics.

    reads   params.yaml: molecules
    writes  data/molecules.zarr             (stores.atoms.ATOMS)
            reports/metrics/molecules.json  {n_configs, n_failed, n_retried, level, sources, hash}

A cheap engine (`driver`, GFN2-xTB by default) proposes positions in three ways; energies and forces come from `engine`
alone (PySCF DFT by default), whatever proposed them:

    normal_modes   independent displacements around the minimum, each frame a group of its own
    dynamics       Langevin trajectories, one group each
    torsions       turns about single bonds, one group a scan

The source of a row is "<molecule> <way>", so that whole molecules can be held out. Trajectory j of way w of molecule m
is drawn with SeedSequence(seed, spawn_key=(m, w, j)), normal modes frame by frame from children of (m, 0, 0): neither
shards nor the number of workers change a frame. Molecules are those of the G2 set, by ASE's names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.frames import Frames
from models.physics.atoms.child_process import ChildLimits
from models.physics.atoms.engine import ENGINES, EngineMissing
from models.physics.atoms.labelling import LabelLimits, failed_frames, label_frames
from models.physics.atoms.sampling.driven import Sampler, SamplingFailed, sample_in_child
from models.physics.atoms.sampling.langevin import Langevin
from models.physics.atoms.sampling.molecules import molecule, rotatable_bonds
from models.physics.atoms.sampling.normal_modes import NormalModes
from models.physics.atoms.sampling.torsions import Torsions
from models.registry import Chosen
from models.settings import Range, Some, settings
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

__all__ = ["Job", "MoleculeFrames", "MoleculesParams", "draw_jobs", "generate", "label_job", "main", "problems_of"]

METHOD = ("seed", "engine", "driver", "limits")  # the params that shape the labels of a job
OUT = Path("data/molecules.zarr")
METRICS = Path("reports/metrics/molecules.json")
WAYS = ("normal_modes", "dynamics", "torsions")


@settings
class MoleculeFrames:
    """How many frames of a molecule by each way."""

    name: str
    normal_modes: NonNegativeInt
    trajectories: NonNegativeInt
    frames_per_trajectory: PositiveInt
    torsions: NonNegativeInt


@settings
class NormalModesParams:
    """Displacements around the minimum; each frame has its own temperature [K]."""

    temperature_K: Range[PositiveFloat]
    softest_1_cm: Annotated[float, Field(ge=1)]


@settings
class DynamicsParams:
    """Trajectories; the temperature goes from the first to the second value [K]."""

    temperature_K: tuple[PositiveFloat, PositiveFloat]
    time_step_fs: Annotated[float, Field(gt=0, le=5)]
    equilibration_steps: NonNegativeInt
    steps_per_frame: PositiveInt
    friction_1_fs: NonNegativeFloat


@settings
class TorsionsParams:
    """Turns about bonds, shaken at a temperature [K]."""

    temperature_K: Range[PositiveFloat]
    closest_A: Annotated[float, Field(ge=0.3)]


@settings
class MoleculesParams:
    """Section `molecules` of params.yaml."""

    seed: NonNegativeInt
    frames_per_shard: PositiveInt  # of normal modes; a trajectory or a scan is one shard
    engine: Annotated[Chosen, ENGINES]
    driver: Annotated[Chosen, ENGINES]
    limits: LabelLimits
    normal_modes: NormalModesParams
    dynamics: DynamicsParams
    torsions: TorsionsParams
    molecules: Some[MoleculeFrames]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Frames that are drawn together: what they start from, how many, and the key of their random numbers."""

    start: Frames  # with the source
    sampler: Sampler
    spawn_key: tuple[int, int, int]
    group: int  # in the store, of its first frame

    @property
    def group_per_frame(self) -> bool:
        return isinstance(self.sampler, NormalModes)


def main() -> None:
    generate(load_params(MoleculesParams, "molecules"))


def generate(params: MoleculesParams) -> None:
    """Make the store and its metrics in the working directory. Raises ValueError with all that hinders, at once."""
    if problems := problems_of(params):
        raise ValueError("\n".join(["molecules cannot be labelled:", *(f"  {problem}" for problem in problems)]))
    store = LabelledStore(
        stage="molecules",
        out=OUT,
        metrics=METRICS,
        params=params,
        shaping={part: value for part, value in asdict(params).items() if part in METHOD},
        engine=ENGINES.make(params.engine),
        jobs=[(job, job.sampler.n_frames) for job in draw_jobs(params)],
        solve_shard=partial(label_job, params=params),
    )
    generate_labels(store, load_execution())


def problems_of(params: MoleculesParams) -> list[str]:
    """All that would hinder the stage, in words; nothing is computed."""
    problems, molecules = [], []
    for entry in params.molecules:
        try:
            molecules.append(molecule(entry.name))
        except ValueError as error:
            problems.append(f"molecules: {error}")
            continue
        if entry.torsions and not rotatable_bonds(molecules[-1]):
            problems.append(
                f"molecules: found {entry.torsions} torsions of {entry.name}, expected 0: no bond of it turns"
            )
    if not sum(_n_frames(entry) for entry in params.molecules):
        problems.append("molecules: found no frames at all, expected some")
    problems += engine_problems(ENGINES.make(params.engine), molecules, "engine")
    return problems + engine_problems(ENGINES.make(params.driver), molecules, "driver")


def draw_jobs(params: MoleculesParams) -> list[Job]:
    """Every set of frames of the store, in its order."""
    jobs: list[Job] = []
    group = 0
    for m, entry in enumerate(params.molecules):
        start = molecule(entry.name)
        samplers: dict[str, list[Sampler]] = {"normal_modes": [], "dynamics": [], "torsions": []}
        for first in range(0, entry.normal_modes, params.frames_per_shard):
            n_frames = min(params.frames_per_shard, entry.normal_modes - first)
            modes = NormalModes(n_frames=n_frames, first=first, **asdict(params.normal_modes))
            samplers["normal_modes"].append(modes)
        for _ in range(entry.trajectories):
            samplers["dynamics"].append(Langevin(n_frames=entry.frames_per_trajectory, **asdict(params.dynamics)))
        if entry.torsions:
            samplers["torsions"].append(Torsions(n_frames=entry.torsions, **asdict(params.torsions)))
        for w, way in enumerate(WAYS):
            for j, sampler in enumerate(samplers[way]):
                job = Job(
                    start=start.changed(source=f"{entry.name} {way}"),
                    sampler=sampler,
                    group=group,
                    spawn_key=(m, w, 0 if way == "normal_modes" else j),
                )
                group += sampler.n_frames if job.group_per_frame else 1
                jobs.append(job)
    return jobs


def label_job(items: Sequence[Job], *, params: MoleculesParams) -> Arrays:
    """Rows of one job (`items` repeats it, once for each frame): draw the frames, label them."""
    job, engine, driver = items[0], ENGINES.make(params.engine), ENGINES.make(params.driver)
    first = job.sampler.first if isinstance(job.sampler, NormalModes) else 0
    way = {"sampling": job.start.source.partition(" ")[2], "sampling_level": driver.level}
    known = [
        {**way, "seed": params.seed, "spawn_key": list(job.spawn_key), "frame": first + i}
        for i in range(job.sampler.n_frames)
    ]
    limits = ChildLimits(time_limit_s=params.limits.time_limit_s, n_threads=params.limits.n_threads)
    try:
        frames = sample_in_child(
            job.start, driver, job.sampler, seed=params.seed, spawn_key=job.spawn_key, limits=limits
        )
    except SamplingFailed as error:
        starts = _grouped(job, [job.start] * job.sampler.n_frames)
        return columns_of(failed_frames(engine, starts, f"no frame was drawn: {error}", known))
    return columns_of(label_frames(engine, _grouped(job, frames), params.limits, known))


def _grouped(job: Job, frames: Iterable[Frames]) -> Frames:
    each = enumerate(frames)
    return Frames.concatenate(f.changed(group=i if job.group_per_frame else 0) for i, f in each)


def _n_frames(entry: MoleculeFrames) -> int:
    return entry.normal_modes + entry.trajectories * entry.frames_per_trajectory + entry.torsions


if __name__ == "__main__":
    run_stage("molecules", main, also_explained=(EngineMissing,))
