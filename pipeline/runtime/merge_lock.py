"""Git's merge of dvc.lock, by stage instead of by line: what `make setup` tells git to use for files of that name.

    python -m pipeline.runtime.merge_lock BASE OURS THEIRS [NAME]     git's %O %A %B %P; the result replaces OURS

An entry of dvc.lock says what a stage was made from (command, hashes of deps, params) and what came out (outs):

    changed on one side                     that side's entry
    changed on both, alike                  that entry
    changed on both, in different inputs    inputs of neither side alone: the stage has to run again. Our entry stays,
                                            whose inputs are no longer those of the merge, so that DVC runs it
    changed on both, in the same input      a conflict: git asks, exit status 1

The third is what a report does that reads two lanes, of which two branches changed one each. Same inputs with
different outputs are a conflict too: nobody can tell which are right. Entries are taken as they are written, byte for
byte, in our order, with stages that only they have after ours.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stores.atomic import write_text

__all__ = ["Merged", "main", "merge_locks"]

ENTRY = re.compile(r"^  (?! )(?P<name>[^\s].*?):[ \t]*\n(?:    .*\n|  - .*\n)*", re.MULTILINE)
HEAD = re.compile(r"\Aschema: .*\nstages:[ \t]*\n")
MISSING = ""


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The merged file, with marks of conflict where there are some, the stages in conflict, those to be run again."""

    text: str
    conflicts: list[str]
    stale: list[str]


def main(arguments: list[str]) -> int:
    """Exit status: 0 merged, 1 in conflict or not understood; then git leaves the file to its user."""
    base, ours, theirs = (Path(word) for word in arguments[:3])
    name = arguments[3] if len(arguments) > 3 else "dvc.lock"
    try:
        merged = merge_locks(base.read_text(), ours.read_text(), theirs.read_text())
    except ValueError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    write_text(ours, merged.text)
    if merged.conflicts:
        print(
            f"{name}: both sides changed the same inputs of {', '.join(merged.conflicts)}; take one side of each, "
            f"`git add {name}`, and run `dvc repro` after the merge",
            file=sys.stderr,
        )
        return 1
    if merged.stale:
        print(f"{name}: merged; {', '.join(merged.stale)} must run again (`make repro`)", file=sys.stderr)
    return 0


def merge_locks(base: str, ours: str, theirs: str) -> Merged:
    """Merge by stage. Raises ValueError for a text that is no dvc.lock as DVC writes it."""
    before, mine, yours = (_entries(text, side) for text, side in ((base, "base"), (ours, "ours"), (theirs, "theirs")))
    blocks, conflicts, stale = [], [], []
    for name in dict.fromkeys([*mine, *yours]):
        old, first, second = (side.get(name, MISSING) for side in (before, mine, yours))
        if first == second or second == old:
            blocks.append(first)
        elif first == old:
            blocks.append(second)
        elif (taken := _by_inputs(*(_parsed(name, text) for text in (old, first, second)))) is not None:
            blocks.append(first if taken != "theirs" else second)
            stale += [name] if taken == "stale" else []
        else:
            blocks.append(f"<<<<<<< ours\n{first}=======\n{second}>>>>>>> theirs\n")
            conflicts.append(name)
    head = next((match[0] for text in (ours, theirs) if (match := HEAD.match(text))), "")
    return Merged(text=head + "".join(blocks), conflicts=conflicts, stale=stale)


def _entries(text: str, side: str) -> dict[str, str]:
    """The text of each stage by its name; none of an empty file, which is what git hands over for one that is new."""
    if not text.strip():
        return {}
    head = HEAD.match(text)
    body = text[head.end() :] if head else ""
    entries = {match["name"]: match[0] for match in ENTRY.finditer(body)}
    try:
        stages = list((yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}).get("stages") or {})
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise ValueError(f"{side}: found no YAML of a dvc.lock ({error}), expected one; merge it by hand") from None
    if "".join(entries.values()) != body or [name.strip("'\"") for name in entries] != stages:
        raise ValueError(f"{side}: found another form than DVC's (schema, then stages); merge it by hand")
    return entries


def _parsed(name: str, text: str) -> dict[str, Any]:
    if text == MISSING:
        return {}
    entry = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))[name.strip("'\"")]
    return dict(entry)


def _by_inputs(old: dict[str, Any], first: dict[str, Any], second: dict[str, Any]) -> str | None:
    """Say "ours" or "theirs" where the merged inputs are those of one side, "stale" where of none; None: a conflict."""
    if not first or not second:
        return None  # removed on one side, changed on the other
    before, mine, yours = _inputs(old), _inputs(first), _inputs(second)
    merged = {}
    for key in before.keys() | mine.keys() | yours.keys():
        base, ours, theirs = before.get(key), mine.get(key), yours.get(key)
        if ours != theirs and base not in (ours, theirs):
            return None
        merged[key] = theirs if ours == base else ours
    merged = {key: value for key, value in merged.items() if value is not None}
    if mine == yours:
        return None  # the same inputs, other outputs
    return "ours" if merged == mine else "theirs" if merged == yours else "stale"


def _inputs(entry: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """What a stage was made from, each under a key of its own."""
    inputs: dict[tuple[str, ...], Any] = {("cmd",): entry["cmd"]} if "cmd" in entry else {}
    for dep in entry.get("deps", []):
        inputs["dep", str(dep["path"])] = {key: value for key, value in dep.items() if key != "path"}
    for file, sections in entry.get("params", {}).items():
        inputs |= {("params", str(file), str(key)): [value] for key, value in sections.items()}
    return inputs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
