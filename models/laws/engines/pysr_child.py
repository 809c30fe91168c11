"""Child process of the PySR engine: reads a request, runs PySR, writes an answer. Imports nothing of this project.

    python -P pysr_child.py REQUEST.json ANSWER.json

Request: {"inputs": [[...]], "target": [...], "names": [...], "units": [...] or null, "seed": 0, "settings": {...}} or
{"probe": true}. Answer: {"status": "ok", "hall_of_fame": [{"complexity", "loss", "equation"}, ...], "versions":
{...}}, {"status": "ready"} to a probe, or {"status": "unavailable" or "failed", "reason": "..."}. Its own process,
since PyTorch loaded before Julia may crash both.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["answer"]


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Answer of the protocol to one request."""
    if importlib.util.find_spec("pysr") is None:
        return {"status": "unavailable", "reason": "the package pysr is not installed"}
    if request.get("probe"):
        return probe()
    try:
        from pysr import PySRRegressor  # type: ignore[import-not-found, unused-ignore]
    except Exception as error:  # its failures range from URLError to plain Exception: all mean no usable Julia
        return {"status": "unavailable", "reason": f"pysr cannot start Julia ({type(error).__name__}: {error})"}
    try:
        return search(PySRRegressor, request)
    except Exception as error:  # anything that Julia raises
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}


def probe() -> dict[str, Any]:
    """Ready or not, without network access and without starting Julia."""
    if os.environ.get("PYTHON_JULIACALL_EXE") and os.environ.get("PYTHON_JULIACALL_PROJECT"):
        return {"status": "ready"}
    try:
        import juliapkg  # type: ignore[import-not-found, unused-ignore]

        resolved = bool(juliapkg.resolve(dry_run=True))
    except Exception as error:
        return {"status": "unavailable", "reason": f"juliapkg cannot tell ({type(error).__name__}: {error})"}
    return (
        {"status": "ready"}
        if resolved
        else {"status": "unavailable", "reason": "Julia and its packages are not installed yet"}
    )


def search(regressor: Any, request: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - a class of an untyped package
    """Fit, reproducibly: serial, deterministic, double precision."""
    import numpy as np

    settings = request["settings"]
    units: dict[str, Any] = {}
    if request["units"] is not None and any(request["units"]):
        units = {"X_units": [f"J^{power}" if power else "1" for power in request["units"]], "y_units": "1"}
        settings = {**settings, "dimensionless_constants_only": True}
    model = regressor(
        **settings,
        random_state=request["seed"],
        deterministic=True,
        parallelism="serial",
        precision=64,
        progress=False,
        verbosity=0,
        temp_equation_file=True,
    )
    inputs, target = np.array(request["inputs"], dtype=float), np.array(request["target"], dtype=float)
    model.fit(inputs, target, variable_names=request["names"], **units)
    rows = model.equations_[["complexity", "loss", "equation"]].to_dict("records")
    import pysr

    table = [
        {"complexity": int(r["complexity"]), "loss": float(r["loss"]), "equation": str(r["equation"])} for r in rows
    ]
    return {"status": "ok", "hall_of_fame": table, "versions": {"pysr": str(pysr.__version__)}}


if __name__ == "__main__":
    reply = answer(json.loads(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(reply))
