"""A SLURM of this machine alone: munged, slurmctld and slurmd with their own keys, ports and folders.

Needs root and Debian's packages `slurmctld slurmd slurm-client munge`. Nothing outside the folder is written.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmstepd", "sbatch", "squeue", "scancel", "sinfo")
SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
CONFIGURATION = """\
ClusterName=latentlaw
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2
KillWait=5
ReturnToService=2
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000 State=UNKNOWN
PartitionName=normal Nodes={host} Default=YES MaxTime=60 State=UP
"""


def missing() -> str | None:
    """Why no SLURM can be started here; None where it can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=SYSTEM_PATH) is None]
    if absent:
        return f"found no {', '.join(absent)}; apt-get install slurmctld slurmd slurm-client munge"
    return None if os.geteuid() == 0 else "the daemons of SLURM need root"


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start the daemons; yields the variables by which `sbatch` finds them. All of them end with the context."""
    host = socket.gethostname().partition(".")[0]
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o700, parents=True)
    folder.chmod(0o755)
    (folder / "munge").chmod(0o755)  # clients reach the socket
    (folder / "key").mkdir(mode=0o700)
    key = folder / "key" / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    configuration = folder / "slurm.conf"
    controller_port, node_port = free_ports(2)
    configuration.write_text(
        CONFIGURATION.format(host=host, folder=folder, controller_port=controller_port, node_port=node_port)
    )
    variables = {"SLURM_CONF": str(configuration), "PATH": SYSTEM_PATH}
    environment = os.environ | variables
    files = {"socket": "munge/socket", "pid-file": "munge/pid", "log-file": "munge/log", "seed-file": "munge/seed"}
    options = [f"--{option}={folder / file}" for option, file in files.items()]
    commands = [
        ["munged", "--foreground", "--force", f"--key-file={key}", *options],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D", "-N", host, "-d", shutil.which("slurmstepd", path=SYSTEM_PATH) or ""],
    ]
    with contextlib.ExitStack() as stack:
        for command in commands:
            log = stack.enter_context((folder / f"{command[0]}.out").open("w"))
            stack.enter_context(running(command, environment, log))
        stack.callback(_end_jobs, environment)
        _wait_until_idle(environment, folder)
        yield variables


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], log) -> Iterator[None]:
    program = shutil.which(command[0], path=SYSTEM_PATH)
    process = subprocess.Popen([program, *command[1:]], env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_idle(environment: dict[str, str], folder: Path, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while True:
        reply = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
        )
        if reply.stdout.strip() == "idle":
            return
        if time.monotonic() > end:
            logs = "\n".join(f"{file.name}:\n{file.read_text()[-2000:]}" for file in folder.glob("*.out"))
            raise TimeoutError(f"SLURM is not ready: {reply.stdout}{reply.stderr}\n{logs}")
        time.sleep(0.5)


def _end_jobs(environment: dict[str, str], timeout_s: float = 30) -> None:
    """The daemons must live until the last process of the last job is gone."""
    subprocess.run(["scancel", "--full", f"--user={os.getuid()}"], env=environment, check=False)
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        asked = ["squeue", "--noheader"]
        reply = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
        if reply.returncode or not reply.stdout.strip():
            return
        time.sleep(0.5)


def free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]
