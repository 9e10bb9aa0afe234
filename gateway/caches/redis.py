"""A cache shared by many gateways: Redis, or anything that speaks its protocol."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.caches.base import CacheError, CacheStats

PREFIX = b"rerank:"
CONNECT_TIMEOUT_S = 1.0
KEYS_PER_DELETE = 1000


class RedisCache:
    """Each call is one round trip. The server evicts (maxmemory-policy allkeys-lru)."""

    backend = "redis"

    def __init__(self, url: str, *, ttl_s: float | None = None) -> None:
        self._redis = Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S)
        self._ttl_ms = None if ttl_s is None else max(1, int(ttl_s * 1000))

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        with _translated():
            values = await self._redis.mget([PREFIX + key for key in keys])
        return [value if isinstance(value, bytes) else None for value in values]

    async def set_many(self, values: Mapping[bytes, bytes]) -> None:
        with _translated():
            if self._ttl_ms is None:
                await self._redis.mset({PREFIX + key: value for key, value in values.items()})
                return
            async with self._redis.pipeline(transaction=False) as pipeline:  # MSET cannot expire
                for key, value in values.items():
                    pipeline.set(PREFIX + key, value, px=self._ttl_ms)
                await pipeline.execute()

    async def clear(self) -> None:
        with _translated():
            keys = [key async for key in self._redis.scan_iter(match=PREFIX + b"*", count=KEYS_PER_DELETE)]
            for start in range(0, len(keys), KEYS_PER_DELETE):
                await self._redis.unlink(*keys[start : start + KEYS_PER_DELETE])

    async def aclose(self) -> None:
        await self._redis.aclose()

    def stats(self) -> CacheStats:
        return CacheStats()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        # The kind only: a message may hold the server's address.
        raise CacheError(type(error).__name__) from None
