"""A training's line: what, how far, how good, how long still; whole also beside a line that renews itself."""

import io
import math

from models.training.telling import HowFar
from pipeline.runtime.training_progress import tell_training

FAR = HowFar(epoch=12, n_epochs=100, step=1440, objective=0.01234567, seconds_left=3725.4)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_in_a_log_is_plain():
    log = io.StringIO()
    tell_training("molecules_hipnn, seed 3", FAR, stream=log)
    expected = "molecules_hipnn, seed 3: epoch 12 of 100, step 1440, validation loss 0.01235, 1:02:05 left\n"
    assert log.getvalue() == expected


def test_on_a_terminal_it_takes_the_place_of_the_line_that_renews_itself():
    terminal = Terminal()
    far = HowFar(epoch=1, n_epochs=2, step=3, objective=math.nan, seconds_left=4)
    tell_training("a", far, stream=terminal)
    assert terminal.getvalue() == "\r\x1b[Ka: epoch 1 of 2, step 3, 0:04 left\n"
