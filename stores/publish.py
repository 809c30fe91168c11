"""A store as a folder that people without this project can use: for a dataset hub, an archive with a DOI, a web server.

    README.md            the dataset card: what, how made, licence, sizes, units, hashes, how to load, known limits
    croissant.json       the same for programs (MLCommons Croissant), with the hash of each file
    NAME.zarr.zip        the store as one file, which Zarr, xarray and `unzip` open; not compressed again
    samples.csv          the columns with one number or text a sample (configs.csv of atoms)
    NAME.extxyz[.gz]     of atoms: the labelled frames

One file for the store, because a hash, in Croissant and in archives, is that of a file. The same store, version and
date give the same bytes.
"""

import csv
import hashlib
import shutil
import zipfile
from pathlib import Path

import xarray as xr

from stores.building import building, require_replaceable
from stores.croissant import croissant_text
from stores.dataset_card import card_text
from stores.dataset_facts import DatasetFacts, FileFacts, Publication, dataset_facts, licence_of, row_blocks
from stores.extxyz_export import write_extxyz
from stores.layout import scan
from stores.validate import find_schema, require_valid
from stores.zarr_store import open_store

__all__ = ["KIND", "publish"]

KIND = "published dataset"
LARGE_BYTES = 16 * 1024 * 1024  # extxyz beyond is compressed
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can state: bytes must not depend on the day


def publish(store: str | Path, out: str | Path, publication: Publication) -> DatasetFacts:
    """Write the folder `out`, replacing one that this function made.

    Raises SchemaError for a store that is not valid, OutputRefused for an `out` that was not made here, ValueError for
    a licence that contradicts the store's.
    """
    store = Path(store)
    require_replaceable(out, KIND)
    dataset = open_store(store)
    schema = find_schema(dataset.attrs.get("schema"), dataset.attrs)
    if schema is None:
        raise ValueError(
            f"{store}: found schema {dataset.attrs.get('schema')!r}, expected one of stores/; publish those"
        )
    licence = licence_of(dataset.attrs, publication.licence, where=str(store))
    require_valid(store, schema)
    facts = dataset_facts(store, dataset, schema, publication, licence)
    with building(out, KIND) as folder:
        folder.mkdir()
        name = publication.name
        _add(facts, folder / f"{name}.zarr.zip", "application/zip", f"the whole store, Zarr format 3, {_arrays(facts)}")
        _zip(store, folder / f"{name}.zarr.zip")
        table = folder / f"{facts.sample_dim}s.csv"
        _add(facts, table, "text/csv", f"one line for each {facts.sample_dim}: the columns with one value each")
        _write_table(dataset, facts, table)
        if schema.name == "atoms" and (frames := write_extxyz(dataset, folder / f"{name}.extxyz", LARGE_BYTES)):
            media = "application/gzip" if frames.suffix == ".gz" else "text/plain"
            _add(
                facts, frames, media, "the labelled frames in extended XYZ: A, eV, eV/A, eV/A^3; stress as ASE signs it"
            )
        for file in facts.files:
            file.n_bytes, file.sha256 = (folder / file.name).stat().st_size, _sha256(folder / file.name)
        (folder / "croissant.json").write_text(croissant_text(facts))
        (folder / "README.md").write_text(card_text(facts))
    return facts


def _write_table(dataset: xr.Dataset, facts: DatasetFacts, file: Path) -> None:
    """Numbers with all their digits, NaN as nothing."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["row", *facts.table_columns])
        for first, values in row_blocks(dataset, facts.table_columns):
            cells = [values[name].tolist() for name in facts.table_columns]
            for number, row in enumerate(zip(*cells, strict=True)):
                writer.writerow([first + number, *("" if cell != cell else cell for cell in row)])


def _zip(store: Path, file: Path) -> None:
    """All files of the store, in order and without a time, so that equal stores are equal files."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(scan(store).files):
            with (store / name).open("rb") as source, archive.open(zipfile.ZipInfo(name, ZIP_TIME), "w") as target:
                shutil.copyfileobj(source, target)


def _add(facts: DatasetFacts, file: Path, media_type: str, description: str) -> None:
    facts.files.append(FileFacts(name=file.name, description=description, media_type=media_type, n_bytes=0, sha256=""))


def _arrays(facts: DatasetFacts) -> str:
    arrays = [column for column in facts.columns if column.name not in facts.table_columns]
    return "with the arrays " + ", ".join(f"{column.name} ({column.dims})" for column in arrays)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
