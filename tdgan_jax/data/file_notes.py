"""What stands in picture files beside the picture, where Pillow stumbles over it."""

import io
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

MAX_NOTE_BYTES = 1 << 19
"""Of one note in a PNG file, unpacked; Pillow refuses files with twice as much in one."""

MAX_NOTES_BYTES = 16 << 20
"""Of all notes of a file together; Pillow refuses files with four times as much."""

HEIC_PACKAGE = "pillow-heif: pip install 'tdgan-jax[heic]'"

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_NOTES = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_HEIF_CONTAINERS = (b"mif1", b"msf1")


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int


def is_heic(head: bytes) -> bool:
    """Whether a file is a HEIC photograph, as the cameras of many telephones write.

    Args:
        head: Its first 64 bytes.
    """
    if head[4:8] != b"ftyp":
        return False
    brands = {head[start : start + 4] for start in range(8, min(len(head), 64), 4)}
    return head[8:12] in _HEIF_BRANDS or (head[8:12] in _HEIF_CONTAINERS and b"avif" not in brands)


def has_long_notes(file: IO[bytes]) -> bool:
    """Whether a PNG file holds texts or a colour profile that Pillow would refuse to unpack."""
    return any(True for _ in _long_notes(file))


def without_long_notes(file: IO[bytes]) -> IO[bytes]:
    """A picture file as it is, or a PNG file without notes that Pillow would refuse to unpack.

    Image editors keep the history of a picture in it, tools for screenshots whole documents.

    Args:
        file: A binary file object that can be read again.

    Returns:
        The same object at its beginning, or a copy of the file.
    """
    dropped = list(_long_notes(file))
    file.seek(0)
    if not dropped:
        return file
    kept = io.BytesIO()
    for chunk in dropped:
        kept.write(file.read(chunk.start - file.tell()))
        file.seek(chunk.end)
    kept.write(file.read())
    kept.seek(0)
    return kept


def _long_notes(file: IO[bytes]) -> Iterator[_Chunk]:
    total = 0
    for chunk in _png_chunks(file):
        if chunk.kind not in _PNG_NOTES:
            continue
        file.seek(chunk.start + 8)
        size = _unpacked_size(chunk.kind, file.read(min(chunk.end - chunk.start - 12, 1 << 24)))
        if size > MAX_NOTE_BYTES or total + size > MAX_NOTES_BYTES:
            yield chunk
        else:
            total += size


def _png_chunks(file: IO[bytes]) -> Iterator[_Chunk]:
    file.seek(0)
    if file.read(len(_PNG)) != _PNG:
        return
    end = len(_PNG)
    kind = b""
    while kind != b"IEND":
        start = end
        file.seek(start)
        head = file.read(8)
        if len(head) < 8:
            return
        kind = head[4:]
        end = start + 12 + int.from_bytes(head[:4])
        yield _Chunk(kind, start, end)


def _unpacked_size(kind: bytes, data: bytes) -> int:
    """How many bytes a note has, or the first number of them that is too large."""
    packed = data.partition(b"\0")[2]  # behind the keyword
    if kind == b"iTXt" and packed[:1] == b"\1":
        packed = packed[2:].partition(b"\0")[2].partition(b"\0")[2]  # language, translation
    elif kind in (b"zTXt", b"iCCP"):
        packed = packed[1:]
    else:
        return len(data)
    try:
        return len(zlib.decompressobj().decompress(packed, MAX_NOTE_BYTES + 1))
    except zlib.error:
        return len(data)  # Pillow leaves it aside.
