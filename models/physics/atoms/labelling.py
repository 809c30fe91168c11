"""Label configurations by an engine, each batch in a child process; whatever goes wrong becomes a reason, not an error.

    outcome   Label, or Failure with the reason in words
    batch     configurations of one call share a child, which saves imports; when it dies or falls silent, the one at
              work is guilty and the rest goes on in a new child
    retry     once, with `engine.safer()` (same level of theory); a second failure tells both reasons
    gate      numbers must be finite and forces within limits; the net force must vanish

All is a pure function of engine and configurations, but for the time limit.
"""

import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.physics.atoms.child_process import ChildFailed, ChildLimits, run_in_child
from models.physics.atoms.engine import Engine, EngineMissing, EngineRefused, Label, NotConverged
from models.physics.atoms.structure import Structure, minimum_distance

__all__ = ["Failure", "LabelLimits", "Outcome", "engine_from", "engine_name", "label_batch", "label_structures"]

FloatArray = NDArray[np.float64]
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
    minimum_distance_A: float = 0.3
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


def label_structures(engine: Engine, structures: Sequence[Structure], limits: LabelLimits) -> list[Outcome]:
    """One outcome per structure, in their order. Raises EngineMissing before anything runs."""
    engine.check()
    outcomes: list[Outcome] = [
        _before(engine, structure, limits) or Failure(reason="not run") for structure in structures
    ]
    waiting = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Failure) and not outcome.final]
    for i, outcome in _attempt(engine, structures, waiting, limits).items():
        outcomes[i] = outcome
    safer = engine.safer()
    if safer is None:
        return outcomes
    if safer.level != engine.level:
        raise ValueError(f"safer settings: found level {safer.level!r}, expected that of the engine, {engine.level!r}")
    failed = {i: o.reason for i in waiting if isinstance(o := outcomes[i], Failure) and not o.final}
    for i, outcome in _attempt(safer, structures, list(failed), limits).items():
        if isinstance(outcome, Failure):
            outcomes[i] = Failure(reason=f"{failed[i]}; with safer settings: {outcome.reason}", final=outcome.final)
        else:
            outcomes[i] = replace(outcome, provenance={**outcome.provenance, "first_attempt": failed[i]})
    return outcomes


def engine_name(engine: Engine) -> str:
    return f"{type(engine).__module__}:{type(engine).__qualname__}"


def engine_from(name: str, settings: Mapping[str, Any]) -> Engine:
    """The engine "module:class" with these fields."""
    module, _, kind = name.partition(":")
    engine: Engine = getattr(importlib.import_module(module), kind)(**settings)
    return engine


def label_batch(engine: str, settings: Mapping[str, Any], structures: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    """What the child does: says which configuration it begins, then the label or the error of that one."""
    made = engine_from(engine, settings)
    for position, given in enumerate(structures):
        yield {"begin": position}
        cell = None if given["cell_A"] is None else np.array(given["cell_A"], dtype=np.float64)
        try:
            label = made.label(np.array(given["numbers"], dtype=np.int64), np.array(given["positions_A"]), cell)
        except EngineMissing:
            raise
        except EngineRefused as error:
            yield {"position": position, "error": str(error), "final": True}
        except NotConverged as error:
            yield {"position": position, "error": str(error), "final": False}
        except Exception as error:  # of whatever library the engine is: told to the parent, who records it
            yield {"position": position, "error": f"{type(error).__name__}: {error}", "final": False}
        else:
            yield {"position": position, "label": _plain(label)}


def _before(engine: Engine, structure: Structure, limits: LabelLimits) -> Failure | None:
    """What can be told of a configuration without computing."""
    arrays = [structure.positions_A] + ([] if structure.cell_A is None else [structure.cell_A])
    if not all(np.isfinite(array).all() for array in arrays):
        return Failure(reason="positions or cell are not finite", final=True)
    if structure.cell_A is not None and abs(np.linalg.det(structure.cell_A)) < 1e-3 * len(structure.numbers):
        return Failure(reason="the cell has collapsed: its volume is almost zero", final=True)
    distance = minimum_distance(structure)
    if distance < limits.minimum_distance_A:
        reason = f"atoms fused: found a distance of {distance:.3f} A, expected {limits.minimum_distance_A:g} A or more"
        return Failure(reason=reason, final=True)
    try:
        engine.refuse(structure.numbers, periodic=structure.periodic)
    except EngineRefused as error:
        return Failure(reason=str(error), final=True)
    return None


def _attempt(
    engine: Engine, structures: Sequence[Structure], indices: Sequence[int], limits: LabelLimits
) -> dict[int, Outcome]:
    """Outcomes of the structures at `indices`, with as many children as it takes."""
    outcomes: dict[int, Outcome] = {}
    while waiting := [i for i in indices if i not in outcomes]:
        request = {
            "engine": engine_name(engine),
            "settings": asdict(engine),
            "structures": [_request(structures[i]) for i in waiting],
        }
        begun: int | None = None
        try:
            for reply in run_in_child(FUNCTION, request, limits.child):
                if "begin" in reply:
                    begun = waiting[reply["begin"]]
                else:
                    i = waiting[reply["position"]]
                    outcomes[i] = _outcome(reply, structures[i], limits)
        except ChildFailed as error:
            if begun is None:  # it could not even start
                outcomes.update((i, Failure(reason=str(error))) for i in waiting)
            elif begun not in outcomes:
                outcomes[begun] = Failure(reason=str(error))
    return outcomes


def _request(structure: Structure) -> dict[str, Any]:
    return {
        "numbers": structure.numbers.tolist(),
        "positions_A": structure.positions_A.tolist(),
        "cell_A": None if structure.cell_A is None else structure.cell_A.tolist(),
    }


def _plain(label: Label) -> dict[str, Any]:
    return {
        "energy_eV": label.energy_eV,
        "forces_eV_A": label.forces_eV_A.tolist(),
        "stress_eV_A3": None if label.stress_eV_A3 is None else label.stress_eV_A3.tolist(),
        "charges_e": None if label.charges_e is None else label.charges_e.tolist(),
        "provenance": dict(label.provenance),
    }


def _outcome(reply: Mapping[str, Any], structure: Structure, limits: LabelLimits) -> Outcome:
    """A label that passes the gate, or the reason why there is none."""
    if "error" in reply:
        return Failure(reason=reply["error"], final=reply["final"])
    given = reply["label"]
    forces = np.array(given["forces_eV_A"], dtype=np.float64).reshape(-1, 3)
    stress = None if given["stress_eV_A3"] is None else np.array(given["stress_eV_A3"], dtype=np.float64)
    charges = None if given["charges_e"] is None else np.array(given["charges_e"], dtype=np.float64)
    arrays = [np.array(given["energy_eV"]), forces, *(array for array in (stress, charges) if array is not None)]
    if not all(np.isfinite(array).all() for array in arrays) or forces.shape != structure.positions_A.shape:
        return Failure(reason="the engine returned NaN, infinities or another number of atoms")
    largest, net = float(np.max(np.abs(forces))), float(np.linalg.norm(np.sum(forces, axis=0)))
    if largest > limits.maximum_force_eV_A:
        reason = f"found a force of {largest:.3g} eV/A, expected {limits.maximum_force_eV_A:g} at most"
        return Failure(reason=reason, final=True)
    if net > limits.maximum_net_force_eV_A:
        return Failure(
            reason=f"found a net force of {net:.3g} eV/A, expected {limits.maximum_net_force_eV_A:g} at most"
        )
    return Label(
        energy_eV=float(given["energy_eV"]),
        forces_eV_A=forces,
        stress_eV_A3=stress,
        charges_e=charges,
        provenance={**given["provenance"], "n_threads": limits.n_threads},
    )
