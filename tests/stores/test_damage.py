"""Whatever lies in the place of a store, the validator answers with violations: soon, and in little memory."""

import json
import os
import random
import shutil
import signal
import socket
import struct
import tracemalloc
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import xarray as xr
import zarr
from numcodecs.zstd import compress

from stores import atoms, microstructures, spectra
from stores.atoms import ATOMS
from stores.microstructures import MICROSTRUCTURES
from stores.schema import Fact, SchemaError, StoreSchema, Variable, block_violations, whole_violations
from stores.spectra import SPECTRA
from stores.validate import validate
from stores.zarr_store import open_store, write_store

KINDS = {"spectra": (SPECTRA, spectra), "atoms": (ATOMS, atoms), "microstructures": (MICROSTRUCTURES, microstructures)}
MEMORY_BYTES = 64 * 1024 * 1024  # far more than these stores need, far less than is claimed below
SECONDS = 60


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder with a store of each kind."""
    folder = tmp_path_factory.mktemp("sound")
    for name, (schema, module) in KINDS.items():
        write_store(folder / name, schema, module.tiny())
    return folder


@pytest.fixture
def store(sound, tmp_path):
    return Path(shutil.copytree(sound / "spectra", tmp_path / "spectra.zarr"))


@pytest.fixture(autouse=True)
def _no_waiting():
    """A test that waits for a named pipe fails instead."""

    def give_up(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def message(path):
    """All violations as text; memory asked for stays small, however briefly it was held."""
    tracemalloc.start()
    try:
        violations = validate(path)
        asked = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert asked < MEMORY_BYTES
    return "\n".join(map(str, violations))


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_manifest(store, change):
    def within(group):
        manifest = json.loads(group["attributes"]["manifest"])
        change(manifest)
        group["attributes"]["manifest"] = json.dumps(manifest)

    edit(store / "zarr.json", within)


# What is no file or folder of a store.


@pytest.mark.parametrize("name", ["zarr.json", "level/zarr.json", "level/c/0"])
def test_a_named_pipe_is_reported_and_not_waited_for(name, store):
    (store / name).unlink()
    os.mkfifo(store / name)
    assert "no store here" in message(store) if name == "zarr.json" else f"{name}: found a named pipe" in message(store)
    with pytest.raises((SchemaError, FileNotFoundError)):
        open_store(store)


def test_a_socket_is_reported(store, monkeypatch):
    monkeypatch.chdir(store / "level")  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("note")
        assert "level/note: found a socket, expected a file" in message(store)


@pytest.mark.parametrize("name", ["level/zarr.json", "level/c/0", "level/c", "level"])
def test_a_symbolic_link_in_the_place_of_a_file_or_folder_is_reported(name, store, tmp_path):
    shutil.move(store / name, tmp_path / "elsewhere")
    (store / name).symlink_to(tmp_path / "elsewhere")
    assert f"(store), {name}: found a symbolic link to" in message(store)


def test_links_that_dvc_makes_into_its_cache_are_files(store, tmp_path):
    """`dvc config cache.type symlink` checks out every file as one."""
    for number, file in enumerate(sorted(path for path in store.rglob("*") if path.is_file())):
        cached = tmp_path / f".dvc/cache/files/md5/{number:02x}/{number:030x}"
        cached.parent.mkdir(parents=True)
        shutil.move(file, cached)
        file.symlink_to(cached)
    assert message(store) == ""
    (store / "level/c/0").resolve().unlink()
    assert "(store), level/c/0: found a symbolic link" in message(store)


@pytest.mark.parametrize("name", ["stray", "level/stray", "level/c/1", "spectrum/c/0/stray/deeper"])
def test_a_stray_empty_folder_is_reported(name, store):
    (store / name).mkdir(parents=True)
    assert f"(store), {name}: unexpected empty folder; remove it" in message(store)


def test_a_store_behind_a_link_is_valid(store, tmp_path):
    (tmp_path / "link").symlink_to(store)
    assert message(tmp_path / "link") == ""


# Headers that claim more than there is.


def claim(store, name, change):
    """Change the header of an array, and with it all that vouches for it."""
    edit(store / name / "zarr.json", change)
    document = json.loads((store / name / "zarr.json").read_text())
    edit(store / "zarr.json", lambda group: group["consolidated_metadata"]["metadata"].update({name: document}))


@pytest.mark.parametrize("rows", [2**31, 2**62])
def test_rows_that_no_file_holds_are_reported_before_memory_is_asked_for(rows, store):
    for name in [v.name for v in SPECTRA.variables]:
        claim(store, name, lambda header: header["shape"].__setitem__(0, rows))
    claim(store, "omega", lambda header: header["shape"].__setitem__(0, rows))
    assert "omega, zarr.json: claims" in message(store)
    with pytest.raises(SchemaError, match=r"omega, zarr\.json: claims"):
        open_store(store)


def test_rows_and_shards_of_gigabytes_are_reported_before_memory_is_asked_for(store):
    def wide(header):
        header["shape"][1] = header["chunk_grid"]["configuration"]["chunk_shape"][1] = 2**31
        header["codecs"][0]["configuration"]["chunk_shape"][1] = 2**31

    def tall(header):
        header["chunk_grid"]["configuration"]["chunk_shape"] = [2**31]
        header["codecs"][0]["configuration"]["chunk_shape"] = [2**31]

    claim(store, "spectrum", wide)
    claim(store, "level", tall)
    said = message(store)
    assert f"spectrum, zarr.json: claims {2**33} bytes for one row" in said
    assert "level, zarr.json: claims chunks of (2147483648,) in shards of (2147483648,), expected (16384,)" in said


def test_cells_of_gigabytes_are_reported(store):
    claimed_type = {"name": "null_terminated_bytes", "configuration": {"length_bytes": 2**33}}
    edit(store / "level/zarr.json", lambda header: header.update(data_type=claimed_type))
    assert "level, zarr.json: metadata cannot be read: ValueError: found data_type" in message(store)


def test_metadata_of_gigabytes_are_reported(store):
    os.truncate(store / "level/zarr.json", 2**33)
    assert "level, zarr.json: metadata cannot be read: ValueError: found more than" in message(store)
    with pytest.raises(SchemaError, match=r"level/zarr\.json: found 8589934592 bytes, expected metadata"):
        open_store(store)
    os.truncate(store / "zarr.json", 2**33)
    assert "found more than" in message(store)


@pytest.mark.parametrize("name", ["pickle", "numcodecs.pickle"])
def test_a_codec_that_unpickles_is_refused(name, store):
    claim(store, "level", lambda header: header.update(codecs=[{"name": name, "configuration": {}}]))
    assert f"level, zarr.json: not stored as stores are: found codecs ['{name}']" in message(store)
    with pytest.raises(SchemaError, match="metadata: cannot be read"):
        open_store(store)


@pytest.mark.parametrize("value", ["", [], {"a": 1}, "x"])
def test_a_header_that_zarr_cannot_read_is_a_violation_also_on_opening(value, store):
    claim(store, "level", lambda header: header.update(fill_value=value))
    with pytest.raises(SchemaError, match="metadata: cannot be read"):
        open_store(store)


def write_shard(file, header, chunk, *, length=None, before=b""):
    """A shard with one chunk whose checksums are all right, as somebody may make it on purpose."""
    claimed_shape = header["chunk_grid"]["configuration"]["chunk_shape"]
    n_chunks = int(np.prod(claimed_shape) // np.prod(header["codecs"][0]["configuration"]["chunk_shape"]))
    chunk += struct.pack("<I", google_crc32c.value(chunk))
    index = struct.pack("<QQ", len(before), len(chunk) if length is None else length) + b"\xff" * 16 * (n_chunks - 1)
    file.write_bytes(before + chunk + index + struct.pack("<I", google_crc32c.value(index)))


def frame_that_claims(n_bytes):
    """A zstd frame of one segment with an eight-byte content size, holding one block of nothing (RFC 8878)."""
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", n_bytes) + b"\x01\x00\x00"


def header_of(store, name):
    return json.loads((store / name / "zarr.json").read_text())


@pytest.mark.parametrize(("name", "shard"), [("level", "c/0"), ("failure", "c/0"), ("spectrum", "c/0/0")])
@pytest.mark.parametrize("gibibytes", [8, 19])
def test_a_frame_that_claims_gigabytes_is_reported(name, shard, gibibytes, store):
    write_shard(store / name / shard, header_of(store, name), frame_that_claims(gibibytes * 2**30))
    assert f"{name}, rows 0 to 4: cannot be decoded, the file is damaged: a chunk claims {gibibytes << 30}" in message(
        store
    )


def test_a_frame_that_does_not_say_its_size_is_reported(store):
    frame = b"\x28\xb5\x2f\xfd\x00\x58\x01\x00\x00"  # decoded as a stream, it may become anything
    write_shard(store / "level/c/0", header_of(store, "level"), frame)
    assert "a chunk claims None bytes, expected 131072" in message(store)


def test_texts_that_a_chunk_does_not_hold_are_reported(store):
    write_shard(store / "failure/c/0", header_of(store, "failure"), compress(struct.pack("<I", 2**32 - 1)))
    assert "failure, rows 0 to 4: cannot be decoded, the file is damaged: a chunk claims 4294967295 texts" in message(
        store
    )


@pytest.mark.parametrize(("length", "before"), [(2**62, b""), (None, b"?" * 9)])
def test_an_index_that_does_not_fit_the_file_is_reported(length, before, store):
    frame = compress(np.zeros(16384).tobytes())
    write_shard(store / "level/c/0", header_of(store, "level"), frame, length=length, before=before)
    assert "level, rows 0 to 4: cannot be decoded, the file is damaged: found" in message(store)


def test_a_chunk_longer_than_it_can_be_is_reported(store):
    write_shard(store / "level/c/0", header_of(store, "level"), frame_that_claims(131072) + bytes(2**18))
    assert "a chunk of 262164 bytes at 0 cannot be" in message(store)


def test_a_shard_that_grew_is_reported(store):
    os.truncate(store / "level/c/0", 2**33)
    assert "level, rows 0 to 4: cannot be decoded" in message(store)


# The manifest and the second copy of the metadata.


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m.update(note="hello"), "unknown key 'note'"),
        (lambda m: m.pop("sizes"), "missing key 'sizes'"),
        (lambda m: m.update(variables=[1]), "variables is of type list, expected an object"),
        (lambda m: m["variables"].update(level=7), "variables holds 7, expected str"),
        (lambda m: m["variables"].update(note="0" * 64), "note, manifest: variables: a name that the schema"),
        (lambda m: m["metadata"].update(note="0" * 64), "note, manifest: metadata: a name that the schema"),
        (lambda m: m["sizes"].update(note=3), "(store), manifest: found sizes"),
        (lambda m: m["sizes"].update(sample=5.0), "sizes holds 5.0, expected int"),
        (lambda m: m["sizes"].update(sample=True), "sizes holds True, expected int"),
    ],
)
def test_additions_and_changes_inside_the_manifest_are_reported(change, problem, store):
    edit_manifest(store, change)
    assert problem in message(store)


@pytest.mark.parametrize("manifest", [[], 3, "{", "[]", '{"hash": NaN}', '{"hash": "a", "hash": "b"}', None, True])
def test_a_manifest_that_is_none_is_reported(manifest, store):
    edit(store / "zarr.json", lambda group: group["attributes"].update(manifest=manifest))
    assert "(store), manifest: " in message(store)


@pytest.mark.parametrize("attributes", [[], 3, "spectra", None])
def test_attributes_that_are_no_mapping_are_reported(attributes, store):
    edit(store / "level/zarr.json", lambda header: header.update(attributes=attributes))
    assert "level, zarr.json: metadata cannot be read" in message(store)
    edit(store / "zarr.json", lambda group: group.update(attributes=attributes))
    assert "metadata cannot be read: ValueError: found attributes of type" in message(store)


def test_a_second_copy_of_the_metadata_that_differs_is_reported(store):
    def lie(group):
        group["consolidated_metadata"]["metadata"]["level"]["shape"] = [4]

    edit(store / "zarr.json", lie)
    assert "level, zarr.json: the copy in the consolidated metadata differs" in message(store)
    edit(store / "zarr.json", lambda group: group.pop("consolidated_metadata"))
    assert "found no consolidated metadata" in message(store)


def test_stores_written_before_the_second_copy_are_valid(store):
    """Their manifest is an object, and xarray finds the metadata of each array in its folder."""

    def as_before(group):
        group.pop("consolidated_metadata")
        group["attributes"]["manifest"] = json.loads(group["attributes"]["manifest"])

    edit(store / "zarr.json", as_before)
    assert message(store) == ""


def test_a_fact_that_cannot_be_checked_is_reported():
    def fails(_):
        raise IndexError("index 7 is out of bounds")

    variable = Variable(name="a", dims=("row",), dtype="float64", units="D", description="a")
    for whole, check in ((False, block_violations), (True, whole_violations)):
        fact = Fact(name="sum", expected="a sum", variables=("a",), violated=fails, whole=whole)
        schema = StoreSchema(name="s", version="1", coordinates=(), variables=(variable,), facts=(fact,))
        (violation,) = check(xr.Dataset({"a": ("row", np.zeros(3))}), schema)
        assert "cannot be checked, expected a sum (sum): IndexError: index 7" in str(violation)


def test_what_a_terminal_cannot_show_is_written_out(store):
    (store / "x\udcff\x1b[31m").mkdir()
    said = message(store)
    assert "x\\udcff\\x1b[31m: unexpected empty folder" in said
    said.encode()


# Anything at random.

JUNK = [None, True, -1, 0, 2**31, 2**63, 10**400, 1.5, "", "x", "\ud800", [], {}, [[]], [2**31], {"a": 1}, "string"]


def places(node, path=()):
    if path:
        yield path
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in pairs:
        yield from places(child, (*path, key))


def damage_json(document, rng):
    path = rng.choice(list(places(document)))
    node = document
    for key in path[:-1]:
        node = node[key]
    way = rng.choice(["set", "remove", "add"])
    if way == "set":
        node[path[-1]] = rng.choice(JUNK)
    elif way == "remove":
        del node[path[-1]]
    elif isinstance(node, dict):
        node["note"] = rng.choice(JUNK)
    else:
        node.insert(0, rng.choice(JUNK))
    return f"{way} {path}"


def damage_metadata(store, rng):
    file = rng.choice([store / "zarr.json", *store.glob("*/zarr.json")] + [store / "zarr.json"] * 8)
    document = json.loads(file.read_text())
    if file.parent == store and rng.random() < 0.4:
        manifest = json.loads(document["attributes"]["manifest"])
        said = damage_json(manifest, rng)
        document["attributes"]["manifest"] = json.dumps(manifest)
    else:
        said = damage_json(document, rng)
    if json.dumps(json.loads(file.read_text())) == json.dumps(document):
        return ""
    file.write_text(json.dumps(document))
    return f"{said} in {file.relative_to(store)}"


def damage_cell(store, rng):
    array = zarr.open_array(rng.choice([path for path in store.iterdir() if path.is_dir()]), mode="r+")
    before = array[...]
    junk = {
        "f": [np.nan, np.inf, -np.inf, 1e308, -1e308, -1.0],
        "i": [np.iinfo(array.dtype).min, np.iinfo(array.dtype).max, -1, 7] if array.dtype.kind == "i" else [],
        "b": [True, False],
    }.get(array.dtype.kind, ["x", "[" * 10**5, "null", '{"level": 1}', "\u2400"])
    after = before.copy()
    with np.errstate(over="ignore"):
        after[tuple(rng.randrange(size) for size in array.shape)] = rng.choice(junk)
    if repr(after.tolist()) == repr(before.tolist()):
        return ""
    array[...] = after
    return f"a cell of {array.store_path.path or array.store_path}"


def damage_file(store, rng):
    """One file or folder damaged or replaced."""
    file = rng.choice(sorted(path for path in store.rglob("*") if path.is_file()))
    folder = rng.choice(sorted(path for path in store.rglob("*") if path.is_dir()))
    content = file.read_bytes()
    first = rng.randrange(len(content))
    last = rng.randrange(first, len(content)) + 1
    aside = store.parent / "aside"
    way = rng.choice(
        ["flip", "cut", "zeros", "grow", "sparse", "swap", "delete", "pipe", "folder", "link", "links", "stray"]
    )
    if way == "flip":
        file.write_bytes(content[:first] + bytes([content[first] ^ 1 << rng.randrange(8)]) + content[first + 1 :])
    elif way == "cut":
        file.write_bytes(content[:first])
    elif way == "zeros":
        file.write_bytes(content[:first] + bytes(last - first) + content[last:])
    elif way == "grow":
        file.write_bytes(content + rng.randbytes(9))
    elif way == "sparse":
        os.truncate(file, 2**33)
        return f"{way} {file.relative_to(store)}"
    elif way == "swap":
        other = rng.choice(sorted(path for path in store.rglob("*") if path.is_file()))
        file.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif way == "stray":
        (folder / "stray").mkdir()
    elif way in ("link", "links"):
        place = file if way == "link" else folder
        shutil.move(place, aside)
        place.symlink_to(aside)
    else:
        file.unlink()
        {"delete": lambda _: None, "pipe": os.mkfifo, "folder": os.mkdir}[way](file)
    changed = way in ("stray", "link", "links", "pipe", "folder") or not file.exists() or file.read_bytes() != content
    return f"{way} {file.relative_to(store)} or {folder.relative_to(store)}" if changed else ""


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("damage", [damage_file, damage_metadata, damage_cell])
def test_no_damage_is_unseen_and_none_is_more_than_a_violation(damage, seed, sound, tmp_path):
    rng = random.Random(seed)
    for number in range(6):
        store = Path(shutil.copytree(sound / rng.choice(list(KINDS)), tmp_path / f"{number}" / "s.zarr"))
        said = damage(store, rng)
        if said:
            assert message(store), said
