"""`latentlaw doctor`: look at this machine and this clone, say what is there, what is missing, and what to do.

One line per finding: `ok` is fine, `--` an optional part that is not there, `!!` stops the pipeline (exit status 1).
With `--remote NAME` the findings are about that DVC remote.
Solvers and engines are looked for, not run; only TRIQS, where it is set up, solves one small problem.
"""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from models.laws.engines.operon import OperonEngine
from models.laws.engines.pysr import PySREngine
from models.laws.symbolic_engine import EngineError, SymbolicEngine
from models.physics.impurity.triqs import TriqsSolver, TriqsUnavailable
from pipeline.commands.options.clone import DoctorOptions
from pipeline.commands.repro import RWLOCK, live_runs
from pipeline.runtime.check_params import wrong_params

__all__ = ["Finding", "findings"]

GIB = 2**30
FREE_DISK_GIB = 3.0
FREE_MEMORY_GIB = 2.0
MARKS = {True: "ok", None: "--", False: "!!"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    subject: str
    fine: bool | None  # None: an optional part that is missing
    found: str
    cure: str = ""


def main(options: DoctorOptions) -> int:
    if not options.remote and not Path("dvc.yaml").is_file():  # a remote may belong to any repository of DVC
        print(f"doctor: found no dvc.yaml in {Path.cwd()}, expected the top folder of the clone", file=sys.stderr)
        return 1
    results = list(remote_findings(options) if options.remote else findings(Path.cwd()))
    for result in results:
        print(f"{MARKS[result.fine]} {result.subject:<12} {result.found}")
        if result.cure:
            print(f"   {'':<12} -> {result.cure}")
    bad = [result.subject for result in results if result.fine is False]
    fine = f"remote {options.remote} can be read" if options.remote else "the pipeline can run here"
    print(f"doctor: {'mend first: ' + ', '.join(bad) if bad else fine}")
    return 1 if bad else 0


def findings(root: Path) -> Iterator[Finding]:
    """Everything that the doctor looks at, in the order in which it is printed."""
    yield python()
    yield packages(root)
    yield git(root)
    yield dvc(root)
    yield lock(root)
    yield params(root)
    yield disk(root)
    yield memory()
    yield nrg_solver()
    yield triqs(root)
    yield operon()
    yield pysr()
    yield quantum_mechanics()
    yield gpu()


def remote_findings(options: DoctorOptions) -> Iterator[Finding]:
    """A remote that refuses or is not reached raises RemoteError, whose message has the cure."""
    from stores.remote_check import check_remote

    state = check_remote(Path.cwd(), options.remote, drop_damaged=options.drop_damaged)
    n_there = state.n_objects - len(state.missing)
    yield Finding(subject="reading", fine=True, found=f"{state.url} answers")
    refusal, _, cure = (state.refusal or "").partition("; ")
    yield Finding(
        subject="writing", fine=None if refusal else True, found=refusal or "allowed, or not tried (http)", cure=cure
    )
    yield Finding(
        subject="objects",
        fine=None if state.missing else True,
        found=f"{n_there} of {state.n_objects} of this revision are there, {state.n_unknown} without a copy here",
        cure=f"where the data are: dvc push --remote {state.name}" if state.missing else "",
    )
    dropped = options.drop_damaged
    cure = "dvc push" if dropped else f"latentlaw doctor --remote {state.name} --drop-damaged, then dvc push"
    for address, (size, expected) in state.damaged.items():
        damage = f"{address}: {size} bytes, expected {expected}{'; removed' if dropped else ''}"
        yield Finding(subject="damaged", fine=None if dropped else False, found=damage, cure=cure)


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 11)
    cure = "" if fine else "make clean-all setup PYTHON=/path/to/python3.11"
    return Finding(subject="python", fine=fine, found=f"{version} at {sys.executable}", cure=cure)


def packages(root: Path) -> Finding:
    """Are the installed versions the pinned ones?"""
    differing = []
    for line in (root / "constraints.txt").read_text().splitlines():
        name, equals, pinned = line.partition("==")
        if not equals or name.startswith("#"):
            continue
        try:
            installed = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:  # belongs to an extra that is not installed
            continue
        if installed != pinned:
            differing.append(f"{name} {installed} (pinned {pinned})")
    if not differing:
        return Finding(subject="packages", fine=True, found="the versions of constraints.txt")
    return Finding(
        subject="packages",
        fine=None,
        found=f"{len(differing)} differ from constraints.txt: {', '.join(differing[:5])}",
        cure="results may differ in the last digits; for the tested set: make clean-all setup",
    )


def git(root: Path) -> Finding:
    if not shutil.which("git"):
        return Finding(subject="git", fine=False, found="no git on PATH", cure="install git")
    command = ["git", "rev-parse", "--show-toplevel"]
    reply = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if reply.returncode == 0:
        top = Path(reply.stdout.strip())
        where = "this clone" if top == root.resolve() else f"a folder inside {top}"
        return Finding(subject="git", fine=True, found=where)
    if "dubious ownership" in reply.stderr:
        cure = f"git config --global --add safe.directory {root}"
        return Finding(subject="git", fine=False, found="the clone belongs to another user", cure=cure)
    cure = "`make repro` works; for `dvc exp` and `dvc push` from a revision, clone instead of unpacking an archive"
    return Finding(subject="git", fine=None, found="no git repository", cure=cure)


def dvc(root: Path) -> Finding:
    if importlib.util.find_spec("dvc") is None:
        return Finding(subject="dvc", fine=False, found="not installed", cure="make setup")
    version = importlib.metadata.version("dvc")
    if not (root / ".dvc" / "config").is_file():
        cure = "git checkout .dvc (never `dvc init` anew: it would drop the project's settings)"
        return Finding(subject="dvc", fine=False, found=f"{version}, but .dvc/config is missing", cure=cure)
    return Finding(subject="dvc", fine=True, found=f"{version}, stages: {', '.join(stages(root))}")


def stages(root: Path) -> list[str]:
    return list(yaml.safe_load((root / "dvc.yaml").read_text())["stages"])


def lock(root: Path) -> Finding:
    others = live_runs(root)
    if others:
        cure = f"wait for it, or stop it: kill {others[0]}"
        return Finding(subject="lock", fine=None, found=f"process {others[0]} works in this clone now", cure=cure)
    path = root / RWLOCK
    try:
        if path.exists():
            json.loads(path.read_bytes())
    except ValueError:
        cure = f"`make repro` deletes it; by hand: rm {RWLOCK}"
        return Finding(subject="lock", fine=None, found=f"{RWLOCK} is torn: an earlier run was killed", cure=cure)
    return Finding(subject="lock", fine=True, found="free")


def params(root: Path) -> Finding:
    wrong = wrong_params(root)
    if wrong:
        cure = "correct these; `git diff params.yaml` shows what was changed"
        return Finding(subject="params", fine=False, found=wrong, cure=cure)
    return Finding(subject="params", fine=True, found="params.yaml fits every stage")


def disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / GIB
    if not os.access(root, os.W_OK):
        return Finding(subject="disk", fine=False, found=f"{root} is not writable", cure="clone to a folder of yours")
    fine = free >= FREE_DISK_GIB
    cure = (
        "" if fine else f"free some: a default run wants {FREE_DISK_GIB:.0f} GiB (`make clean`, `dvc gc --workspace`)"
    )
    return Finding(subject="disk", fine=fine, found=f"{free:.1f} GiB free in {root}", cure=cure)


def memory() -> Finding:
    state = psutil.virtual_memory()
    fine = state.available / GIB >= FREE_MEMORY_GIB
    cure = "" if fine else f"close something: a default run wants {FREE_MEMORY_GIB:.0f} GiB"
    free = f"{state.available / GIB:.1f} of {state.total / GIB:.1f} GiB free, {len(cores())} cores for this process"
    return Finding(subject="memory", fine=fine, found=free, cure=cure)


def cores() -> list[int]:
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):
        return process.cpu_affinity() or []
    return list(range(os.cpu_count() or 1))


def nrg_solver() -> Finding:
    if importlib.util.find_spec("numba") is None:
        return Finding(subject="nrg", fine=False, found="numba is missing", cure="make setup")
    return Finding(subject="nrg", fine=True, found=f"built in (numba {importlib.metadata.version('numba')})")


def triqs(root: Path) -> Finding:
    """The optional second solver, asked to solve a level whose answer is known, as before a run."""
    try:
        solver = TriqsSolver().checked()
    except TriqsUnavailable as error:
        return Finding(subject="triqs", fine=None, found=error.reason, cure=f"only for `solver: triqs`: {error.cure}")
    versions = ", ".join(f"{name} {version}" for name, version in solver.versions.items())
    return Finding(subject="triqs", fine=True, found=f"{versions} by {solver.interpreter}")


def operon() -> Finding:
    return engine(OperonEngine(population=10, generations=1, raw_generations=1, max_length=5), optional=False)


def pysr() -> Finding:
    """Asks the engine itself, which neither starts Julia nor goes to the network for that."""
    return engine(PySREngine(iterations=1, max_size=7, timeout_s=30.0), optional=True)


def quantum_mechanics() -> Finding:
    """What labels the atoms lane on default params: GPAW aluminium, PySCF molecules, tblite proposes their frames."""
    wanted = ("gpaw", "pyscf", "tblite", "matscipy", "phonopy")
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if not missing:
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in wanted[:3])
        return Finding(subject="atoms", fine=True, found=versions)
    compiler = shutil.which("g++") or shutil.which("c++")
    first = "" if compiler else "install a C++ compiler, which GPAW is built with (Debian: apt-get install g++), then "
    return Finding(
        subject="atoms", fine=False, found=f"no {', '.join(missing)}", cure=f"{first}make setup (the extra `atoms`)"
    )


def engine(candidate: SymbolicEngine, *, optional: bool) -> Finding:
    try:
        candidate.check_available()
    except EngineError as error:
        prefix = f"only for `engine: {candidate.name}`: " if optional else ""
        fine = None if optional else False
        return Finding(subject=candidate.name, fine=fine, found=error.reason, cure=prefix + error.cure)
    return Finding(subject=candidate.name, fine=True, found="ready")


def gpu() -> Finding:
    """Asks torch, in a process of its own: importing it takes seconds and can fail in the driver."""
    code = "import torch; print(', '.join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())))"
    reply = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if reply.returncode:
        reason = (reply.stderr.strip().splitlines() or ["no output"])[-1]
        return Finding(subject="gpu", fine=False, found=f"torch does not import: {reason}", cure="make clean-all setup")
    names = reply.stdout.strip()
    if names:
        return Finding(subject="gpu", fine=True, found=names)
    return Finding(
        subject="gpu", fine=None, found="none seen by torch: training runs on the CPU, as the default profile expects"
    )
