"""Where work runs, as it is chosen: by the environment or the untracked file `local.yaml`; the environment wins.

    LATENTLAW_SCHEDULER   local (default) | threads | serial | slurm | pbs | lsf | sge | tls://host:port | tcp://host:port
    LATENTLAW_WORKERS     how many (default: one per core, of batch systems: jobs)
    LATENTLAW_DASHBOARD   true: Dask's pages, for this machine alone

    # local.yaml
    scheduler: slurm
    workers: 8
    jobs: {queue: normal, account: abc, walltime: "04:00:00", cores: 32, memory: 64GB, prologue: [module load python]}
    tls: {ca: ca.pem, cert: cert.pem, key: key.pem}                 # of a scheduler at tls://
    kubernetes: {image: ..., claim: ..., clone: /mnt/latentlaw}    # of `latentlaw submit --system kubernetes`

Never by params or a command line: those are tracked, and a change of machine would make every dataset stale.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from pydantic import PositiveInt
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from models.settings import settings
from pipeline.runtime.batch.batch_system import BATCH_SYSTEMS
from pipeline.runtime.batch.job_settings import JobSettings
from pipeline.runtime.kubernetes_job import KubernetesSettings
from pipeline.runtime.params import ParamsError, build

__all__ = ["LOCAL_FILE", "SCHEDULER_VARIABLE", "Execution", "TlsFiles", "is_address", "load_execution"]

SCHEDULER_VARIABLE = "LATENTLAW_SCHEDULER"
WORKERS_VARIABLE = "LATENTLAW_WORKERS"
DASHBOARD_VARIABLE = "LATENTLAW_DASHBOARD"
LOCAL_FILE = "local.yaml"
ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+")
THIS_MACHINE = ("local", "threads", "serial")
YES_OR_NO = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@settings
class TlsFiles:
    """The files by which a scheduler at tls:// and this machine know each other, in the PEM format."""

    ca: str  # who signed the certificates of both
    cert: str
    key: str

    def __post_init__(self) -> None:
        if missing := [path for path in (self.ca, self.cert, self.key) if not Path(path).expanduser().is_file()]:
            raise ValueError(
                f"found no file {', '.join(missing)}, expected the keys of the scheduler; correct the paths"
            )


@settings
class Execution:
    """One choice of where to run; `workers` of None means the default of that place."""

    scheduler: str = "local"
    workers: PositiveInt | None = None
    dashboard: bool = False
    jobs: JobSettings = field(default_factory=JobSettings)
    tls: TlsFiles | None = None
    kubernetes: KubernetesSettings | None = None

    def __post_init__(self) -> None:
        expected = [*THIS_MACHINE, *BATCH_SYSTEMS.names()]
        if self.scheduler not in expected and not is_address(self.scheduler):
            hint = (
                "; Kubernetes is for `latentlaw submit --system kubernetes`" if self.scheduler == "kubernetes" else ""
            )
            raise ValueError(
                f"scheduler: found {self.scheduler!r}, expected {', '.join(expected)}, tls://host:port or "
                f"tcp://host:port{hint}"
            )

    @property
    def n_workers(self) -> int:
        from dask.system import CPU_COUNT  # knows the limits of containers

        return self.workers or int(CPU_COUNT)


def is_address(scheduler: str) -> bool:
    """Is it the address of a Dask scheduler?"""
    return bool(ADDRESS.fullmatch(scheduler))


def load_execution(environment: Mapping[str, str] | None = None, path: str | Path = LOCAL_FILE) -> Execution:
    """The choice of the environment and `local.yaml`. Raises ValueError that lists all that is wrong with it."""
    variables = os.environ if environment is None else environment
    try:
        content = YAML(typ="safe", pure=True).load(Path(path)) if Path(path).is_file() else {}
    except YAMLError as error:
        raise ParamsError(f"{path}: cannot be read as YAML; correct this: {error}") from None
    given = {"jobs": {}} | (dict(content) if isinstance(content, Mapping) else {"content": content} if content else {})
    if scheduler := variables.get(SCHEDULER_VARIABLE):
        given["scheduler"] = scheduler
    if workers := variables.get(WORKERS_VARIABLE):
        given["workers"] = int(workers) if workers.isdecimal() else workers
    if dashboard := variables.get(DASHBOARD_VARIABLE):
        given["dashboard"] = YES_OR_NO.get(dashboard.lower(), dashboard)
    sources = f"{path}, {SCHEDULER_VARIABLE}, {WORKERS_VARIABLE} and {DASHBOARD_VARIABLE}"
    return build(Execution, given, "execution", sources)
