"""A store as a folder for people outside of DVC: card, Croissant metadata, the store in one file, frames as extxyz."""

import datetime
import importlib
import inspect
import re
from pathlib import Path

from pipeline.commands.options.clone import PublishOptions
from stores.artifacts import artifact_description
from stores.dataset_facts import Publication
from stores.publish import publish
from stores.zarr_store import open_store

__all__ = ["main"]


def main(options: PublishOptions) -> None:
    publication = Publication(
        name=options.name or options.store.resolve().stem,
        creators=tuple(options.creators),
        version=options.version,
        date=datetime.date.fromisoformat(options.date) if options.date else datetime.date.today(),
        licence=options.licence,
        description=options.description or _description(options.store),
        url=options.url or "",
    )
    facts = publish(options.store, options.out, publication)
    print(f"{options.out}: {facts.schema.name}, {facts.n_samples} {facts.sample_dim}s, licence {facts.licence}")
    print("\n".join(f"  {file.name}: {file.n_bytes} bytes, {file.description}" for file in facts.files))
    print("  README.md, croissant.json: read them before you send them")


def _description(store: Path) -> str:
    """Of the artifact in dvc.yaml that lies there, else of the schema."""
    if description := artifact_description(store.resolve()):
        return description
    schema = str(open_store(store).attrs.get("schema"))
    first = (inspect.getdoc(importlib.import_module(f"stores.{schema}")) or "").partition("\n")[0]
    return re.sub(r"^Schema of (`[^`]*`: )?", "", first)
