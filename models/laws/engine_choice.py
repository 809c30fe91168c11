"""Which engine runs: the named one, or with `auto` the first ready one of pysr, operon, library; and why, in words."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.laws.library_engine import LibraryEngine
from models.laws.operon_engine import OperonEngine
from models.laws.pysr_engine import PySREngine
from models.laws.symbolic_engine import EngineFailed, EngineUnavailable, SymbolicEngine

__all__ = ["ENGINE_NAMES", "EngineChoice", "choose_engine"]

ENGINE_NAMES = ("auto", "pysr", "operon", "library")


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    requested: str
    ran: str
    why: str
    engine: SymbolicEngine


def choose_engine(requested: str, *, pysr: PySREngine, operon: OperonEngine, library: LibraryEngine) -> EngineChoice:
    """The engine for `requested`; an explicit engine that cannot run raises EngineUnavailable, it is never replaced."""
    if requested not in ENGINE_NAMES:
        raise ValueError(f"engine: found {requested!r}, expected one of {', '.join(ENGINE_NAMES)}")
    checked: Mapping[str, PySREngine | OperonEngine] = {"pysr": pysr, "operon": operon}
    if requested == "library":
        return EngineChoice(requested=requested, ran="library", why="chosen in params", engine=library)
    if requested in checked:
        checked[requested].check_available()
        return EngineChoice(requested=requested, ran=requested, why="chosen in params", engine=checked[requested])
    passed_over = []
    for name, engine in checked.items():
        try:
            engine.check_available()
        except (EngineUnavailable, EngineFailed) as error:
            passed_over.append(f"{name} is not ready ({error.reason})")
            continue
        why = "; ".join([*passed_over, f"{name} is the first ready engine"])
        return EngineChoice(requested=requested, ran=name, why=why, engine=engine)
    return EngineChoice(requested=requested, ran="library", why="; ".join(passed_over), engine=library)
