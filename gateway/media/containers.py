"""Claims of MP4 and WebM files, checked before a demuxer believes them: declared length and number of samples."""

import struct
from collections.abc import Iterator

# Offset of the sample count after each box type. The samples it counts may take no bytes at all.
_COUNTS = {b"stsz": 12, b"stz2": 12, b"trun": 8}
_SEGMENT = b"\x18\x53\x80\x67"


def mp4_is_whole(data: bytes) -> bool:
    """True if every top-level box ends within the file."""
    return all(end <= len(data) for _, _, end in _boxes(data))


def mp4_samples(data: bytes) -> float:
    """Upper bound on declared samples. FFmpeg allocates 72 bytes per sample, present or not."""
    total = 0
    for box_type, start, end in _boxes(data):
        if box_type == b"mdat":
            continue
        if data.find(b"cmov", start, end) >= 0:
            return float("inf")  # compressed tables cannot be counted, and have been out of use for twenty years
        for table, offset in _COUNTS.items():
            place = data.find(table, start, end)
            while place >= 0:
                total += int.from_bytes(data[place + offset : place + offset + 4], "big")
                place = data.find(table, place + 4, end)
    return total


def webm_is_whole(data: bytes) -> bool:
    """True if the segment ends within the file. A live recording declares no length and counts as whole."""
    place = data.find(_SEGMENT, 0, 4096) + len(_SEGMENT)
    if place < len(_SEGMENT) or place >= len(data):
        return False
    length = 9 - data[place].bit_length()
    size = int.from_bytes(data[place : place + length], "big") & ((1 << 7 * length) - 1)
    return size == (1 << 7 * length) - 1 or place + length + size <= len(data)


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) per top-level box; a malformed box extends to the end."""
    start = 0
    while start + 8 <= len(data):
        size, box_type = struct.unpack_from(">I4s", data, start)
        if size == 1 and start + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, start + 8)
        if size < 8:
            yield box_type if size == 0 else b"", start, len(data)
            return
        yield box_type, start, start + size
        start += size
