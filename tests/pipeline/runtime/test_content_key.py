"""One rule of what invalidates what: code that shapes content does, its comments and whatever only runs it do not."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from pipeline.runtime import content_key as module
from pipeline.runtime.content_key import code_deps, content_key, meaning_of, stages_of
from pipeline.runtime.dependencies import check

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path, monkeypatch):
    """A small project: stage `spectra` of one lane, a physics folder, and a file of machinery that it imports."""
    files = {
        "pipeline/runtime/content_key.py": "import json\n",
        "pipeline/runtime/progress.py": "WIDTH = 10\n",
        "pipeline/lane/spectra.py": "from models.physics import nrg\nfrom pipeline.runtime import progress\n",
        "models/physics/nrg.py": '"""A solver."""\n\n\ndef solve(x):\n    """Doubles."""\n    return 2 * x\n',
        "models/physics/notes.md": "text\n",
        "models/physics/table.csv": "1,2\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).with_name("__init__.py").touch()
    stage = {"cmd": "true", "deps": ["data/in.zarr", "pipeline/lane/spectra.py", "models/physics"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"spectra": stage}}))
    monkeypatch.setattr(module, "__file__", str(tmp_path / "pipeline/runtime/content_key.py"))
    monkeypatch.setattr(module, "DAGS", ("dvc.yaml",))
    monkeypatch.setattr("pipeline.runtime.dependencies.DAGS", ("dvc.yaml",))
    monkeypatch.setattr("pipeline.runtime.dependencies.MACHINERY", ("pipeline/runtime",))
    return tmp_path


SOLVER = "models/physics/nrg.py"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (SOLVER, "return 2 * x", "return 2 * x  # twice"),
        (SOLVER, '"""A solver."""', '"""Another solver, by another author."""'),
        (SOLVER, '    """Doubles."""\n', ""),
        (SOLVER, "return 2 * x", "return (\n        2 * x\n    )"),
        ("pipeline/runtime/progress.py", "10", "80"),
        ("models/physics/notes.md", "text", "more text"),
    ],
)
def test_what_shapes_nothing_leaves_the_key(file, old, new, project):
    before = content_key("spectra", {"a": 1})
    (project / file).write_text((project / file).read_text().replace(old, new))
    assert content_key("spectra", {"a": 1}) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (SOLVER, "2 * x", "3 * x"),
        (SOLVER, "2 * x", "2.0 * x"),
        ("pipeline/lane/spectra.py", "import nrg", "import nrg as solver"),
        ("models/physics/table.csv", "2", "3"),
    ],
)
def test_what_shapes_content_changes_the_key(file, old, new, project):
    before = content_key("spectra", {"a": 1})
    (project / file).write_text((project / file).read_text().replace(old, new))
    assert content_key("spectra", {"a": 1}) != before


def test_params_and_further_files_count_and_a_new_file_of_a_folder_does(project):
    key = content_key("spectra", {"a": 1})
    assert key == content_key("spectra", {"a": 1})
    assert len({key, content_key("spectra", {"a": 2}), content_key("spectra", {"a": 1}, 3)}) == 3
    assert key != content_key("spectra", {"a": 1}, also=("pipeline/runtime/progress.py",))
    (project / "models/physics/more.py").write_text("X = 1\n")
    assert key != content_key("spectra", {"a": 1})


def test_versions_count_where_the_code_imports_the_package(project, monkeypatch):
    key = content_key("spectra")
    monkeypatch.setattr(module, "version", lambda name: f"{version(name)}.post")
    assert content_key("spectra") == key
    (project / SOLVER).write_text("import torch\n")
    with_torch = content_key("spectra")
    monkeypatch.setattr(module, "version", version)
    assert content_key("spectra") != with_torch


def test_a_part_of_the_work_is_kept_by_its_own_code(project):
    labels = content_key("spectra", only=("models/physics",))
    (project / "pipeline/lane/spectra.py").write_text("from models.physics import nrg\n\nN = 2\n")
    assert content_key("spectra", only=("models/physics",)) == labels
    with pytest.raises(ValueError, match=r"stage spectra: found \['models/atoms'\], expected some of its code deps"):
        content_key("spectra", only=("models/atoms",))
    with pytest.raises(ValueError, match=r"dvc.yaml: found no stage latents"):
        content_key("latents")


def test_code_that_no_dep_covers_is_reported_with_its_cure(project):
    assert check(project) == []
    (project / "models/laws").mkdir()
    (project / "models/laws/fit.py").write_text("X = 1\n")
    (project / "models/laws/__init__.py").touch()
    (project / SOLVER).write_text("def solve(x):\n    from models.laws import fit\n\n    return fit.X\n")
    (problem,) = check(project)
    assert (
        "stage spectra imports what its deps do not hold: models/laws/fit.py; add the files or their folder" in problem
    )
    dag = yaml.safe_load((project / "dvc.yaml").read_text())
    dag["stages"]["spectra"]["deps"] += ["models/laws", "models/networks"]
    (project / "dvc.yaml").write_text(yaml.safe_dump(dag))
    (problem,) = check(project)
    assert problem == "dvc.yaml: stage spectra imports nothing of its deps models/networks; remove them"


def test_a_comment_in_the_nrg_remakes_no_shard_and_its_code_does(tmp_path: Path):
    """With the real files: what the shards of `spectra` are named after."""
    files = [ROOT / dep for dep in code_deps(ROOT, "spectra")]
    solver = next(file for folder in files if folder.is_dir() for file in folder.rglob("nrg.py"))
    copy = tmp_path / "nrg.py"
    shutil.copy(solver, copy)
    meaning = meaning_of(copy)
    copy.write_text(f"# Said otherwise.\n{solver.read_text()}")
    assert meaning_of(copy) == meaning
    copy.write_text(f"{solver.read_text()}\nEXTRA = 1\n")
    assert meaning_of(copy) != meaning


def dvc(folder: Path, *words: str) -> str:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(folder)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "dvc", *words]
    reply = subprocess.run(
        command, cwd=folder, env=environment | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert reply.returncode == 0, reply.stdout + reply.stderr
    return reply.stdout


def test_dvc_finds_no_stage_stale_after_an_edit_of_progress_and_execution(tmp_path: Path):
    """Real `dvc status`, on the real stages that read nothing, in a copy where they are recorded as done."""
    for part in ("pipeline", "stores", "models", ".dvcignore", ".dvc/config", "params.yaml"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "dvc.yaml"))
        else:
            shutil.copy(ROOT / part, tmp_path / part)
    heads = {
        name: stage
        for name, stage in stages_of(ROOT / "dvc.yaml").items()
        if all(dep.partition("/")[0] in ("pipeline", "stores", "models") for dep in stage["deps"])
    }
    assert {"spectra", "microstructures", "molecules", "aluminium"} <= set(heads)
    for stage in heads.values():
        stage |= {"outs": [], "cmd": "true"}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": heads}))
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    dvc(tmp_path, "commit", "--force")
    for file in ("progress", "execution", "shards", "kept_results"):
        with (tmp_path / f"pipeline/runtime/{file}.py").open("a") as stream:
            stream.write("\nEXTRA = 1\n")
    (tmp_path / "models/physics/impurity/__pycache__").mkdir()
    (tmp_path / "models/physics/impurity/__pycache__/nrg.cpython-312.pyc").write_text("x")
    assert "up to date" in dvc(tmp_path, "status", "dvc.yaml")
    with (tmp_path / "models/physics/impurity/shell.py").open("a") as stream:
        stream.write("\nEXTRA = 1\n")
    stale = dvc(tmp_path, "status", "dvc.yaml")
    assert [name for name in heads if f"{name}:" in stale] == [
        "spectra",
        "kondo_temperatures",
        "pseudogap",
        "hubbard",
    ]


def test_a_stage_with_foreach_is_one_for_each_name(tmp_path: Path):
    """As DVC names and fills them."""
    stage = {
        "foreach": ["a", "b"],
        "do": {"cmd": "run ${item}", "deps": ["data/${item}.zarr"], "outs": ["runs/${item}"]},
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"plain": {"cmd": "true"}, "each": stage}}))
    found = stages_of(tmp_path / "dvc.yaml")
    assert set(found) == {"plain", "each@a", "each@b"}
    assert found["each@b"] == {"cmd": "run b", "deps": ["data/b.zarr"], "outs": ["runs/b"]}
