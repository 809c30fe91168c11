"""`latentlaw work STAGE`: worker processes on this machine that claim shards of a stage, beside those on others.

    sbatch --array=1-100 ... latentlaw work spectra       an array of jobs; no scheduler, port or waiting process
    latentlaw work spectra --workers 8                    in as many shells on as many machines as there are

The first worker begins alone: what it cannot do is said once. One that is killed, such as for its memory, is replaced;
the shard that it had counts a death (pipeline.runtime.claims). Where all die before they finish anything, it ends.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pipeline.commands.options.shards import WorkOptions
from pipeline.runtime.claims import MAX_DEATHS, WHY_DIED
from pipeline.runtime.progress import note
from pipeline.runtime.worker_environment import WORKER_ENVIRONMENT

if TYPE_CHECKING:
    from pipeline.runtime.claim_status import ClaimStatus

__all__ = ["main"]

NOTE_EVERY_S = 60.0
END_WITHIN_S = 20.0


def main(options: WorkOptions) -> int:
    return _Crew(options).work()


class _Crew:
    """The worker processes of this command."""

    def __init__(self, options: WorkOptions) -> None:
        self.options = options
        self.processes: list[subprocess.Popen[bytes]] = []
        self.stopped_by: int | None = None
        self.n_deaths, self.n_ended = 0, 0  # deaths since the number of shards that are done or failed changed
        self.end = None if options.minutes is None else time.monotonic() + 60 * options.minutes

    def work(self) -> int:
        from pipeline.runtime.execution_settings import load_execution

        n_workers = self.options.workers or load_execution().n_workers
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            begun = self._begin()
            if not begun:
                return self._status(self.processes[0].wait())
            note(f"{self.options.stage}: {n_workers} workers claim shards in {begun['folder']}")
            for _ in range(n_workers - 1):
                self._start()
            return self._watch(Path(begun["folder"]), begun["names"], MAX_DEATHS * n_workers)
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _begin(self) -> dict[str, Any]:
        """Folder and names of the shards, once the first worker has found all as it should be; {} when it ended."""
        reading, writing = os.pipe()
        self._start("--begun", str(writing), passed=(writing,))
        os.close(writing)
        with os.fdopen(reading) as stream:
            text = stream.read()
        return dict(json.loads(text)) if text else {}

    def _start(self, *words: str, passed: tuple[int, ...] = ()) -> None:
        options = self.options
        command = [sys.executable, "-m", "pipeline.runtime.claimed_work", options.stage, *words]
        command += ["--expires", str(options.expires)]
        command += ["--expect", options.expect] if options.expect else []
        command += [] if self.end is None else ["--minutes", str(max(0.0, self.end - time.monotonic()) / 60)]
        # In a session of its own Ctrl-C reaches it through this process, once.
        environment = os.environ | WORKER_ENVIRONMENT
        self.processes.append(
            subprocess.Popen(
                command, env=environment, pass_fds=passed, start_new_session=True, stdin=subprocess.DEVNULL
            )
        )

    def _watch(self, folder: Path, names: list[str], max_deaths: int) -> int:
        """Until all workers have ended; one that was killed is replaced. 1 where shards failed, or workers only die."""
        from pipeline.runtime.claim_status import claim_status

        stage, status, next_note, line = self.options.stage, 0, time.monotonic() + NOTE_EVERY_S, ""
        while self.processes:
            time.sleep(0.2)
            for process in [process for process in self.processes if process.poll() is not None]:
                self.processes.remove(process)
                if process.returncode >= 0 or self.stopped_by is not None:
                    status = max(status, process.returncode)
                    continue
                killed = f"{stage}: a worker was killed (signal {-process.returncode})"
                if self._deaths(claim_status(folder, names)) < max_deaths:
                    note(f"{killed} and is replaced")
                    self._start()
                else:
                    note(f"{killed} and is not replaced: {max_deaths} were since a shard was done. {WHY_DIED}")
                    status = 1
            if time.monotonic() >= next_note and (now := claim_status(folder, names).line()) != line:
                note(f"{stage}: {now}")
                line, next_note = now, time.monotonic() + NOTE_EVERY_S
        state = claim_status(folder, names)
        note(f"{stage}: {state.line()}")
        return self._status(status or int(bool(state.failed)))

    def _deaths(self, state: "ClaimStatus") -> int:
        """Counts one more. A shard that kills its workers is recorded as failed, so only what kills all gets far."""
        n_ended = state.n_done + len(state.failed)
        self.n_deaths = self.n_deaths + 1 if n_ended == self.n_ended else 1
        self.n_ended = n_ended
        return self.n_deaths

    def _status(self, status: int) -> int:
        return status if self.stopped_by is None else 128 + self.stopped_by

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped_by = number
        for process in self.processes:
            process.send_signal(signal.SIGTERM)

    def _end(self) -> None:
        """None of them outlives this process: not after an error, nor when it does not heed SIGTERM."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
