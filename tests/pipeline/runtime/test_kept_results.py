"""What is kept is taken, what is missing, torn or failed is made: by whatever name, in whatever run."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.runtime.execution import Execution, run_tasks
from pipeline.runtime.kept_results import GenerationError, KeptResults

ITEMS = {"a": 1.0, "b": 2.0, "round_1/c": 3.0}


def kept(folder: Path) -> KeptResults:
    return KeptResults(folder, partial(run_tasks, execution=Execution(scheduler="serial")))


def doubled(made: list[float], item: float) -> dict[str, np.ndarray]:
    made.append(item)
    return {"value": np.array([2 * item])}


def values(folder: Path) -> list[float]:
    return [kept(folder).read(name)["value"].item() for name in ITEMS]


def test_only_what_is_missing_or_torn_is_made_again(tmp_path: Path, capsys):
    made: list[float] = []
    kept(tmp_path).make(partial(doubled, made), ITEMS)
    kept(tmp_path).make(partial(doubled, made), ITEMS)
    assert made == [1.0, 2.0, 3.0]
    torn = tmp_path / "b.task"
    torn.write_bytes(torn.read_bytes()[:-1])
    (tmp_path / "round_1/c.task").unlink()
    (tmp_path / "round_1/.c.task.0.partial").write_bytes(b"half")
    kept(tmp_path).make(partial(doubled, made), ITEMS, what="lane")
    assert made[3:] == [2.0, 3.0]
    assert values(tmp_path) == [2.0, 4.0, 6.0]
    assert not list(tmp_path.rglob("*.partial"))
    said = capsys.readouterr()
    assert "b.task: checksum does not fit, it is made anew" in said.err
    assert "lane: reused 1 of 3 results" in said.out and "lane: 3 of 3 tasks" in said.out


def test_failures_are_listed_by_their_reason_and_the_others_are_kept(tmp_path: Path):
    def picky(item: float) -> dict[str, np.ndarray]:
        if item < 3:
            raise ValueError("too small")
        return {"value": np.array([item])}

    with pytest.raises(GenerationError, match=r"2 of 3 tasks failed, the others are kept:\n  a, b: ValueError: too sm"):
        kept(tmp_path).make(picky, ITEMS)
    with pytest.raises(GenerationError, match=r"a\.task: the result vanished or changed"):
        values(tmp_path)
    made: list[float] = []
    kept(tmp_path).make(partial(doubled, made), ITEMS)
    assert made == [1.0, 2.0]


def test_an_error_that_all_would_meet_ends_the_run(tmp_path: Path):
    tried: list[float] = []

    def without_program(item: float) -> dict[str, np.ndarray]:
        tried.append(item)
        raise ModuleNotFoundError("no such program")

    with pytest.raises(ModuleNotFoundError):
        kept(tmp_path).make(without_program, ITEMS, ends_run=(ModuleNotFoundError,))
    assert tried == [1.0]
