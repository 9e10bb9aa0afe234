"""A cache outside the process, kept from doing harm: it costs a bounded moment, and what it gives is checked."""

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from gateway.caches.base import Cache, CacheError, CacheStats

log = logging.getLogger("gateway")

T = TypeVar("T")
# So many failures in a row, and it is left alone for a while; then one call tries it again.
FAILURES = 3
LEFT_ALONE_S = 5.0
CHECKSUM_BYTES = 4


class CircuitBreaker:
    """Never raises from get_many and set_many: a cache that is slow, full or gone is a cache that knows nothing.

    Every value carries a checksum over its key and itself: a damaged one is a miss, not a wrong score.
    """

    def __init__(self, cache: Cache, *, timeout_s: float) -> None:
        self.backend = cache.backend
        self._cache = cache
        self._timeout_s = timeout_s
        self._failures = 0
        self._again_s = 0.0

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        try:
            values = await self._tried(lambda: self._cache.get_many(keys))
        except CacheError:
            return [None] * len(keys)
        return [_checked(key, value) for key, value in zip(keys, values, strict=True)]

    async def set_many(self, values: Mapping[bytes, bytes]) -> None:
        sealed = {key: value + _checksum(key, value) for key, value in values.items()}
        try:
            await self._tried(lambda: self._cache.set_many(sealed))
        except CacheError:
            return

    async def clear(self) -> None:
        await self._cache.clear()

    async def aclose(self) -> None:
        await self._cache.aclose()

    def stats(self) -> CacheStats:
        return self._cache.stats()

    async def _tried(self, call: Callable[[], Awaitable[T]]) -> T:
        if self._failures >= FAILURES and time.monotonic() < self._again_s:
            raise CacheError("left alone")
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await call()
        except (CacheError, TimeoutError) as error:
            self._failed(str(error) or "slow")
            raise CacheError(str(error)) from None
        if self._failures >= FAILURES:
            log.warning("cache %s answers again", self.backend)
        self._failures = 0
        return result

    def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures == FAILURES:
            log.warning("cache %s fails (%s): going on without it", self.backend, why)
        self._again_s = time.monotonic() + LEFT_ALONE_S


def _checksum(key: bytes, value: bytes) -> bytes:
    return zlib.crc32(key + value).to_bytes(CHECKSUM_BYTES, "little")


def _checked(key: bytes, sealed: bytes | None) -> bytes | None:
    if sealed is None:
        return None
    value = sealed[:-CHECKSUM_BYTES]
    return value if sealed[-CHECKSUM_BYTES:] == _checksum(key, value) else None
