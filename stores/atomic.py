"""Files that are whole or not there: written beside their place under a temporary name, synced, moved.

    .NAME.<random>.partial    what is being written; a run that was killed leaves it, git and DVC ignore it
    NAME                      complete

The random part lets several processes write the same file: the last one wins, whole. Whoever owns a folder alone
removes what a killed run left there with `clear_partial`. Without NumPy, so that anything may import it.
"""

import os
import uuid
from pathlib import Path

__all__ = ["SUFFIX", "clear_partial", "write_bytes", "write_text"]

SUFFIX = ".partial"


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces what lies at `path`; makes its folder. Raises OSError, such as of a full disk; nothing is left then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{SUFFIX}")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())  # a crash of the machine must not leave a name without its content
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """As UTF-8, with newlines as they are."""
    write_bytes(path, content.encode())


def clear_partial(folder: Path) -> None:
    """Remove what killed runs left in `folder` and below."""
    for leftover in folder.rglob(f".*{SUFFIX}"):
        leftover.unlink(missing_ok=True)
