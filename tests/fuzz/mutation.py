"""Bytes of a sound file with something wrong in them: flips, cuts, splices, lengths that lie, words out of place.

Containers with checksums (zip, gzip) would refuse nearly every change before a reader sees it. So what is inside is
changed as well, and packed again with checksums that are right.
"""

import gzip
import io
import re
import struct
import zipfile

import numpy as np

__all__ = ["damaged"]

WORDS = (
    *(b"1e300", b"-1e300", b"1e-320", b"nan", b"inf", b"-1", b"0", b"200", b"99999", b"1e400", b"Xx", b"Cl", b"", b'"'),
    *(b"[", b"3.7", b"None", b"null", b"T", b"[[1,2],[3]]", b"\x00", b"9" * 40, b"\xc3\xa9", b"\xff", b"{}", b"{[("),
    *(b"\x1b[31m", b"=cmd()", b"../../x", b"/etc/passwd", b"<script>", b"2147483648", b"18446744073709551616"),
    *(b"[" * 2000, b"|O", b"!!python/object:os.system", b"- - - -", b"&a [*a]", b"\r\n\r\n", b"1_000"),
)
NUMBERS = (0, 1, 127, 255, 2**15, 2**16 - 1, 10**6, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
NAMES = ("../outside.npy", "/outside.npy", "a" * 300, "", "x\x00y", "\x1b[31m")


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A changed copy. One to three changes; inside of a zip or gzip in most cases."""
    if not content:
        return rng.bytes(8)
    if content[:2] == b"PK" and rng.random() < 0.7:
        return _in_zip(content, rng)
    if content[:2] == b"\x1f\x8b" and rng.random() < 0.7:
        return gzip.compress(damaged(gzip.decompress(content), rng), mtime=0)
    for _ in range(rng.integers(1, 4)):
        content = CHANGES[rng.integers(len(CHANGES))](content, rng) or b"\0"
    return content


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for place in rng.integers(0, len(content), rng.integers(1, 9)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut_off(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content))]


def _splice(content: bytes, rng: np.random.Generator) -> bytes:
    """A piece cut out, doubled, or copied over another place."""
    first, last = sorted(rng.integers(0, len(content) + 1, 2))
    way, place = rng.integers(3), int(rng.integers(len(content)))
    if way == 0:
        return content[:first] + content[last:]
    if way == 1:
        return content[:last] + content[first:]
    return content[:place] + content[first:last] + content[place + (last - first) :]


def _length(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes as a whole number that lies, in either order, most often near the begin, where headers are."""
    code = "BHIQ"[rng.integers(4)]
    size = struct.calcsize(code)
    end = len(content) if rng.integers(2) else min(len(content), 512)
    place = int(rng.integers(max(1, end - size + 1)))
    number = NUMBERS[rng.integers(len(NUMBERS))] % 2 ** (8 * size)
    return content[:place] + struct.pack("<>"[rng.integers(2)] + code, number) + content[place + size :]


def _word(content: bytes, rng: np.random.Generator) -> bytes:
    words = list(re.finditer(rb"[\w.+-]+", content[:20000]))
    if not words:
        return _flip(content, rng)
    word = words[rng.integers(len(words))]
    return content[: word.start()] + WORDS[rng.integers(len(WORDS))] + content[word.end() :]


def _digits(content: bytes, rng: np.random.Generator) -> bytes:
    """Another number of the same length, which headers with offsets survive."""
    words = list(re.finditer(rb"\d+", content[:20000]))
    if not words:
        return _length(content, rng)
    word = words[rng.integers(len(words))]
    digits = bytes(rng.integers(48, 58, len(word.group())).astype(np.uint8))
    return content[: word.start()] + digits + content[word.end() :]


CHANGES = (_flip, _cut_off, _splice, _length, _word, _word, _digits)


def _in_zip(content: bytes, rng: np.random.Generator) -> bytes:
    """One member changed or under another name; checksums are those of what is in it now."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except (zipfile.BadZipFile, NotImplementedError, EOFError):
        return _flip(content, rng)
    chosen = int(rng.integers(len(members)))
    name, inside = members[chosen]
    way = rng.integers(8)
    if way == 0:
        members[chosen] = (NAMES[rng.integers(len(NAMES))], inside)
    elif way == 1:
        del members[chosen]
    else:
        members[chosen] = (name, damaged(inside, rng))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED if rng.integers(2) else zipfile.ZIP_STORED) as archive:
        for name, inside in members:
            archive.writestr(zipfile.ZipInfo(name), inside)
    return packed.getvalue()
