"""A circuit breaker around a cache outside the process: it costs a bounded moment, and its values are checked."""

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from gateway.caches.base import Cache, CacheError, CacheStats

log = logging.getLogger("gateway")

T = TypeVar("T")
# After so many failures in a row the circuit opens: no call reaches the cache for a while, then it is tried again.
FAILURES_TO_OPEN = 3
OPEN_S = 5.0
CHECKSUM_BYTES = 4


class CircuitBreaker:
    """A cache that never raises from get_many and set_many: slow, full or gone, it has no values.

    timeout_s: of each call. Every value carries a checksum over its key and itself: a damaged one is a miss, not a
    wrong score.
    """

    def __init__(self, cache: Cache, *, timeout_s: float) -> None:
        self.backend = cache.backend
        self._cache = cache
        self._timeout_s = timeout_s
        self._failures = 0
        self._open_until_s = 0.0

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        try:
            values = await self._call(lambda: self._cache.get_many(keys))
        except CacheError:
            return [None] * len(keys)
        return [_checked(key, value) for key, value in zip(keys, values, strict=True)]

    async def set_many(self, values: Mapping[bytes, bytes]) -> None:
        sealed = {key: value + _checksum(key, value) for key, value in values.items()}
        try:
            await self._call(lambda: self._cache.set_many(sealed))
        except CacheError:
            return

    async def clear(self) -> None:
        await self._cache.clear()

    async def aclose(self) -> None:
        await self._cache.aclose()

    def stats(self) -> CacheStats:
        return self._cache.stats()

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call of the cache, unless the circuit is open. Raises CacheError."""
        if self._failures >= FAILURES_TO_OPEN and time.monotonic() < self._open_until_s:
            raise CacheError("the circuit is open")
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await call()
        except (CacheError, TimeoutError) as error:
            self._count_failure(str(error) or "slow")
            raise CacheError(str(error)) from None
        if self._failures >= FAILURES_TO_OPEN:
            log.warning("cache %s answers again", self.backend)
        self._failures = 0
        return result

    def _count_failure(self, reason: str) -> None:
        self._failures += 1
        if self._failures == FAILURES_TO_OPEN:
            log.warning("cache %s fails (%s): going on without it", self.backend, reason)
        self._open_until_s = time.monotonic() + OPEN_S


def _checksum(key: bytes, value: bytes) -> bytes:
    return zlib.crc32(key + value).to_bytes(CHECKSUM_BYTES, "little")


def _checked(key: bytes, sealed: bytes | None) -> bytes | None:
    """The value before its checksum, None where the checksum is not its own."""
    if sealed is None:
        return None
    value = sealed[:-CHECKSUM_BYTES]
    return value if sealed[-CHECKSUM_BYTES:] == _checksum(key, value) else None
