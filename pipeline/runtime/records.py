"""The typed JSON files of a stage: built and written by it, read by the pages of the report.

A record class says where its file lies, which stage writes it, and how: `digits` significant digits (17: every bit),
keys in the order of their fields or sorted. What is NaN or infinite in the pipeline is null in the file, so a field
that can be either is `float | None`. A field with a default may be absent, and is then not written.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from stores.atomic import write_text

__all__ = ["Record", "StageFile", "StageRecord", "plain", "write_json"]


class Record(BaseModel):
    """A part of a file; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StageFile(BaseModel):
    """A whole file; with pydantic.RootModel[dict[str, ...]] one that maps names to rows of one kind."""

    model_config = ConfigDict(frozen=True)

    path: ClassVar[str]  # from the top folder
    stage: ClassVar[str]
    digits: ClassVar[int] = 10
    sort_keys: ClassVar[bool] = True

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """From what a stage computed. Raises pydantic.ValidationError, which names every key that does not fit."""
        return cls.model_validate(plain(content, cls.digits))

    @classmethod
    def read(cls, root: Path = Path()) -> Self:
        """Raises ValueError that names the file, each key that does not fit, what was expected and the cure."""
        path = root / cls.path
        try:
            return cls.model_validate(json.loads(path.read_text()))
        except ValidationError as error:
            wrong = [
                f"{'.'.join(map(str, problem['loc'])) or 'the whole file'}: found {_short(problem['input'])}, "
                f"{problem['msg'][:1].lower()}{problem['msg'][1:]}"
                for problem in error.errors(include_url=False)
            ]
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            wrong = [f"found no JSON, expected what the stage {cls.stage} writes ({error})"]
        raise ValueError(f"{path}: {'; '.join(wrong)}. Make it again with `latentlaw repro {cls.stage}`.")

    def write(self, root: Path = Path()) -> None:
        """The whole file or none; the same numbers give the same bytes."""
        write_json(root / self.path, plain(self, 17), digits=self.digits, sort_keys=self.sort_keys)


class StageRecord(StageFile):
    """A file with fixed keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def write_json(path: Path, content: Mapping[str, Any], *, digits: int = 10, sort_keys: bool = False) -> None:
    """The whole file or none, the same bytes for the same numbers."""
    write_text(path, json.dumps(plain(content, digits), indent=2, sort_keys=sort_keys) + "\n")


def plain(value: Any, digits: int = 10) -> Any:  # noqa: ANN401 - JSON
    """JSON without NaN or infinity, floats at `digits` digits."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(exclude_unset=True, by_alias=True), digits)
    if isinstance(value, Mapping):
        return {key: plain(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, digits) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.{digits}g}") if np.isfinite(value) else None
    return value


def _short(value: Any) -> str:  # noqa: ANN401 - JSON
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
