"""The protocol of a cache: small values by key, many at a time. It knows nothing of pairs, and may forget anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class CacheError(Exception):
    """The cache could not be asked; the caller goes on without it."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The size of a cache, None where only another process knows it, and the entries evicted so far."""

    bytes_used: int | None = None
    evicted: int = 0


class Cache(Protocol):
    """Keys are digests of 16 bytes, so none collide in practice. Values are some 50 bytes at most."""

    backend: str
    """The kind of cache, as metrics name it."""

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Values in the order of the keys, None where there is none. Raises CacheError."""

    async def set_many(self, values: Mapping[bytes, bytes]) -> None:
        """Keeps the values, in place of older ones. Raises CacheError."""

    async def clear(self) -> None:
        """Forgets everything. Raises CacheError."""

    async def aclose(self) -> None: ...

    def stats(self) -> CacheStats: ...
