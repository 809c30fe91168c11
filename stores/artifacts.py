"""Datasets and trained models by name and version: `artifacts` of dvc.yaml, and the git tags of their versions.

    spectra@v1.2.0    the tag that `gto register spectra --version v1.2.0` makes: version v1.2.0 of the artifact spectra

The name leads to a path (in dvc.yaml of that revision), the tag to a revision; with both, DVC has the data.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from dvc.api import DVCFileSystem, artifacts_show
from dvc.exceptions import ArtifactNotFoundError, DvcException

__all__ = ["ArtifactVersion", "artifact_description", "artifact_path", "artifact_version", "open_remote_model"]

Model = TypeVar("Model")


@dataclass(frozen=True, kw_only=True)
class ArtifactVersion:
    """Where a version lies: the path in the repository, at a git revision."""

    path: str
    rev: str


def artifact_version(name: str, version: str | None = None, *, repo: str | Path | None = None) -> ArtifactVersion:
    """Version `version` of an artifact, the highest where it is None, in a repository (URL or folder; default: here).

    Raises ValueError where there is no such artifact, or no such version of it.
    """
    where = f"artifact {name!r}, version {version or '(the highest)'}, of {repo or 'this repository'}"
    try:
        artifact = artifacts_show(name, version=version, repo=None if repo is None else str(repo))
    except ArtifactNotFoundError:
        cure = "`gto show` lists versions, `artifacts` of dvc.yaml the names; fetch tags with `git fetch --tags`"
        raise ValueError(f"{where}: found no such tag or name; {cure}") from None
    except DvcException as error:
        raise ValueError(f"{where}: cannot be looked up: {error}") from None
    return ArtifactVersion(path=artifact["path"], rev=artifact["rev"])


def open_remote_model(
    name: str,
    load: Callable[[Path], Model],
    *,
    version: str | None = None,
    repo: str | Path | None = None,
    remote: str | None = None,
) -> Model:
    """A trained model as it was at a version (the highest where None): its folder is fetched and given to `load`.

        open_remote_model("aluminium_potential", load_potential, version="v1.0.0")

    `load` is a loader of models.networks; nothing stays on the disk. Raises ValueError where there is no such artifact
    or version, FileNotFoundError where its folder was never pushed, and what `load` raises.
    """
    artifact = artifact_version(name, version, repo=repo)
    where = f"artifact {name!r}, {artifact.path} at revision {artifact.rev}"
    files = DVCFileSystem(None if repo is None else str(repo), rev=artifact.rev, remote=remote)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / Path(artifact.path).name
        try:
            files.get(f"/{artifact.path}", str(target), recursive=True)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{where}: found no such folder; push it with `dvc push` where it was made"
            ) from None
        return load(target)


def artifact_path(name: str, root: Path) -> str | None:
    """The path of an artifact by dvc.yaml of the working tree; None where there is no artifact of that name."""
    entry = _artifacts(root).get(name)
    return str(entry["path"]) if entry else None


def artifact_description(path: Path) -> str | None:
    """What dvc.yaml says of the artifact at this path, in the project around it; None where it names none there."""
    for root in path.parents:
        if (root / "dvc.yaml").is_file():
            entries = _artifacts(root).values()
            inside = path.relative_to(root).as_posix()
            return next(
                (str(entry["desc"]) for entry in entries if entry.get("path") == inside and "desc" in entry), None
            )
    return None


def _artifacts(root: Path) -> dict[str, Any]:
    if not (root / "dvc.yaml").is_file():
        return {}
    content = yaml.load((root / "dvc.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    return dict(content.get("artifacts") or {})
