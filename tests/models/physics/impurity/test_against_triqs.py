"""The embedded solver against recorded spectra of NRG Ljubljana through TRIQS, in three bands, without TRIQS."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver
from tests.reference.make_triqs import CASES, OMEGA

pytestmark = pytest.mark.physics
REFERENCE = json.loads((Path(__file__).parents[3] / "reference" / "triqs.json").read_text())
SOLVER = NRGSolver(NRGSettings(discretization=2.5, n_keep=256, n_z=2, broadening=0.3))


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: case["name"])
def test_spectra_and_occupations_agree_with_triqs(case):
    """Half the kept states, otherwise the same settings; above T = 0.01 D the occupations differ by 1e-3."""
    impurity, temperature = CASES[case["name"]]
    found = SOLVER.solve(impurity, temperatures=np.array([temperature]), omega=OMEGA)
    limit = 3e-4 if temperature < 0.01 else 2e-3
    scale = -math.pi * impurity.delta(OMEGA, 1).imag
    for spin in ("up", "dn"):
        difference = np.abs(scale * getattr(found, f"spectrum_{spin}")[0] - case[f"pi_gamma_a_{spin}"])
        assert difference.max() < 0.03
        assert difference.mean() < 0.005
        assert getattr(found, f"n_{spin}")[0] == pytest.approx(case[f"n_{spin}"], abs=limit)
    assert found.double_occupancy[0] == pytest.approx(case["double_occupancy"], abs=limit)


def test_the_recording_names_its_versions_and_covers_all_cases():
    assert set(REFERENCE["provenance"]["versions"]) == {"triqs", "nrgljubljana_interface"}
    assert [case["name"] for case in REFERENCE["cases"]] == list(CASES)
