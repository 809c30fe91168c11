"""Arrays in a file that is whole or not there: npz and its own sha256, written to a temporary file, synced, renamed.

A file that was torn or altered is told on the standard error and read as missing, so that it is made anew.
"""

import hashlib
import io
import os
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_arrays", "write_arrays"]

DIGEST_BYTES = 32


def write_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises OSError, such as of a full disk; nothing is left then."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    payload = buffer.getvalue()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as stream:
            stream.write(payload)
            stream.write(hashlib.sha256(payload).digest())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read_arrays(file: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays, or None where the file is missing or not what was written."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    payload, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        print(f"{file}: checksum does not fit, it is made anew", file=sys.stderr, flush=True)
        return None
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
