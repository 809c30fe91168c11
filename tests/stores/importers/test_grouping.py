"""What belongs together gets one number, by each of the policies."""

import numpy as np
import pytest
from ase.build import molecule

from stores.importers.grouping import connectivity, group_numbers


def numbered(names: list) -> np.ndarray:
    """Numbers that are equal where names are, below zero where there is none, in no order of first occurrence."""
    return np.array([sorted(set(names)).index(name) if name != "" else -1 for name in names])


def groups(policy: str, made: list, files: list[str] | None = None, labels: list[str] | None = None):
    return group_numbers(
        policy,
        files=numbered(files or ["a"] * len(made)),
        labels=numbered(labels or [""] * len(made)),
        compositions=numbered([tuple(sorted(atoms.numbers)) for atoms in made]),
        connectivities=lambda: (connectivity(atoms.numbers, atoms.positions) for atoms in made),
    )


def test_isomers_differ_by_bonds_and_copies_do_not():
    rng = np.random.default_rng(0)
    ethanol, ether = molecule("CH3CH2OH"), molecule("CH3OCH3")
    copy = ethanol[rng.permutation(len(ethanol))]
    copy.rotate(40, (1, 2, 3))
    copy.rattle(0.02, rng=rng)
    assert groups("connectivity", [ethanol, ether, copy])[0].tolist() == [0, 1, 0]
    assert groups("composition", [ethanol, ether, copy])[0].tolist() == [0, 0, 0]


def test_blocks_are_cut_within_one_file_and_composition():
    water, methane = molecule("H2O"), molecule("CH4")
    made = [water, methane, water, water, methane, water, water]
    assert groups("block:2", made)[0].tolist() == [0, 1, 0, 2, 1, 2, 3]
    assert groups("block:2", made, files=["a"] * 3 + ["b"] * 4)[0].tolist() == [0, 1, 0, 2, 3, 2, 4]


def test_files_and_records():
    made = [molecule("H2O")] * 3
    assert groups("file", made, files=["b", "a", "b"])[0].tolist() == [0, 1, 0]
    assert groups("record", made)[0].tolist() == [0, 1, 2]


def test_auto_takes_labels_then_many_compositions_then_blocks():
    few = [molecule("H2O")] * 25
    numbers, policy = groups("auto", few)
    assert (policy, numbers.max()) == ("block:10", 2)
    assert groups("auto", few, labels=["x", "y", "z", "z", "z"] * 5)[1] == "label"
    numbers, policy = groups("auto", few, labels=["x"] * 15 + ["y"] * 10)  # two groups cannot be split in three
    assert (policy, numbers.max()) == ("block:10", 2)
    assert numbers[14] != numbers[15]
    for n in range(3, 30):
        assert groups("auto", few[:1] * n)[0].max() >= 2
    many = []
    for length in range(1, 21):
        chain = molecule("H2O") * (1, 1, 1)
        for _ in range(length):
            chain += molecule("CH4")
        many.append(chain)
    numbers, policy = groups("auto", [*many, many[3]])
    assert policy == "composition"
    assert numbers[-1] == 3


@pytest.mark.parametrize("policy", ["block", "block:0", "block:x", "molecule", ""])
def test_an_unknown_policy_is_refused(policy: str):
    with pytest.raises(ValueError, match="expected one of auto, label, file, block:N"):
        groups(policy, [molecule("H2O")])


def test_labels_that_are_missing_are_reported():
    with pytest.raises(ValueError, match="found 1 configurations without a label"):
        groups("label", [molecule("H2O")] * 2, labels=["a", ""])
