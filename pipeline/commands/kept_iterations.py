"""Iterations of dynamical mean-field theory kept beside the output, so that a run that was stopped goes on.

    FILE.npz.iterations/parameters.json   what shapes an iteration: the model, the settings, the code and its libraries
                        0000.task, ...    one file for each, with its checksum (pipeline.runtime.kept_results)

Each file is written whole. How far the iterations go, tolerance and their largest number, shapes none of them: a later
call may give others. The folder is removed with the files that were made here when the self-consistency is reached.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.physics.dmft.hubbard import Iteration
from pipeline.runtime.content_key import content_key
from pipeline.runtime.kept_results import ResultFiles
from pipeline.runtime.result_arrays import result_from
from stores.atomic import SUFFIX, clear_partial, write_text

__all__ = ["KeptIterations"]

CODE = ("models/physics/dmft", "models/physics/impurity")
PARAMETERS = "parameters.json"
MADE_HERE = re.compile(rf"parameters\.json|\d{{4}}\.task|\..*{re.escape(SUFFIX)}")


class KeptIterations:
    """Of the output `out`; `parameters`: JSON-able, by the names that a message shall have."""

    def __init__(self, out: Path, parameters: Mapping[str, Any]) -> None:
        self.folder = out.parent / f"{out.name}.iterations"  # out may be "."
        versions = {"code": content_key(None, also=CODE)}
        self.parameters: dict[str, Any] = json.loads(json.dumps({**parameters, **versions}))

    def problems(self) -> list[str]:
        """What stands against going on from what lies there; nothing is written."""
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            return [f"found {self.folder}, expected to keep iterations in a folder of that name; move it"]
        if not self.folder.is_dir():
            return []
        names = sorted(path.name for path in self.folder.iterdir())
        if strange := [name for name in names if not MADE_HERE.fullmatch(name)]:
            return [f"found files in {self.folder} that were not made with it ({', '.join(strange[:5])}); move them"]
        if not any(name.endswith(".task") for name in names):
            return []
        differences = self._differences()
        if not differences:
            return []
        return [
            f"found iterations of another run in {self.folder}: {'; '.join(differences)}. Give the options of that run "
            f"to go on with it, name another output, or rm -r {self.folder}"
        ]

    def read(self) -> list[Iteration]:
        """Those that are kept, up to the first one that is missing or damaged; from now on `keep` follows them."""
        self.files = ResultFiles(self.folder)
        clear_partial(self.folder)
        write_text(self.folder / PARAMETERS, json.dumps(self.parameters, indent=2))
        kept: list[Iteration] = []
        while self.files.exists(name_of(len(kept))) and (arrays := self.files.find(name_of(len(kept)))) is not None:
            kept.append(result_from(Iteration, arrays))
        self.n_kept = len(kept)
        return kept

    def keep(self, iteration: Iteration) -> None:
        self.files.write(name_of(self.n_kept), iteration)
        self.n_kept += 1

    def remove(self) -> None:
        """What was made here; the folder too, unless something else came to lie in it."""
        for path in [path for path in self.folder.iterdir() if MADE_HERE.fullmatch(path.name)]:
            path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _differences(self) -> list[str]:
        try:
            made_with = dict(json.loads((self.folder / PARAMETERS).read_text()))
        except (OSError, ValueError, TypeError):
            return [f"found no {PARAMETERS} that can be read"]
        names = dict.fromkeys([*self.parameters, *made_with])
        pairs = {name: (made_with.get(name), self.parameters.get(name)) for name in names}
        return [
            "found another version of the code or of its libraries"
            if name == "code"
            else f"found {name} {kept}, expected {expected}"
            for name, (kept, expected) in pairs.items()
            if kept != expected
        ]


def name_of(index: int) -> str:
    return f"{index:04d}"
