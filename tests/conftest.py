"""Every test starts from the same random state: a failure can be repeated."""

import sys

import pytest


@pytest.fixture(autouse=True)
def same_random_numbers():
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
