"""Shards of a stage, made by processes that claim them: what `latentlaw work` and its children do.

    python -m pipeline.runtime.claimed_work STAGE [--expect KEY] ...     one worker; `latentlaw work` starts them

The stage runs up to where its store would be made. Its shards are claimed one at a time (pipeline.runtime.claims) and
kept where `latentlaw repro` looks for them, which then only puts the store together.
"""

import argparse
import ast
import hashlib
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.runtime.check_params import wrong_params
from pipeline.runtime.claims import EXPIRES_S, Claims, ClaimsRefused, Identity, State
from pipeline.runtime.content_key import DAGS, MACHINERY, meaning_of, stages_of
from pipeline.runtime.interrupts import interrupted
from pipeline.runtime.kept_results import Arrays, ResultFiles
from pipeline.runtime.shards import Recipe, explaining_full_disk, generate_store, recipe_of
from pipeline.runtime.stage import explained
from pipeline.runtime.worker_environment import one_thread

__all__ = ["identity_of", "prepare", "recipe_of_stage", "stages_made_in_shards", "work"]

LOOK_EVERY_S = 5.0  # while others make what is left


def main() -> int:
    parser = argparse.ArgumentParser(
        description="One worker that claims shards of a stage; `latentlaw work` starts it."
    )
    parser.add_argument("stage")
    parser.add_argument("--expect", default="")
    parser.add_argument("--expires", type=float, default=EXPIRES_S)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--begun", type=int, default=None, help="file descriptor for folder and names")
    asked, parent = parser.parse_args(), os.getppid()
    asked_to_end = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        """The end of a job is a Ctrl-C: claims are given back."""
        asked_to_end.set()  # for where the exception is lost, as in a callback of compiled code
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        recipe = recipe_of_stage(asked.stage)
    except (Exception, KeyboardInterrupt) as error:
        return explained(asked.stage, error)
    try:
        work(
            recipe,
            identity_of(asked.stage, recipe),
            expected_key=asked.expect,
            expires_s=asked.expires,
            seconds=None if asked.minutes is None else 60 * asked.minutes,
            begun=partial(_tell, asked.begun),
            goes_on=lambda: os.getppid() == parent and not asked_to_end.is_set(),
        )
    except (Exception, KeyboardInterrupt) as error:
        return explained(asked.stage, error, recipe.ends_run)
    return 0


def _tell(descriptor: int | None, folder: Path, names: Sequence[str]) -> None:
    """Also closes the descriptor: what reads it waits for its end."""
    if descriptor is not None:
        with os.fdopen(descriptor, "w") as stream:
            json.dump({"folder": str(folder), "names": list(names)}, stream)


def recipe_of_stage(stage: str, root: Path | None = None) -> Recipe:
    """What a stage would make a store of. Raises ValueError for a stage without shards, and what the stage raises."""
    root = Path.cwd() if root is None else root
    if not (root / "dvc.yaml").is_file():
        raise ValueError(f"found no dvc.yaml in {root}, expected the top folder of the clone; go there first")
    if wrong := wrong_params(root):
        raise ValueError(wrong)
    stages = stages_made_in_shards(root)
    if stage not in stages:
        raise ValueError(f"found stage {stage!r}, expected one that is made in shards: {', '.join(stages)}")
    return recipe_of(importlib.import_module(stages[stage]).main)


def stages_made_in_shards(root: Path) -> dict[str, str]:
    """The modules of the stages which call `generate_store`, or a function of the pipeline that does, by name."""
    files = sorted(root.glob("pipeline/*/*.py"))
    names = {name for dag in DAGS for name in stages_of(root / dag)}
    return {
        file.stem: file.relative_to(root).as_posix().removesuffix(".py").replace("/", ".")
        for file in files
        if file.stem in names and _makes_shards(root, file)
    }


def _makes_shards(root: Path, file: Path) -> bool:
    """By its text: importing every stage would take half a minute."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline."):
            imported = {alias.name for alias in node.names}
            if imported & (_callers(root / f"{str(node.module).replace('.', '/')}.py") | {generate_store.__name__}):
                return True
    return False


@cache
def _callers(file: Path) -> set[str]:
    """The functions of a file in which `generate_store` is called."""
    text = file.read_text()
    functions = ast.walk(ast.parse(text)) if generate_store.__name__ in text else []
    return {
        function.name
        for function in functions
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(name, ast.Name) and name.id == generate_store.__name__ for name in ast.walk(function))
    }


def identity_of(stage: str, recipe: Recipe) -> Identity:
    root = Path(__file__).resolve().parents[2]
    files = sorted(file for pattern in MACHINERY for path in root.glob(pattern) for file in _python_files(path))
    return Identity(
        stage=stage,
        key=recipe.key,
        versions=dict(recipe.versions),
        machinery=hashlib.sha256(json.dumps([meaning_of(file) for file in files]).encode()).hexdigest(),
        commit=_commit(root),
    )


def prepare(stage: str) -> str:
    """Write what is to be made into the folder that all workers must see; the key of it. Raises what `agree` does."""
    recipe = recipe_of_stage(stage)
    Claims(recipe.scratch(), list(recipe.items)).agree(identity_of(stage, recipe))
    return recipe.key


def work(
    recipe: Recipe,
    identity: Identity,
    *,
    expected_key: str = "",
    expires_s: float = EXPIRES_S,
    seconds: float | None = None,
    begun: Callable[[Path, Sequence[str]], object] = lambda folder, names: None,
    goes_on: Callable[[], bool] = lambda: True,
) -> None:
    """Claim and make shards until none is left, or until one more would take longer than what is left of `seconds`.

    Waits for shards of others as long as these live. A shard on which the code fails is recorded and passed over; an
    error of `recipe.ends_run` is raised. Raises ClaimsRefused where the folder is not for this worker.
    """
    if expected_key and expected_key != recipe.key:
        raise ClaimsRefused(
            f"this was submitted for {expected_key}, but params.yaml and code here make {recipe.key} (commit "
            f"{identity.commit}). Undo what was changed since, or submit again"
        )
    kept, items = ResultFiles(recipe.scratch()), recipe.items
    claims = Claims(kept.folder, list(items), expires_s=expires_s)
    claims.agree(identity, prepared=bool(expected_key))
    end = None if seconds is None else time.monotonic() + seconds
    longest_s = 0.0
    with claims.present(), one_thread(), explaining_full_disk(recipe.out, kept.folder):
        begun(kept.folder, list(items))
        while (left := (state := claims.look()).left()) and goes_on():
            claims.agree(identity)
            if end is not None and time.monotonic() + longest_s > end:
                return
            mine = None if _beside_repro(claims, state) else _claim_one(claims, state, left)
            if mine is None:
                time.sleep(LOOK_EVERY_S * (0.5 + random.random()))
                continue
            name, number = mine
            start = time.monotonic()
            try:
                kept.write(name, _solved(recipe, items[name], goes_on))
            except _Failed as failed:
                claims.fail(name, str(failed))
            finally:
                claims.release(name, number)
            longest_s = max(longest_s, time.monotonic() - start)


class _Failed(Exception):
    """A shard on which the code failed."""


def _solved(recipe: Recipe, items: Sequence[Any], goes_on: Callable[[], bool]) -> Arrays:
    try:
        return recipe.solve_shard(items)
    except Exception as error:
        if interrupted(error) or not goes_on():  # an interruption that was lost may be what made it fail
            raise KeyboardInterrupt from None
        if isinstance(error, recipe.ends_run):
            raise
        raise _Failed(f"{type(error).__name__}: {error}") from error


def _claim_one(claims: Claims, state: State, left: list[str]) -> tuple[str, int] | None:
    """A task that is this worker's from now on. Each begins at a place of its own, so that few meet."""
    first = random.randrange(len(left))
    for name in left[first:] + left[:first]:
        number = claims.claim(name, state.tasks[name], state.workers)
        if number is not None:
            return name, number
    return None


def _beside_repro(claims: Claims, state: State) -> bool:
    """Whether `latentlaw repro` may work here. Raises ClaimsRefused when it does."""
    others = [worker for worker in state.workers.values() if worker.role == "repro"]
    for worker in others:
        if claims.certainly_lives(worker):
            raise ClaimsRefused(
                f"{claims.folder}: `latentlaw repro` makes all that is missing here (process {worker.process[0]} of "
                f"{worker.host}); expected nobody but workers. Stop it to share the shards out, or let it finish"
            )
    return bool(others)


def _python_files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _commit(root: Path) -> str:
    """For messages; "unknown" outside git."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
