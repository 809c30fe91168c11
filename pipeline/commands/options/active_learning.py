"""What `latentlaw active-learning` is asked."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pipeline.commands.options.declaring import Option, Options

__all__ = ["ActiveLearningOptions", "Phase"]

Phase = Literal["test", "label", "train", "sample"]


@dataclass(frozen=True, kw_only=True)
class ActiveLearningOptions(Options):
    """Run active learning, or one kind of its tasks.

    Each kind of task wants machines of its own: labels many CPUs, trainings and trajectories a GPU. With --phase
    only tasks of this kind are made, as far as they can be; the last line says which phase is next. Settings stand
    in params.yaml, section active_learning. When nothing is left, `latentlaw repro active_learning` writes the store
    and the potential from what is there.
    """

    phase: Annotated[
        Phase | None,
        Option("test: labels of the test set; label: all others; train: networks; sample: trajectories", unset="all"),
    ] = None
