"""The recipes of docs/how-to/sharing-data.md, followed to the letter: what one clone publishes, another one gets."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime.dependencies import DAGS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "sharing-data.md"
DAG = """
stages:
  spectra:
    cmd:
      - mkdir -p data/spectra.zarr reports/metrics && cp params.yaml data/spectra.zarr
      - echo '{"n":1}' > reports/metrics/spectra.json
    params: [spectra]
    outs:
      - data/spectra.zarr
      - reports/metrics/spectra.json:
          cache: false
  report:
    cmd:
      - wc -l < data/spectra.zarr/params.yaml > reports/index.html
      - echo '{"n_spectra":13}' > reports/metrics/headline.json
    deps: [data/spectra.zarr]
    outs: [reports/index.html]
    metrics:
      - reports/metrics/headline.json:
          cache: false
"""
MAKEFILE = """
repro:
	@dvc repro
setup:
	@mkdir -p .venv/bin && touch .venv/bin/activate
"""

pytestmark = pytest.mark.slow


def recipe(heading: str, workplace: Path) -> str:
    """The first block of commands under a heading, with the places of this test."""
    block = re.search(rf"^## {heading}\n.*?^```\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert block, heading
    return (
        block[1]
        .replace("/mnt/group/latentlaw", f"{workplace}/remote")
        .replace("git clone ...", f"git clone {workplace}/origin latentlaw")
    )


def follow(commands: str, folder: Path) -> str:
    """Run them as a shell would, with this Python; the first that fails fails the test."""
    names = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    environment = os.environ | dict.fromkeys(names, "t@example.org")
    environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    command = ["bash", "-c", f"set -e\n{commands}"]
    reply = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stdout + reply.stderr
    return reply.stdout + reply.stderr


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """`origin` and `remote`, what git and DVC hold after a run with changed params was published."""
    folder = tmp_path_factory.mktemp("sharing")
    work = folder / "work"
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "params.yaml", *DAGS[1:]):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, work / name)
    (work / "dvc.yaml").write_text(DAG)
    (work / "Makefile").write_text(MAKEFILE)
    follow("git init -q -b main && make setup && make repro && git add --all && git commit -qm 'The default run'", work)
    follow("git clone -q --bare work origin && cd work && git remote add o ../origin && git push -qu o main", folder)
    follow("sed -i 's/n_hamiltonians: 1700/n_hamiltonians: 1600/' params.yaml", work)
    follow(recipe("Publish", folder), work)
    assert follow("git status --porcelain", work) == ""
    shutil.rmtree(work)
    return folder


def test_a_clean_clone_gets_all_that_was_published_and_finds_nothing_stale(workplace: Path, tmp_path: Path):
    follow(recipe("Get", workplace), tmp_path)
    clone = tmp_path / "latentlaw"
    assert "n_hamiltonians: 1600" in (clone / "data" / "spectra.zarr" / "params.yaml").read_text()
    assert (clone / "reports" / "index.html").is_file()
    assert "up to date" in follow("dvc status dvc.yaml", clone)
    assert follow("git status --porcelain", clone) == ""


@pytest.mark.parametrize("command", ["dvc pull", "dvc repro --pull", "dvc exp run", "make repro"])
def test_no_command_without_a_target_makes_qm9_or_fails_on_it(workplace: Path, tmp_path: Path, command: str):
    follow(f"git clone -q {workplace}/origin latentlaw", tmp_path)
    message = follow(command, tmp_path / "latentlaw")
    assert (tmp_path / "latentlaw" / "data" / "spectra.zarr").is_dir()
    assert "qm9" not in message
    assert not (tmp_path / "latentlaw" / "data" / "qm9.zarr").exists()


def test_a_committed_lock_of_qm9_is_not_in_the_way_either(workplace: Path, tmp_path: Path):
    follow(f"git clone -q {workplace}/origin latentlaw", tmp_path)
    work = tmp_path / "latentlaw"
    file = work / DAGS[1]
    file.write_text(
        re.sub(
            r"cmd: .*",
            "cmd: mkdir -p data/qm9.zarr && touch data/qm9.zarr/a reports/metrics/qm9.json",
            file.read_text(),
        )
    )
    file.write_text(re.sub(r"    deps: \[[^\]]*\]\n", "", file.read_text()))
    follow(
        f"dvc pull && dvc repro {DAGS[1]}:qm9 && git add --all && git commit -qm qm9 && dvc push",
        work,
    )
    assert (work / "data" / "qm9.zarr" / "a").is_file()
    follow("git clone -q latentlaw again && cd again && dvc pull && dvc repro --pull", tmp_path)
    assert (tmp_path / "again" / "data" / "spectra.zarr").is_dir()
    assert not (tmp_path / "again" / "data" / "qm9.zarr").exists()


def test_the_numbers_of_two_runs_are_compared_as_the_page_says(workplace: Path, tmp_path: Path):
    follow(f"git clone -q {workplace}/origin latentlaw && cd latentlaw && git tag data-v1 HEAD~1", tmp_path)
    message = follow(recipe("Compare numbers", workplace), tmp_path / "latentlaw")
    assert message.count("n_spectra") == 3
