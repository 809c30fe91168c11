"""A profile is how params.yaml differs at another size; `write_profile` writes the whole file, which is what DVC reads.

    base       params.yaml of the last commit that no profile wrote; without git, params.yaml itself
    overlay    profiles/NAME.yaml: the same tree with only what differs. Lists are replaced as a whole, and so is a
               choice `{name: ..., settings}` by one of another name. A change to an anchored block (&) holds for all
               its aliases (*); an alias that is changed itself becomes a block of its own.

The file that is written names its profile in the first line. Edits by hand are not overwritten unless asked for.
"""

import copy
import io
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.runtime.params import PARAMS_FILE, ParamsError, read_yaml
from stores.atomic import write_text

__all__ = ["DEFAULT", "apply_profile", "profile_names", "profile_text", "write_profile"]

DEFAULT = "default"
MARK = "# Written by `latentlaw profile "


def write_profile(name: str, root: Path, *, overwrite: bool = False) -> Path:
    """Write params.yaml of `root` as the profile `name`, or as committed for `default`. Returns its path.

    Raises ParamsError for an unknown profile, an overlay that does not fit, and for edits that would be lost.
    """
    valid = [DEFAULT, *profile_names(root)]
    if name not in valid:
        raise ParamsError(f"profile: found {name!r}, expected one of {valid}; choose one, or add profiles/{name}.yaml")
    path = root / PARAMS_FILE
    current = path.read_text() if path.is_file() else ""
    base = _committed(root) or (current if current and not _author(current) else "")
    if not base:
        raise ParamsError(
            f"{path}: found a file that a profile wrote and no other in git, expected the params.yaml of the project; "
            "take it from a fresh clone"
        )
    author = _author(current)
    written = profile_text(author, root, base) if author in valid else base
    if not overwrite and current not in ("", base, written):
        raise ParamsError(
            f"{path}: found edits that are not committed, expected none, since they would be lost; commit them, undo "
            f"them (git checkout {PARAMS_FILE}), or write over them with --overwrite"
        )
    write_text(path, profile_text(name, root, base))
    return path


def profile_names(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "profiles").glob("*.yaml"))


def profile_text(name: str, root: Path, base: str) -> str:
    """What params.yaml reads under the profile `name` of `root`, if without one it reads `base`."""
    overlay = root / "profiles" / f"{name}.yaml"
    if name == DEFAULT:
        return base
    changed = apply_profile(base, read_yaml(overlay) or {}, f"profiles/{name}.yaml")
    return f"{MARK}{name}`; back: `latentlaw profile {DEFAULT}`.\n{changed}"


def apply_profile(base: str, overlay: Mapping[str, Any], source: str) -> str:
    """The text of `base` with what `overlay` changes; comments stay. Raises ParamsError that lists all unknown keys."""
    yaml = YAML()
    yaml.preserve_quotes = True  # DVC takes a colon in a plain scalar of a flow mapping for a key
    yaml.width = 140
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    tree = yaml.load(base)
    problems: list[str] = []
    _change(tree, overlay, "", _first_key_paths(tree, "", {}), problems)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise ParamsError(f"{source}: {len(problems)} problem(s)\n{listed}")
    text = io.StringIO()
    yaml.dump(tree, text)
    return text.getvalue()


def _author(text: str) -> str:
    """The profile that wrote this params file; "" for none."""
    return text.removeprefix(MARK).partition("`")[0] if text.startswith(MARK) else ""


def _committed(root: Path) -> str:
    """params.yaml of the last commit that no profile wrote; "" without git or such a commit."""
    commits = _git(root, "log", "--format=%H", "--", PARAMS_FILE).split()
    texts = (_git(root, "show", f"{commit}:./{PARAMS_FILE}") for commit in commits)
    return next((text for text in texts if text and not _author(text)), "")


def _git(root: Path, *arguments: str) -> str:
    try:
        reply = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return reply.stdout if reply.returncode == 0 else ""


def _first_key_paths(node: Any, key_path: str, key_paths: dict[int, str]) -> dict[int, str]:  # noqa: ANN401 - YAML
    """Where each mapping stands first: at its anchor, not at an alias."""
    if isinstance(node, Mapping) and key_paths.setdefault(id(node), key_path) == key_path:
        for key, value in node.items():
            _first_key_paths(value, f"{key_path}.{key}", key_paths)
    return key_paths


def _change(node: Any, changes: Mapping[str, Any], key_path: str, first: dict[int, str], problems: list[str]) -> None:  # noqa: ANN401
    for key, value in changes.items():
        here = f"{key_path}.{key}"
        if key not in node:
            problems.append(f"{here[1:]}: found an unknown key, expected one of {sorted(node)}; remove or rename it")
            continue
        old = node[key]
        mappings = isinstance(value, Mapping) and isinstance(old, Mapping)
        if not mappings or value.get("name", old.get("name")) != old.get("name"):
            node[key] = value
            continue
        if first.get(id(old), here) != here:
            old = node[key] = copy.deepcopy(old)
            old.yaml_set_anchor(None)
        _change(old, value, here, first, problems)
