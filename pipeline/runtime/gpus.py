"""How many GPUs share one training: the environment's LATENTLAW_GPUS, else 1."""

import os
from dataclasses import replace

from pipeline.runtime.execution import Execution

__all__ = ["for_training", "n_devices"]


def n_devices() -> int:
    """1 without GPUs. Raises ValueError for a number that is none."""
    import torch

    given = os.environ.get("LATENTLAW_GPUS", "1")
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"LATENTLAW_GPUS: found {given!r}, expected a whole number >= 1; correct or unset it")
    return int(given) if torch.cuda.is_available() else 1


def for_training(execution: Execution) -> Execution:
    """One training after the other where they share this machine's GPUs, else one per core."""
    import torch

    shared = torch.cuda.is_available() and execution.scheduler == "local"
    return replace(execution, scheduler="serial") if shared else execution
