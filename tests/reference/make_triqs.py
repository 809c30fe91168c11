"""Spectra of NRG Ljubljana through TRIQS, for tests/models/physics/impurity/test_against_triqs.py.

    LATENTLAW_TRIQS_PYTHON=... python -m tests.reference.make_triqs > tests/reference/triqs.json

Lambda 2.5, 512 states, two z, alpha 0.3; A(w) through Sigma = U F / G with the exact Delta of each band.
"""

import dataclasses
import json
import sys

import numpy as np

from models.physics.impurity.bath import Bath
from models.physics.impurity.hamiltonian import AndersonImpurity, ImpurityInBath
from models.physics.impurity.triqs import TriqsSettings, TriqsSolver

SETTINGS = TriqsSettings(discretization=2.5, n_keep=512, n_z=2, alpha=0.3, time_limit_s=3000.0)
POSITIVE = np.geomspace(1e-6, 0.95, 30)
OMEGA = np.concatenate([-POSITIVE[::-1], [0.0], POSITIVE])
BATHS = {
    "semicircle": Bath.from_function(lambda w: 0.03 * np.sqrt(np.maximum(1 - w**2, 0)), -1, 1),
    "pseudogap, r = .25": Bath.power_law(0.04, 0.25),
}
FLAT = AndersonImpurity(interaction=0.2, level=-0.07, hybridization=0.02)
CASES: dict[str, tuple[AndersonImpurity, float]] = {
    "flat, T = 1e-6": (FLAT, 1e-6),
    "flat, T = 1e-3": (FLAT, 1e-3),
    "flat, B = .01": (dataclasses.replace(FLAT, field=0.01), 1e-6),
    "flat, T = .05, B = -.03": (dataclasses.replace(FLAT, field=-0.03), 0.05),
    **{name: (ImpurityInBath(interaction=0.2, level=-0.07, bath=bath), 1e-6) for name, bath in BATHS.items()},
    "semicircle, B = .01": (ImpurityInBath(interaction=0.2, level=-0.07, field=0.01, bath=BATHS["semicircle"]), 1e-4),
}


def main() -> None:
    solver = TriqsSolver(settings=SETTINGS).checked()
    cases = []
    for name, (impurity, temperature) in CASES.items():
        print(name, file=sys.stderr)
        found = solver.solve(impurity, temperatures=np.array([temperature]), omega=OMEGA)
        scale = -np.pi * impurity.delta(OMEGA, 1).imag
        cases.append(
            {
                "name": name,
                "temperature": temperature,
                "n_up": round(float(found.n_up[0]), 7),
                "n_dn": round(float(found.n_dn[0]), 7),
                "double_occupancy": round(float(found.double_occupancy[0]), 7),
                "pi_gamma_a_up": [round(float(x), 5) for x in scale * found.spectrum_up[0]],
                "pi_gamma_a_dn": [round(float(x), 5) for x in scale * found.spectrum_dn[0]],
            }
        )
    provenance = {
        "versions": dict(solver.versions),
        "settings": dataclasses.asdict(SETTINGS),
        "command": "python -m tests.reference.make_triqs > tests/reference/triqs.json",
        "conventions": "energies in half bandwidths D; H = ... - B S_z; pi_gamma_a = pi Gamma(w) A_s(w); omega as in "
        "make_triqs.py",
    }
    print(json.dumps({"provenance": provenance, "cases": cases}, indent=1))


if __name__ == "__main__":
    main()
