"""PySR (Cranmer, arXiv 2305.01582) behind the engine contract: a child process with a time limit.

A child because PyTorch, once imported, may crash Julia; because a first start downloads and compiles; and because a
hang must not take the stage with it. The child speaks the protocol of `models.laws.engines.pysr_child`. An
explicit choice of this engine never falls back: without Julia it raises EngineUnavailable with the cure.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PositiveFloat, PositiveInt

from models.laws.symbolic_engine import (
    SYMBOLIC_ENGINES,
    Candidate,
    EngineFailed,
    EngineUnavailable,
    FloatArray,
    FrontResult,
    SymbolicEngine,
    check_problem,
)
from models.settings import settings

__all__ = ["PySREngine"]

CURE = (
    "`pip install pysr`, then run `python -c 'import pysr'` once with network access (it installs Julia >= 1.10.3); "
    "offline: copy ~/.julia, Julia itself and <venv>/julia_env from a machine where that was done and "
    "set PYTHON_JULIAPKG_OFFLINE=yes and "
    "PYTHON_JULIAPKG_EXE=/path/to/julia; or choose `engine: operon` or `engine: library`"
)
POPULATIONS = 15
PROBE_TIMEOUT_S = 30.0
CHILD = (sys.executable, "-P", str(Path(__file__).with_name("pysr_child.py")))


@SYMBOLIC_ENGINES.register("pysr")
@settings
class PySREngine(SymbolicEngine):
    """Also its settings: the budget of one run."""

    name = "pysr"
    iterations: PositiveInt
    max_size: Annotated[int, Field(ge=7)]
    timeout_s: PositiveFloat
    functions: tuple[str, ...] = field(
        default=("log",), metadata={"shapes_content": False}
    )  # by the search, not params
    command: tuple[str, ...] = field(default=CHILD, metadata={"shapes_content": False})

    def with_exponential(self) -> Self:
        return replace(self, functions=("log", "exp"))

    def check_available(self) -> None:
        """Raise EngineUnavailable unless PySR and a resolved Julia are here; no network, at most PROBE_TIMEOUT_S."""
        self._ask({"probe": True}, "ready", PROBE_TIMEOUT_S)

    def fit(
        self,
        inputs: FloatArray,
        target: FloatArray,
        names: Sequence[str],
        *,
        seed: int,
        units: Sequence[int] | None = None,
    ) -> FrontResult:
        check_problem(inputs, target, names)
        settings = {
            "niterations": self.iterations,
            "populations": POPULATIONS,
            "maxsize": self.max_size,
            "binary_operators": ["+", "-", "*", "/"],
            "unary_operators": list(self.functions),
        }
        request = {
            "inputs": inputs.tolist(),
            "target": target.tolist(),
            "names": list(names),
            "units": None if units is None else list(units),
            "seed": seed,
            "settings": settings,
        }
        reply = self._ask(request, "ok", self.timeout_s)
        try:
            candidates = tuple(
                Candidate(equation=str(r["equation"]), complexity=int(r["complexity"]), loss=float(r["loss"]))
                for r in reply["hall_of_fame"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise EngineFailed(
                self.name, f"its hall of fame cannot be read ({error!r})", "report this with the PySR version"
            ) from error
        if not candidates:
            raise EngineFailed(self.name, "its hall of fame is empty", "raise the number of iterations")
        return FrontResult(engine=self.name, names=tuple(names), candidates=candidates)

    def _ask(self, request: dict[str, Any], expected: str, timeout_s: float) -> dict[str, Any]:
        """One request to a fresh child; its whole process group ends with the call."""
        with tempfile.TemporaryDirectory() as folder:
            question, reply_file = Path(folder, "request.json"), Path(folder, "answer.json")
            question.write_text(json.dumps(request))
            with Path(folder, "log.txt").open("w+") as log:
                try:
                    child = subprocess.Popen(
                        [*self.command, str(question), str(reply_file)],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                except OSError as error:
                    raise EngineUnavailable(self.name, f"its child process cannot start ({error})", CURE) from error
                try:
                    code = child.wait(timeout=timeout_s)
                except subprocess.TimeoutExpired as error:
                    raise EngineFailed(
                        self.name,
                        f"no answer within {timeout_s:g} s",
                        "raise the time limit or lower the number of iterations; behind a firewall a first start hangs "
                        "on its downloads",
                    ) from error
                finally:
                    end_group(child)
                log.seek(0)
                last_words = log.read()[-800:].strip() or "nothing printed"
            if code != 0 or not reply_file.exists():
                raise EngineFailed(
                    self.name, f"its child process ended with code {code}: {last_words}", "see the message of the child"
                )
            try:
                reply = json.loads(reply_file.read_text())
                status, reason = reply["status"], reply.get("reason", "no reason given")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise EngineFailed(
                    self.name, f"its answer is no protocol message ({error!r})", "see pysr_child.py"
                ) from error
        if status == "unavailable":
            raise EngineUnavailable(self.name, str(reason), CURE)
        if status != expected:
            raise EngineFailed(self.name, f"answered {status!r}: {reason}", "see the message of PySR")
        return dict(reply)


def end_group(child: "subprocess.Popen[bytes]") -> None:
    """Kill what is left of the child's process group, Julia's workers included."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        child.wait()
