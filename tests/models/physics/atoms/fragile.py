"""An engine that fails on demand, for tests of child processes: springs to the origin, and moods.

The mood of a configuration is given by its first atomic number, so that one batch can hold several.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.physics.atoms.engine import EngineRefused, Label, NotConverged

GOOD, CRASHING, HANGING, UNCONVERGED, STUBBORN, NAN, LOUD, BROKEN, REFUSED = range(1, 10)
SPRING_EV_A2 = 2.0


@dataclass(frozen=True, kw_only=True)
class Fragile:
    safe: bool = False
    has_safer: bool = True
    level_name: str = "springs"
    safer_level: str = "springs"
    pid_file: str = ""

    @property
    def level(self) -> str:
        return self.level_name

    def check(self) -> None:
        """Nothing to install."""

    def refuse(self, numbers, *, periodic: bool) -> None:
        if numbers[0] == REFUSED:
            raise EngineRefused("springs do not like this")

    def label(self, numbers, positions_A, cell_A) -> Label:
        mood = numbers[0]
        if mood == CRASHING:
            os.kill(os.getpid(), signal.SIGSEGV)
        if mood == HANGING:
            sleeper = subprocess.Popen(["sleep", "600"])
            if self.pid_file:
                Path(self.pid_file).write_text(f"{os.getpid()} {sleeper.pid}")
            time.sleep(600)
        if mood == STUBBORN or (mood == UNCONVERGED and not self.safe):
            raise NotConverged(f"no self-consistency, safe: {self.safe}")
        if mood == BROKEN:
            raise ZeroDivisionError("a bug of the library")
        if mood == LOUD:
            os.write(1, b'{"position": 0, "error": "not of ours"}\n')
            print("progress")
        energy = SPRING_EV_A2 * float(np.sum(positions_A**2)) / 2
        return Label(
            energy_eV=float("nan") if mood == NAN else energy,
            forces_eV_A=-SPRING_EV_A2 * positions_A,
            stress_eV_A3=None,
            provenance={"threads": os.environ.get("OMP_NUM_THREADS", ""), "folder": os.environ["TMPDIR"]},
        )

    def safer(self):
        return replace(self, safe=True, level_name=self.safer_level) if self.has_safer and not self.safe else None
