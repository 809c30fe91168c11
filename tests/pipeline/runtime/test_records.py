"""Files of the stages: typed, the same bytes, and an older or foreign file is refused with the way to make it again."""

import inspect
import json
from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.atoms import records as atoms
from pipeline.impurity import records as impurity
from pipeline.microstructure import records as microstructure
from pipeline.runtime.records import Record, StageFile, StageRecord, plain, write_json

ROOT = Path(__file__).parents[3]
CLASSES = [
    one
    for module in (impurity, microstructure, atoms)
    for one in vars(module).values()
    if inspect.isclass(one) and issubclass(one, StageFile) and getattr(one, "path", "").startswith("reports/metrics/")
]


class Part(Record):
    value: float
    note: str | None = None


class Whole(StageRecord):
    path: ClassVar[str] = "reports/metrics/whole.json"
    stage: ClassVar[str] = "whole"

    n: int
    parts: list[Part]


def test_what_is_written_is_read_and_absent_keys_stay_absent(tmp_path):
    whole = Whole.of({"parts": [{"value": 1 / 3}, {"value": 2, "note": "x"}], "n": 2})
    whole.write(tmp_path)
    assert Whole.read(tmp_path) == whole
    text = (tmp_path / Whole.path).read_text()
    assert (
        text == json.dumps({"n": 2, "parts": [{"value": 0.3333333333}, {"note": "x", "value": 2.0}]}, indent=2) + "\n"
    )


def test_a_file_of_another_version_names_file_key_found_expected_and_cure(tmp_path):
    write_json(tmp_path / Whole.path, {"parts": [{"value": "many"}], "older": 1})
    with pytest.raises(ValueError, match="valid number") as caught:
        Whole.read(tmp_path)
    message = str(caught.value)
    for words in (Whole.path, 'parts.0.value: found "many"', "n: ", "older: found 1", "`latentlaw repro whole`"):
        assert words in message


def test_a_torn_file_names_the_cure(tmp_path):
    (tmp_path / "reports/metrics").mkdir(parents=True)
    (tmp_path / Whole.path).write_text('{"n": ')
    with pytest.raises(ValueError, match=r"whole\.json: found no JSON.*`latentlaw repro whole`"):
        Whole.read(tmp_path)


def test_what_is_no_number_is_null_and_refused_where_a_number_must_stand():
    assert plain({"a": (float("nan"), 1.0)}) == {"a": [None, 1.0]}
    with pytest.raises(ValueError, match=r"parts\.0\.value"):
        Whole.of({"n": 1, "parts": [{"value": float("nan")}]})


@pytest.mark.parametrize("record", CLASSES, ids=lambda one: one.__name__)
def test_published_files_are_read_and_written_again_to_the_byte(record, tmp_path):
    record.read(ROOT).write(tmp_path)
    assert (tmp_path / record.path).read_bytes() == (ROOT / record.path).read_bytes()
