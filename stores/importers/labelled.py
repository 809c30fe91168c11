"""What importers of labelled atoms have in common: what the user says, what a reader hands over, what is reported."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stores.importers.grouping import check_policy
from stores.importers.label_units import ENERGY_EV, LENGTH_A, force_factor, stress_factor
from stores.importers.spool import Spool

__all__ = ["NOT_STATED", "PART_ATOMS", "AtomsReport", "Block", "LabelSettings", "LabelUse", "Names", "Reading"]

PART_ATOMS = 2**15  # what is in memory at once of an import
MAX_NAMES = 100
NOT_STATED = "not stated"
N_SHOWN = 8
N_KEYS_SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """What the user says of the labels. None: the format's usual choice, refused where magnitudes contradict it."""

    level: str = NOT_STATED
    units: str | None = None  # of energies
    length_units: str = "A"
    force_units: str | None = None  # None: units/length_units
    force_sign: Literal["forces", "gradients"] | None = None
    stress_units: str | None = None  # None: units/length_units^3
    stress_sign: Literal["ase", "vasp"] | None = None  # ase: positive under tension, a virial is -V stress
    far_eV_atom: float | None = None  # largest distance of an energy from the others; None: by their spread
    group: str = "auto"
    drop_bad: bool = False

    def __post_init__(self) -> None:
        problems = []
        if not self.level:
            problems.append("level: found nothing, expected the level of theory, e.g. 'PBE/def2-SVP'")
        if self.units is not None and self.units not in ENERGY_EV:
            problems.append(f"units: found {self.units!r}, expected one of {', '.join(ENERGY_EV)}")
        if self.length_units not in LENGTH_A:
            problems.append(f"length units: found {self.length_units!r}, expected one of {', '.join(LENGTH_A)}")
        for check, value in (
            (force_factor, self.force_units),
            (stress_factor, self.stress_units),
            (check_policy, self.group),
        ):
            try:
                if value is not None:
                    check(value)
            except ValueError as error:
                problems.append(str(error))
        if self.far_eV_atom is not None and not self.far_eV_atom > 0:
            problems.append(f"far energy: found {self.far_eV_atom:g}, expected eV/atom above 0")
        if problems:
            raise ValueError("; ".join(problems))


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Configurations side by side in the units of their file; what it does not give is None."""

    file: str
    names: Sequence[str]  # "record 3"
    numbers: NDArray[Any]  # (n_atoms in all,)
    n_atoms: NDArray[Any]  # (n_configs,)
    positions: NDArray[Any]  # (n_atoms in all, 3)
    cell: NDArray[Any] | None = None  # (n_configs, 3, 3)
    pbc: NDArray[Any] | None = None  # (n_configs, 3); None: open, or periodic where there is a cell
    energy: NDArray[Any] | None = None  # (n_configs,)
    forces: NDArray[Any] | None = None  # (n_atoms in all, 3)
    stress: NDArray[Any] | None = None  # (n_configs, 3, 3)
    charges: NDArray[Any] | None = None  # (n_atoms in all,) [e]
    isolated: NDArray[np.bool_] | None = None  # (n_configs,) the file calls it an isolated atom
    labels: Sequence[str] | None = None  # what the format says belongs together
    absent: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)  # label -> records that do not have its key

    def parts(self) -> Iterator["Block"]:
        """The same configurations, about PART_ATOMS atoms at a time."""
        ends = np.cumsum(self.n_atoms, dtype=np.int64)
        n_parts = -(-int(ends[-1]) // PART_ATOMS) if len(ends) else 0
        cuts = sorted({0, *np.searchsorted(ends, np.arange(1, n_parts) * PART_ATOMS).tolist(), len(ends)})
        for first, last in pairwise(cuts):
            rows = slice(first, last)
            atoms = slice(int(ends[first] - self.n_atoms[first]), int(ends[last - 1]))
            given = {f.name: getattr(self, f.name) for f in fields(self)}
            cut = {
                name: values[atoms if name in PER_ATOM else rows]
                for name, values in given.items()
                if values is not None and name not in ("file", "absent")
            }
            yield replace(self, **cut, absent={label: mask[rows] for label, mask in self.absent.items()})


PER_ATOM = {"numbers", "positions", "forces", "charges"}


@dataclass(kw_only=True)
class Names:
    """Records of which the same is said: how many, and the first of them."""

    n: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, names: Sequence[str]) -> None:
        self.n += len(names)
        self.first += names[: MAX_NAMES - len(self.first)]

    def __str__(self) -> str:
        return ", ".join(self.first[:N_SHOWN]) + (", ..." if self.n > N_SHOWN else "")


@dataclass(kw_only=True)
class Reading:
    """All blocks of an import, under which keys they stood, and what the reader left out by itself, by reason."""

    usual_units: str  # of energies, where the user names none
    units_known: bool = True  # False: the format leaves them open, and magnitudes must tell, or the user
    keys: dict[str, str]  # "energy" -> key in the file, of what is there
    origin: dict[str, Any]  # goes into each record's provenance
    blocks: Spool[Block] = field(default_factory=Spool)
    named: frozenset[str] = frozenset()  # labels whose key the user named: a record without it cannot be used
    ignored: dict[str, int] = field(default_factory=dict)  # key -> records that have it, of keys that were not used
    levels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # key -> levels of theory, where several
    left_out: dict[str, Names] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, reason: str, names: Sequence[str]) -> None:
        if names:
            self.left_out.setdefault(reason, Names()).add(names)


@dataclass(frozen=True, kw_only=True)
class LabelUse:
    """What became of one label: its key in the files, how many of the kept records have it, in which units it was."""

    label: str
    key: str  # "" where there is none
    n_records: int
    units: str


@dataclass(frozen=True, kw_only=True)
class AtomsReport:
    """What became of the files. `dropped` maps a reason to the records."""

    n_read: int
    n_kept: int
    n_atoms: int
    n_groups: int
    grouped_by: str
    units: str
    elements: str
    labels: tuple[LabelUse, ...]
    ignored: dict[str, int]
    isolated_eV: dict[str, float]  # energies of the isolated atoms, which are no configurations of the store
    dropped: dict[str, Names]
    notes: tuple[str, ...]
    energy_eV_atom: tuple[float, float] | None
    force_rms_eV_A: float | None
    reference_energies_eV: dict[str, float]
    hash: str

    def lines(self) -> list[str]:
        """The report for people: what was used, what was not, and why."""
        lines = [
            f"read {self.n_read} configurations, kept {self.n_kept} with {self.n_atoms} atoms ({self.elements}), "
            f"{self.n_groups} groups by {self.grouped_by}, labels in {self.units}"
        ]
        lines.append(f"{'label':<8} {'key':<22} {'records':>7}  units in the file")
        for use in self.labels:
            lines.append(f"{use.label:<8} {use.key or '(none found)':<22} {use.n_records:>7}  {use.units}".rstrip())
        if self.energy_eV_atom:
            lines.append(f"energies from {self.energy_eV_atom[0]:.6g} to {self.energy_eV_atom[1]:.6g} eV/atom")
        lines.append(f"forces {self.force_rms_eV_A:.4g} eV/A rms" if self.force_rms_eV_A is not None else "no forces")
        if self.reference_energies_eV:
            lines.append(f"reference energies [eV]: {_energies(self.reference_energies_eV)}")
        if self.isolated_eV:
            lines.append(
                f"isolated atoms [eV], kept as references alone, not as configurations: {_energies(self.isolated_eV)}"
            )
        if self.ignored:
            keys = [f"{key} ({count})" for key, count in self.ignored.items()]
            lines.append(f"ignored keys (records that have them): {', '.join(keys[:N_KEYS_SHOWN])}{_dots(keys)}")
        for reason, names in self.dropped.items():
            lines.append(f"dropped {names.n}: {reason}: {names}")
        return [*lines, *self.notes]


def _energies(energies: Mapping[str, float]) -> str:
    return ", ".join(f"{symbol} {energy:.6g}" for symbol, energy in energies.items())


def _dots(keys: Sequence[str]) -> str:
    return f", and {len(keys) - N_KEYS_SHOWN} more" if len(keys) > N_KEYS_SHOWN else ""
