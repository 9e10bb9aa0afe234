"""The memory cache counts the bytes that it takes, whatever the lengths of its values."""

from gateway.caches.memory import MemoryCache

KEYS = [number.to_bytes(16, "big") for number in range(100)]
SHORT, LONG = b"v" * 12, b"v" * 17


async def filled(*values: bytes) -> MemoryCache:
    """A cache in which each key had these values, one after the other."""
    cache = MemoryCache(max_bytes=100_000)
    for value in values:
        await cache.set_many(dict.fromkeys(KEYS, value))
    return cache


async def test_a_value_in_place_of_another_counts_with_its_own_length() -> None:
    short, long = (await filled(SHORT)).stats().bytes_used, (await filled(LONG)).stats().bytes_used
    assert short != long
    assert (await filled(SHORT, LONG)).stats().bytes_used == long
    assert (await filled(LONG, SHORT)).stats().bytes_used == short
