"""Label frames by an engine, each batch in a child process; whatever goes wrong becomes a reason, not an error.

    outcome   Label, or Failure with the reason in words
    batch     frames of one call share a child, which saves imports; when it dies or falls silent, the one at
              work is guilty and the rest goes on in a new child
    retry     once, with `engine.safer()` (same level of theory); a second failure tells both reasons
    gate      numbers must be finite and forces within limits; the net force must vanish

All is a pure function of engine and frames, but for the time limit. A frame that failed stays, with the reason.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from models.frames import CONTACT_A, Frames
from models.physics.atoms.child_process import ChildFailed, ChildLimits, run_in_child
from models.physics.atoms.distances import minimum_distance
from models.physics.atoms.engine import Engine, EngineMissing, EngineRefused, Label, NotConverged

__all__ = ["Failure", "LabelLimits", "Outcome", "failed_frames", "label_batch", "label_frames", "outcomes_of"]

Provenances = Sequence[Mapping[str, Any]]
FUNCTION = "models.physics.atoms.labelling:label_batch"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a configuration has no label; `final` where no settings of the engine would help."""

    reason: str
    final: bool = False


@dataclass(frozen=True, kw_only=True)
class LabelLimits:
    """`time_limit_s` for each configuration; what is outside the other limits is recorded as failed."""

    time_limit_s: float = 600.0
    n_threads: int = 1
    minimum_distance_A: float = CONTACT_A
    maximum_force_eV_A: float = 100.0
    maximum_net_force_eV_A: float = 0.05  # norm of the sum over atoms

    def __post_init__(self) -> None:
        wrong = [f"{name} = {value!r}" for name, value in asdict(self).items() if not (value > 0 and value < math.inf)]
        if wrong:
            raise ValueError(f"limits: found {', '.join(wrong)}, expected numbers > 0")

    @property
    def child(self) -> ChildLimits:
        return ChildLimits(time_limit_s=self.time_limit_s, n_threads=self.n_threads)


Outcome = Label | Failure


def label_frames(engine: Engine, frames: Frames, limits: LabelLimits, provenances: Provenances) -> Frames:
    """The same frames with labels, or the reason why there are none; `provenances` tell what else is known of each.

    Raises EngineMissing before anything runs.
    """
    outcomes = outcomes_of(engine, frames, limits)
    return Frames.concatenate(_with(*each, engine) for each in zip(frames, outcomes, provenances, strict=True))


def failed_frames(engine: Engine, frames: Iterable[Frames], reason: str, provenances: Provenances) -> Frames:
    """Frames in the place of those that could not be drawn."""
    failure = Failure(reason=reason, final=True)
    return Frames.concatenate(
        _with(frame, failure, entry, engine) for frame, entry in zip(frames, provenances, strict=True)
    )


def outcomes_of(engine: Engine, frames: Frames | Sequence[Frames], limits: LabelLimits) -> list[Outcome]:
    """One outcome per frame, in their order. Raises EngineMissing before anything runs."""
    engine.check()
    outcomes: list[Outcome] = [_before(engine, frame, limits) or Failure(reason="not run") for frame in frames]
    waiting = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Failure) and not outcome.final]
    for i, outcome in _attempt(engine, frames, waiting, limits).items():
        outcomes[i] = outcome
    safer = engine.safer()
    if safer is None:
        return outcomes
    if safer.level != engine.level:
        raise ValueError(f"safer settings: found level {safer.level!r}, expected that of the engine, {engine.level!r}")
    failed = {i: o.reason for i in waiting if isinstance(o := outcomes[i], Failure) and not o.final}
    for i, outcome in _attempt(safer, frames, list(failed), limits).items():
        if isinstance(outcome, Failure):
            outcomes[i] = Failure(reason=f"{failed[i]}; with safer settings: {outcome.reason}", final=outcome.final)
        else:
            outcomes[i] = replace(outcome, provenance={**outcome.provenance, "first_attempt": failed[i]})
    return outcomes


def label_batch(engine: Engine, frames: Sequence[Frames]) -> Iterator[int | Outcome]:
    """What the child does: says which frame it begins, then its label or why there is none."""
    for position, frame in enumerate(frames):
        yield position
        try:
            yield engine.label(frame.numbers, frame.positions_A, frame.cell_A)
        except EngineMissing:
            raise
        except EngineRefused as error:
            yield Failure(reason=str(error), final=True)
        except NotConverged as error:
            yield Failure(reason=str(error))
        except Exception as error:  # of whatever library the engine is: sent to the parent, who records it
            yield Failure(reason=f"{type(error).__name__}: {error}")


def _before(engine: Engine, frame: Frames, limits: LabelLimits) -> Failure | None:
    """What is wrong with a configuration, as far as it shows without computing."""
    arrays = [frame.positions_A] + ([] if frame.cell_A is None else [frame.cell_A])
    if not all(np.isfinite(array).all() for array in arrays):
        return Failure(reason="positions or cell are not finite", final=True)
    if frame.cell_A is not None and abs(np.linalg.det(frame.cell_A)) < 1e-3 * len(frame.numbers):
        return Failure(reason="the cell has collapsed: its volume is almost zero", final=True)
    distance = minimum_distance(frame)
    if distance < limits.minimum_distance_A:
        reason = f"atoms fused: found a distance of {distance:.3f} A, expected {limits.minimum_distance_A:g} A or more"
        return Failure(reason=reason, final=True)
    try:
        engine.refuse(frame.numbers, periodic=frame.periodic)
    except EngineRefused as error:
        return Failure(reason=str(error), final=True)
    return None


def _attempt(
    engine: Engine, frames: Frames | Sequence[Frames], indices: Sequence[int], limits: LabelLimits
) -> dict[int, Outcome]:
    """Outcomes of the frames at `indices`, with as many children as it takes."""
    outcomes: dict[int, Outcome] = {}
    while waiting := [i for i in indices if i not in outcomes]:
        begun: int | None = None
        request = {"engine": engine, "frames": [frames[i] for i in waiting]}
        try:
            for reply in run_in_child(FUNCTION, request, limits.child):
                if isinstance(reply, int):
                    begun = waiting[reply]
                elif begun is not None:
                    outcomes[begun] = _checked(reply, frames[begun], limits)
        except ChildFailed as error:
            if begun is None:  # it could not even start
                outcomes.update((i, Failure(reason=str(error))) for i in waiting)
            elif begun not in outcomes:
                outcomes[begun] = Failure(reason=str(error))
    return outcomes


def _checked(outcome: Outcome, frame: Frames, limits: LabelLimits) -> Outcome:
    """A label that passes the gate, or the reason why there is none."""
    if isinstance(outcome, Failure):
        return outcome
    outcome = replace(outcome, forces_eV_A=np.ascontiguousarray(outcome.forces_eV_A, dtype=np.float64))
    given = (outcome.energy_eV, outcome.forces_eV_A, outcome.stress_eV_A3, outcome.charges_e)
    sound = all(np.isfinite(values).all() for values in given if values is not None)
    if not sound or outcome.forces_eV_A.shape != frame.positions_A.shape:
        return Failure(reason="the engine returned NaN, infinities or another number of atoms")
    largest, net = _sizes(outcome)
    if largest > limits.maximum_force_eV_A:
        reason = f"found a force of {largest:.3g} eV/A, expected {limits.maximum_force_eV_A:g} at most"
        return Failure(reason=reason, final=True)
    if net > limits.maximum_net_force_eV_A:
        return Failure(
            reason=f"found a net force of {net:.3g} eV/A, expected {limits.maximum_net_force_eV_A:g} at most"
        )
    return replace(outcome, provenance={**outcome.provenance, "n_threads": limits.n_threads})


def _sizes(label: Label) -> tuple[float, float]:
    """Largest component of a force, and length of the sum of forces [eV/A]."""
    forces = label.forces_eV_A
    return float(np.max(np.abs(forces))), float(np.linalg.norm(np.sum(forces, axis=0)))


def _with(frame: Frames, outcome: Outcome, provenance: Mapping[str, Any], engine: Engine) -> Frames:
    known = {"level": engine.level, **provenance}
    if isinstance(outcome, Failure):
        return frame.changed(provenance=known, failure=" ".join(outcome.reason.split()) or "no reason given")
    largest, net = _sizes(outcome)
    return frame.changed(
        energy_eV=outcome.energy_eV,
        forces_eV_A=outcome.forces_eV_A,
        stress_eV_A3=outcome.stress_eV_A3,
        charges_e=outcome.charges_e,
        provenance=known | dict(outcome.provenance) | {"net_force_eV_A": net, "largest_force_eV_A": largest},
    )
