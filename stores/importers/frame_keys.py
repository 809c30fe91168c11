"""Under which keys of a frame its labels stand: the user's, else those in common use.

    energy    energy, free_energy, TotEnergy, total_energy, E       forces   forces, force, F
    stress    stress                                                virial   virial, virials

each also with a prefix REF_ (MACE), dft_ or qm_, in small or capital letters. A prefixed key counts before the plain
one: it was written on purpose, while programs write their own results under the plain names. Refused, until keys are
named:

    two keys of one label that hold different numbers, where nothing says which of them the other labels belong to
    energies without forces, or forces without energies, beside a key that looks like the missing label

Keys of LEVEL_KEYS that name several levels of theory are reported. Predictions (MACE_energy) have no usual key.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ChosenKeys", "Frame", "FrameKeys", "FramesOfFiles", "choose_keys"]


class Frame(NamedTuple):
    """One record of a file: atoms, and all that stands beside them by key."""

    name: str
    numbers: NDArray[Any]  # (n_atoms,)
    positions: NDArray[np.float64]  # (n_atoms, 3)
    cell: NDArray[np.float64]  # (3, 3)
    pbc: NDArray[np.bool_]  # (3,)
    labels: Mapping[str, Any]


FramesOfFiles = Mapping[str, Iterable[Sequence[Frame]]]  # batches by file, to be gone through as often as needed

NONE = "none"
N_SHOWN = 12
USUAL = {
    "energy": ("energy", "free_energy", "totenergy", "total_energy"),
    "forces": ("forces", "force"),
    "stress": ("stress",),
    "virial": ("virial", "virials"),
}
LETTERS = {"energy": "E", "forces": "F"}
LOOKS_LIKE = {"energy": "energ", "forces": "forc"}
OPTION = {"energy": "--energy-key", "forces": "--forces-key", "stress": "--stress-key", "virial": "--virial-key"}
PREFIX = re.compile(r"(ref|dft|qm)_", re.IGNORECASE)
LEVEL_KEYS = {"level", "level_of_theory", "theory", "functional", "dft_functional", "xc", "basis"}
N_LETTERS = 40
SAME = 1e-6  # eV, eV/A, ...: numbers of two keys that differ by less are copies


@dataclass(frozen=True, kw_only=True)
class FrameKeys:
    """Under which keys labels stand. None: the usual ones that are there (charges, group: not at all); "none": not."""

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    virial: str | None = None  # stress = -virial / volume
    charges: str | None = None
    group: str | None = None  # a key of the comment line that says what belongs together

    def __post_init__(self) -> None:
        if self.stress not in (None, NONE) and self.virial not in (None, NONE):
            raise ValueError(f"keys: found stress {self.stress!r} and virial {self.virial!r}, expected one of them")

    def named(self) -> dict[str, str]:
        """Those the user named, by label."""
        return {label: key for label, key in vars(self).items() if key and key != NONE}

    def unwanted(self) -> set[str]:
        """Labels that the user does not want."""
        return {label for label, key in vars(self).items() if key == NONE}


@dataclass(kw_only=True)
class ChosenKeys:
    """Label -> key; how many records have each key that is not used; what there is to say of the choice.

    `levels`: key that names a level of theory -> how many records have which, where there are several.
    """

    used: dict[str, str]
    ignored: dict[str, int]
    levels: dict[str, Counter[str]]
    notes: list[str] = field(default_factory=list)


def choose_keys(frames: FramesOfFiles, keys: FrameKeys) -> ChosenKeys:
    """The keys of all files together. Raises ValueError where none serves or several could."""
    counts: Counter[str] = Counter()
    levels: dict[str, Counter[str]] = {}
    for _, frame in _each(frames):
        counts.update(frame.labels.keys())
        for key in LEVEL_KEYS.intersection(frame.labels):
            if isinstance(level := frame.labels[key], str):
                levels.setdefault(key, Counter())[level[:N_LETTERS]] += 1
    where = ", ".join(frames)
    used = keys.named()
    _refuse_absent(frames, used, counts)
    unwanted = (
        keys.unwanted() | ({"virial"} if "stress" in used else set()) | ({"stress"} if "virial" in used else set())
    )
    candidates = {label: _candidates(label, counts) for label in USUAL if label not in used and label not in unwanted}
    notes: list[str] = []
    first = {label: some[0] for label, some in candidates.items() if some}
    whole = len({_prefix(key) for key in first.values()}) == 1
    for label, key in first.items():
        rivals = [other for other in candidates[label][1:] if _competes(key, other, whole)]
        _refuse_ambiguous(where, frames, label, key, rivals)
    used |= first
    if "stress" in used and "virial" in used:
        spare = used.pop("virial")
        notes.append(f"note: {where}: stress is taken from key {used['stress']!r}, not from {spare!r}")
    _refuse_missing(where, frames, used, unwanted, counts)
    prefixes = {label: _prefix(key) for label, key in used.items() if label in USUAL and label not in keys.named()}
    if len(set(prefixes.values())) > 1:
        several = ", ".join(f"{label} {used[label]!r}" for label in prefixes)
        notes.append(
            f"note: {where}: keys of several kinds are used together ({several}); name others if they do not match"
        )
    ignored = {key: count for key, count in sorted(counts.items()) if key not in used.values()}
    levels = {key: some for key, some in levels.items() if len(some) > 1 and key not in used.values()}
    return ChosenKeys(used=used, ignored=ignored, levels=levels, notes=notes)


def _each(frames: FramesOfFiles) -> Iterator[tuple[str, Frame]]:
    return ((file, frame) for file, batches in frames.items() for batch in batches for frame in batch)


def _candidates(label: str, counts: Mapping[str, int]) -> list[str]:
    """Usual keys that are there, prefixed ones first, then in the order of USUAL."""

    def rank(key: str) -> tuple[bool, int, str]:
        plain = PREFIX.sub("", key, count=1).lower()
        return (not _prefix(key), USUAL[label].index(plain) if plain in USUAL[label] else len(USUAL[label]), key)

    there = [key for key in counts if PREFIX.sub("", key, count=1).lower() in USUAL[label] or key == LETTERS.get(label)]
    return sorted(there, key=rank)


def _prefix(key: str) -> str:
    prefix = PREFIX.match(key)
    return prefix.group(1).lower() if prefix else ""


def _refuse_absent(frames: FramesOfFiles, named: Mapping[str, str], counts: Mapping[str, int]) -> None:
    """A named key that no record has is a slip of the pen; one that some records lack makes these unusable."""
    file, frame = next(_each(frames))
    for label, key in named.items():
        if key not in counts:
            listed = ", ".join(sorted(frame.labels)[:N_SHOWN]) or "no keys at all"
            raise ValueError(
                f"{file}, {frame.name}: found no key {key!r} for {label}, expected it in every record; the keys there "
                f"are: {listed}. Choose one of them"
            )


def _competes(key: str, other: str, whole: bool) -> bool:
    """Whether nothing says that `key` counts and `other` does not; `whole`: all labels have keys of one kind."""
    if _prefix(key) != _prefix(other):
        return bool(_prefix(other)) or not whole
    return not other.lower().endswith("free_energy")  # beside an energy extrapolated to zero smearing


def _refuse_ambiguous(where: str, frames: FramesOfFiles, label: str, key: str, rivals: Sequence[str]) -> None:
    for other in rivals:
        if record := _first_difference(frames, key, other):
            raise ValueError(
                f"{where}: found different numbers under {key!r} and {other!r} (first in {record}), expected to know "
                f"which is the {label}; name the keys: {OPTION[label]} KEY, and those of the other labels "
                "(--energy-key, --forces-key, --stress-key), or none for a label that is not wanted"
            )


def _first_difference(frames: FramesOfFiles, one: str, other: str) -> str:
    for file, (name, *_, labels) in _each(frames):
        if one in labels and other in labels and not _same(labels[one], labels[other]):
            return f"{file}, {name}"
    return ""


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - labels
    try:
        a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
        return a.size == b.size and bool(np.allclose(a.ravel(), b.ravel(), rtol=0, atol=SAME, equal_nan=True))
    except (TypeError, ValueError):
        return False


def _refuse_missing(
    where: str,
    frames: FramesOfFiles,
    used: Mapping[str, str],
    unwanted: set[str],
    counts: Mapping[str, int],
) -> None:
    if not {"energy", "forces"} & set(used):
        raise ValueError(
            f"{where}: found no key 'energy' or 'forces', but {sorted(counts) or 'no keys at all'}; expected "
            "labels, name their keys: --energy-key, --forces-key"
        )
    for label in ("energy", "forces"):
        like = [key for key in counts if LOOKS_LIKE[label] in key.lower() and _may_be(frames, label, key)]
        like = [key for key in like if key not in used.values()]
        if label not in used and label not in unwanted and like:
            raise ValueError(
                f"{where}: found no usual key for {label} but {', '.join(sorted(like)[:N_SHOWN])}, expected to know "
                f"whether that is it; name it: {OPTION[label]} KEY, or {OPTION[label]} none to import without"
            )


def _may_be(frames: FramesOfFiles, label: str, key: str) -> bool:
    """Whether the first value under this key has the shape of the label."""
    first = next(frame for _, frame in _each(frames) if key in frame.labels)
    try:
        shape = np.asarray(first.labels[key], dtype=np.float64).shape
    except (TypeError, ValueError):
        return False
    return shape == (() if label == "energy" else (len(first.numbers), 3))
