"""Files of pictures that programs write and readers stumble over, byte by byte."""

import struct
from collections.abc import Mapping

import numpy as np

# A gray ramp from black to white.
RAMP = np.arange(256).reshape(16, 16)


def tiff(
    pixels: np.ndarray,
    *,
    bits: int,
    photometric: int,
    sample_format: int = 1,
    more: Mapping[int, int] | None = None,
) -> bytes:
    """An uncompressed TIFF file, little endian, whose samples stand in `pixels` as they are."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    data = pixels.tobytes() if bits != 12 else packed_12_bits(pixels)
    tags = {256: width, 257: height, 259: 1, 262: photometric, 277: samples, 278: height}
    tags |= {279: len(data), 339: sample_format} | dict(more or {})
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    depths = struct.pack("<H", bits) * samples
    entries = {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()}
    entries[339] = struct.pack("<HHIHH", 339, 3, 1, sample_format, 0)
    entries[273] = struct.pack("<HHII", 273, 4, 1, start + len(depths))
    if samples > 2:
        entries[258] = struct.pack("<HHII", 258, 3, samples, start)
    else:
        entries[258] = struct.pack("<HHI", 258, 3, samples) + depths.ljust(4, b"\0")
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    return b"II*\0\x08\0\0\0" + directory + bytes(4) + depths + data


def packed_12_bits(levels: np.ndarray) -> bytes:
    first, second = levels.reshape(-1, 2).T.astype(np.uint16)
    three = (first >> 4, (first & 15) << 4 | second >> 8, second & 255)
    return np.stack(three, axis=-1).astype(np.uint8).tobytes()


def bmp(pixels: np.ndarray, alpha: int) -> bytes:
    """A BMP file of 32 bits whose header speaks of an alpha channel."""
    height, width = pixels.shape
    layers = [pixels, pixels, pixels, np.full_like(pixels, alpha)]
    data = np.stack(layers, axis=-1).astype(np.uint8).tobytes()
    header = struct.pack("<IiiHHIIiiII", 108, width, -height, 1, 32, 3, len(data), 0, 0, 0, 0)
    header += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + data


# A HEIC photograph of one colour, 64x48 pixels, as libheif writes it.
HEIC = bytes.fromhex(
    "0000001c6674797068656963000000006d696631686569636d6961660000017d6d6574610000000000000021"
    "68646c720000000000000000706963740000000000000000000000000000000022696c6f6300000000444000"
    "0100010000000001a10001000000000000001e0000002369696e6600000000000100000015696e6665020000"
    "000001000068766331000000000e7069746d000000000001000000fd69707270000000dd6970636f00000076"
    "687663430103700000009000000000001ef000fcfdf8f800000f03600001001840010c01ffff037000000300"
    "90000003000003001eba0240610001002a42010103700000030090000003000003001ea020810596eae4a6b9"
    "b8086830200000030320000003002162000100064401c173c08900000013636f6c726e636c780001000d0006"
    "80000000146973706500000000000000400000004000000028636c6170000000400000000100000030000000"
    "010000000000000002fffffff000000002000000107069786900000000030808080000001869706d61000000"
    "00000000010001058102030584000000266d6461740000001a2801af1380f810e1a7fffcb3a8fff804cf0fc9"
    "ef3bf3a290cf80"
)
