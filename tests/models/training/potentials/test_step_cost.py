"""Costs of steps: memory is that of the tensors, and the profiler that measures it prints nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.training.potentials.step_cost import step_costs

ROOT = Path(__file__).parents[4]
IN_A_WORKER = """
import threading
import torch
from models.training.potentials.step_cost import step_costs

older = [torch.ones(1000) for _ in range(10)]

def step():
    older.pop()
    return (torch.ones(1000) * 2).sum()

worker = threading.Thread(target=lambda: step_costs({"one": step, "two": step}, n_repeats=1))
worker.start()
worker.join()
"""


def test_memory_is_the_highest_sum_of_what_is_not_freed():
    one, two = (step_costs({"a": lambda n=n: torch.ones(n, 2**20).sum()}, n_repeats=3)["a"] for n in (1, 2))
    assert one.peak_memory_MiB == pytest.approx(4, abs=0.1)
    assert two.peak_memory_MiB == pytest.approx(8, abs=0.1)
    assert two.seconds > 0


def test_nothing_is_printed_in_the_thread_of_a_worker():
    reply = subprocess.run([sys.executable, "-c", IN_A_WORKER], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (reply.stdout, reply.stderr) == ("", "")
