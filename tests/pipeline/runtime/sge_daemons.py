"""A Grid Engine of this machine alone: sge_qmaster and sge_execd with their own ports and folders.

Needs root and Debian's packages `gridengine-master gridengine-exec gridengine-client`. Nothing outside the folder is
written. The host's name must have an address.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.pipeline.runtime.slurm_daemons import SYSTEM_PATH, free_ports, running

PROGRAMS = ("sge_qmaster", "sge_execd", "qsub", "qstat", "qdel", "qconf")
BINARIES = Path("/usr/lib/gridengine")
SHARED = Path("/usr/share/gridengine")
BOOTSTRAP = """\
admin_user              none
default_domain          none
ignore_fqdn             true
spooling_method         berkeleydb
spooling_lib            libspoolb
spooling_params         {root}/spooldb
binary_path             /usr/sbin
qmaster_spool_dir       {root}/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
"""
HOST = """\
hostname              {host}
load_scaling          NONE
complex_values        NONE
user_lists            NONE
xuser_lists           NONE
projects              NONE
xprojects             NONE
usage_scaling         NONE
report_variables      NONE
"""
ENVIRONMENT = """\
pe_name            smp
slots              8
user_lists         NONE
xuser_lists        NONE
start_proc_args    NONE
stop_proc_args     NONE
allocation_rule    $pe_slots
control_slaves     FALSE
job_is_first_task  TRUE
urgency_slots      min
accounting_summary FALSE
qsort_args         NONE
"""
SCHEDULER = {"schedule_interval": "0:0:2", "load_adjustment_decay_time": "0:0:0", "job_load_adjustments": "NONE"}
QUEUE = {"qname": "all.q", "hostlist": "{host}", "slots": "8", "pe_list": "smp", "shell": "/bin/bash"}
QUEUE |= {"load_thresholds": "NONE", "notify": "00:00:05"}


def missing() -> str | None:
    """Why no Grid Engine can be started here; None where it can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=SYSTEM_PATH) is None]
    if absent:
        return f"found no {', '.join(absent)}; apt-get install gridengine-master gridengine-exec gridengine-client"
    return None if os.geteuid() == 0 else "the daemons of Grid Engine need root"


@contextlib.contextmanager
def grid_engine(folder: Path) -> Iterator[dict[str, str]]:
    """Start the daemons; yields the variables by which `qsub` finds them. All of them end with the context."""
    host, root = socket.gethostname(), folder / "sge"
    common = root / "default" / "common"
    for path in (common, root / "spooldb", root / "qmaster" / "job_scripts", root / "execd"):
        path.mkdir(parents=True)
    architecture = subprocess.run([SHARED / "util/arch"], capture_output=True, text=True, check=True).stdout.strip()
    for name in ("bin", "lib", "utilbin"):
        (root / name).mkdir()
        (root / name / architecture).symlink_to(BINARIES)
    (root / "util").symlink_to(SHARED / "util")
    (common / "bootstrap").write_text(BOOTSTRAP.format(root=root))
    (common / "act_qmaster").write_text(f"{host}\n")
    (common / "host_aliases").write_text(f"{host} localhost\n")  # 127.0.0.1 has both names
    configuration = (SHARED / "default-configuration").read_text()
    changes = {"execd_spool_dir": f"{root}/execd", "min_uid": "0", "min_gid": "0", "load_report_time": "00:00:02"}
    changes["reporting_params"] = "accounting=true reporting=false flush_time=00:00:01 joblog=false sharelog=00:00:00"
    (folder / "configuration").write_text(_changed(configuration, changes))
    master_port, node_port = free_ports(2)
    variables = {
        "SGE_ROOT": str(root),
        "SGE_CELL": "default",
        "SGE_QMASTER_PORT": str(master_port),
        "SGE_EXECD_PORT": str(node_port),
        "PATH": SYSTEM_PATH,
    }
    environment = os.environ | variables | {"SGE_ND": "1"}  # stay in the foreground

    def call(*command: object) -> str:
        reply = subprocess.run(
            [str(word) for word in command], env=environment, capture_output=True, text=True, check=False
        )
        if reply.returncode:
            raise RuntimeError(f"{command}: {reply.stdout}{reply.stderr}")
        return reply.stdout

    def put(option: str, text: str) -> None:
        (folder / "settings").write_text(text)
        call("qconf", option, folder / "settings")

    call(BINARIES / "spoolinit", "berkeleydb", "libspoolb", root / "spooldb", "init")
    call(BINARIES / "spooldefaults", "configuration", folder / "configuration")
    call(BINARIES / "spooldefaults", "complexes", SHARED / "util/resources/centry")
    call(BINARIES / "spooldefaults", "usersets", SHARED / "util/resources/usersets")
    call(BINARIES / "spooldefaults", "managers", "root")
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "daemons.out").open("w"))
        stack.enter_context(running(["sge_qmaster"], environment, log))
        _until(lambda: call("qconf", "-sh"), folder)
        put("-Ae", HOST.format(host=host))
        call("qconf", "-as", host)
        put("-Ap", ENVIRONMENT)
        put("-Msconf", _changed(call("qconf", "-ssconf"), SCHEDULER))
        put("-Aq", _changed(call("qconf", "-sq"), {key: value.format(host=host) for key, value in QUEUE.items()}))
        stack.enter_context(running(["sge_execd"], environment, log))
        _until(lambda: " -  " not in call("qstat", "-f", "-q", "all.q") and "au" not in call("qstat", "-f"), folder)
        stack.callback(_end_jobs, environment)
        yield variables


def _changed(text: str, values: dict[str, str]) -> str:
    """Settings as qconf prints them, with other values."""
    lines = [line for line in text.splitlines() if line.split(" ")[0] not in values]
    return "\n".join([*lines, *(f"{key} {value}" for key, value in values.items())]) + "\n"


def _until(ready, folder: Path, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while True:
        try:
            if ready():
                return
            reason = "not yet"
        except RuntimeError as error:
            reason = str(error)
        if time.monotonic() > end:
            messages = "\n".join(file.read_text()[-2000:] for file in folder.rglob("messages"))
            raise TimeoutError(f"Grid Engine is not ready: {reason}\n{messages}")
        time.sleep(0.5)


def _end_jobs(environment: dict[str, str], timeout_s: float = 30) -> None:
    """The daemons must live until the last process of the last job is gone."""
    subprocess.run(["qdel", "-u", "root"], env=environment, capture_output=True, check=False)
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        reply = subprocess.run(["qstat", "-u", "root"], env=environment, capture_output=True, text=True, check=False)
        if reply.returncode or not reply.stdout.strip():
            return
        time.sleep(0.5)
