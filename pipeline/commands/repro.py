"""`latentlaw repro`, and `make repro`: `dvc repro` that can always be run again.

A `dvc repro` that is killed while it rewrites `.dvc/tmp/rwlock` leaves an empty or torn file, and every later run
stops at it. This wrapper waits for what still works in this clone, deletes such a file, refuses a params.yaml that any
stage would refuse, runs DVC with the Python it was started with, and ends by saying where the report lies, or how to go
on. It imports next to nothing: a run with nothing to do must stay cheap.

Stages that run only when they are named, such as a public dataset that needs a large download, stand in a dvc.yaml of
their own, which DVC leaves alone without a target. Here their name is enough.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from pipeline.commands.options.clone import ReproOptions
from pipeline.report.published import against_published
from pipeline.runtime.check_params import wrong_params
from pipeline.runtime.unchanged import watched

__all__ = ["addresses", "heal_rwlock", "live_runs", "run_dvc"]

RWLOCK = Path(".dvc/tmp/rwlock")
REPORT = Path("reports/index.html")
ON_DEMAND = Path("pipeline/atoms/dvc.yaml")
NO_STAGES = {"runtime", "commands"}  # folders of pipeline
WAIT_S = 0.5


def main(options: ReproOptions) -> int:
    if not Path("dvc.yaml").is_file():
        return complain(f"found no dvc.yaml in {Path.cwd()}; expected the top folder of the clone. Go there first.")
    try:
        wait_for_others(Path.cwd())
        wrong = wrong_params(Path.cwd()) if Path("params.yaml").is_file() else ""
    except KeyboardInterrupt:
        return complain("stopped while waiting; nothing was begun")
    if wrong:
        return complain(
            f"{wrong}\nrepro: nothing was begun. Correct params.yaml, then run again; `make doctor` looks at it too."
        )
    healed = heal_rwlock(RWLOCK)
    if healed:
        print(f"repro: {healed}", flush=True)
    adapt_to_git(Path.cwd())
    files = None if options.words else watched(Path.cwd())
    if files and files.unchanged():
        print("repro: no file of the pipeline has changed since it last ran to its end: nothing to do")
        status = 0
    else:
        start = time.monotonic()
        before = files.sources_state() if files else ""
        status = run_dvc(["repro", *addresses(options.words)])
        minutes, seconds = divmod(round(time.monotonic() - start), 60)
        print(f"repro: {minutes} min {seconds} s")
        if files and not status:
            files.keep(before)
    if not status and REPORT.is_file():
        for line in against_published(Path.cwd()):
            print(f"repro: {line}", flush=True)
    print(closing_message(status), file=sys.stderr if status else sys.stdout, flush=True)
    return status


def complain(message: str) -> int:
    print(f"repro: {message}", file=sys.stderr)
    return 1


def wait_for_others(root: Path) -> None:
    """Return when no DVC and no stage runs in this clone: also those whose `make` or terminal was killed."""
    reported = 0
    while others := live_runs(root):
        if others[0] != reported:
            reported = others[0]
            print(
                f"repro: process {reported} already works in this clone: waiting (to stop it: kill {reported})",
                flush=True,
            )
        time.sleep(WAIT_S)


def heal_rwlock(rwlock: Path) -> str:
    """Delete a torn lock file, when nothing runs here. Returns what was done, "" when nothing was."""
    try:
        content = rwlock.read_bytes()
    except FileNotFoundError:
        return ""
    try:
        if isinstance(json.loads(content), dict):
            return ""
    except ValueError:  # also what is not UTF-8
        pass
    rwlock.unlink(missing_ok=True)
    return f"deleted {rwlock}, which a killed run had left {'unreadable' if content.strip() else 'empty'}"


def live_runs(root: Path) -> list[int]:
    """Ids of the processes that run a DVC command or a stage in this clone."""
    files = [file for file in (root / "pipeline").glob("*/*.py") if file.parent.name not in NO_STAGES]
    stages = {f"pipeline.{file.parent.name}.{file.stem}" for file in files}
    ids = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()[:6]
            works = any(Path(word).name in ("dvc", "dvc.exe") for word in words[:4])
            if (works or stages.intersection(words)) and Path(process.cwd()).is_relative_to(root):
                ids.append(process.pid)
        except (psutil.Error, OSError):  # ended meanwhile, or another user's
            continue
    return ids


def adapt_to_git(root: Path) -> None:
    """DVC and DVCLive want a git repository with a commit; without one (an unpacked archive) tell DVC to do without."""
    command = ["git", "-C", str(root), "rev-parse", "--quiet", "--verify", "HEAD"]
    has_commit = shutil.which("git") and subprocess.run(command, capture_output=True, check=False).returncode == 0
    local = root / ".dvc" / "config.local"
    without_git = local.is_file() and "no_scm" in local.read_text()
    config = [sys.executable, "-m", "dvc", "config", "--local"]
    if not has_commit and not without_git:
        print(f"repro: found no git commit here; {local.relative_to(root)} now tells DVC so (core.no_scm)", flush=True)
        subprocess.run([*config, "core.no_scm", "true"], check=True)
    elif has_commit and without_git:
        subprocess.run([*config, "--unset", "core.no_scm"], check=True)


def addresses(given: list[str]) -> list[str]:
    """The words given, the names of stages on demand with the file in which DVC finds them."""
    if not given or not ON_DEMAND.is_file():
        return given
    import yaml  # only here, where it is needed: a run with nothing to do must stay cheap

    names = yaml.safe_load(ON_DEMAND.read_text())["stages"]
    return [f"{ON_DEMAND}:{word}" if word in names else word for word in given]


def run_dvc(arguments: list[str]) -> int:
    """Run DVC and return its exit status. Ctrl-C reaches it and its stages too: wait until they have put work away."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    process = subprocess.Popen([sys.executable, "-m", "dvc", *arguments], env=os.environ | {"PATH": path})
    interrupted = False
    while True:
        try:
            status = process.wait()
            break
        except KeyboardInterrupt:
            interrupted = True
    return 128 + signal.SIGINT if interrupted else 128 - status if status < 0 else status


def closing_message(status: int) -> str:
    if status == 128 + signal.SIGINT:
        return "repro: stopped. What was finished is kept: `make repro` goes on from there."
    if status:
        return (
            f"repro: failed (exit status {status}); the reason stands above. `make doctor` looks for causes.\n"
            "repro: what was finished is kept: after the cure, `make repro` goes on from there."
        )
    if REPORT.is_file():
        return f"repro: done. The report: {REPORT.resolve().as_uri()}"
    return "repro: done. No report yet: `make repro` without STAGE makes it."
