"""Errors print what files hold so that no terminal obeys it."""

import pytest

from pipeline.runtime.stage import explained
from pipeline.runtime.terminal_text import printable


def test_what_steers_a_terminal_is_written_out_and_all_else_stays():
    assert printable("a\x1b[31m\rb\x07\u202e\udcff") == "a\\x1b[31m\\rb\\x07\\u202e\\udcff"
    assert printable("two lines:\n\tomega = 0.1, é, ω") == "two lines:\n\tomega = 0.1, é, ω"


def test_an_explained_error_carries_no_control_characters(capsys: pytest.CaptureFixture):
    assert explained("import-dataset", ValueError("found key 'a\x1b]0;title\x07'")) == 1
    assert capsys.readouterr().err == "import-dataset: found key 'a\\x1b]0;title\\x07'\n"
