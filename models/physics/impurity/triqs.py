"""Optional impurity solver: NRG Ljubljana through TRIQS (nrgljubljana_interface), an independent code to compare with.

TRIQS is built from source for one CPython with NumPy < 2, so it is never imported here: each Hamiltonian is one
subprocess of that interpreter (`triqs_child.py`: JSON in, npz out) in a scratch directory, under a hard time limit.
The child first looks for all that a run needs, then solves each temperature in turn and returns the self-energy
Sigma_s = F_s / G_s; the spectrum is rebuilt here,

    A_s(w) = -Im [1 / (w - eps_d + s B / 2 - Delta(w) - Sigma_s(w))] / pi,        s = +1 (up), -1 (down),

with the exact Delta of the flat band or of another (bath.py), because the directly broadened spectrum is depleted for
|w| <~ T. Im Sigma comes out slightly positive at |w| << T_K, where it is clipped to 0.

NRG Ljubljana takes Gamma(w) = -Im Delta on its logarithmic mesh, linear between the points, and uses it for |w| up to
`bandrescale`, which is where the bath ends. Its value at a point is here the mean of Gamma over the points nearest to
it, so that the weight of every stretch of the mesh is exact; a step inside the band becomes a ramp from one point to
the next, and an edge at +-bandrescale, which is a point, is sharp: beyond it Gamma is continued by its mirror image.

A run that fails may be the Hamiltonian's fault or the installation's. The free level at particle-hole symmetry tells:
its answer is known, <n_s> = 1/2 and <n_up n_dn> = 1/4, so an installation that does not reproduce it is at fault.
SolverUnavailable ends the run, SolverError is a failure of one Hamiltonian.

| here | there |
|---|---|
| field B, energy -B S_z | B1 = -B, energy +B1 S_z |
| B = 0 / B != 0 | symmetry QS (multiplets of the total spin) / QSZ (up and down) |
| n_keep states | keep: multiplets in QS, about 0.43 per state; states in QSZ |
| double occupancy | (<n_d^2> - <n_d>) / 2 |
| end of the bath, `reach` | bandrescale |
| Gamma(w) < 1e-8 D, also a gap | Gamma(w) = 1e-8 D |
| a bath for each spin | not to be had: the template takes the coupling of spin up for both |
| the bath ends at other |omega| on each side | not to be had, see `_empty_intervals` |

Code: R. Zitko, NRG Ljubljana; TRIQS/nrgljubljana_interface 3.2. Energies in D.
"""

import json
import math
import os
import shutil
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from models.physics.impurity.bath import Bath
from models.physics.impurity.friedel import band_integrals, bath_integrals, charge_outside
from models.physics.impurity.hamiltonian import AndersonImpurity, ImpurityInBath
from models.physics.impurity.self_energy import clipped_share
from models.physics.impurity.solver import (
    IMPURITY_SOLVERS,
    ImpuritySolution,
    SolverError,
    SolverUnavailable,
    check_request,
)
from models.settings import settings

__all__ = ["INTERPRETER_VARIABLE", "TriqsSettings", "TriqsSolver", "TriqsUnavailable"]

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

INTERPRETER_VARIABLE = "LATENTLAW_TRIQS_PYTHON"
CHILD = Path(__file__).with_name("triqs_child.py")
INCOMPLETE, IMPORTED = 3, "-- TRIQS imported"  # exit status and line of the child, as in triqs_child.py
LOWEST_GAMMA = 1e-8  # [D] the interface raises any lower Gamma(w) to it
SAFE_RATIO = 100.0  # of temperatures and of Gamma to LOWEST_GAMMA
LEAST_SHARE = 0.9  # of an interval that the bath fills; at 0.53 an occupation was off by 1.3e-3
MULTIPLETS_PER_STATE = 0.43  # 441 spin multiplets hold 1024 states of a typical kept space
# By these TRIQS and MPI take a process for one that mpirun or srun has started, and wait for them or die in MPI_Init.
MPI_VARIABLES = ("OMPI_", "PMI_", "PMIX_", "CRAY_MPICH_VERSION")
ENDED_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FREE_LEVEL = AndersonImpurity(interaction=0.0, level=0.0, hybridization=0.02)
FREE_LEVEL_TIME_LIMIT_S = 600.0  # it takes some 3 CPU seconds, which a full machine has stretched to over 120 s
INSTALL_ROUTE = (
    "Install route: build TRIQS 3.2 and then TRIQS/nrgljubljana_interface 3.2 from source, as their documentation says "
    "(neither is on PyPI), for a CPython 3.11 with 'numpy<2'; then set "
    f"{INTERPRETER_VARIABLE}=/path/to/that/bin/python, or choose `solver: nrg`, which needs nothing."
)
WRAPPER = (
    f"Set {INTERPRETER_VARIABLE} to a script that exports PYTHONPATH, LD_LIBRARY_PATH and PATH of the TRIQS "
    "installation and then runs its Python (docs/how-to/triqs.md shows one)."
)


class TriqsUnavailable(SolverUnavailable):
    solver = "triqs"


@settings
class TriqsSettings:
    """Numerical settings; Lambda = 3, 256 states and n_z = 2 are those of the timings in benchmarks/nrg_speed.md."""

    discretization: Annotated[float, Field(gt=1)] = 3.0  # Lambda
    n_keep: Annotated[int, Field(ge=16)] = 256  # kept states per iteration
    n_z: PositiveInt = 2  # shifted discretizations averaged
    keep_energy: float = -1.0  # also keep what lies below this energy; -1: n_keep alone decides
    alpha: PositiveFloat = 0.3  # log-Gaussian broadening
    gamma: PositiveFloat = 0.2
    bins_per_decade: Annotated[int, Field(ge=10)] = 500
    mesh_ratio: Annotated[float, Field(gt=1, le=1.5)] = 1.03
    time_limit_s: PositiveFloat = 600.0  # per temperature


@dataclass(frozen=True, kw_only=True)
class TriqsSolver:
    """`ImpuritySolver` that calls TRIQS's interpreter; the path comes from the argument or $LATENTLAW_TRIQS_PYTHON."""

    settings: TriqsSettings = field(default_factory=TriqsSettings)
    interpreter: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)  # of TRIQS and its interface, known after `checked`

    def checked(self) -> "TriqsSolver":
        """This solver with the path and the versions of an installation that works. Raises SolverUnavailable."""
        interpreter = _interpreter(self.interpreter)
        return replace(self, interpreter=str(interpreter), versions=_check_installation(interpreter))

    def solve(self, impurity: AndersonImpurity, *, temperatures: FloatArray, omega: FloatArray) -> ImpuritySolution:
        """Spectra at every temperature; ValueError, SolverError (this Hamiltonian), SolverUnavailable (no TRIQS)."""
        temperatures, omega = np.asarray(temperatures, float), np.asarray(omega, float)
        check_request(temperatures, omega, impurity.divergences() if isinstance(impurity, ImpurityInBath) else None)
        if problems := _hybridization_problems(impurity, temperatures, self.settings):
            raise ValueError("triqs: " + "; ".join(problems))
        interpreter = _interpreter(self.interpreter)
        request = self._request(impurity, temperatures, omega)
        try:
            arrays = _run_child(interpreter, request, time_limit_s=self.settings.time_limit_s * temperatures.size)
            return _solution(impurity, temperatures, omega, arrays)
        except SolverError:
            _check_installation(interpreter)
            raise

    def _request(self, impurity: AndersonImpurity, temperatures: FloatArray, omega: FloatArray) -> dict[str, object]:
        symmetric = impurity.field == 0
        keep = self.settings.n_keep * (MULTIPLETS_PER_STATE if symmetric else 1.0)
        finest = float(np.min(np.abs(omega[omega != 0]), initial=np.inf))
        reach = impurity.reach
        # The mesh has to reach beyond the band, or bandrescale would cut it one point too early.
        mesh_max = max(5.0 * reach, 1.1 * float(np.max(np.abs(omega))))
        if isinstance(impurity, ImpurityInBath):  # with a point at the end of the band
            ratio = self.settings.mesh_ratio
            mesh_max = reach * ratio ** math.ceil(math.log(mesh_max / reach, ratio))
        runs: list[dict[str, object]] = []
        for temperature in temperatures.tolist():
            mesh_min = min(temperature / 20, finest)
            # Tmin counts in units of bandrescale.
            run = {"temperature": temperature, "mesh_min": mesh_min, "chain_temperature": temperature / 10 / reach}
            if isinstance(impurity, ImpurityInBath):
                run |= _hybridization_integral(impurity.of_spin(1), mesh_max, mesh_min, self.settings.mesh_ratio)
            runs.append(run)
        return {
            "interaction": float(impurity.interaction),
            "level": float(impurity.level),
            "hybridization": None if isinstance(impurity, ImpurityInBath) else float(impurity.hybridization),
            "reach": reach,
            "b1": -float(impurity.field),
            "symmetry": "QS" if symmetric else "QSZ",
            "keep": round(keep),
            "discretization": self.settings.discretization,
            "n_z": self.settings.n_z,
            "keep_energy": self.settings.keep_energy,
            "alpha": self.settings.alpha,
            "gamma": self.settings.gamma,
            "bins": self.settings.bins_per_decade,
            "mesh_max": mesh_max,
            "mesh_ratio": self.settings.mesh_ratio,
            "runs": runs,
        }


@IMPURITY_SOLVERS.register("triqs", settings=TriqsSettings)
def checked_triqs(chosen: TriqsSettings, *, nrg: object) -> TriqsSolver:
    return TriqsSolver(settings=chosen).checked()


def _hybridization_problems(impurity: AndersonImpurity, temperatures: FloatArray, settings: TriqsSettings) -> list[str]:
    """What NRG Ljubljana would take without a word and solve as another problem."""
    cure = "solver nrg takes it"
    if not isinstance(impurity, ImpurityInBath):
        small = impurity.hybridization < LOWEST_GAMMA
        expected = f"expected at least {LOWEST_GAMMA:g} [D], to which NRG Ljubljana raises it; {cure}"
        return [f"hybridization = {impurity.hybridization:g}: {expected}"] if small else []
    baths = impurity.baths
    if baths.up != baths.dn:
        return [f"a bath for each spin: expected one for both, the interface uses that of spin up alone; {cure}"]
    bath, problems = baths.up, []
    if bath.mean < SAFE_RATIO * LOWEST_GAMMA:
        expected = f"expected at least {SAFE_RATIO * LOWEST_GAMMA:g} [D]"
        problems.append(f"Gamma = {bath.mean:g} on average: {expected}, or {LOWEST_GAMMA:g} D of its zeros is much")
    sides = np.stack([temperatures, -temperatures])
    hidden = (bath(sides).max(axis=0) < LOWEST_GAMMA) & (temperatures < SAFE_RATIO * LOWEST_GAMMA)
    if hidden.any():
        problems.append(
            f"Gamma < {LOWEST_GAMMA:g} D at |omega| = T = {temperatures[hidden].tolist()}, to which NRG Ljubljana "
            f"raises it: expected T >= {SAFE_RATIO * LOWEST_GAMMA:g} [D] for a bath that vanishes at omega = 0; {cure}"
        )
    if empty := _empty_intervals(bath, settings.discretization, settings.n_z):
        listed = ", ".join(f"[{low:.3g}, {high:.3g}]" for low, high in empty[:3])
        problems.append(
            f"Gamma is zero in parts of {listed} D, intervals of the discretization that lie farther out than others "
            f"with weight: expected a bath from -{bath.reach:g} to {bath.reach:g} D, with a gap only around 0; {cure}"
        )
    return problems


def _empty_intervals(bath: Bath, discretization: float, n_z: int) -> list[tuple[float, float]]:
    """Intervals of some z which the bath fills in part only and that a chain cannot take [D].

    The weight of 1e-8 D that they get makes a level of high energy that hardly couples, and tridiagonalisation puts it
    far down the chain, among energies where it does not belong. Around w = 0 such levels stand where they belong.
    """
    found = []
    for z in ((i + 1) / n_z for i in range(n_z)):
        edges = bath.reach * discretization ** -np.concatenate([[0.0], z + np.arange(100)])
        for sign in (1, -1):
            ends = np.sort(sign * np.stack([edges[1:], edges[:-1]]), axis=0)  # (2, n_intervals), the outermost first
            overlap = np.minimum(bath.pieces.high[:, None], ends[1]) - np.maximum(bath.pieces.low[:, None], ends[0])
            share = np.maximum(overlap, 0.0).sum(axis=0) / (ends[1] - ends[0])
            innermost = np.flatnonzero(share > 0).max(initial=-1)
            outside = share[: max(innermost, 1)]
            found += [tuple(ends[:, i].tolist()) for i in np.flatnonzero(outside < LEAST_SHARE)]
    return found


def _hybridization_integral(bath: Bath, mesh_max: float, mesh_min: float, mesh_ratio: float) -> dict[str, list[float]]:
    """int Gamma [D^2] up to the frequencies halfway between the points of the interface's mesh.

    Beyond +-reach, where the interface cuts, Gamma is continued by its mirror image.
    """
    points = [mesh_max]
    while points[-1] / mesh_ratio > mesh_min:
        points.append(points[-1] / mesh_ratio)  # as the interface makes them, to the last bit
    positive = np.array(points[::-1])
    mesh = np.concatenate([-positive[::-1], positive])
    halfway = np.concatenate([[1.5 * mesh[0]], (mesh[1:] + mesh[:-1]) / 2, [1.5 * mesh[-1]]])
    inside = np.clip(halfway, -bath.reach, bath.reach)
    mirrored = inside - np.clip(halfway - inside, -bath.reach, bath.reach)
    integral = 2 * bath.cumulative(inside) - bath.cumulative(mirrored)
    return {"halfway": halfway.tolist(), "integral": integral.tolist()}


def _interpreter(given: str | None) -> Path:
    asked = given or os.environ.get(INTERPRETER_VARIABLE)
    expected = "expected the Python that can import nrgljubljana_interface, or a script that runs it"
    if not asked:
        raise TriqsUnavailable(
            f"no interpreter given and ${INTERPRETER_VARIABLE} is not set; {expected}", INSTALL_ROUTE
        )
    found = shutil.which(asked)
    if found is None:
        raise TriqsUnavailable(
            f"interpreter {asked!r} (given, or from ${INTERPRETER_VARIABLE}) is not an executable file; {expected}",
            INSTALL_ROUTE,
        )
    # Not resolved: a virtual environment's python is a link, and following it would leave that environment.
    return Path(found).absolute()


def _check_installation(interpreter: Path) -> dict[str, str]:
    """Versions of TRIQS and its interface. SolverUnavailable unless they solve the free level."""
    temperatures, omega = np.array([1e-3]), np.array([-0.1, 0.0, 0.1])
    request = TriqsSolver()._request(FREE_LEVEL, temperatures, omega)
    try:
        arrays = _run_child(interpreter, request, time_limit_s=FREE_LEVEL_TIME_LIMIT_S)
        solution = _solution(FREE_LEVEL, temperatures, omega, arrays)
    except SolverError as error:
        raise TriqsUnavailable(f"{interpreter} does not solve even the free level (U = 0): {error}", WRAPPER) from error
    found = np.concatenate([solution.n_up, solution.n_dn, solution.double_occupancy])
    if np.max(np.abs(found - [0.5, 0.5, 0.25])) > 0.02:
        comparison = f"found <n_up>, <n_dn>, <n_up n_dn> = {found.round(4).tolist()}, expected 1/2, 1/2, 1/4"
        raise TriqsUnavailable(f"{interpreter} solves the free level wrongly: {comparison}", INSTALL_ROUTE)
    return dict(json.loads(str(arrays["versions"])))


def _run_child(
    interpreter: Path, request: Mapping[str, object], *, time_limit_s: float
) -> dict[str, NDArray[np.generic]]:
    """Arrays of the child's npz; the whole process group is killed at the time limit and when we are interrupted."""
    with tempfile.TemporaryDirectory(prefix="latentlaw-triqs-") as folder:
        scratch = Path(folder)
        (scratch / "request.json").write_text(json.dumps(request), encoding="utf-8")
        status = _exit_status(interpreter, scratch, time_limit_s)
        said = _last_words(scratch)
        if status == INCOMPLETE:
            raise TriqsUnavailable(f"{interpreter} cannot run TRIQS: {said}", f"{WRAPPER} {INSTALL_ROUTE}")
        if -status in ENDED_FROM_OUTSIDE:
            raise TriqsUnavailable(
                f"the child process was killed by {signal.Signals(-status).name}, from outside",
                "Where memory ran out, ask for more of it or for fewer workers; run again: finished shards are kept.",
            )
        if status != 0:
            ending = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
            raise SolverError(f"triqs: the child process ended with {ending}; its last words: {said}")
        try:
            with open(scratch / "result.npz", "rb") as stream, np.load(stream, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise SolverError(
                f"triqs: the child wrote no readable result.npz ({error}); its last words: {said}"
            ) from error


def _exit_status(interpreter: Path, scratch: Path, time_limit_s: float) -> int:
    """Of the child, as subprocess counts: minus the signal that killed it."""
    command = [str(interpreter), str(CHILD), str(scratch / "request.json"), str(scratch / "result.npz")]
    # Files rather than pipes: a grandchild that holds a pipe open would block us beyond the time limit.
    with open(scratch / "stdout", "wb") as out, open(scratch / "stderr", "wb") as err:
        try:
            child = subprocess.Popen(
                command,
                cwd=scratch,
                env=_environment(interpreter, scratch),
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise TriqsUnavailable(f"cannot start {interpreter}: {error}", INSTALL_ROUTE) from error
        try:
            status = child.wait(timeout=time_limit_s)
        except subprocess.TimeoutExpired:
            raise SolverError(
                f"triqs: no result within the time limit of {time_limit_s:g} s (time_limit_s times the number of "
                "temperatures), killed; expected a faster run: raise time_limit_s, or lower n_keep or n_z"
            ) from None
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    # Of a wrapper script without `exec` a signal comes as 128 + its number.
    return 128 - status if status - 128 in set(signal.Signals) else status


def _environment(interpreter: Path, scratch: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(MPI_VARIABLES)}
    return kept | {
        # solve() shells out to adapt, nrgchain, broaden, kk and others, which often lie beside the interpreter.
        "PATH": f"{interpreter.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "NRG_TEMPDIR": str(scratch),
        "NRG_WORKDIR": str(scratch),
        "OMP_NUM_THREADS": "1",
    }


def _last_words(scratch: Path) -> str:
    """The end of what the child printed, without what differs from run to run: it may stand in a store.

    An error of TRIQS takes some eight lines, and what its tools say of the reason stands before it.
    """
    for stream in ("stderr", "stdout"):
        text = (scratch / stream).read_text(encoding="utf-8", errors="replace").rpartition(IMPORTED)[2]
        if lines := [line.strip() for line in text.replace(str(scratch), "scratch").splitlines() if line.strip()]:
            return " | ".join(lines[-12:])
    return "nothing was printed"


def _solution(
    impurity: AndersonImpurity, temperatures: FloatArray, omega: FloatArray, arrays: Mapping[str, NDArray[np.generic]]
) -> ImpuritySolution:
    problems = _result_problems(arrays, temperatures.size)
    if problems:
        raise SolverError("triqs: unusable result: " + "; ".join(problems))
    n_d, n_d_squared, s_z = np.stack([arrays[f"averages_{i}"].real for i in range(temperatures.size)], axis=1)
    averages: dict[str, FloatArray] = {"n_up": n_d / 2 + s_z, "n_dn": n_d / 2 - s_z}
    columns: dict[str, FloatArray] = {}
    for spin, sign in (("up", 1), ("dn", -1)):
        if spin == "dn" and impurity.spin_symmetric:
            columns |= {name.replace("_up", "_dn"): values for name, values in columns.items()}
            break
        spectra, weights, charges, clipped = [], [], [], []
        for i in range(temperatures.size):
            mesh, sigma = arrays[f"mesh_{i}"].real, arrays[f"sigma_{spin}_{i}"].astype(complex)
            a_s = partial(_spectrum, impurity, sign, mesh=mesh, sigma_on_mesh=sigma)
            inverse = partial(_inverse_green_function, impurity, sign, mesh=mesh, sigma_on_mesh=sigma)
            lowest = float(np.abs(mesh[mesh != 0]).min())
            bath = impurity.of_spin(sign) if isinstance(impurity, ImpurityInBath) else None
            if bath is not None:
                weight, displaced = bath_integrals(inverse, bath, lowest=lowest, omega=omega)
            else:
                weight, displaced = band_integrals(a_s, impurity.hybridization, lowest=lowest, omega=omega)
                displaced += charge_outside(inverse, impurity.hybridization)
            spectra.append(a_s(omega))
            weights.append(weight)
            clipped.append(clipped_share(mesh, sigma.imag, impurity.hybridization, bath))
            charges.append(averages[f"n_{spin}"][i] + displaced)
        columns[f"spectrum_{spin}"] = np.stack(spectra)
        columns[f"weight_{spin}"] = np.array(weights)
        columns[f"displaced_charge_{spin}"] = np.array(charges)
        columns[f"clipped_{spin}"] = np.array(clipped)
    return ImpuritySolution(
        temperatures=temperatures, omega=omega, double_occupancy=(n_d_squared - n_d) / 2, **averages, **columns
    )


def _result_problems(arrays: Mapping[str, NDArray[np.generic]], n_temperatures: int) -> list[str]:
    problems = []
    for i in range(n_temperatures):
        for name in (f"mesh_{i}", f"sigma_up_{i}", f"sigma_dn_{i}", f"averages_{i}"):
            if name not in arrays:
                problems.append(f"{name} missing")
                continue
            array, like = arrays[name], arrays.get(f"mesh_{i}", arrays[name])
            expected = (3,) if name.startswith("averages") else (like.size,)
            if array.shape != expected or array.size < 2:
                problems.append(f"{name} of shape {array.shape}: expected {expected}")
            elif not np.issubdtype(array.dtype, np.number) or not np.all(np.isfinite(array)):
                problems.append(f"{name} of dtype {array.dtype}: expected finite numbers")
            elif name.startswith("mesh") and np.any(np.diff(array.real) <= 0):
                problems.append(f"{name}: expected ascending frequencies")
    return problems


def _spectrum(
    impurity: AndersonImpurity, sign: int, omega: FloatArray, mesh: FloatArray, sigma_on_mesh: ComplexArray
) -> FloatArray:
    """A_s [1/D] (n_omega,); Sigma is smooth on the scale of the mesh, so it is interpolated rather than A."""
    return np.asarray(-(1 / _inverse_green_function(impurity, sign, omega, mesh, sigma_on_mesh)).imag / np.pi)


def _inverse_green_function(
    impurity: AndersonImpurity, sign: int, omega: FloatArray, mesh: FloatArray, sigma_on_mesh: ComplexArray
) -> ComplexArray:
    sigma = np.interp(omega, mesh, sigma_on_mesh.real) + 1j * np.minimum(np.interp(omega, mesh, sigma_on_mesh.imag), 0)
    level = impurity.level - sign * impurity.field / 2
    return np.asarray(omega - level - impurity.delta(omega, sign) - sigma)
