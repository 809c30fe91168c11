"""Published values beside which measured ones stand, each with where it was read. No entry: nothing was found to cite.

Calculated values hold at 0 K without zero-point motion unless stated; measured ones at the temperature stated.
"""

from dataclasses import dataclass

__all__ = ["LITERATURE", "Reference", "Sourced", "literature"]


@dataclass(frozen=True, kw_only=True)
class Sourced:
    """A number of a publication; `conditions` says what it is, `source` where it stands."""

    value: float
    unit: str
    conditions: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What density functional theory and experiment say of one property."""

    dft: Sourced | None = None
    experiment: Sourced | None = None


DELTA = "K. Lejaeghere et al., Crit. Rev. Solid State Mater. Sci. 39, 1 (2014), as tabulated in ase.collections.dcdft"
ACWF = "E. Bosoni et al., Nat. Rev. Phys. 6, 45 (2024), WIEN2k, as tabulated in gpaw.utilities.acwf"
ANGSTEN = "T. Angsten et al., New J. Phys. 16, 015018 (2014), table A1, as tabulated in atomind-ai/mlip-arena"
CRC_ELASTIC = "H. P. R. Frederikse, Elastic constants of single crystals, CRC Handbook of Chemistry and Physics"
CRC_EXPANSION = (
    "CRC Handbook of Chemistry and Physics, as quoted in Wikipedia, Thermal expansion coefficients of the elements"
)
TYSON = "W. R. Tyson and W. A. Miller, Surf. Sci. 62, 267 (1977)"
STEDMAN = (
    "R. Stedman and G. Nilsson, Phys. Rev. 145, 492 (1966), as tabulated in Landolt-Boernstein III/13a (1981), table 2"
)
LU = "G. Lu et al., Phys. Rev. B 62, 3099 (2000)"
ALL_ELECTRON = "PBE, all electrons"
EXTRAPOLATED = "extrapolated to 0 K, zero-point motion taken out"
ANY_FACET = "mean of all facets, extrapolated from the tension of the liquid"


def _value(value: float, unit: str, conditions: str, source: str) -> Sourced:
    return Sourced(value=value, unit=unit, conditions=conditions, source=source)


LITERATURE: dict[str, dict[str, Reference]] = {
    "Al": {
        "a0": Reference(
            dft=_value(4.0396, "A", f"{ALL_ELECTRON}, WIEN2k, from 16.4796 A^3", DELTA),
            experiment=_value(4.0223, "A", f"{EXTRAPOLATED}, from 16.2686 A^3", DELTA),
        ),
        "bulk_modulus": Reference(
            dft=_value(78.077, "GPa", f"{ALL_ELECTRON}, WIEN2k", DELTA),
            experiment=_value(77.136, "GPa", EXTRAPOLATED, DELTA),
        ),
        "bulk_modulus_derivative": Reference(
            dft=_value(4.57, "1", f"{ALL_ELECTRON}, WIEN2k", DELTA), experiment=_value(4.45, "1", "", DELTA)
        ),
        "bcc_minus_fcc": Reference(dft=_value(0.096, "eV/atom", ALL_ELECTRON, ACWF)),
        "sc_minus_fcc": Reference(dft=_value(0.370, "eV/atom", ALL_ELECTRON, ACWF)),
        "diamond_minus_fcc": Reference(dft=_value(0.744, "eV/atom", ALL_ELECTRON, ACWF)),
        "bcc_volume": Reference(dft=_value(16.9257, "A^3/atom", ALL_ELECTRON, ACWF)),
        "sc_volume": Reference(dft=_value(20.1551, "A^3/atom", ALL_ELECTRON, ACWF)),
        "diamond_volume": Reference(dft=_value(27.6291, "A^3/atom", ALL_ELECTRON, ACWF)),
        "c11": Reference(experiment=_value(106.75, "GPa", "room temperature", CRC_ELASTIC)),
        "c12": Reference(experiment=_value(60.41, "GPa", "room temperature", CRC_ELASTIC)),
        "c44": Reference(experiment=_value(28.34, "GPa", "room temperature", CRC_ELASTIC)),
        "vacancy_formation": Reference(
            dft=_value(0.61, "eV", "PBE", ANGSTEN),
            experiment=_value(
                0.69, "eV", "quenched to 4 K, +- 0.03", "phys. stat. sol. (b) 75 (1976), doi 10.1002/pssb.2220750205"
            ),
        ),
        "vacancy_migration": Reference(dft=_value(0.58, "eV", "PBE", ANGSTEN)),
        "surface_111": Reference(experiment=_value(1.14, "J/m^2", ANY_FACET, TYSON)),
        "surface_100": Reference(experiment=_value(1.14, "J/m^2", ANY_FACET, TYSON)),
        "surface_110": Reference(experiment=_value(1.14, "J/m^2", ANY_FACET, TYSON)),
        "intrinsic_stacking_fault": Reference(dft=_value(164.0, "mJ/m^2", "LDA, relaxed", LU)),
        "phonon_X_longitudinal": Reference(experiment=_value(9.69, "THz", "80 K, +- 0.05", STEDMAN)),
        "phonon_X_transverse": Reference(experiment=_value(5.79, "THz", "80 K, +- 0.03, at 0.988 X", STEDMAN)),
        "phonon_L_longitudinal": Reference(experiment=_value(9.69, "THz", "80 K, +- 0.10, at 0.996 L", STEDMAN)),
        "phonon_L_transverse": Reference(experiment=_value(4.19, "THz", "80 K, +- 0.03", STEDMAN)),
        "thermal_expansion": Reference(experiment=_value(23.1, "1e-6/K", "25 C", CRC_EXPANSION)),
        "melting_point": Reference(
            experiment=_value(933.473, "K", "freezing point", "International Temperature Scale of 1990")
        ),
    }
}


def literature(element: str, name: str) -> Reference:
    """Of one property; empty where nothing is known."""
    return LITERATURE.get(element, {}).get(name, Reference())
