"""QM9 from the PyPI package qm9pack: 130,831 relaxed molecules of H, C, N, O, F at B3LYP/6-31G(2df,p).

Tables qm9_part*.csv, one molecule a row, [A], [Hartree], [e]:

    Index, InChi, N_atoms, Elements "['C','H',...]", XYZ_Ang "[[x,y,z],...]", Mulliken_pop "[q,...]"
    InternalEnergy_0K_au, InternalEnergy_298K_au, Enthalphy_298K_au, GibbsFreeEnergy_298K_au, ZPVE_au

The energy is one of U0, U, H, G, or `electronic` = U0 - ZPVE, of which alone a potential energy surface is made. There
are no forces: the molecules are relaxed. The 3,054 molecules whose structure the authors call uncharacterised are not
in the package. Molecules of one InChI (stereoisomers by the layers it has, some duplicates) are one group.

The package itself is not imported (it needs pkg_resources, which current setuptools have not): its tables are read.
"""

import importlib.util
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stores.importers.labelled import Block, Reading

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENERGIES", "LEVEL", "find_tables", "read_qm9"]

LEVEL = "B3LYP/6-31G(2df,p)"
ENERGIES = {
    "U0": "InternalEnergy_0K_au",
    "U": "InternalEnergy_298K_au",
    "H": "Enthalphy_298K_au",
    "G": "GibbsFreeEnergy_298K_au",
    "electronic": "InternalEnergy_0K_au",
}
TEXT_COLUMNS = ["Elements", "XYZ_Ang", "Mulliken_pop", "InChi"]
MOST_ATOMS = 100
N_LETTERS = 40
SYMBOLS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}


def find_tables(folder: Path | None = None) -> list[Path]:
    """The CSV tables in `folder`, of the installed package where it is None. Raises FileNotFoundError."""
    if folder is None:
        spec = importlib.util.find_spec("qm9pack")
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError(
                "qm9: found no package qm9pack, expected it installed; run `pip install qm9pack==1.0.3` (103 MB), or "
                "name a folder with its qm9_part*.csv"
            )
        folder = Path(spec.submodule_search_locations[0]) / "data"
    tables = sorted(folder.glob("qm9_part*.csv"))
    if not tables:
        raise FileNotFoundError(f"{folder}: found no qm9_part*.csv, expected the tables of qm9pack")
    return tables


def read_qm9(tables: Sequence[Path], *, energy: str = "U0", n_molecules: int | None = None, seed: int = 0) -> Reading:
    """All molecules, or `n_molecules` drawn at random, in the order of their index.

    Raises ValueError with file, key, found and expected.
    """
    if energy not in ENERGIES:
        raise ValueError(f"energy: found {energy!r}, expected one of {', '.join(ENERGIES)}")
    frames = [_table(table) for table in tables]
    total = sum(len(frame) for frame in frames)
    if n_molecules is not None and not 1 <= n_molecules <= total:
        raise ValueError(f"qm9: found n_molecules = {n_molecules}, expected 1 to {total}, or all")
    taken = np.ones(total, dtype=bool)
    if n_molecules is not None:
        taken[:] = False
        taken[np.random.default_rng(seed).choice(total, n_molecules, replace=False)] = True
    origin = {"format": "qm9", "dataset": f"QM9, qm9pack {_version()}", "energy": energy}
    keys = {"energy": ENERGIES[energy], "charges": "Mulliken_pop"}
    reading = Reading(usual_units="Ha", keys=keys, origin=origin)
    start = 0
    for table, frame in zip(tables, frames, strict=True):
        chosen = frame[taken[start : start + len(frame)]]
        start += len(frame)
        if len(chosen):
            reading.blocks.append(_block(table, chosen, energy))
    reading.leave_out("not drawn (n_molecules)", [f"molecule {number}" for number in np.flatnonzero(~taken)])
    return reading


def _table(path: Path) -> "pd.DataFrame":
    """All cells as text: what is no number is named with its row."""
    import pandas as pd

    wanted = ["Index", "N_atoms", "ZPVE_au", *TEXT_COLUMNS, *dict.fromkeys(ENERGIES.values())]
    try:
        found = pd.read_csv(path, nrows=0).columns
        if missing := [name for name in wanted if name not in found]:
            raise ValueError(f"no columns {missing} but {list(found)}")
        return pd.read_csv(path, usecols=wanted, dtype=str, keep_default_na=False)
    except (ValueError, OSError, UnicodeDecodeError) as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{path}: found {error}, expected a table of qm9pack") from error


def _block(path: Path, frame: "pd.DataFrame", energy: str) -> Block:
    names = [f"molecule {number}" for number in frame["Index"]]

    def reals(key: str) -> NDArray[np.float64]:
        return _reals(path, key, frame[key].tolist(), names)

    counts = reals("N_atoms")
    if (bad := np.flatnonzero(~((counts >= 1) & (counts <= MOST_ATOMS) & (counts == np.round(counts))))).size:
        row = int(bad[0])
        raise ValueError(
            f"{path}, {names[row]}, key 'N_atoms': found {frame['N_atoms'].iloc[row]!r}, expected a whole number from "
            f"1 to {MOST_ATOMS}"
        )
    n_atoms = counts.astype(np.int64)
    energies = reals(ENERGIES[energy])
    if energy == "electronic":
        energies = energies - reals("ZPVE_au")
    return Block(
        file=path.name,
        names=names,
        numbers=_elements(path, frame["Elements"].tolist(), n_atoms, names),
        n_atoms=n_atoms,
        positions=_lists(path, "XYZ_Ang", frame["XYZ_Ang"].tolist(), 3 * n_atoms, names).reshape(-1, 3),
        energy=energies,
        charges=_lists(path, "Mulliken_pop", frame["Mulliken_pop"].tolist(), n_atoms, names),
        labels=frame["InChi"].tolist(),
    )


def _elements(path: Path, texts: Sequence[str], n_atoms: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.int64]:
    clean = str.maketrans("", "", "[]' ")
    words = [text.translate(clean).split(",") for text in texts]
    _same_lengths(path, "Elements", [len(some) for some in words], n_atoms, names)
    try:
        return np.array([SYMBOLS[word] for some in words for word in some], dtype=np.int64)
    except KeyError:
        row = next(row for row, some in enumerate(words) if not set(some) <= set(SYMBOLS))
        unknown = sorted(set(words[row]) - set(SYMBOLS))
        raise ValueError(
            f"{path}, {names[row]}, key 'Elements': found {unknown}, expected {', '.join(SYMBOLS)}, the elements of QM9"
        ) from None


def _lists(
    path: Path, key: str, texts: Sequence[str], expected: NDArray[np.int64], names: Sequence[str]
) -> NDArray[np.float64]:
    """All numbers of a column of nested lists, one after another."""
    clean = str.maketrans("", "", "[] ")
    words = [text.translate(clean).split(",") for text in texts]
    _same_lengths(path, key, [len(some) for some in words], expected, names)
    return _reals(
        path, key, [word for some in words for word in some], names, np.repeat(np.arange(len(words)), expected)
    )


def _reals(
    path: Path,
    key: str,
    words: Sequence[str],
    names: Sequence[str],
    owner: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Words as numbers; `owner` tells the record of each word, where that is not its own place."""
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        bad = next(index for index, word in enumerate(words) if not _is_number(word))
        row = bad if owner is None else int(owner[bad])
        raise ValueError(
            f"{path}, {names[row]}, key {key!r}: found {words[bad][:N_LETTERS]!r}, expected a number; correct the "
            "table or take this row out"
        ) from None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _same_lengths(
    path: Path, key: str, found: Sequence[int], expected: NDArray[np.int64], names: Sequence[str]
) -> None:
    if (bad := np.flatnonzero(np.asarray(found) != expected)).size:
        row = int(bad[0])
        raise ValueError(
            f"{path}, {names[row]}, key {key!r}: found {found[row]} entries, expected {expected[row]} by N_atoms "
            f"({bad.size} such records)"
        )


def _version() -> str:
    try:
        return version("qm9pack")
    except PackageNotFoundError:
        return "of unknown version"
