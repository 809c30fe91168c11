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
    reading = Reading(usual_units="Ha", keys={"energy": ENERGIES[energy]}, origin=origin)
    start = 0
    for table, frame in zip(tables, frames, strict=True):
        chosen = frame[taken[start : start + len(frame)]]
        start += len(frame)
        if len(chosen):
            reading.blocks.append(_block(table, chosen, energy))
    reading.leave_out("not drawn (n_molecules)", [f"molecule {number}" for number in np.flatnonzero(~taken)])
    return reading


def _table(path: Path) -> "pd.DataFrame":
    import pandas as pd

    wanted = ["Index", "N_atoms", "ZPVE_au", *TEXT_COLUMNS, *dict.fromkeys(ENERGIES.values())]
    try:
        found = pd.read_csv(path, nrows=0).columns
        if missing := [name for name in wanted if name not in found]:
            raise ValueError(f"no columns {missing} but {list(found)}")
        return pd.read_csv(path, usecols=wanted)
    except (ValueError, OSError, UnicodeDecodeError) as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{path}: found {error}, expected a table of qm9pack") from error


def _block(path: Path, frame: "pd.DataFrame", energy: str) -> Block:
    n_atoms = frame["N_atoms"].to_numpy(dtype=np.int64)
    names = [f"molecule {number}" for number in frame["Index"]]
    energies = frame[ENERGIES[energy]].to_numpy(dtype=np.float64)
    if energy == "electronic":
        energies = energies - frame["ZPVE_au"].to_numpy(dtype=np.float64)
    numbers = _elements(path, frame["Elements"], n_atoms, names)
    return Block(
        file=path.name,
        names=names,
        numbers=numbers,
        n_atoms=n_atoms,
        positions=_numbers(path, "XYZ_Ang", frame["XYZ_Ang"], 3 * n_atoms, names).reshape(-1, 3),
        energy=energies,
        charges=_numbers(path, "Mulliken_pop", frame["Mulliken_pop"], n_atoms, names),
        labels=frame["InChi"].astype(str).tolist(),
    )


def _elements(path: Path, column: "pd.Series", n_atoms: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.int64]:
    """All symbols are single letters, so that they can be looked up byte by byte."""
    lookup = np.zeros(256, dtype=np.int64)
    lookup[[ord(symbol) for symbol in SYMBOLS]] = list(SYMBOLS.values())
    texts = [str(text).translate(str.maketrans("", "", "[]', ")) for text in column]
    _same_lengths(path, "Elements", [len(text) for text in texts], n_atoms, names)
    letters = "".join(texts)
    numbers = lookup[np.frombuffer(letters.encode("latin-1", "replace"), dtype=np.uint8)]
    if unknown := sorted({letters[place] for place in np.flatnonzero(numbers == 0)}):
        raise ValueError(f"{path}, key 'Elements': found {unknown}, expected {', '.join(SYMBOLS)}")
    return numbers


def _numbers(
    path: Path, key: str, column: "pd.Series", expected: NDArray[np.int64], names: Sequence[str]
) -> NDArray[np.float64]:
    """All numbers of a column of nested lists, one after another."""
    brackets = str.maketrans("", "", "[] ")
    texts = [str(text).translate(brackets) for text in column]
    _same_lengths(path, key, [text.count(",") + 1 for text in texts], expected, names)
    try:
        values = np.array(",".join(texts).split(","), dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{path}, key {key!r}: found {error}, expected lists of numbers") from error
    return values


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
