"""Progress says what, how many of how many, rate and time left: one line on a terminal, plain lines elsewhere."""

import io
import math
import sys

import pytest

from models.training.progress import TrainingProgress
from pipeline.runtime.progress import note, print_training_progress, progress_bar

FAR = TrainingProgress(epoch=12, n_epochs=100, step=1440, objective=0.01234567, seconds_left=3725.4)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def run(monkeypatch):
    def run(stream, *, what="spectra", done_before=0):
        now = [0.0]
        monkeypatch.setattr("tqdm.std.time", lambda: now[0])
        with progress_bar(what, 100, "Hamiltonians", done_before=done_before, stream=stream) as progress:
            for _ in range(done_before, 100, 2):
                now[0] += 1.0
                progress.update(2)
        return stream.getvalue()

    return run


def test_lines_are_plain_and_few_where_there_is_no_terminal(run):
    text = run(io.StringIO())
    lines = text.splitlines()
    assert lines[0].startswith("spectra: 0 of 100 Hamiltonians")
    assert lines[1] == "spectra: 10 of 100 Hamiltonians,  2.00 Hamiltonians/s, 00:45 left"
    assert lines[-1].startswith("spectra: 100 of 100 Hamiltonians,  2.00 Hamiltonians/s")
    assert len(lines) == 11
    assert not {"\r", "\x1b"} & set(text)


def test_a_terminal_gets_one_line_that_is_renewed(run):
    text = run(Terminal())
    assert text.count("\n") == 1
    assert "100/100" in text and "2.00 Hamiltonians/s" in text


def test_what_an_earlier_run_left_does_not_flatter_the_rate(run):
    lines = run(io.StringIO(), done_before=60).splitlines()
    assert lines[0].startswith("spectra: 60 of 100 Hamiltonians")
    assert lines[1] == "spectra: 70 of 100 Hamiltonians,  2.00 Hamiltonians/s, 00:15 left"


def test_without_a_name_nothing_is_shown(run):
    assert run(io.StringIO(), what="") == run(Terminal(), what="") == ""


@pytest.mark.parametrize(("stream", "written"), [(Terminal, "\r\x1b[Kwaiting\n"), (io.StringIO, "waiting\n")])
def test_a_note_takes_the_place_of_the_line_that_renews_itself(stream, written, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream())
    note("waiting")
    assert sys.stderr.getvalue() == written


def test_a_line_of_a_training_says_how_far_how_good_and_how_long_still():
    log = io.StringIO()
    print_training_progress("molecules_hipnn, seed 3", FAR, stream=log)
    expected = "molecules_hipnn, seed 3: epoch 12 of 100, step 1440, validation loss 0.01235, 1:02:05 left\n"
    assert log.getvalue() == expected


def test_a_line_of_a_training_is_whole_beside_a_line_that_renews_itself():
    terminal = Terminal()
    far = TrainingProgress(epoch=1, n_epochs=2, step=3, objective=math.nan, seconds_left=4)
    print_training_progress("a", far, stream=terminal)
    assert terminal.getvalue() == "\r\x1b[Ka: epoch 1 of 2, step 3, 00:04 left\n"
