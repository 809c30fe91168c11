"""Fused kernels of environment vectors: the same bits whether they were just compiled or come from Numba's cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
# Shapes that no other test compiles; the digest is of the value, its pullback and its pushforward.
PROGRAM = """
import hashlib
import numpy as np
import torch
from models.networks.potentials.aev import AEVSettings
from models.networks.potentials.aev_function import fused_environment_vectors
from models.networks.potentials.graph import Configuration, collate
from models.networks.potentials.neighbours import find_neighbours

rng = np.random.default_rng(0)
cell, positions = 7.0 * np.eye(3), 7.0 * rng.random((20, 3))
near = find_neighbours(positions, cell, np.full(3, True), 6.0)
one = Configuration(numbers=np.full(20, 13), positions_A=positions, cell_A=cell, neighbours=near)
graph, vectors = collate([one], torch.float32)
vectors = vectors.clone().requires_grad_()
settings = AEVSettings(
    n_species=1, radial_cutoff_A=6.0, radial_eta=8.0, radial_shifts_A=tuple(np.linspace(1.0, 5.5, 9).tolist()),
    angular_cutoff_A=4.5, angular_eta=2.0, angular_shifts_A=(2.0, 2.8, 3.6), zeta=8.0,
    angles=tuple((np.pi * (np.arange(5) + 0.5) / 5).tolist()),
)
features = fused_environment_vectors(settings, graph, torch.zeros(20, dtype=torch.int64), vectors)
weights = torch.linspace(0, 1, features.numel()).reshape(features.shape).requires_grad_()
pulled, = torch.autograd.grad((features * weights).sum(), vectors, create_graph=True)
pushed, = torch.autograd.grad((pulled * torch.linspace(-1, 1, pulled.numel()).reshape(pulled.shape)).sum(), weights)
print([hashlib.sha256(array.detach().numpy().tobytes()).hexdigest()[:12] for array in (features, pulled, pushed)])
"""


@pytest.mark.slow
def test_a_kernel_from_the_cache_equals_the_one_just_compiled(tmp_path: Path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def digests() -> str:
        program = (
            f"import models.networks.potentials.second_derivatives as s\nwith s.weights_only():\n{_indented(PROGRAM)}"
        )
        command = [sys.executable, "-c", program]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    compiled = digests()
    assert len(list(tmp_path.rglob("environment.*.nbc"))) == 3
    assert digests() == compiled


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
