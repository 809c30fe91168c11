"""What the commands about the clone itself are asked: repro, doctor, validate."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from pipeline.commands.options.declaring import Option, Options

__all__ = ["DoctorOptions", "ProfileOptions", "ReplicateOptions", "ReproOptions", "ValidateOptions"]


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
class ProfileOptions(Options):
    """Write params.yaml at another size.

    A profile of profiles/ states what differs; `default` is what the last commit has.
    """

    name: Annotated[str, Option("of the profile: default, tiny, cluster, paper", argument=True, metavar="NAME")]
    overwrite: Annotated[bool, Option("lose edits of params.yaml that are not committed")] = False


@dataclass(frozen=True, kw_only=True)
class ReplicateOptions(Options):
    """Measure the claims again on fresh seeds.

    Takes about half an hour of two cores for each data seed and box. Goes on where it was stopped.
    """

    seeds: Annotated[int, Option("data seeds, from the first of the protocol on", low=1)] = 5
    lanes: Annotated[list[str], Option("lanes to measure", words=("--lane",), metavar="NAME", unset="all")] = field(
        default_factory=list
    )
    boxes: Annotated[list[str], Option("boxes of parameters", words=("--box",), metavar="NAME", unset="all")] = field(
        default_factory=list
    )
