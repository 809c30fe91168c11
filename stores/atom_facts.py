"""What ties the columns of an atoms store together (stores.atoms), each as a fact about whole configurations."""

import json
from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stores import atom_checks as check
from stores.outcome import OK
from stores.schema import Fact

__all__ = ["FACTS"]

Mask = NDArray[np.bool_]
OWNERS = ("first_atom", "n_atoms")
CSR = (*OWNERS, "number")


def _offsets_broken(block: xr.Dataset) -> Mask:
    return ~check.offsets_agree(block["first_atom"].values, block["n_atoms"].values, block["number"].size)


def _sound_offsets(violated: Callable[[xr.Dataset], Mask]) -> Callable[[xr.Dataset], Mask]:
    """Facts about the atoms of configurations say nothing where it is unclear whose atoms they are."""

    def guarded(block: xr.Dataset) -> Mask:
        broken = _offsets_broken(block)
        return np.zeros(broken.shape, dtype=bool) if broken.any() else violated(block)

    return guarded


@_sound_offsets
def _labels_missing(block: xr.Dataset) -> Mask:
    """A labelled row has an energy or forces, and forces of all its atoms or of none; a failed one has none."""
    first = block["first_atom"].values
    n_missing = np.add.reduceat(np.isnan(block["force"].values).sum(axis=1), first) if first.size else first
    has_forces, has_energy = n_missing == 0, ~np.isnan(block["energy"].values)
    torn = ~has_forces & (n_missing != 3 * block["n_atoms"].values)
    made = block["status"].values == OK
    return np.asarray(torn | np.where(made, ~(has_energy | has_forces), has_energy | ~(n_missing > 0)))


@_sound_offsets
def _pushed(block: xr.Dataset) -> Mask:
    net = check.net_force(block["force"].values, block["first_atom"].values)
    limit = check.NET_FORCE_EV_A * np.sqrt(block["n_atoms"].values)
    return np.asarray((net > limit) & ~block["pbc"].values.any(axis=1))


@_sound_offsets
def _touching(block: xr.Dataset) -> Mask:
    names = ("position", "first_atom", "n_atoms", "cell", "pbc")
    position, first_atom, n_atoms, cell, pbc = (block[name].values for name in names)
    mask = np.zeros(first_atom.shape, dtype=bool)
    mask[check.contacts(position, first_atom, n_atoms, cell, pbc)[0]] = True
    return np.asarray(mask & (block["status"].values == OK))


def _cell_unfit(block: xr.Dataset) -> Mask:
    cell, pbc = block["cell"].values, block["pbc"].values
    flat = (check.cell_heights(cell, pbc) <= check.FLATTEST_CELL_A).any(axis=1)
    return np.asarray(flat | (~pbc.any(axis=1) & (cell != 0).any(axis=(1, 2))))


def _stress_unfit(block: xr.Dataset) -> Mask:
    stress = block["stress"].values
    none, given = np.isnan(stress).all(axis=(1, 2)), np.isfinite(stress).all(axis=(1, 2))
    may_have = block["pbc"].values.all(axis=1) & (block["status"].values == OK)
    symmetric = (stress == stress.transpose(0, 2, 1)).all(axis=(1, 2))
    return np.asarray(~(none | (given & may_have & symmetric)))


def _provenance_unreadable(block: xr.Dataset) -> Mask:
    texts = [str(text) for text in block["provenance"].values]
    bad = {text for text in set(texts) if not _level(text)}
    return np.array([text in bad for text in texts], dtype=bool)


def _several_levels(block: xr.Dataset) -> Mask:
    return np.asarray(len({_level(text) for text in set(block["provenance"].values)}) > 1)


def _level(text: str) -> str:
    """The level of theory that a provenance names, "" where it is no JSON object or names none."""
    try:
        provenance = json.loads(text)
    except ValueError:
        return ""
    level = provenance.get("level") if isinstance(provenance, dict) else None
    return level if isinstance(level, str) else ""


def _no_configurations(block: xr.Dataset) -> Mask:
    return np.asarray(block["n_atoms"].values.size == 0)


FACTS = (
    Fact(
        name="some",
        expected="at least one configuration",
        variables=("n_atoms",),
        violated=_no_configurations,
        whole=True,
    ),
    Fact(
        name="offsets",
        expected="first_atom to be the sum of n_atoms before, n_atoms to sum up to the number of atoms",
        variables=CSR,
        violated=_offsets_broken,
        whole=True,
    ),
    Fact(
        name="labels",
        expected="energy or forces where status is 0, forces of all atoms or none, NaN where status is 1",
        variables=(*CSR, "status", "energy", "force"),
        violated=_labels_missing,
        whole=True,
        owners=OWNERS,
    ),
    Fact(
        name="net_force",
        expected=f"|sum of forces| <= {check.NET_FORCE_EV_A:g} eV/A sqrt(n_atoms) in open systems",
        variables=(*CSR, "force", "pbc"),
        violated=_pushed,
        whole=True,
        owners=OWNERS,
    ),
    Fact(
        name="distance",
        expected=f"atoms and images at least {check.CONTACT_A:g} A apart where status is 0",
        variables=(*CSR, "position", "cell", "pbc", "status"),
        violated=_touching,
        whole=True,
        owners=OWNERS,
    ),
    Fact(
        name="cell_fits",
        expected="a volume above zero where periodic, zeros as cell where not",
        variables=("cell", "pbc"),
        violated=_cell_unfit,
    ),
    Fact(
        name="stress_fits",
        expected="a symmetric stress, only where status is 0 and all directions are periodic, else NaN",
        variables=("stress", "pbc", "status"),
        violated=_stress_unfit,
    ),
    Fact(
        name="provenance_stated",
        expected='a JSON object with the key "level"',
        variables=("provenance",),
        violated=_provenance_unreadable,
    ),
    Fact(
        name="one_level",
        expected="one level of theory in the whole store",
        variables=("provenance",),
        violated=_several_levels,
        whole=True,
    ),
)
