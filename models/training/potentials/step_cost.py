"""What a training step costs, side by side with others: CPU seconds and peak memory of its tensors.

Steps take turns, so that a noisy machine hits all alike, and the median counts. Seconds are those of the calling thread
(CPU) or between synchronisations (GPU). Memory is the highest sum of what the step allocates for tensors and has not
freed yet, as PyTorch's own allocator tells; weights and the batch, which were there before, are not in it.
"""

import contextlib
import functools
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ["StepCost", "step_costs"]

Step = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Medians over the repetitions."""

    seconds: float
    peak_memory_MiB: float


def step_costs(steps: Mapping[str, Step], *, n_repeats: int, device: str = "cpu") -> dict[str, StepCost]:
    """Cost of each step; all are run twice before anything is measured."""
    for step in steps.values():
        step()
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(n_repeats):
        for name, step in steps.items():
            seconds[name].append(_seconds(step, device))
    return {
        name: StepCost(seconds=float(np.median(seconds[name])), peak_memory_MiB=_peak_bytes(step, device) / 2**20)
        for name, step in steps.items()
    }


def _seconds(step: Step, device: str) -> float:
    if device == "cpu":
        start = time.thread_time()
        step()
        return time.thread_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def _peak_bytes(step: Step, device: str) -> int:
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    _wake_profiler()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the profiler, about memory that it did not see allocated
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            step()
    result = profiled.profiler.kineto_results if profiled.profiler is not None else None
    if result is None:
        raise RuntimeError("torch.profiler gave no result; it is needed to measure peak memory")
    events = sorted((e for e in result.events() if e.name() == "[memory]"), key=lambda event: event.start_ns())
    return int(max(np.cumsum([event.nbytes() for event in events]), default=0))


@functools.cache
def _wake_profiler() -> None:
    """Once in a process, so that a profile prints nothing.

    Kineto prints every start and stop, however it ends; where it fails there is no result, and an error. Two remarks
    more go to the file descriptor: at the first use, and when first a tensor is freed that is older than the profile.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # read at the first use
    older = torch.ones(1)
    with _silent_descriptor(2), profile(activities=[ProfilerActivity.CPU], profile_memory=True):
        del older


@contextlib.contextmanager
def _silent_descriptor(number: int) -> Iterator[None]:
    kept, nowhere = os.dup(number), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, number)
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)
        os.close(nowhere)
