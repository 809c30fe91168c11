"""Properties of fcc aluminium by GPAW, the engine that labels the training data, measured once with

    latentlaw benchmark-potential --calculator models.physics.atoms.properties.engine_calculator:gpaw
        --properties equation_of_state --settings seven_points.yaml --out gpaw.json

GPAW 26.7.0, gpaw-data 1.2.1, PBE, plane waves to 250 eV, Fermi-Dirac 0.1 eV, 12 x 12 x 12 k-points of primitive cells;
seven_points.yaml: `equation_of_state: {n_points: 7}`. Elastic constants are not here: C44 goes from 15 to 36 GPa
between 12^3 and 20^3 k-points, so neither is converged.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["GPAW_VALUES", "LEVEL", "beside_recorded"]

LEVEL = "GPAW PBE PW 250 eV, MP 12x12x12 of primitive cells, Fermi-Dirac 0.1 eV"
GPAW_VALUES = {
    "a0": 4.0437,
    "bulk_modulus": 77.48,
    "bulk_modulus_derivative": 4.63,
    "local_bulk_modulus": 77.63,
}


def beside_recorded(records: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The records of a benchmark with these values as the oracle's, wherever there is one."""
    compared = {}
    for name, record in records.items():
        value, oracle = record["value"], GPAW_VALUES.get(name)
        deviation = None if value is None or oracle is None else (value - oracle) / abs(oracle)
        compared[name] = {
            **record,
            "oracle": oracle,
            "oracle_level": LEVEL if oracle is not None else None,
            "relative_deviation": {**record["relative_deviation"], "oracle": deviation},
        }
    return compared
