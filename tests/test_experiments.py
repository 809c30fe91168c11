"""Experiments of DVC: run, queued, shown, compared, on a small DAG with this project's params, and on a real stage."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands.experiments import FILES, MOST_COLUMNS, columns_to_show
from tests.profiles import params_text
from tests.test_whole_pipeline import PARTS, SCRATCH

ROOT = Path(__file__).parents[1]
HEADLINE = json.loads((ROOT / "reports" / "metrics" / "headline.json").read_text())
DAG = """
stages:
  spectra:
    cmd: mkdir -p data && grep -m1 n_hamiltonians params.yaml > data/spectra.zarr
    params: [spectra]
    outs: [data/spectra.zarr]
  report:
    cmd: python make.py
    deps: [data/spectra.zarr, make.py]
    params: [spectra, kondo_temperatures, latents, formula, molecules, aluminium, potential, active_learning]
    outs: [reports/plots]
    metrics:
      - reports/metrics/headline.json: {cache: false}
plots:
  - training:
      x: step
      y:
        reports/plots/training.csv: mae
"""
MAKE = f"""
import json, pathlib, re
n = int(re.findall(r"\\d+", pathlib.Path("data/spectra.zarr").read_text())[0])
for folder in ("reports/plots", "reports/metrics"):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
pathlib.Path("reports/plots/training.csv").write_text("step,mae\\n0,1\\n1,%g\\n" % (1 / n))
numbers = {{name: n + index for index, name in enumerate({sorted(HEADLINE)})}}
pathlib.Path("reports/metrics/headline.json").write_text(json.dumps(numbers))
"""

pytestmark = pytest.mark.slow


def run(folder: Path, *command: str) -> str:
    """What a command prints; one that fails fails the test."""
    names = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= dict.fromkeys(names, "t@example.org") | {"DVC_NO_ANALYTICS": "1", "COLUMNS": "400"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    reply = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stdout + reply.stderr
    return reply.stdout + reply.stderr


def set_param(folder: Path, section: str, name: str, value: int) -> None:
    """An edit by hand."""
    text = (folder / "params.yaml").read_text()
    changed = re.sub(rf"(?ms)(^{section}:.*?\b{name}: )\d+", rf"\g<1>{value}", text, count=1)
    assert changed != text
    (folder / "params.yaml").write_text(changed)


def columns(folder: Path, *command: str) -> list[str]:
    """What the table shows; rev, typ and parent are parts of the name there."""
    lines = [line for line in run(folder, *command, "--csv").splitlines() if line.startswith("Experiment,")]
    return [name for name in next(csv.reader(io.StringIO(lines[0]))) if name not in ("rev", "typ", "parent")]


SHOW = (
    sys.executable,
    "-P",
    "-c",
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pipeline.cli import main; main()",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The small DAG after a run, an experiment in the workspace and two from the queue."""
    folder = tmp_path_factory.mktemp("experiments") / "project"
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "params.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.yaml").write_text(DAG)
    (folder / "make.py").write_text(MAKE)
    run(folder, "git", "init", "-q", "-b", "main")
    run(folder, "dvc", "repro", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "base")
    set_param(folder, "spectra", "n_hamiltonians", 11)
    run(folder, "dvc", "exp", "run", "-n", "direct")
    run(folder, "git", "stash", "-q")
    run(folder, "dvc", "checkout", "-q")
    for name, value in (("queued-a", 12), ("queued-b", 13)):
        set_param(folder, "spectra", "n_hamiltonians", value)
        run(folder, "dvc", "exp", "run", "--queue", "-n", name)
        run(folder, "git", "checkout", "-q", "params.yaml")
    run(folder, "dvc", "exp", "run", "--run-all")
    return folder


def test_experiments_run_here_and_from_the_queue_and_keep_their_numbers(project: Path):
    states = json.loads(run(project, "dvc", "exp", "show", "--json"))
    found = {}
    for state in states:
        for experiment in state["experiments"] or []:
            revision = experiment["revs"][0]
            metrics = revision["data"]["metrics"]["reports/metrics/headline.json"]["data"]
            found[revision["name"]] = metrics[sorted(HEADLINE)[0]]
    assert found == {"direct": 11, "queued-a": 12, "queued-b": 13}


def test_dvc_alone_shows_hundreds_of_columns_and_the_command_at_most_fifteen(project: Path):
    assert len(columns(project, "dvc", "exp", "show")) > 300
    shown = columns(project, *SHOW, "experiments")
    assert len(shown) == len(set(shown)) == MOST_COLUMNS
    assert set(shown) == {"Experiment", "Created", *HEADLINE, "spectra.n_hamiltonians"}
    table = run(project, *SHOW, "experiments")
    assert all(name in table for name in ("direct", "queued-a", "queued-b"))


@pytest.mark.parametrize(
    ("n_metrics", "n_params", "shown"),
    [(12, 1, (12, 1)), (12, 100, (8, 5)), (3, 100, (3, 10)), (0, 2, (0, 2)), (12, 0, (12, 0)), (20, 3, (10, 3))],
)
def test_numbers_and_parameters_share_the_fifteen_columns(n_metrics: int, n_params: int, shown: tuple[int, int]):
    metrics, params = [f"m{i}" for i in range(n_metrics)], [f"p.{i}" for i in range(n_params)]
    found = columns_to_show(["Experiment", "rev", "typ", "Created", "parent", *metrics, *params], metrics)
    assert found == ["Experiment", "Created", *metrics[: shown[0]], *params[: shown[1]]]
    assert len(found) <= MOST_COLUMNS


def test_columns_that_do_not_fit_are_named(project: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True)
    text = (copy / "params.yaml").read_text()
    section = text.index("\nformula:")
    (copy / "params.yaml").write_text(text[:section] + re.sub(r": 2(?=[,}\s])", ": 3", text[section:]))
    reply = run(copy, *SHOW, "experiments", "--csv")
    header = next(line for line in reply.splitlines() if line.startswith("Experiment,"))
    named = re.search(r"experiments: (\d+) more columns differ: (.*)", reply)
    assert len([name for name in header.split(",") if name not in ("rev", "typ", "parent")]) == MOST_COLUMNS
    assert named and len(named[2].split(", ")) == int(named[1]) > 3


def test_every_file_of_the_pipeline_is_left_out_of_the_table():
    text = (ROOT / "dvc.lock").read_text()
    paths = set(re.findall(r"^    - path: (\S+)$", text, re.MULTILINE))
    assert len(paths) > 100
    assert [path for path in sorted(paths) if not re.match(FILES, path)] == []


def test_a_parameter_of_an_experiment_is_set_on_the_command_line(project: Path):
    run(project, "dvc", "exp", "run", "--queue", "-n", "queued-c", "--set-param", "spectra.n_hamiltonians=9")
    assert "queued-c" in run(project, "dvc", "queue", "status")
    assert run(project, "git", "status", "--porcelain") == ""
    run(project, "dvc", "queue", "remove", "--queued")


def test_metrics_and_plots_of_two_experiments_are_compared(project: Path):
    found = json.loads(run(project, "dvc", "metrics", "diff", "queued-a", "queued-b", "--json"))
    numbers = found["reports/metrics/headline.json"]
    assert {entry["diff"] for entry in numbers.values()} == {1}
    assert numbers.keys() == HEADLINE.keys()
    run(project, "dvc", "plots", "show")
    assert "training" in (project / "dvc_plots" / "index.html").read_text()


def test_an_experiment_of_a_real_stage_runs_from_the_queue_on_the_tiny_profile(tmp_path: Path):
    folder = tmp_path / "latentlaw"
    for part in PARTS:  # without the record of the default run, whose data are not here
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, target, **({"ignore": SCRATCH} if (ROOT / part).is_dir() else {}))
    (folder / "params.yaml").write_text(params_text("tiny"))
    run(folder, "git", "init", "-q", "-b", "main")
    run(folder, "dvc", "repro", "-q", "microstructures")
    first = json.loads((folder / "reports" / "metrics" / "microstructures.json").read_text())
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "first")
    set_param(folder, "microstructures", "seed", 1)
    run(folder, "dvc", "exp", "run", "microstructures", "--queue", "-n", "second")
    run(folder, "git", "checkout", "-q", "params.yaml")
    run(folder, "dvc", "exp", "run", "--run-all")
    shown = columns(folder, *SHOW, "experiments")
    assert shown == ["Experiment", "Created", "microstructures.seed"]
    states = json.loads(run(folder, "dvc", "exp", "show", "--json"))
    revision = states[1]["experiments"][0]["revs"][0]["rev"]
    second = json.loads(run(folder, "git", "show", f"{revision}:reports/metrics/microstructures.json"))
    assert (second["n_images"], second["n_failed"]) == (first["n_images"], 0)
    assert second["hash"] != first["hash"]
