"""A run is skipped only where no file of the DAG has changed."""

import os

import pytest

from pipeline.runtime.unchanged import watched

DAG = """
stages:
  first:
    cmd: make
    deps: [code, data/in.csv]
    params: [first]
    outs:
      - data/out.zarr
      - reports/metrics/first.json: {cache: false}
  second:
    cmd: make
    deps: [data/out.zarr/part, reports/metrics/first.json]
    outs: [page.html]
"""
FILES = (
    "params.yaml",
    "dvc.lock",
    "code/a.py",
    "code/sub/b.py",
    "data/in.csv",
    "data/out.zarr/part/0",
    "reports/metrics/first.json",
    "page.html",
)


@pytest.fixture
def root(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    (tmp_path / "dvc.yaml").write_text(DAG)
    files = watched(tmp_path)
    assert not files.unchanged()
    files.keep(files.sources_state())
    assert files.unchanged()
    return tmp_path


@pytest.mark.parametrize("name", [*FILES, "dvc.yaml", "code/new.py", "data/out.zarr/part/1", ".dvcignore"])
def test_any_file_written_added_or_deleted_counts(root, name):
    with (root / name).open("a") as file:
        file.write("# another")
    assert not watched(root).unchanged()


@pytest.mark.parametrize("name", [*FILES])
def test_a_file_that_is_gone_counts(root, name):
    (root / name).unlink()
    assert not watched(root).unchanged()


def test_same_size_and_same_time_but_another_file_counts(root):
    old = (root / "page.html").stat()
    (root / "new").write_text("as it WAS")
    os.utime(root / "new", ns=(old.st_atime_ns, old.st_mtime_ns))
    (root / "new").replace(root / "page.html")
    assert not watched(root).unchanged()


def test_compiled_files_and_files_outside_the_dag_do_not_count(root):
    (root / "code/__pycache__").mkdir()
    (root / "code/__pycache__/a.pyc").write_text("")
    (root / "notes.txt").write_text("")
    assert watched(root).unchanged()


def test_nothing_is_kept_where_a_source_was_edited_while_stages_ran(root):
    (root / ".cache/unchanged_since").unlink()
    files = watched(root)
    before = files.sources_state()
    (root / "page.html").write_text("made")  # what stages make may change
    (root / "code/a.py").write_text("edited")
    files.keep(before)
    assert not watched(root).unchanged()
    files.keep(files.sources_state())
    assert watched(root).unchanged()


@pytest.mark.parametrize(
    "text", [DAG.replace("code,", "'${code}',"), DAG.replace("cmd: make", "always_changed: true"), "stages: 3", "{"]
)
def test_a_dag_whose_files_are_not_written_out_is_left_to_dvc(root, text):
    (root / "dvc.yaml").write_text(text)
    assert watched(root) is None
