"""The default cache: this process's memory, in two generations, bounded by the bytes it really uses."""

import struct
import sys
import time
from collections.abc import Mapping, Sequence

from gateway.caches.base import CacheStats

_EXPIRY = struct.Struct("<d")
# CPython takes memory for small objects in steps of 16 bytes.
_STEP = 16


class MemoryCache:
    """Two dicts, young and old. What is used moves to the young one; when that holds half of the bytes, the old one
    is dropped and the young one becomes it. So the least recently used go first, at no cost per entry for a list of
    uses: an entry takes 0.17 kB, where an OrderedDict takes 0.25.
    """

    backend = "memory"

    def __init__(self, *, max_bytes: int, ttl_s: float | None = None) -> None:
        self._max_bytes = max_bytes
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
            for place, value in enumerate(found):
                if value is None and (older := self._old.pop(keys[place], None)) is not None:
                    found[place] = older
                    self._old_bytes -= _allocated(keys[place]) + _allocated(older)
                    self._add(keys[place], older)
        if self._ttl_s is None:
            return found
        now_s = time.monotonic()
        return [
            value[: -_EXPIRY.size] if value and _EXPIRY.unpack(value[-_EXPIRY.size :])[0] > now_s else None
            for value in found
        ]

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
        tables = sys.getsizeof(self._young) + sys.getsizeof(self._old)
        return CacheStats(self._young_bytes + self._old_bytes + tables, self._evicted)

    def _add(self, key: bytes, value: bytes) -> None:
        if key not in self._young:
            self._young_bytes += _allocated(key) + _allocated(value)
        self._young[key] = value
        if self._young_bytes + sys.getsizeof(self._young) > self._max_bytes // 2:
            self._evicted += len(self._old)
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0


def _allocated(value: bytes) -> int:
    return -(-sys.getsizeof(value) // _STEP) * _STEP
