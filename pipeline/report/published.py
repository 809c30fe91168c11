"""How the headline numbers of a run differ from those of the commit that is checked out, for the end of a run.

With nothing to do this is all that a run does beside DVC, so it imports next to nothing.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["against_published"]

HEADLINE, PARAMS = "reports/metrics/headline.json", "params.yaml"


def against_published(root: Path) -> list[str]:
    """Lines for the terminal; none where a number is missing on either side."""
    mine, published = _read(root / HEADLINE), committed(root, HEADLINE)
    if mine is None:
        return []
    if published is None:
        return [f"{HEADLINE} is not in a commit here: there is nothing to compare with"]
    try:
        numbers: tuple[Mapping[str, Any], Mapping[str, Any]] = json.loads(mine), json.loads(published)
    except ValueError:
        return [f"{HEADLINE}: found no JSON, here or in the last commit: nothing was compared"]
    if sections := changed_params(root):
        return [
            f"params.yaml differs from the last commit ({', '.join(sections)}), so its published numbers are not to be "
            "compared with; `dvc metrics diff` shows both"
        ]
    lines = differences(*numbers)
    if not lines:
        return [f"the {len(numbers[0])} numbers of {HEADLINE} are those of the last commit, to all digits"]
    same = len(numbers[0]) - len(lines)
    return [
        f"{same} of {len(numbers[0])} numbers of {HEADLINE} are those of the last commit; others (here, published):",
        *lines,
        "on another kind of CPU last digits may differ: docs/reproducibility.md",
    ]


def differences(mine: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:
    """One line for each number that is not the same on both sides."""
    lines = []
    width = max(map(len, [*mine, *published]), default=0)
    for name in dict.fromkeys([*mine, *published]):
        here, there = mine.get(name), published.get(name)
        if here == there:
            continue
        change = f"  {(here - there) / abs(there):+.2%}" if _number(here) and _number(there) and there else ""
        lines.append(f"  {name:<{width}}  {_words(here)}  {_words(there)}{change}")
    return lines


def changed_params(root: Path) -> list[str]:
    """Sections of params.yaml that are not those of the last commit; comments do not count."""
    mine, published = _read(root / PARAMS), committed(root, PARAMS)
    if mine is None or published is None or mine == published:
        return []
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        here, there = (yaml.load(text, Loader=loader) for text in (mine, published))
    except yaml.YAMLError:
        return ["not readable"]
    if not (isinstance(here, dict) and isinstance(there, dict)):
        return ["not readable"]
    return [name for name in dict.fromkeys([*here, *there]) if here.get(name) != there.get(name)]


def committed(root: Path, path: str) -> str | None:
    """The file as HEAD has it; None outside a repository, without a commit, or where it is not in it."""
    command = ["git", "-C", str(root), "show", f"HEAD:./{path}"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _number(value: object) -> bool:
    return isinstance(value, int | float)


def _words(value: object) -> str:
    return "not made" if value is None else str(value)
