"""How far the shards of a folder are: read from the files that workers leave there (pipeline.runtime.claims)."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.claims import IDENTITY, Claims, Identity, shard_names

__all__ = ["ClaimStatus", "claim_status"]

RATE_OVER_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class ClaimStatus:
    """`running`: worker by shard. The rate is that of the last hour, None with fewer than two results in it."""

    stage: str
    key: str
    n_shards: int
    n_done: int
    running: dict[str, str]
    failed: dict[str, str]
    hosts: dict[str, int]  # host -> workers that live
    repro: bool  # whether `latentlaw repro` makes what is missing
    shards_per_hour: float | None
    hours_left: float | None

    def line(self) -> str:
        parts = [f"{self.n_done} of {self.n_shards} shards"]
        parts += [f"{len(self.running)} running"] if self.running else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [f"{self.shards_per_hour:.3g} an hour"] if self.shards_per_hour else []
        parts += [f"{_duration(self.hours_left)} left"] if self.hours_left else []
        return ", ".join(parts)


def claim_status(folder: Path, *, stage: str = "", key: str = "", n_shards: int | None = None) -> ClaimStatus:
    """Of the work in a folder; what it is of stands in the folder, or is given where nothing has begun.

    Workers on other machines count as alive for as long as their files lie there.
    """
    if (identity := Identity.read(folder / IDENTITY)) is not None:
        stage, key, n_shards = identity.stage, identity.key, identity.n_tasks
    names = shard_names(n_shards or 0)
    folder.mkdir(parents=True, exist_ok=True)
    claims = Claims(folder, names)
    state = claims.look()
    running = {}
    for name, task in state.tasks.items():
        if not (task.done or task.failed) and (holder := claims.holder_of(name, task)) in state.workers:
            running[name] = holder
    n_done = sum(task.done for task in state.tasks.values())
    rate = _rate(folder, [name for name, task in state.tasks.items() if task.done])
    left = len(state.left())
    return ClaimStatus(
        stage=stage,
        key=key,
        n_shards=len(names),
        n_done=n_done,
        running=running,
        failed=claims.failures(),
        hosts=dict(Counter(worker.host for worker in state.workers.values() if worker.role == "work")),
        repro=any(worker.role == "repro" for worker in state.workers.values()),
        shards_per_hour=rate,
        hours_left=left / rate if rate and left else None,
    )


def _rate(folder: Path, done: list[str]) -> float | None:
    """Results per hour, by the times at which they were written in the last hour."""
    times = []
    for name in done:
        try:
            times.append((folder / f"{name}.task").stat().st_mtime)
        except FileNotFoundError:
            continue
    recent = sorted(time_s for time_s in times if time_s > max(times) - RATE_OVER_S)
    if len(recent) < 2:
        return None
    return 3600.0 * (len(recent) - 1) / max(1.0, max(recent[-1], time.time()) - recent[0])


def _duration(hours: float) -> str:
    minutes = round(60 * hours)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(1, minutes)} min"
