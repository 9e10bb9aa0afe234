"""What an MP4 or WebM file says of itself, read before a demuxer believes it: is all of it there, how much is in it."""

import struct
from collections.abc import Iterator

# Where a box counts samples, from its name on: a table's, or a fragment's, which may be one byte each or none at all.
_COUNTS = {b"stsz": 12, b"stz2": 12, b"trun": 8}
_SEGMENT = b"\x18\x53\x80\x67"


def mp4_is_whole(data: bytes) -> bool:
    return all(end <= len(data) for _, _, end in _boxes(data))


def mp4_samples(data: bytes) -> float:
    """At least as many as a demuxer would make room for, by 72 bytes each, though the file may have none of them."""
    total = 0
    for kind, start, end in _boxes(data):
        if kind == b"mdat":
            continue
        if data.find(b"cmov", start, end) >= 0:
            return float("inf")  # compressed tables, out of use for twenty years
        for name, offset in _COUNTS.items():
            place = data.find(name, start, end)
            while place >= 0:
                total += int.from_bytes(data[place + offset : place + offset + 4], "big")
                place = data.find(name, place + 4, end)
    return total


def webm_is_whole(data: bytes) -> bool:
    """A live recording does not say how long it is, and counts as whole."""
    place = data.find(_SEGMENT, 0, 4096) + len(_SEGMENT)
    if place < len(_SEGMENT) or place >= len(data):
        return False
    length = 9 - data[place].bit_length()
    size = int.from_bytes(data[place : place + length], "big") & ((1 << 7 * length) - 1)
    return size == (1 << 7 * length) - 1 or place + length + size <= len(data)


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each outermost one; what is none is one to the end."""
    start = 0
    while start + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        if size == 1 and start + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, start + 8)
        if size < 8:
            yield kind if size == 0 else b"", start, len(data)
            return
        yield kind, start, start + size
        start += size
