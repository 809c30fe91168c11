"""Foreign files, checked before anything is computed with them: whether they can be read, and their arrays.

Memory is asked for by what a file holds, not by what its header claims: at most EXPANSION times its bytes (deflate
gives 1032, LZW 1365), and at most a share of the free memory.
"""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

__all__ = [
    "allowed_bytes",
    "first_line",
    "npz_arrays",
    "own_members",
    "readable",
    "real_numbers",
    "require_held",
    "require_own_content",
    "require_room",
    "whole_numbers",
]

CURE = "the file is damaged or of another format"
EXPANSION = 2000  # bytes of content from one byte of a file
SMALL_BYTES = 2**20  # for which nobody is asked
MEMORY_SHARE = 0.25  # of what is free


@contextmanager
def readable(
    file: Path, expected: str, where: Callable[[], str], cure: str = "it is damaged or cut off"
) -> Iterator[None]:
    """Whatever libraries raise on a damaged file becomes a ValueError that begins with `where()`.

    Raises FileNotFoundError where there is no file.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: found no file, expected {expected}")
    try:
        yield
    except Exception as error:  # decoders raise errors of many kinds on damaged files
        found = f"({type(error).__name__}: {first_line(error)})"
        raise ValueError(f"{where()}: cannot be read {found}, expected {expected}; {cure}") from error


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]


def allowed_bytes() -> int:
    return int(MEMORY_SHARE * psutil.virtual_memory().available)


def require_held(where: str, claimed_bytes: int, stored_bytes: int) -> None:
    """Raises ValueError that begins with `where` where so few bytes cannot hold content of this size."""
    if claimed_bytes > SMALL_BYTES and claimed_bytes > EXPANSION * stored_bytes:
        raise ValueError(f"{where}: claims {claimed_bytes} bytes, found {stored_bytes} in the file; it is damaged")


def require_room(where: str, n_bytes: int) -> None:
    """Raises ValueError that begins with `where` for content that would take more than a quarter of the free memory."""
    if n_bytes > (allowed := allowed_bytes()):
        raise ValueError(
            f"{where} takes {n_bytes / 2**30:.1f} GiB, expected at most {allowed / 2**30:.1f} GiB, a quarter of the "
            "free memory; take every n-th row or point"
        )


def npz_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an NPZ, none of them of objects: those are pickles, which can run code.

    Raises errors of many kinds, for `readable` to explain.
    """
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
        if not isinstance(content, np.lib.npyio.NpzFile):
            raise ValueError("found one array without a name")
        archive = content.zip
        assert archive is not None  # it is open
        members = archive.infolist()
        for member in members:
            require_held(f"member {member.filename!r}", member.file_size, member.compress_size)
            with archive.open(member) as inside:
                _require_shape(member, inside)
        n_bytes = sum(member.file_size for member in members)
        require_held("all members", n_bytes, file.stat().st_size)
        require_room("what is in it", n_bytes)
        return {name: content[name] for name in content.files}


def _require_shape(member: zipfile.ZipInfo, inside: Any) -> None:  # noqa: ANN401 - a file in a zip
    """The header of an array against the size of the member."""
    version = np.lib.format.read_magic(inside)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(inside)
    claimed = int(np.prod([int(size) for size in shape], dtype=object)) * dtype.itemsize
    if not dtype.hasobject and claimed > member.file_size:
        raise ValueError(f"member {member.filename!r} claims {claimed} bytes, found {member.file_size}")


def require_own_content(file: Path) -> None:
    """Raises ValueError where an HDF5 file takes content from another one, or claims more than it stores."""
    import h5py

    with h5py.File(file, "r") as content:
        groups = [content]
        content.visititems(lambda _, item: groups.append(item) if isinstance(item, h5py.Group) else None)
        for group in groups:
            for name, item in own_members(group).items():
                if isinstance(item, h5py.Dataset):
                    require_held(f"{name!r}", item.nbytes or 0, item.id.get_storage_size())


def own_members(group: Any) -> dict[Any, Any]:  # noqa: ANN401 - h5py has no types
    """What lies in a group of an HDF5 file, by name. Raises ValueError for what lies in another file."""
    import h5py

    members = {}
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            raise ValueError(f"found a link to another file under {name!r}, expected all content in this one")
        members[name] = group[name]
        if isinstance(members[name], h5py.Dataset) and (members[name].external or members[name].is_virtual):
            raise ValueError(f"found {name!r} stored in another file, expected all content in this one")
    return members


def real_numbers(values: Any, where: str) -> NDArray[np.float64]:  # noqa: ANN401 - what a file holds
    """Real numbers of any precision as float64. Raises ValueError that begins with `where` for all else."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{where}: found values of type {_type(array)}, expected real numbers; {CURE}")
    return array.astype(np.float64)


def whole_numbers(values: Any, where: str) -> NDArray[np.int64]:  # noqa: ANN401 - what a file holds
    """Whole numbers as int64, also those written as 6.0. Raises ValueError that begins with `where` for all else."""
    array = real_numbers(values, where)
    if (bad := array[~(np.isfinite(array) & (array == np.round(array)) & (np.abs(array) < 2**53))]).size:
        raise ValueError(f"{where}: found {bad[0]:g}, expected whole numbers; {CURE}")
    return array.astype(np.int64)


def _type(array: NDArray[Any]) -> str:
    return f"({', '.join(array.dtype.names)})" if array.dtype.names else str(array.dtype)
