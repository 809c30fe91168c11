"""What dvc.lock says of how an output was made, its stage with parameters, code and data, and how two differ."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from pipeline.runtime.content_key import PACKAGES
from stores.diff import flattened

__all__ = ["EntryDifference", "entry_difference", "stage_that_made"]


@dataclass(frozen=True, kw_only=True)
class EntryDifference:
    """Of the stage that made two versions of one output. Pairs are (first, second), None where one has none."""

    stage: tuple[str, str]
    command: tuple[str, str] | None
    params: dict[str, tuple[Any, Any]]  # section.key.key -> values that differ
    code: list[str]  # files and folders of code whose hash differs
    data: list[str]  # inputs of the stage whose hash differs

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        name = self.stage[0] if len(set(self.stage)) == 1 else " -> ".join(self.stage)
        lines = [f"stage {name}, by dvc.lock:"]
        lines += [f"  command: {self.command[0]} -> {self.command[1]}"] if self.command else []
        lines += [f"  parameter {key}: {_value(a)} -> {_value(b)}" for key, (a, b) in self.params.items()]
        lines += [f"  code: {path}" for path in self.code]
        lines += [f"  data: {path}" for path in self.data]
        return lines if len(lines) > 1 else [f"stage {name}, by dvc.lock: same parameters, code and data"]


def stage_that_made(lock: str, path: str) -> tuple[str, dict[str, Any]] | None:
    """The stage whose output is `path`, or holds it, and its entry in the text of a dvc.lock; None where none is."""
    content = yaml.load(lock, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    for name, entry in content.get("stages", {}).items():
        for out in entry.get("outs", []):
            if path == out["path"] or path.startswith(f"{out['path']}/"):
                return str(name), entry
    return None


def entry_difference(first: tuple[str, dict[str, Any]], second: tuple[str, dict[str, Any]]) -> EntryDifference:
    """What differs between two entries, each with the name of its stage."""
    commands = str(first[1].get("cmd")), str(second[1].get("cmd"))
    params = [flattened(_params(entry)) for _, entry in (first, second)]
    hashes = [{dep["path"]: _hash(dep) for dep in entry.get("deps", [])} for _, entry in (first, second)]
    paths = [path for path in dict.fromkeys([*hashes[0], *hashes[1]]) if hashes[0].get(path) != hashes[1].get(path)]
    code = [path for path in paths if path.partition("/")[0] in PACKAGES]
    return EntryDifference(
        stage=(first[0], second[0]),
        command=commands if commands[0] != commands[1] else None,
        params={
            key: (params[0].get(key), params[1].get(key))
            for key in dict.fromkeys([*params[0], *params[1]])
            if params[0].get(key) != params[1].get(key)
        },
        code=code,
        data=[path for path in paths if path not in code],
    )


def _params(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of params.yaml; those of another file by its name."""
    params: dict[str, Any] = {}
    for file, sections in entry.get("params", {}).items():
        params |= sections if file == "params.yaml" else {file: sections}
    return params


def _hash(entry: Mapping[str, Any]) -> object:
    return entry.get(str(entry.get("hash", "md5")))


def _value(value: Any) -> str:  # noqa: ANN401 - YAML
    return "absent" if value is None else str(value)
