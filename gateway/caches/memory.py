"""The default cache: a part of this process's memory, bounded by the bytes that it really takes."""

import struct
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache

from gateway.caches.base import CacheStats

_EXPIRY = struct.Struct("<d")
# CPython allocates small objects in steps of 16 bytes.
_STEP = 16
# The most that a growing dict takes for an entry, without key and value.
_TABLE_BYTES = 72


class MemoryCache:
    """An approximate LRU cache in two generations, each a dict that holds half of the bytes.

    Entries that are used move to the young one. When that is full, the old one is dropped and the young one takes its
    place. There is no list of uses to keep: an entry takes 0.19 kB, where an OrderedDict takes 0.25.
    """

    backend = "memory"

    def __init__(self, *, max_bytes: int, ttl_s: float | None = None) -> None:
        self._half_bytes = max_bytes // 2
        self._ttl_s = ttl_s
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._young_bytes = 0
        self._old_bytes = 0
        self._evicted = 0

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        young = self._young
        found = [young.get(key) for key in keys]
        if self._old:
            found = [self._rejuvenated(key) if value is None else value for key, value in zip(keys, found, strict=True)]
        return found if self._ttl_s is None else [_unexpired(value) for value in found]

    async def set_many(self, values: Mapping[bytes, bytes]) -> None:
        expiry = b"" if self._ttl_s is None else _EXPIRY.pack(time.monotonic() + self._ttl_s)
        for key, value in values.items():
            self._add(key, value + expiry)

    async def clear(self) -> None:
        self._young, self._old = {}, {}
        self._young_bytes = self._old_bytes = 0

    async def aclose(self) -> None:
        pass

    def stats(self) -> CacheStats:
        return CacheStats(self._young_bytes + self._old_bytes, self._evicted)

    def _rejuvenated(self, key: bytes) -> bytes | None:
        """A value of the old generation, moved to the young one; None if there is none."""
        value = self._old.pop(key, None)
        if value is not None:
            self._old_bytes -= _entry_bytes(len(key), len(value))
            self._add(key, value)
        return value

    def _add(self, key: bytes, value: bytes) -> None:
        size = _entry_bytes(len(key), len(value))
        replaced = self._young.get(key)
        freed = 0 if replaced is None else _entry_bytes(len(key), len(replaced))
        if self._young_bytes + size - freed > self._half_bytes:
            self._evicted += len(self._old)
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0
            freed = 0
        self._young_bytes += size - freed
        self._young[key] = value


def _unexpired(value: bytes | None) -> bytes | None:
    if value is None or _EXPIRY.unpack_from(value, len(value) - _EXPIRY.size)[0] < time.monotonic():
        return None
    return value[: -_EXPIRY.size]


@cache  # all keys have one length, and values a dozen at most
def _entry_bytes(key_length: int, value_length: int) -> int:
    """Bytes that an entry takes: 184 for a key of 16 and a value of up to 15, 200 for one of up to 31."""
    return _allocated(key_length) + _allocated(value_length) + _TABLE_BYTES


def _allocated(length: int) -> int:
    """Bytes that CPython allocates for a bytes object."""
    return -(-sys.getsizeof(bytes(length)) // _STEP) * _STEP
