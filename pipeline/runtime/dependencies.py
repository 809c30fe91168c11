"""Does dvc.yaml list all code that shapes what a stage makes? DVC does not follow imports; this walk does.

A file belongs to a stage when `pipeline/<lane>/<stage>.py` reaches it, at any depth, through an import (also inside a
function), the dotted name of a module in a string ("models.laws.x", run as a subprocess), that of a package
(a registry imports all its modules), or the name of a file beside the module in a string ("report.html.j2",
"triqs_child.py"). Left out are empty `__init__.py` files and MACHINERY (pipeline.runtime.content_key), with what only
machinery imports.

    python -m pipeline.runtime.dependencies            exits 1 and says what a dvc.yaml lacks or lists in vain
    python -m pipeline.runtime.dependencies spectra    prints the files of one stage
"""

import argparse
import ast
import sys
from pathlib import Path

from pipeline.runtime.content_key import DAGS, MACHINERY, PACKAGES, code_deps, covers, stages_of

__all__ = ["check", "imported_modules", "module_files", "project_files", "stage_code", "stage_file"]


def main() -> int:
    parser = argparse.ArgumentParser(description="The project files that each stage of dvc.yaml imports.")
    parser.add_argument("stage", nargs="?", help="print the files of this stage (default: check all)")
    arguments = parser.parse_args()
    root = Path.cwd()
    lines = stage_code(root, arguments.stage) if arguments.stage else check(root)
    print("\n".join(lines), file=sys.stdout if arguments.stage else sys.stderr, end="\n" if lines else "")
    return 1 if lines and not arguments.stage else 0


def check(root: Path) -> list[str]:
    """Every difference between the code that stages list in `deps` and what they import, each with its cure."""
    problems = []
    for dag in DAGS:
        for stage in stages_of(root / dag):
            listed, files = code_deps(root, stage), stage_code(root, stage)
            if lacking := [file for file in files if not any(covers(dep, file) for dep in listed)]:
                problems.append(
                    f"{dag}: stage {stage} imports what its deps do not hold: {', '.join(lacking)}; add the files or "
                    "their folder, or name them in MACHINERY of pipeline/runtime/content_key.py where they shape "
                    "nothing that a stage makes"
                )
            if idle := [dep for dep in listed if not any(covers(dep, file) for file in files)]:
                problems.append(f"{dag}: stage {stage} imports nothing of its deps {', '.join(idle)}; remove them")
    return problems


def stage_code(root: Path, stage: str) -> list[str]:
    """The project files that shape what a stage makes, its own file first, as paths relative to `root`."""
    start = stage_file(root, stage)
    return [start, *sorted(project_files(root, start) - {start})]


def stage_file(root: Path, stage: str) -> str:
    """The file of a stage or command, relative to `root`. Raises FileNotFoundError."""
    name = stage.partition("@")[0]
    files = sorted((root / "pipeline").glob(f"*/{name}.py"), key=lambda path: path.parent.name == "commands")
    if not files:
        raise FileNotFoundError(f"pipeline/*/{name}.py: not found in {root}, expected the file of this stage")
    return files[0].relative_to(root).as_posix()


def project_files(root: Path, start: str) -> set[str]:
    """`start` (relative to `root`) and every project file it imports, transitively, without MACHINERY."""
    files: set[str] = set()
    waiting = [start]
    while waiting:
        file = waiting.pop()
        if file in files or not (root / file).read_bytes() or any(covers(path, file) for path in MACHINERY):
            continue
        files.add(file)
        if file.endswith(".py"):
            waiting += [path for module in imported_modules(root / file) for path in module_files(root, module)]
            waiting += [*files_beside(root, file), *files_of_packages(root, file)]
    return files


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


def files_of_packages(root: Path, file: str) -> list[str]:
    """All modules of each package whose dotted name is a string in a module; `*` stands for any one part of a name."""
    names = [word.split(".") for word in strings(root / file) if "." in word and word.partition(".")[0] in PACKAGES]
    named = ["/".join(parts) for parts in names if all(part.isidentifier() or part == "*" for part in parts)]
    folders = [folder for name in named for folder in sorted(root.glob(name)) if folder.is_dir()]
    return [path.relative_to(root).as_posix() for folder in folders for path in sorted(folder.glob("*.py"))]


def files_beside(root: Path, file: str) -> list[str]:
    """Files in the folder of a module whose name stands in one of its strings."""
    neighbours = {path.name: path for path in (root / file).parent.iterdir() if path.is_file()}
    return [neighbours[word].relative_to(root).as_posix() for word in sorted(strings(root / file) & set(neighbours))]


def strings(path: Path) -> set[str]:
    """All strings of a Python file."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


if __name__ == "__main__":
    sys.exit(main())
