"""The default cache: this process's memory, in two generations, bounded by the bytes it really uses."""

import struct
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache

from gateway.caches.base import CacheStats

_EXPIRY = struct.Struct("<d")
# CPython takes memory for small objects in steps of 16 bytes, and a growing dict never has more than this an entry.
_STEP = 16
_TABLE_BYTES = 72


class MemoryCache:
    """Two dicts, young and old. What is used moves to the young one; when that holds half of the bytes, the old one
    is dropped and the young one takes its place. So the least recently used go first, with no list of uses to keep:
    an entry takes 0.18 kB, where an OrderedDict takes 0.25.
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
        value = self._old.pop(key, None)
        if value is not None:
            self._old_bytes -= _entry_bytes(len(key), len(value))
            self._add(key, value)
        return value

    def _add(self, key: bytes, value: bytes) -> None:
        if key not in self._young:
            size = _entry_bytes(len(key), len(value))
            if self._young_bytes + size > self._half_bytes:
                self._evicted += len(self._old)
                self._old, self._old_bytes = self._young, self._young_bytes
                self._young, self._young_bytes = {}, 0
            self._young_bytes += size
        self._young[key] = value


def _unexpired(value: bytes | None) -> bytes | None:
    if value is None or _EXPIRY.unpack_from(value, len(value) - _EXPIRY.size)[0] < time.monotonic():
        return None
    return value[: -_EXPIRY.size]


@cache  # there are two lengths of value, and one of key
def _entry_bytes(key_length: int, value_length: int) -> int:
    return _allocated(key_length) + _allocated(value_length) + _TABLE_BYTES


def _allocated(length: int) -> int:
    return -(-sys.getsizeof(bytes(length)) // _STEP) * _STEP
