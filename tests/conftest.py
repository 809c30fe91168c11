"""Every test starts from the same random state: a failure can be repeated."""

import signal
import sys

import pytest

# A shell that runs the tests in the background lets them ignore Ctrl-C, which the processes they start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def same_random_numbers():
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
