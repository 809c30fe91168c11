"""From a fresh copy to the report with the small profile, and back to nothing to do.

Where LATENTLAW_FINISHED_CLONE names a clone in which that has run, as in .ci/run, it is not run again; the tests commit
in it.
"""

import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.profiles import params_text

ROOT = Path(__file__).parents[1]
PARTS = (
    "pipeline",
    "stores",
    "models",
    "profiles",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
    "dvc.yaml",
)
RECORD = ("dvc.lock", "reports/metrics")  # of the default run: in git, and overwritten by a run with other params
SCRATCH = shutil.ignore_patterns("__pycache__")
METRICS = {
    "spectra": {"n_spectra", "n_failed", "friedel", "hash"},
    "spectrum_vae": {"test_mae", "active_latents", "seeds"},
    "latents": {"best_abs_spearman"},
    "formula": {"results", "correction_resolved"},
    "microstructures": {"n_images", "n_failed", "hash"},
    "textures": {"n_images", "n_features", "hash"},
    "embedding": {"results"},
    "headline": {"n_spectra", "T_K_exponent", "hidden_order_R2", "active_force_eV_A"},
}

pytestmark = pytest.mark.slow


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("LATENTLAW_", "PYTHONPATH"))}
    variables |= {"DVC_NO_ANALYTICS": "1", "LATENTLAW_WORKERS": "2"} | environment
    path = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=variables | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A fresh copy of the project with the small profile, after one run of the whole pipeline."""
    if finished := os.environ.get("LATENTLAW_FINISHED_CLONE"):
        return Path(finished)
    folder = tmp_path_factory.mktemp("whole") / "latentlaw"
    for part in (*PARTS, *(part for part in RECORD if (ROOT / part).exists())):
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, target, ignore=SCRATCH)
        else:
            shutil.copy(ROOT / part, target)
    (folder / "params.yaml").write_text(params_text("tiny"))
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "-m", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    reply = run(folder, "pipeline.cli", "repro")
    assert reply.returncode == 0, reply.stdout + reply.stderr
    assert (folder / "reports" / "index.html").resolve().as_uri() in reply.stdout
    return folder


@pytest.mark.parametrize("stage", METRICS)
def test_every_stage_leaves_its_metrics(clone: Path, stage: str):
    metrics = json.loads((clone / "reports" / "metrics" / f"{stage}.json").read_text())
    assert metrics.keys() >= METRICS[stage]


@pytest.mark.parametrize("store", ["spectra", "kondo_temperatures", "latents", "microstructures"])
def test_every_store_is_valid(clone: Path, store: str):
    reply = run(clone, "pipeline.cli", "validate", f"data/{store}.zarr")
    assert reply.returncode == 0, reply.stdout + reply.stderr


def test_the_report_needs_nothing_beside_it(clone: Path):
    page = (clone / "reports" / "index.html").read_text()
    assert "<img" in page or "<svg" in page
    assert 'src="http' not in page
    assert "<link" not in page


@pytest.mark.parametrize("command", ["metrics", "plots"])
def test_dvc_shows_metrics_and_plots(clone: Path, command: str):
    reply = run(clone, "dvc", command, "show")
    assert reply.returncode == 0, reply.stdout + reply.stderr
    assert "n_spectra" in reply.stdout if command == "metrics" else (clone / "dvc_plots" / "index.html").is_file()


def test_dvc_compares_the_run_with_what_is_published(clone: Path):
    reply = run(clone, "dvc", "metrics", "diff", "--json")
    assert reply.returncode == 0, reply.stderr
    n_spectra = json.loads(reply.stdout)["reports/metrics/headline.json"]["n_spectra"]
    assert n_spectra["old"] != n_spectra["new"]


@pytest.mark.parametrize("training", ["potential/*/member_0", "spectrum_vae/full/seed_0"])
def test_dvc_draws_the_curves_of_a_training(clone: Path, tmp_path: Path, training: str):
    curves = sorted((clone / "runs").glob(f"{training}/live/plots/metrics/*.tsv"))
    assert curves, training
    names = [str(curve.relative_to(clone)) for curve in curves]
    reply = run(clone, "dvc", "plots", "show", *names, "--out", str(tmp_path / "page"))
    assert reply.returncode == 0, reply.stderr
    page = (tmp_path / "page" / "index.html").read_text()
    assert all(name in page for name in names)


def test_a_second_run_does_nothing_in_less_than_three_cpu_seconds(clone: Path):
    """The least of a few runs: other processes on the machine only ever add to it."""
    least = math.inf
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        reply = run(clone, "pipeline.cli", "repro")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert reply.returncode == 0, reply.stdout + reply.stderr
        assert "Running stage" not in reply.stdout
        least = min(least, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if least < 3:
            break
    assert least < 3


def test_a_clone_of_what_is_published_pulls_everything_and_finds_nothing_to_run(clone: Path, tmp_path: Path):
    """With the real stages what tests/test_sharing.py does with small ones."""
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    assert run(clone, "dvc", "remote", "add", "--local", "--default", "ours", str(tmp_path / "remote")).returncode == 0
    for command in (["add", "params.yaml", *RECORD], [*identity, "commit", "--quiet", "-m", "run"]):
        subprocess.run(["git", *command], cwd=clone, check=True)
    assert run(clone, "dvc", "push").returncode == 0
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", clone, other], check=True)
    run(other, "dvc", "remote", "add", "--local", "--default", "ours", str(tmp_path / "remote"))
    reply = run(other, "dvc", "pull")
    assert reply.returncode == 0, reply.stdout + reply.stderr
    assert (other / "reports" / "index.html").is_file()
    reply = run(other, "pipeline.cli", "repro")
    assert reply.returncode == 0, reply.stdout + reply.stderr
    assert "Running stage" not in reply.stdout
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=other, capture_output=True, text=True, check=True)
    assert changed.stdout == ""


def test_where_work_runs_makes_nothing_stale(clone: Path):
    reply = run(clone, "dvc", "status", "dvc.yaml", LATENTLAW_SCHEDULER="tcp://nowhere:1", LATENTLAW_WORKERS="7")
    assert "up to date" in reply.stdout


def test_results_are_kept_out_of_git_but_small_metrics_are_not(clone: Path):
    ignored = ["data/spectra.zarr", "runs/spectrum_vae", "reports/index.html", "reports/formula"]
    kept = ["reports/metrics/spectra.json", "dvc.lock", "params.yaml"]
    command = ["git", "check-ignore", *ignored, *kept]
    reply = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert reply.stdout.split() == ignored


def test_a_wrong_value_in_params_stops_the_run_and_putting_it_right_restores_all(clone: Path):
    params = clone / "params.yaml"
    before = params.read_text()
    params.write_text(re.sub(r"(zero_field_fraction:) \S+", r"\1 1.5", before))
    try:
        reply = run(clone, "pipeline.cli", "repro", "spectra")
        assert reply.returncode != 0
        assert "zero_field_fraction" in reply.stdout + reply.stderr
        assert "make doctor" in reply.stderr
    finally:
        params.write_text(before)
    assert run(clone, "pipeline.cli", "repro").returncode == 0
