"""Datasets and models by name and version: artifacts of dvc.yaml, and git tags as GTO makes them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dvc.api
import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from dvc.repo import Repo

from models.networks.potentials.ensemble import Ensemble, load_potential, save_potential
from models.networks.potentials.hipnn import HIPNN
from pipeline.runtime.content_key import stages_of
from stores.artifacts import artifact_description, artifact_path, artifact_version, open_remote_model
from stores.remote import open_remote
from stores.schema import SchemaError
from stores.spectra import SPECTRA, tiny
from stores.zarr_store import write_store
from tests.pipeline.commands.running import run as latentlaw

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "versions.md"
DAG = """\
stages:
  spectra:
    cmd: python make.py {value}
    params: [spectra]
    deps: [pipeline/make.py]
    outs: [data/spectra.zarr, runs/potential]
artifacts:
  spectra: {{path: data/spectra.zarr, type: dataset, desc: Some spectra}}
  molecules_hipnn: {{path: runs/potential/molecules_hipnn, type: model}}
"""


def run(*command: str, cwd: Path) -> str:
    names = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    environment = os.environ | dict.fromkeys(names, "t@example.org")
    environment |= {"DVC_NO_ANALYTICS": "1", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    reply = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stdout + reply.stderr
    return reply.stdout + reply.stderr


def hydrogen(seed: int) -> Ensemble:
    torch.manual_seed(seed)
    return Ensemble([HIPNN(HIPNN.Config(species=(1,), cutoff_A=3.0, soft_max_A=2.5, n_features=4, n_interactions=1))])


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Version v1.0.0 of both artifacts, v1.1.0 of the spectra with a row less; all data in the remote alone."""
    root = tmp_path_factory.mktemp("versions") / "project"
    root.mkdir()
    run("git", "init", "-q", "-b", "main", cwd=root)
    run("dvc", "init", "-q", cwd=root)
    run("dvc", "remote", "add", "-q", "-d", "folder", str(root.parent / "remote"), cwd=root)
    (root / "pipeline").mkdir()
    for number, rows in ((0, 5), (1, 3)):
        write_store(root / "data" / "spectra.zarr", SPECTRA, tiny().isel(sample=slice(rows)))
        shutil.rmtree(root / "runs", ignore_errors=True)
        save_potential(root / "runs" / "potential" / "molecules_hipnn", hydrogen(number).members, {"model": "hipnn"})
        (root / "dvc.yaml").write_text(DAG.format(value=number))
        (root / "params.yaml").write_text(f"spectra: {{n: {number}, same: 1}}\n")
        (root / "pipeline" / "make.py").write_text(f"{number}\n")
        run("dvc", "commit", "-q", "-f", "spectra", cwd=root)
        run("git", "add", "-A", cwd=root)
        run("git", "commit", "-qm", f"version {number}", cwd=root)
        run("gto", "register", "spectra", "--version", f"v1.{number}.0", cwd=root)
        if number == 0:
            run("gto", "register", "molecules_hipnn", "--version", "v1.0.0", cwd=root)
    run("dvc", "push", "-q", "--all-commits", cwd=root)
    shutil.rmtree(root / ".dvc" / "cache")
    return root


def test_a_tag_of_gto_is_found_by_name_and_version_with_and_without_dvc(project: Path):
    assert run("git", "tag", cwd=project).split() == ["molecules_hipnn@v1.0.0", "spectra@v1.0.0", "spectra@v1.1.0"]
    commit = run("git", "rev-parse", "HEAD~1", cwd=project).strip()
    expected = {"rev": commit, "path": "data/spectra.zarr"}
    assert dvc.api.artifacts_show("spectra", version="v1.0.0", repo=str(project)) == expected
    found = artifact_version("spectra", "v1.0.0", repo=project)
    assert {"rev": found.rev, "path": found.path} == expected
    assert artifact_version("spectra", repo=project).rev == run("git", "rev-parse", "HEAD", cwd=project).strip()


def test_a_dataset_opens_by_name_and_version_or_by_path_and_revision(project: Path):
    old = open_remote("spectra", version="v1.0.0", repo=project, schema=SPECTRA)
    xr.testing.assert_equal(old.load(), tiny())
    assert open_remote("spectra", version="v1.1.0", repo=project).sizes["sample"] == 3
    same = open_remote("data/spectra.zarr", rev="spectra@v1.0.0", repo=project)
    xr.testing.assert_equal(same.load(), tiny())


def test_a_trained_model_opens_by_name_and_version_with_the_loader_of_the_project(project: Path):
    loaded = open_remote_model("molecules_hipnn", load_potential, version="v1.0.0", repo=project)
    expected = hydrogen(0).members[0].state_dict()
    assert loaded.species == (1,)
    for name, weights in loaded.members[0].state_dict().items():
        torch.testing.assert_close(weights, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("spectra", "v9.0.0", r"artifact 'spectra', version v9.0.0.*no such tag or name; `gto show` lists versions"),
        ("nothing", "v1.0.0", r"artifact 'nothing'.*no such tag or name"),
        ("molecules_hipnn", None, r"found rev None and version None, expected one"),
    ],
)
def test_what_is_not_there_is_said_with_the_cure(project: Path, name: str, version: str | None, said: str):
    with pytest.raises(ValueError, match=said):
        open_remote(name, version=version, repo=project)


def test_a_model_is_no_dataset_and_the_other_way_round(project: Path):
    with pytest.raises(FileNotFoundError, match="found no store"):
        open_remote("molecules_hipnn", version="v1.0.0", repo=project)
    with pytest.raises(FileNotFoundError, match="trained potential"):
        open_remote_model("spectra", load_potential, version="v1.0.0", repo=project)
    with pytest.raises(SchemaError):
        open_remote(
            "spectra",
            version="v1.0.0",
            repo=project,
            schema=SPECTRA.__class__(name="atoms", version="1", coordinates=(), variables=()),
        )


def test_two_versions_are_compared_with_what_made_them(project: Path, monkeypatch, capsys):
    monkeypatch.chdir(project)
    for words in (("spectra@v1.0.0", "spectra@v1.1.0"), ("data/spectra.zarr@HEAD~1", "data/spectra.zarr")):
        latentlaw("diff", *words)
        printed = capsys.readouterr().out
        assert "samples: 3 in both, 2 removed, 0 added" in printed
        assert "removed: row 3, 4 of the first" in printed
        assert "stage spectra, by dvc.lock:" in printed
        assert "command: python make.py 0 -> python make.py 1" in printed
        assert "parameter spectra.n: 0 -> 1" in printed
        assert "code: pipeline/make.py" in printed
        assert "spectra.same" not in printed


def test_json_has_all_that_the_text_has(project: Path, monkeypatch, capsys):
    monkeypatch.chdir(project / "data")
    latentlaw("diff", "--json", "spectra.zarr@spectra@v1.0.0", "spectra.zarr")
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["removed"] == [3, 4]
    assert found["sizes"]["sample"] == [5, 3]
    assert found["stage"]["params"] == {"spectra.n": [0, 1]}
    assert found["first"] == "data/spectra.zarr at spectra@v1.0.0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("data/spectra.zarr@v99", "data/spectra.zarr"), "no such revision; expected a tag, branch or commit"),
        (("data/spectra.zarr@", "data/spectra.zarr"), "found no revision after @"),
        (("nowhere.zarr", "data/spectra.zarr"), "nowhere.zarr: no store found"),
        (("data/nowhere.zarr@HEAD", "data/spectra.zarr"), "found no store"),
        (("../elsewhere.zarr@HEAD", "data/spectra.zarr"), "outside of .*expected one of its stores"),
        (("runs@HEAD", "data/spectra.zarr"), "found no store"),
    ],
)
def test_what_cannot_be_compared_is_named(project: Path, monkeypatch, words, said):
    monkeypatch.chdir(project)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        latentlaw("diff", *words)


def test_the_lines_of_the_page_on_versions_do_what_it_says(project: Path, monkeypatch, tmp_path: Path, capsys):
    page = PAGE.read_text().replace("<git address of your clone>", str(project))
    seen: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    exec(compile(blocks[0], PAGE.name, "exec"), seen)
    assert seen["spectra"].sizes["sample"] == 5
    assert seen["potential"].species == (1,)
    monkeypatch.chdir(project)
    lines = [line.partition("#")[0].split() for line in page.splitlines() if line.startswith("latentlaw diff data/")]
    assert len(lines) == 2
    for _, *words in lines:
        latentlaw(*(word.replace("@v1.0", "@spectra@v1.0.0") for word in words))
    assert "the same data" in capsys.readouterr().out
    assert "`dvc artifacts get <git address> molecules_hipnn`" in page
    run("dvc", "artifacts", "get", str(project), "molecules_hipnn", cwd=tmp_path)
    assert load_potential(tmp_path / "molecules_hipnn").species == (1,)


def test_the_artifact_of_a_path_describes_it(project: Path):
    assert artifact_path("molecules_hipnn", project) == "runs/potential/molecules_hipnn"
    assert artifact_description(project / "data" / "spectra.zarr") == "Some spectra"
    assert artifact_description(project / "runs" / "potential" / "molecules_hipnn") is None


def test_a_new_name_makes_no_stage_stale(project: Path, tmp_path: Path):
    shutil.copytree(project, tmp_path / "copy", symlinks=True)
    dag = tmp_path / "copy" / "dvc.yaml"
    before = run("dvc", "status", "--json", cwd=tmp_path / "copy")
    dag.write_text(dag.read_text() + "  again: {path: data/spectra.zarr, type: dataset, labels: [a], desc: The same}\n")
    assert "again" in artifact_names(tmp_path / "copy")
    assert run("dvc", "status", "--json", cwd=tmp_path / "copy") == before
    assert "changed deps" not in before


def artifact_names(root: Path) -> set[str]:
    with Repo.open(str(root)) as repo:
        return set(repo.artifacts.read()["dvc.yaml"])


def test_every_dataset_and_trained_model_of_the_pipeline_has_a_name():
    dag = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    outs = [out for stage in stages_of(ROOT / "dvc.yaml").values() for out in stage["outs"] if isinstance(out, str)]
    named = {entry["path"]: entry["type"] for entry in dag["artifacts"].values()}
    assert {path for path, kind in named.items() if kind == "dataset"} == {p for p in outs if p.startswith("data/")}
    models = {path for path, kind in named.items() if kind == "model"}
    made = {path for path in outs if path.startswith("runs/") and not path.startswith("runs/discovery/")}  # no weights
    assert all(any(path == out or path.startswith(f"{out}/") for out in made) for path in models)
    assert all(any(path == out or path.startswith(f"{out}/") for path in models) for out in made)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", name) for name in dag["artifacts"])
    assert all(len(entry["desc"]) > 10 and entry["labels"] for entry in dag["artifacts"].values())


def test_the_versions_hold_numbers_of_their_own(project: Path):
    """What the fixture is worth: both versions differ."""
    first, second = (open_remote("spectra", version=f"v1.{n}.0", repo=project) for n in (0, 1))
    assert first.attrs["manifest"] != second.attrs["manifest"]
    np.testing.assert_array_equal(first["level"][:3].values, second["level"].values)
