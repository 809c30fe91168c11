"""Imports of any length are made in the same memory, give the same store, and leave nothing half-made."""

import datetime
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule

from stores.importers import extxyz, labelled
from stores.importers.extxyz import FrameKeys, read_extxyz
from stores.importers.frame_keys import Frame
from stores.importers.label_store import store_reading
from stores.importers.label_survey import Part
from stores.importers.labelled import Block, LabelSettings, Reading
from stores.importers.spool import Spool
from stores.manifest import read_manifest
from stores.validate import validate
from tests.stores.importers.frames import TOTAL_EV, frames
from tests.stores.importers.test_label_table import isolated
from tests.stores.importers.test_stress import crystals

ROOT = Path(__file__).parents[3]
ETHANOL = molecule("CH3CH2OH")
BYTES_PER_RECORD = 800
SETTINGS = LabelSettings(level="test", units="eV")


def far_apart(n_records: int) -> Reading:
    """Ethanol, rattled so much that no two records are near each other."""
    reading = Reading(usual_units="eV", keys={"energy": "E", "forces": "F"}, origin={"format": "test"})
    rng = np.random.default_rng(0)
    for start in range(0, n_records, 1000):
        forces = rng.normal(size=(1000, len(ETHANOL), 3))
        reading.blocks.append(
            Block(
                file="a",
                names=[f"record {row}" for row in range(start, start + 1000)],
                numbers=np.tile(ETHANOL.numbers, 1000),
                n_atoms=np.full(1000, len(ETHANOL)),
                positions=(ETHANOL.positions + rng.uniform(-0.2, 0.2, forces.shape)).reshape(-1, 3),
                energy=sum(TOTAL_EV[z] for z in ETHANOL.numbers) + rng.normal(size=1000),
                forces=(forces - forces.mean(axis=1, keepdims=True)).reshape(-1, 3),
            )
        )
    return reading


def peak_bytes(folder: Path, n_records: int) -> int:
    tracemalloc.start()
    try:
        store_reading(far_apart(n_records), folder / "a.zarr", SETTINGS)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_columns(tmp_path: Path):
    """A record of ethanol has some 900 bytes of columns, held several times where they are held whole."""
    peak_bytes(tmp_path, 1000)
    few, many = peak_bytes(tmp_path, 5_000), peak_bytes(tmp_path, 15_000)
    assert many - few < 10_000 * BYTES_PER_RECORD


def test_memory_does_not_grow_with_the_frames_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extxyz, "PART_ATOMS", 2**11)
    peaks = []
    for n_frames in (300, 1500):
        ase.io.write(tmp_path / "a.xyz", frames(n_frames), format="extxyz")
        tracemalloc.start()
        reading = read_extxyz([tmp_path / "a.xyz"], FrameKeys())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sum(len(block.n_atoms) for block in reading.blocks) == n_frames
    assert peaks[1] < peaks[0] + 2**20


@pytest.mark.parametrize("group", ["auto", "block:3", "composition", "connectivity", "file"])
def test_the_store_is_the_same_however_records_are_parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str):
    made = [*isolated(), *frames(30), *crystals(24), *frames(5, seed=2)]
    made[9].positions[1] = made[9].positions[0]
    made[12].calc.results["energy"] += 5000
    ase.io.write(tmp_path / "a.xyz", made, format="extxyz")
    settings = LabelSettings(level="test", units="eV", group=group, drop_bad=True)
    reports = []
    for parted in (False, True):
        if parted:
            monkeypatch.setattr(labelled, "PART_ATOMS", 7)
            monkeypatch.setattr(extxyz, "PART_ATOMS", 50)
            monkeypatch.setattr(extxyz, "PIECE_LETTERS", 300)
        reports.append(store_reading(read_extxyz([tmp_path / "a.xyz"], FrameKeys()), tmp_path / "a.zarr", settings))
        assert validate(tmp_path / "a.zarr") == []
    whole, parts = reports
    assert whole.hash == parts.hash
    assert [line for line in whole.lines() if "rms" not in line] == [
        line for line in parts.lines() if "rms" not in line
    ]
    assert whole.force_rms_eV_A == pytest.approx(parts.force_rms_eV_A, rel=1e-12)


def test_frames_with_cell_vectors_as_atoms_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    frame = "1\nenergy\nH 0 0 0\nVEC1 5 0 0\nVEC2 0 5 0\nVEC3 0 0 5\n"
    (tmp_path / "a.xyz").write_text(3 * frame)
    monkeypatch.setattr(extxyz, "PIECE_LETTERS", 1)
    found = [frame for frame in extxyz._frames(tmp_path / "a.xyz")]
    assert [frame.cell.tolist() for frame in found] == [(5 * np.eye(3)).tolist()] * 3


def test_frames_after_an_empty_line_are_not_left_out_in_silence(tmp_path: Path):
    ase.io.write(tmp_path / "a.xyz", frames(4), format="extxyz")
    text = (tmp_path / "a.xyz").read_text()
    (tmp_path / "a.xyz").write_text(text + "\n\n")
    assert len(list(extxyz._frames(tmp_path / "a.xyz"))) == 4
    (tmp_path / "a.xyz").write_text(text + "\n" + text)
    with pytest.raises(ValueError, match="found an empty line, expected the number of atoms of the next frame"):
        read_extxyz([tmp_path / "a.xyz"], FrameKeys())


def test_copies_are_noted_and_those_with_another_energy(tmp_path: Path):
    made = frames(40)
    made[31] = made[3]
    made[20] = frames(40)[8]
    made[20].calc.results["energy"] += 0.5
    ase.io.write(tmp_path / "a.xyz", made, format="extxyz")
    report = store_reading(read_extxyz([tmp_path / "a.xyz"], FrameKeys()), tmp_path / "a.zarr", SETTINGS)
    said = "\n".join(report.notes)
    assert "2 records have the atoms and positions of one before" in said
    assert "1 of these copies have another energy, by up to 0.167 eV/atom" in said
    assert f"{tmp_path}/a.xyz, record 20 repeats {tmp_path}/a.xyz, record 8): labels of two levels of theory" in said


KILLED = """
import os, signal, sys
from pathlib import Path
from stores import zarr_store
from stores.importers import labelled, label_store
from tests.stores.importers.test_streaming import SETTINGS, far_apart

if sys.argv[2] == "killed":
    labelled.PART_ATOMS = 2000
    parts = label_store._parts

    def some(*arguments):
        for index, part in enumerate(parts(*arguments)):
            if index == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            yield part

    label_store._parts = some
label_store.store_reading(far_apart(3000), Path(sys.argv[1]), SETTINGS)
"""


def test_a_killed_import_leaves_the_store_that_was_there(tmp_path: Path):
    store_reading(far_apart(1000), tmp_path / "a.zarr", SETTINGS)
    before = read_manifest(tmp_path / "a.zarr").hash
    words = [sys.executable, "-c", KILLED, str(tmp_path / "a.zarr")]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()
    assert subprocess.run([*words, "killed"], cwd=ROOT, env=environment, check=False).returncode == -signal.SIGKILL
    assert read_manifest(tmp_path / "a.zarr").hash == before
    assert validate(tmp_path / "a.zarr") == []
    assert list((tmp_path / "scratch").iterdir()) == []
    report = store_reading(far_apart(3000), tmp_path / "a.zarr", SETTINGS)
    assert report.n_kept == 3000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "scratch"]


def test_a_spool_gives_back_what_was_put_in():
    spool = Spool(range(3))
    spool.append(7)
    assert [*spool, *spool] == [0, 1, 2, 7] * 2
    assert (len(spool), spool[1], spool[-1]) == (4, 1, 7)


def test_a_spool_keeps_types_and_makes_text_of_what_can_be_no_label():
    frame = Frame(
        name="step 0",
        numbers=np.array([1, 8], dtype=np.int16),
        positions=np.arange(6.0).reshape(2, 3),
        cell=np.zeros((3, 3)),
        pbc=np.array([True, False, True]),
        labels={
            "energy": np.float64(-1.5), "text": "a", "none": None, "several": [1, "b", (2.0, b"c")], "nothing": {},
            "names": np.array(["x", None], dtype=object), "day": datetime.date(2026, 11, 30),
        },
    )  # fmt: skip
    spool = Spool([[frame]])
    ((back,),) = spool
    assert type(back) is Frame and back.name == "step 0"
    for name in ("numbers", "positions", "cell", "pbc"):
        given, kept = getattr(frame, name), getattr(back, name)
        assert kept.dtype == given.dtype and kept.flags.writeable
        np.testing.assert_array_equal(kept, given)
    assert type(back.labels["energy"]) is np.float64
    assert back.labels["names"].dtype == object and back.labels["names"].tolist() == ["x", None]
    plain = {name: back.labels[name] for name in ("energy", "text", "none", "several", "nothing", "day")}
    assert plain == {
        "energy": -1.5, "text": "a", "none": None, "several": [1, "b", (2.0, b"c")], "nothing": {}, "day": "2026-11-30",
    }  # fmt: skip
    assert Spool([Part({"energy": np.zeros(2)}, "a.xyz", ["0", "1"])])[0].name(1) == "a.xyz, 1"
