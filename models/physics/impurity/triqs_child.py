"""The half of the TRIQS adapter that runs under TRIQS's own Python: `python triqs_child.py request.json result.npz`.

Only the standard library, NumPy (1.x or 2.x) and nrgljubljana_interface are imported, never this project: that
interpreter needs NumPy < 2 and does not have our packages. The request is one JSON object,

    interaction, level [D]                    numbers
    hybridization [D]                         one number for both spins, of a flat band; null: each run has its integral
    reach [D]                                 the hybridization is used for |w| <= reach
    b1 [D]                                    coefficient of +S_z in NRG Ljubljana's Hamiltonian, that is -B in ours
    symmetry                                  "QS" (b1 = 0) or "QSZ"
    keep, discretization, n_z, keep_energy, alpha, gamma, bins
    mesh_max [D], mesh_ratio
    runs                                      list of {temperature, mesh_min [D], chain_temperature [reach]}, without
                                              a flat band also {halfway [D], integral [D^2]}: int Gamma up to the
                                              frequencies halfway between the points of the mesh

and the result holds, for run i: mesh_<i> (n_w,), sigma_up_<i> and sigma_dn_<i> (n_w,) complex, averages_<i> =
(n_d, n_d^2, S_z); versions is a JSON object {package: version}.
Exit status: 0 done, 1 the solver raised an error, 3 TRIQS or one of its tools is missing, 4 refused request.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
from typing import Any

import numpy as np

SOLVER_RAISED = 1
INCOMPLETE = 3
REQUEST_REFUSED = 4
IMPORTED = "-- TRIQS imported"  # what TRIQS prints before this line tells the time of day, not what went wrong

# What solve() starts through the shell: it does not look for them first, nor say which of them it missed.
TOOLS = ("adapt", "nrgchain", "matrix", "diag", "unitary", "broaden", "kk")
PERL_MODULES = ("File::Copy", "File::Path", "Math::Trig")


def main(request_path: str, result_path: str) -> int:
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    given = all("integral" in run for run in request.get("runs", [{}]))
    if not isinstance(request["hybridization"], int | float) and not (request["hybridization"] is None and given):
        # The QSZ template of NRG Ljubljana couples both spins with the hybridization of spin up, without a word.
        print(f"hybridization = {request['hybridization']!r}: expected one number for both spins", file=sys.stderr)
        return REQUEST_REFUSED
    problems = missing_tools()
    interface: Any = None
    try:
        interface = importlib.import_module("nrgljubljana_interface")
    except ImportError as error:
        problems.insert(0, f"it cannot import nrgljubljana_interface ({type(error).__name__}: {error})")
    for stream in (sys.stdout, sys.stderr):
        print(IMPORTED, file=stream, flush=True)
    if problems:
        print("; ".join(problems), file=sys.stderr)
        return INCOMPLETE
    arrays: dict[str, Any] = {"versions": json.dumps(versions("triqs", "nrgljubljana_interface"))}
    try:
        for i, run in enumerate(request["runs"]):
            names = (f"mesh_{i}", f"sigma_up_{i}", f"sigma_dn_{i}", f"averages_{i}")
            arrays |= zip(names, solve(interface.Solver, request, run), strict=True)
    except (RuntimeError, TypeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return SOLVER_RAISED
    np.savez(result_path, **arrays)
    return 0


def missing_tools() -> list[str]:
    """Every program that a run would miss, in words."""
    problems = []
    if missing := [name for name in (*TOOLS, "perl") if shutil.which(name) is None]:
        problems.append(f"it finds no {', '.join(missing)} on its PATH")
    if "perl" not in missing:
        for module in PERL_MODULES:
            done = subprocess.run(["perl", f"-M{module}", "-e", "1"], capture_output=True, check=False)
            if done.returncode:
                problems.append(f"its perl has no module {module}")
    return problems


def versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = str(importlib.import_module(f"{package}.version").version)
        except (ImportError, AttributeError):
            found[package] = "unknown"
    return found


def solve(solver_class: Any, request: dict[str, Any], run: dict[str, float]) -> tuple[np.ndarray, ...]:  # noqa: ANN401
    """One temperature: (mesh, Sigma_up, Sigma_dn, (n_d, n_d^2, S_z))."""
    solver = solver_class(
        model="SIAM",
        symtype=request["symmetry"],
        mesh_max=request["mesh_max"],
        mesh_min=run["mesh_min"],
        mesh_ratio=request["mesh_ratio"],
    )
    # Also beyond the band: only |w| <= bandrescale is used, so that its edges are sharp.
    mesh = np.array(list(solver.log_mesh.values()), dtype=float)
    gamma = np.full(mesh.size, request["hybridization"]) if request["hybridization"] else mean_gamma(mesh, run)
    for _, block in solver.Delta_w:
        block.data[:, 0, 0] = -1j * gamma
    solver.set_nrg_params(bins=request["bins"])
    model_parameters = {"U1": request["interaction"], "eps1": request["level"]}
    if request["symmetry"] == "QSZ":
        model_parameters["B1"] = request["b1"]
    solver.solve(
        T=run["temperature"],
        Tmin=run["chain_temperature"],
        Lambda=request["discretization"],
        Nz=request["n_z"],
        keep=request["keep"],
        keepenergy=request["keep_energy"],
        alpha=request["alpha"],
        gamma=request["gamma"],
        bandrescale=request["reach"],
        method="fdm",
        model_parameters=model_parameters,
    )
    up, down = ("imp", "imp") if request["symmetry"] == "QS" else ("up", "dn")
    averages = solver.expv
    return (
        mesh,
        np.array(solver.Sigma_w[up].data[:, 0, 0], dtype=complex),
        np.array(solver.Sigma_w[down].data[:, 0, 0], dtype=complex),
        np.array([averages["n_d"], averages["n_d^2"], averages.get("SZd", 0.0)], dtype=float),
    )


def mean_gamma(mesh: np.ndarray, run: dict[str, Any]) -> np.ndarray:
    """Gamma [D] averaged around each point of the mesh, halfway to its neighbours, (n_w,)."""
    halfway = np.concatenate([[run["halfway"][0]], (mesh[1:] + mesh[:-1]) / 2, [run["halfway"][-1]]])
    integral: np.ndarray = np.interp(halfway, run["halfway"], run["integral"])
    return np.asarray(np.diff(integral) / np.diff(halfway))


if __name__ == "__main__":
    # The folder of a script stands first on its sys.path, and there our triqs.py would shadow the package `triqs`.
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) != here]
    sys.exit(main(sys.argv[1], sys.argv[2]))
