"""Which project files does a stage import? DVC does not follow imports, so dvc.yaml must list them all.

A file belongs to a stage when `pipeline/<lane>/<stage>.py` reaches it, at any depth, through an import (also inside a
function), the dotted name of a module in a string ("models.laws.pysr_child", run as a subprocess), or the name of a
file beside the module in a string ("report.html.j2", "triqs_child.py"). Empty `__init__.py` files hold nothing and
are left out. So are the modules of NOT_FOLLOWED, which shape nothing that a stage makes.

    python -m pipeline.runtime.dependencies            exits 1 and says what a dvc.yaml lacks or lists in vain
    python -m pipeline.runtime.dependencies spectra    prints the files of one stage
    python -m pipeline.runtime.dependencies --write    brings the code part of every `deps` up to date
"""

import argparse
import ast
import sys
from pathlib import Path

from ruamel.yaml import YAML

__all__ = ["DAGS", "PACKAGES", "imported_modules", "module_files", "project_files", "stage_code", "stage_file"]

PACKAGES = ("pipeline", "stores", "models")
DAGS = ("dvc.yaml", "pipeline/atoms/dvc.yaml")
NOT_FOLLOWED = {
    "pipeline.runtime.check_params"
}  # knows the settings of all stages, and decides only whether one begins


def main() -> int:
    parser = argparse.ArgumentParser(description="The project files that each stage of dvc.yaml imports.")
    parser.add_argument("stage", nargs="?", help="print the files of this stage (default: check all)")
    rewrite = "rewrite the code part of every deps list in dvc.yaml (default: off)"
    parser.add_argument("--write", action="store_true", help=rewrite)
    arguments = parser.parse_args()
    root = Path.cwd()
    if arguments.stage:
        print("\n".join(stage_code(root, arguments.stage)))
        return 0
    problems = check(root, write=arguments.write)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems and not arguments.write:
        print("cure: python -m pipeline.runtime.dependencies --write", file=sys.stderr)
        return 1
    return 0


def check(root: Path, *, write: bool = False) -> list[str]:
    """Compare the `deps` of every stage with its imports; with `write`, correct them."""
    return [problem for dag_file in DAGS for problem in _check_file(root, dag_file, write)]


def _check_file(root: Path, dag_file: str, write: bool) -> list[str]:
    yaml = YAML()
    yaml.width = 140
    yaml.indent(mapping=2, sequence=4, offset=2)
    path = root / dag_file
    dag = yaml.load(path.read_text())
    problems = []
    for name, stage in dag["stages"].items():
        found = list(stage.get("deps", []))
        listed = [dep for dep in found if is_code(dep)]
        expected = stage_code(root, name)
        problems += [
            f"{dag_file}: stage {name} imports {dep} but does not list it" for dep in expected if dep not in listed
        ]
        problems += [
            f"{dag_file}: stage {name} lists {dep} but does not import it" for dep in listed if dep not in expected
        ]
        if set(listed) != set(expected):
            stage["deps"] = [dep for dep in found if not is_code(dep)] + expected
    if write and problems:
        partial = path.with_name(".dvc.yaml.partial")
        with partial.open("w") as file:
            yaml.dump(dag, file)
        partial.replace(path)
    return problems


def is_code(dep: str) -> bool:
    return dep.partition("/")[0] in PACKAGES


def stage_code(root: Path, stage: str) -> list[str]:
    """The project files of one stage, its own file first, as paths relative to `root`."""
    start = stage_file(root, stage)
    return [start, *sorted(project_files(root, start) - {start})]


def stage_file(root: Path, stage: str) -> str:
    """The file of a stage or command, relative to `root`. Raises FileNotFoundError."""
    for path in (root / "pipeline").glob(f"*/{stage}.py"):
        return path.relative_to(root).as_posix()
    raise FileNotFoundError(f"pipeline/*/{stage}.py: not found in {root}, expected the file of this stage")


def project_files(root: Path, start: str) -> set[str]:
    """`start` (relative to `root`) and every project file it imports, transitively."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        file = waiting.pop()
        if file in found or not (root / file).read_bytes():
            continue
        found.add(file)
        if file.endswith(".py"):
            modules = imported_modules(root / file) - NOT_FOLLOWED
            waiting += [path for module in modules for path in module_files(root, module)]
            waiting += files_beside(root, file)
    return found


def imported_modules(path: Path) -> set[str]:
    """Every dotted name that a file imports, and every dotted name of a project module among its strings."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            first, dot, _ = node.value.partition(".")
            modules |= {node.value} if dot and first in PACKAGES else set()
    return modules


def module_files(root: Path, module: str) -> list[str]:
    """The file of a project module and the `__init__.py` files above it; nothing for other packages."""
    parts = module.split(".")
    if parts[0] not in PACKAGES or not all(part.isidentifier() for part in parts):
        return []
    inits = ["/".join([*parts[:n], "__init__.py"]) for n in range(1, len(parts) + 1)]
    return [name for name in ["/".join(parts) + ".py", *inits] if (root / name).is_file()]


def files_beside(root: Path, file: str) -> list[str]:
    """Files in the folder of a module whose name stands in one of its strings."""
    nodes = ast.walk(ast.parse((root / file).read_text()))
    words = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    neighbours = {path.name: path for path in (root / file).parent.iterdir() if path.is_file()}
    return [str(neighbours[word].relative_to(root)) for word in sorted(words & set(neighbours))]


if __name__ == "__main__":
    sys.exit(main())
