"""Does every section of params.yaml fit its stage? Asked before anything runs: a slip in the last section must not
surface when its stage begins, hours later.

`make repro`, `make doctor` and every stage as it starts, so also a plain `dvc repro`, ask `wrong_params`. To know the
settings of all stages is to import all they build upon, some six CPU seconds. So that is done in a process of its own,
and a file found good is not looked at again until it, or the sources, change.

No stage lists this file among its deps, see pipeline/runtime/dependencies.py: it decides whether a stage begins, not
what it makes.

    python -m pipeline.runtime.check_params [FILE ...]  whole params files; exits 1 and lists all problems
"""

import ast
import hashlib
import importlib
import subprocess
import sys
from pathlib import Path

from stores.atomic import write_text

__all__ = ["section_kinds", "wrong_params"]

PARAMS = Path("params.yaml")
FOUND_GOOD = Path(".cache/params_found_good")
PACKAGES = ("pipeline", "stores", "models")
CODE = Path(__file__).parents[2]


def main() -> int:
    from pipeline.runtime.params import ParamsError, check_sections

    kinds = section_kinds()
    status = 0
    for path in [Path(name) for name in sys.argv[1:]] or [PARAMS]:
        try:
            check_sections(kinds, path)
        except ParamsError as error:
            print(error, file=sys.stderr)
            status = 1
    return status


def section_kinds() -> dict[str, type]:
    """The settings class of every section: stages call `load_params(Kind, "section")`. Imports all they build upon."""
    kinds: dict[str, type] = {}
    for path in sorted(CODE.glob("pipeline/*/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name("load_params"), args=[ast.Name(kind), ast.Constant(str(section))]):
                    module = importlib.import_module(".".join(path.relative_to(CODE).with_suffix("").parts))
                    kinds[str(section)] = getattr(module, kind)
    return kinds


def wrong_params(root: Path) -> str:
    """All that is wrong with params.yaml in `root`, "" when nothing is. Only the first call after a change is slow."""
    try:
        state = _state(root / PARAMS)
    except FileNotFoundError:
        return f"{PARAMS}: not found in {root}, expected it beside dvc.yaml; restore it: git checkout {PARAMS}"
    note = root / FOUND_GOOD
    if note.is_file() and note.read_text() == state:
        return ""
    command = [sys.executable, "-m", "pipeline.runtime.check_params"]
    reply = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if reply.returncode:
        return reply.stderr.strip() or f"{PARAMS}: the check ended with status {reply.returncode}"
    write_text(note, state)
    return ""


def _state(params: Path) -> str:
    """Hash of the params file and of the sources, which say what fits."""
    files = [params, *(file for package in PACKAGES for file in sorted((CODE / package).rglob("*.py")))]
    return hashlib.sha256(b"\0".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
