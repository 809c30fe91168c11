"""Progress says what, how many of how many, rate and time left: one line on a terminal, plain lines elsewhere."""

import io
import sys

import pytest

from pipeline.runtime.progress import Progress, note


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(stream, *, done_before=0):
    now = [0.0]
    with Progress(
        "spectra", 100, "Hamiltonians", done_before=done_before, stream=stream, clock=lambda: now[0]
    ) as progress:
        while progress.done < 100:
            now[0] += 1.0
            progress.advance(2)
    return stream.getvalue()


def test_lines_are_plain_and_few_where_there_is_no_terminal():
    lines = run(io.StringIO()).splitlines()
    assert lines[0] == "spectra: 0 of 100 Hamiltonians"
    assert lines[1] == "spectra: 10 of 100 Hamiltonians, 2 Hamiltonians/s, 0:45 left"
    assert lines[-1] == "spectra: 100 of 100 Hamiltonians, 2 Hamiltonians/s"
    assert len(lines) == 11


def test_a_terminal_gets_one_line_that_is_renewed():
    text = run(Terminal())
    assert text.count("\n") == 1
    assert text.rstrip().endswith("spectra: 100 of 100 Hamiltonians, 2 Hamiltonians/s")


def test_what_an_earlier_run_left_does_not_flatter_the_rate():
    lines = run(io.StringIO(), done_before=60).splitlines()
    assert lines[0] == "spectra: 60 of 100 Hamiltonians (from an earlier run)"
    assert lines[1] == "spectra: 70 of 100 Hamiltonians, 2 Hamiltonians/s, 0:15 left"


@pytest.mark.parametrize(("stream", "written"), [(Terminal, "\r\x1b[Kwaiting\n"), (io.StringIO, "waiting\n")])
def test_a_note_takes_the_place_of_the_line_that_renews_itself(stream, written, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream())
    note("waiting")
    assert sys.stderr.getvalue() == written
