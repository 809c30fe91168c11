"""Files that are whole or not there: written beside their place under a temporary name, synced, moved.

    .NAME.<random>.partial    what is being written; a run that was killed leaves it, git and DVC ignore it
    NAME                      complete

The random part lets several processes write the same file: the last one wins, whole. Whoever owns a folder alone
removes what a killed run left there with `clear_partial`. Without NumPy, so that anything may import it.
"""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

__all__ = ["SUFFIX", "clear_partial", "unless_gone", "write_bytes", "write_text"]

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
            written = os.fstat(stream.fileno())
        try:
            os.replace(partial, path)
        except FileNotFoundError:  # also from an NFS server that moved it, was restarted, and is asked again
            if not os.path.samestat(written, path.stat()):
                raise
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def unless_gone() -> Iterator[None]:
    """Ends the block quietly where a file was removed or replaced by another process.

    On NFS this may come after the file was opened, as ESTALE: a server keeps no file for clients that read it.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise


def write_text(path: Path, content: str) -> None:
    """As UTF-8, with newlines as they are."""
    write_bytes(path, content.encode())


def clear_partial(folder: Path) -> None:
    """Remove what killed runs left in `folder` and below."""
    for leftover in folder.rglob(f".*{SUFFIX}"):
        leftover.unlink(missing_ok=True)
