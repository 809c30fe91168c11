"""What shapes content: the rule by which DVC makes a stage anew and by which shards, rounds and trainings are kept.

    counts          physics, networks, schemas, the stage's own file: the code among the `deps` of the stage in dvc.yaml
                    params, hashes of stores that are read, versions of NumPy, SciPy and torch
    does not count  how it runs: MACHINERY, which decides where, when and whether work is done, checks settings (their
                    values count), keeps results and shows progress, types the JSON files of metrics, and
                    lays a store on disk (what it says is the schema's, which has a version)

DVC compares files by their bytes, so an edited comment makes it run the stage. The key of its shards is blind to
comments and docstrings: the stage finds all its results and makes the same store of them in seconds.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from stores.manifest import canonical_json

__all__ = [
    "DAGS",
    "MACHINERY",
    "PACKAGES",
    "code_deps",
    "content_key",
    "covers",
    "meaning_of",
    "numerical_versions",
    "shard_key",
    "stages_of",
]

PACKAGES = ("pipeline", "stores", "models")
DAGS = ("dvc.yaml", "pipeline/atoms/dvc.yaml")
NUMERICAL = ("numpy", "scipy", "torch")
MACHINERY = (
    "pipeline/runtime",
    "pipeline/*/records.py",
    "stores/atomic.py",
    "stores/building.py",
    "stores/layout.py",
    "stores/manifest.py",
    "stores/outcome.py",
    "stores/sample_keys.py",
    "stores/schema.py",
    "stores/validate.py",
    "stores/zarr_store.py",
    "models/physics/atoms/calculator_folder.py",
    "models/physics/atoms/child_process.py",
    "models/physics/atoms/label_child.py",
    "models/registry.py",
    "models/settings.py",
    "models/training/quiet.py",
    "models/training/progress.py",
)


def content_key(stage: str | None, *shaping: object, only: Sequence[str] = (), also: Sequence[str] = ()) -> str:
    """Hash of all that shapes what a stage makes: `shaping` (JSON-able: params, hashes of stores) and its code.

    `only`: of the stage's code no more than these folders and files, where a part of its work is kept on its own.
    `also`: further files and folders, of a command that does the same work as the stage; without a stage, all its code.
    Raises ValueError for a stage or a part of it that is not in dvc.yaml.
    """
    kept = _kept(stage, only, also)
    versions = list(_versions(kept).values())
    code = [meaning_of(file) for file in kept]
    return hashlib.sha256(canonical_json([shaping, code, versions]).encode()).hexdigest()[:32]


def shard_key(stage: str, *shaping: object) -> str:
    """Hash of what shapes every shard of a stage: settings and code.

    Not how many there are, nor what a shard is made of, which names it; nor versions, which are proven
    (pipeline.runtime.proven_versions).
    """
    code = [meaning_of(file) for file in _kept(stage, (), ())]
    return hashlib.sha256(canonical_json([shaping, code]).encode()).hexdigest()[:32]


def numerical_versions(stage: str) -> dict[str, str]:
    """Of the libraries that shape the numbers of a stage."""
    return _versions(_kept(stage, (), ()))


def _kept(stage: str | None, only: Sequence[str], also: Sequence[str]) -> list[Path]:
    """The files of code that count."""
    root = Path(__file__).resolve().parents[2]
    listed = [] if stage is None else code_deps(root, stage)
    if unknown := [path for path in only if not any(covers(dep, path) or covers(path, dep) for dep in listed)]:
        raise ValueError(f"stage {stage}: found {unknown}, expected some of its code deps {listed}; correct dvc.yaml")
    files = sorted({file for dep in (*listed, *also) for file in _files(root / dep)})
    return [file for file in files if not only or any(covers(path, file.relative_to(root).as_posix()) for path in only)]


def _versions(files: Sequence[Path]) -> dict[str, str]:
    return {package: version(package) for package in NUMERICAL if any(package in _imports(file) for file in files)}


def code_deps(root: Path, stage: str) -> list[str]:
    """The folders and files of code in the `deps` of a stage. Raises ValueError where there is no such stage."""
    for dag in DAGS:
        if stage in (stages := stages_of(root / dag)):
            return [dep for dep in stages[stage].get("deps", []) if dep.partition("/")[0] in PACKAGES]
    raise ValueError(f"{' and '.join(DAGS)}: found no stage {stage}, expected one of that name")


def stages_of(dag: Path) -> dict[str, Any]:
    """The stages of a dvc.yaml by name; with `foreach`, a list of names, one for each: `discover@hubbard`."""
    content = yaml.load(dag.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    stages: dict[str, Any] = {}
    for name, stage in content["stages"].items():
        if "foreach" in stage:
            each = json.dumps(stage["do"])
            stages |= {f"{name}@{item}": json.loads(each.replace("${item}", str(item))) for item in stage["foreach"]}
        else:
            stages[name] = stage
    return stages


def covers(listed: str, path: str) -> bool:
    """Whether `listed`, a file or a folder, is this path or holds it; `*` stands for any one part of a path."""
    parts, names = listed.split("/"), path.split("/")
    return len(parts) <= len(names) and all(part in ("*", given) for part, given in zip(parts, names, strict=False))


def meaning_of(file: Path) -> str:
    """Hash of a file; of Python its syntax tree, so that neither comments, docstrings nor layout change it."""
    if file.suffix != ".py":
        return hashlib.sha256(file.read_bytes()).hexdigest()
    tree = ast.parse(file.read_bytes(), filename=str(file))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _files(path: Path) -> Iterable[Path]:
    """What DVC sees of a dependency, but texts for readers: a file, or all files of a folder."""
    paths = path.rglob("*") if path.is_dir() else [path]
    return [file for file in paths if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".md"]


def _imports(file: Path) -> set[str]:
    """First words of what a Python file imports."""
    nodes = list(ast.walk(ast.parse(file.read_bytes()))) if file.suffix == ".py" else []
    words = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    words |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {word.partition(".")[0] for word in words}
