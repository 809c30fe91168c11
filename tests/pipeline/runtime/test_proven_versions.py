"""New versions of libraries are trusted when a shard that is made again has the bits that are kept."""

import json

import numpy as np
import pytest

from pipeline.runtime.kept_results import ResultFiles
from pipeline.runtime.proven_versions import proven_folder

ITEMS = {"a": [1.0], "b": [2.0]}


def doubled(items):
    return {"value": 2 * np.array(items)}


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTLAW_SCRATCH", str(tmp_path))
    return tmp_path


def kept(scratch):
    folder = proven_folder("key", {"numpy": "2.0"}, doubled, ITEMS)
    ResultFiles(folder).write("b", doubled(ITEMS["b"]))
    return folder


def test_versions_that_give_the_same_bits_use_what_is_kept(scratch, capsys):
    folder = kept(scratch)
    made = []
    assert proven_folder("key", {"numpy": "2.1"}, lambda items: made.append(items) or doubled(items), ITEMS) == folder
    assert made == [[2.0]], "one shard is made again"
    assert "numpy 2.1 (before: 2.0) gives the bits that are kept (shard b)" in capsys.readouterr().err
    assert proven_folder("key", {"numpy": "2.1"}, lambda items: pytest.fail("made again"), ITEMS) == folder
    assert proven_folder("key", {"numpy": "2.0"}, lambda items: pytest.fail("made again"), ITEMS) == folder


@pytest.mark.parametrize(
    "other", [lambda x: np.nextafter(2 * np.array(x), 0), lambda x: (2 * np.array(x)).astype("f4")]
)
def test_versions_that_give_other_bits_have_a_folder_of_their_own(scratch, other, capsys):
    folder = kept(scratch)
    own = proven_folder("key", {"numpy": "3.0"}, lambda items: {"value": other(items)}, ITEMS)
    assert own != folder and own.parent == folder.parent
    assert "gives other bits (shard b)" in capsys.readouterr().err
    assert proven_folder("key", {"numpy": "2.0"}, lambda items: pytest.fail("made again"), ITEMS) == folder


def test_nothing_is_made_where_nothing_is_kept(scratch):
    folder = proven_folder("key", {"numpy": "2.0"}, lambda items: pytest.fail("made"), ITEMS)
    assert json.loads((folder / "versions.json").read_text()) == [{"numpy": "2.0"}]
