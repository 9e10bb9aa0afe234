"""What a cache is: keys to small values, many at a time. It knows nothing of pairs, and may forget anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class CacheError(Exception):
    """The cache could not be asked; the caller goes on without it."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """`bytes_used` is None where another process knows."""

    bytes_used: int | None = None
    evicted: int = 0


class Cache(Protocol):
    """Keys are 16 bytes that never collide in practice, values at most 32 bytes."""

    backend: str

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """A value or None per key, in order. Raises CacheError."""

    async def set_many(self, values: Mapping[bytes, bytes]) -> None:
        """Raises CacheError."""

    async def clear(self) -> None:
        """Forgets everything. Raises CacheError."""

    async def aclose(self) -> None: ...

    def stats(self) -> CacheStats: ...
