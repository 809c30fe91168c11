"""What the commands about the clone itself are asked: repro, profile, replicate, doctor, validate, diff, publish."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from pipeline.commands.options.declaring import Option, Options

__all__ = [
    "DiffOptions",
    "DoctorOptions",
    "ExperimentsOptions",
    "ProfileOptions",
    "PublishOptions",
    "ReplicateOptions",
    "ReproOptions",
    "ValidateOptions",
]


@dataclass(frozen=True, kw_only=True)
class ReproOptions(Options):
    """Run the pipeline, or a stage and what it needs.

    Goes on where it was stopped, and ends by saying where the report lies.

    Whatever `dvc repro` takes may be added, such as --force or --single-item.
    """

    free: ClassVar[bool] = True

    words: Annotated[
        list[str], Option("stages, and arguments of `dvc repro`", argument=True, metavar="STAGE", unset="all")
    ] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ExperimentsOptions(Options):
    """Show the experiments of DVC by what differs.

    Whatever `dvc exp show` takes may be added, such as --csv or --all-commits.
    """

    free: ClassVar[bool] = True

    words: Annotated[list[str], Option("arguments of `dvc exp show`", argument=True, metavar="WORD", unset="none")] = (
        field(default_factory=list)
    )


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Options):
    """Say what this machine lacks, and what to do.

    Exit status 1 where the pipeline cannot run; an optional part that is missing is no failure.

    With --remote, looks at a DVC remote instead: is it reached with the credentials of this clone, may one write there,
    and are the data of this revision there, whole? A file of 20 bytes is put there and removed.
    """

    remote: Annotated[str | None, Option("look at this DVC remote instead", metavar="NAME", unset="this machine")] = (
        None
    )
    drop_damaged: Annotated[
        bool, Option("remove damaged objects from --remote, so that `dvc push` sends them anew")
    ] = False

    def problems(self) -> list[str]:
        return ["--drop-damaged: needs --remote NAME"] if self.drop_damaged and not self.remote else []


@dataclass(frozen=True, kw_only=True)
class ValidateOptions(Options):
    """Check stores against their schemas.

    Every shard is read; every violation is listed with its place.
    """

    paths: Annotated[list[Path], Option("stores, such as data/spectra.zarr", argument=True, metavar="PATH", read=True)]
    manifest: Annotated[
        Path | None, Option("JSON with the `hash` expected of the store", metavar="FILE", read=True, unset="none")
    ] = None

    def problems(self) -> list[str]:
        if self.manifest is not None and len(self.paths) > 1:
            return [f"--manifest: found {len(self.paths)} stores, expected one, which the manifest is of"]
        return []


@dataclass(frozen=True, kw_only=True)
class DiffOptions(Options):
    """Say what differs between two stores or versions.

    A store is a path, or PATH@REVISION: as it was at a git tag, branch or commit. NAME@VERSION names an artifact.
    """

    stores: Annotated[list[str], Option("two: PATH, PATH@REVISION or NAME@VERSION", argument=True, metavar="STORE")]
    json: Annotated[bool, Option("print JSON, with all rows and attributes")] = False

    def problems(self) -> list[str]:
        return [] if len(self.stores) == 2 else [f"STORE: found {len(self.stores)}, expected two to compare"]


@dataclass(frozen=True, kw_only=True)
class PublishOptions(Options):
    """Write a store as a folder for others to use.

    A dataset card, Croissant metadata, the store in one zip file, a table, and of atoms the frames as extended XYZ.
    """

    store: Annotated[Path, Option("such as data/spectra.zarr", argument=True, metavar="STORE", read=True)]
    out: Annotated[Path, Option("folder to write", metavar="FOLDER", kind="published dataset")]
    licence: Annotated[
        str | None,
        Option(
            "SPDX identifier or address",
            metavar="ID",
            unset="CC-BY-4.0, of a store that states its own that one; must be given for imported data that state none",
            words=("--licence", "--license"),
        ),
    ] = None
    name: Annotated[str | None, Option("of the dataset", metavar="NAME", unset="that of the store")] = None
    description: Annotated[
        str | None, Option("what it is", metavar="TEXT", unset="of its artifact in dvc.yaml, else of its schema")
    ] = None
    creators: Annotated[
        list[str], Option("who made it", words=("--creator",), metavar="NAME", unset="Latentlaw developers")
    ] = field(default_factory=lambda: ["Latentlaw developers"])
    version: Annotated[str, Option("of the dataset", metavar="N.N.N")] = "1.0.0"
    date: Annotated[str | None, Option("of publication", metavar="YYYY-MM-DD", unset="today")] = None
    url: Annotated[str | None, Option("where it will be found", metavar="URL", unset="not stated")] = None

    def problems(self) -> list[str]:
        import datetime

        from stores.dataset_facts import is_licence

        problems = []
        if self.licence is not None and not is_licence(self.licence):
            problems.append(f"--licence: found {self.licence!r}, expected an SPDX identifier (CC-BY-4.0) or an address")
        if re.fullmatch(r"\d+\.\d+\.\d+", self.version) is None:
            problems.append(f"--version: found {self.version!r}, expected three numbers such as 1.0.0")
        if self.name is not None and re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name) is None:
            problems.append(f"--name: found {self.name!r}, expected letters, digits, . _ - for names of files")
        try:
            datetime.date.fromisoformat(self.date or "2000-01-01")
        except ValueError:
            problems.append(f"--date: found {self.date!r}, expected a date such as 2026-11-30")
        return problems


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(Options):
    """Write params.yaml at another size.

    A profile of profiles/ states what differs; `default` is what the last commit has.
    """

    name: Annotated[str, Option("of the profile: default, tiny, cluster, paper", argument=True, metavar="NAME")]
    overwrite: Annotated[bool, Option("lose edits of params.yaml that are not committed")] = False


@dataclass(frozen=True, kw_only=True)
class ReplicateOptions(Options):
    """Measure the claims again on fresh seeds.

    Takes about twenty minutes of two cores for each data seed and box. Goes on where it was stopped.
    """

    seeds: Annotated[int, Option("data seeds, from the first of the protocol on", low=1)] = 5
    lanes: Annotated[list[str], Option("lanes to measure", words=("--lane",), metavar="NAME", unset="all")] = field(
        default_factory=list
    )
    boxes: Annotated[list[str], Option("boxes of parameters", words=("--box",), metavar="NAME", unset="all")] = field(
        default_factory=list
    )
    only: Annotated[
        list[int],
        Option(
            "measure only these of the data seeds, without a table: to divide them among machines",
            words=("--only",),
            metavar="SEED",
            unset="all",
        ),
    ] = field(default_factory=list)
