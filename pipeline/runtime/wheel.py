"""What goes into a wheel: `models`, `stores` and `pipeline` inside the package `latentlaw`.

The repository keeps the three side by side, where `python -m pipeline...` of dvc.yaml finds them. Installed so, names
as common as `models` would meet those of other packages, and a user's own models.py would hide ours. So the build hook
copies them into latentlaw/ and writes `latentlaw.models` wherever code says `models`: in imports, and in strings that
name a module ("models.descriptors", as registries and child processes have them). Nothing else changes.
tests/test_wheel.py imports every module of a wheel, and runs it beside a models.py that is not ours.

An editable installation (`make setup`) is the repository itself.
"""

import io
import re
import shutil
import tempfile
import tokenize
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["WheelHook", "inside_latentlaw", "rewritten"]

NAME = "latentlaw"
PACKAGES = ("models", "stores", "pipeline")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
ANY = "|".join(PACKAGES)
IMPORT = re.compile(rf"^(\s*(?:from|import)\s+)({ANY})\b", re.M)
MODULE = re.compile(rf"""(^[a-zA-Z]*["']+|^)({ANY})\.(?=[a-z_{{]|$)|(?<![\w./])({ANY})\.(?=[a-z_]+[.:][a-zA-Z_])""")
STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}  # f-strings have parts since 3.12


class WheelHook(BuildHookInterface[Any]):
    """Called by hatchling."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            self.folder = tempfile.TemporaryDirectory(prefix="latentlaw-")  # is there as long as the hook
            build_data["force_include"][str(inside_latentlaw(Path(self.root), Path(self.folder.name)))] = NAME


def inside_latentlaw(root: Path, target: Path) -> Path:
    """Copy the packages of the repository `root` into one package, target/latentlaw."""
    package = target / NAME
    shutil.copytree(root / NAME, package, ignore=LEFT_OUT)
    for name in PACKAGES:
        shutil.copytree(root / name, package / name, ignore=LEFT_OUT)
    for file in package.rglob("*.py"):
        file.write_text(rewritten(file.read_text()))
    return package


def rewritten(source: str) -> str:
    """Source of a module with the packages' names as they are inside latentlaw."""
    lines = source.splitlines(keepends=True)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    for token in sorted((one for one in tokens if one.type in STRINGS), key=lambda one: one.start, reverse=True):
        (first, start), (last, end) = token.start, token.end
        text = "".join(lines[first - 1 : last])
        after = len(text) - len(lines[last - 1]) + end
        changed = text[:start] + MODULE.sub(_prefixed, text[start:after]) + text[after:]
        lines[first - 1 : last] = [changed] + [""] * (last - first)
    return IMPORT.sub(rf"\1{NAME}.\2", "".join(lines))


def _prefixed(match: re.Match[str]) -> str:
    before, at_start, inside = match.groups()
    return f"{before or ''}{NAME}.{at_start or inside}."
