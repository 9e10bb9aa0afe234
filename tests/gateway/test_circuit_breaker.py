"""A cache outside the process: what it may cost, what it gives back, and when it is left alone."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import pytest

from gateway.caches import circuit_breaker
from gateway.caches.base import CacheError, CacheStats
from gateway.caches.circuit_breaker import FAILURES_TO_OPEN, CircuitBreaker
from tests.gateway.serving import DEADLINE_S

KEY, OTHER, VALUE = b"k" * 16, b"o" * 16, b"a value"


class Unsteady:
    """A cache that fails, hangs or damages when told to; no real one does that on command."""

    backend = "unsteady"

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.asked = 0
        self.fails = False
        self.hangs = False
        self.closed = False

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        await self._moment()
        return [self.kept.get(key) for key in keys]

    async def set_many(self, values: Mapping[bytes, bytes]) -> None:
        await self._moment()
        self.kept |= values

    async def clear(self) -> None:
        if self.fails:
            raise CacheError("gone")
        self.kept.clear()

    async def aclose(self) -> None:
        self.closed = True

    def stats(self) -> CacheStats:
        return CacheStats(bytes_used=7, evicted=3)

    async def _moment(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise CacheError("gone")


@pytest.fixture
def cache() -> Unsteady:
    return Unsteady()


@pytest.fixture
def breaker(cache: Unsteady) -> CircuitBreaker:
    return CircuitBreaker(cache, timeout_s=0.05)


async def fail(cache: Unsteady, breaker: CircuitBreaker, times: int) -> None:
    cache.fails = True
    for _ in range(times):
        assert await breaker.get_many([KEY]) == [None]
    cache.fails = False


async def test_what_is_kept_is_given_back_and_the_rest_is_unknown(cache: Unsteady, breaker: CircuitBreaker) -> None:
    await breaker.set_many({KEY: VALUE})
    assert await breaker.get_many([OTHER, KEY, OTHER]) == [None, VALUE, None]
    assert breaker.backend == "unsteady"
    assert breaker.stats() == CacheStats(bytes_used=7, evicted=3)


@pytest.mark.parametrize("damage", [lambda kept: b"b" + kept[1:], lambda kept: kept[:-1], lambda _: b"", bytes.upper])
async def test_a_damaged_value_is_unknown(cache: Unsteady, breaker: CircuitBreaker, damage: object) -> None:
    await breaker.set_many({KEY: VALUE})
    assert callable(damage)
    cache.kept[KEY] = damage(cache.kept[KEY])
    assert await breaker.get_many([KEY]) == [None]


async def test_a_value_under_another_key_is_unknown(cache: Unsteady, breaker: CircuitBreaker) -> None:
    await breaker.set_many({KEY: VALUE})
    cache.kept[OTHER] = cache.kept[KEY]
    assert await breaker.get_many([OTHER]) == [None]


async def test_the_sum_is_of_four_bytes_and_no_byte_of_the_value_is_lost(
    cache: Unsteady, breaker: CircuitBreaker
) -> None:
    await breaker.set_many({KEY: VALUE, OTHER: b""})
    assert {key: len(value) for key, value in cache.kept.items()} == {KEY: len(VALUE) + 4, OTHER: 4}
    assert await breaker.get_many([KEY, OTHER]) == [VALUE, b""]


async def test_after_failures_in_a_row_it_is_left_alone(cache: Unsteady, breaker: CircuitBreaker) -> None:
    await breaker.set_many({KEY: VALUE})
    asked = cache.asked
    await fail(cache, breaker, FAILURES_TO_OPEN)
    assert cache.asked == asked + FAILURES_TO_OPEN
    assert await breaker.get_many([KEY]) == [None]
    await breaker.set_many({OTHER: VALUE})
    assert cache.asked == asked + FAILURES_TO_OPEN
    assert OTHER not in cache.kept


async def test_a_success_between_failures_starts_the_count_anew(cache: Unsteady, breaker: CircuitBreaker) -> None:
    await breaker.set_many({KEY: VALUE})
    for _ in range(3):
        await fail(cache, breaker, FAILURES_TO_OPEN - 1)
        assert await breaker.get_many([KEY]) == [VALUE]


async def test_a_cache_left_alone_is_tried_again_and_one_more_failure_is_enough_to_leave_it(
    cache: Unsteady, breaker: CircuitBreaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await breaker.set_many({KEY: VALUE})
    monkeypatch.setattr(circuit_breaker, "OPEN_S", 0.0)
    with caplog.at_level(logging.WARNING, "gateway"):
        await fail(cache, breaker, FAILURES_TO_OPEN + 2)
        assert [record.getMessage() for record in caplog.records] == [
            "cache unsteady fails (gone): going on without it"
        ]
        asked = cache.asked
        monkeypatch.setattr(circuit_breaker, "OPEN_S", 1000.0)
        await fail(cache, breaker, 1)
        assert cache.asked == asked + 1
        assert await breaker.get_many([KEY]) == [None]
        assert cache.asked == asked + 1


async def test_a_cache_that_answers_again_is_used_again_and_told_once(
    cache: Unsteady, breaker: CircuitBreaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await breaker.set_many({KEY: VALUE})
    monkeypatch.setattr(circuit_breaker, "OPEN_S", 0.0)
    with caplog.at_level(logging.WARNING, "gateway"):
        await fail(cache, breaker, FAILURES_TO_OPEN)
        assert await breaker.get_many([KEY]) == [VALUE]
        assert await breaker.get_many([KEY]) == [VALUE]
    assert [record.getMessage() for record in caplog.records][1:] == ["cache unsteady answers again"]


async def test_a_cache_that_hangs_costs_its_timeout_and_is_told_as_slow(
    cache: Unsteady, breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    cache.hangs = True
    with caplog.at_level(logging.WARNING, "gateway"):
        async with asyncio.timeout(DEADLINE_S):
            assert await breaker.get_many([KEY, OTHER]) == [None, None]
            for _ in range(FAILURES_TO_OPEN):
                await breaker.set_many({KEY: VALUE})
    assert [record.getMessage() for record in caplog.records] == ["cache unsteady fails (slow): going on without it"]
    assert cache.asked == FAILURES_TO_OPEN


async def test_emptying_and_closing_are_the_caches_own(cache: Unsteady, breaker: CircuitBreaker) -> None:
    await breaker.set_many({KEY: VALUE})
    await breaker.clear()
    assert not cache.kept
    cache.fails = True
    with pytest.raises(CacheError):
        await breaker.clear()
    await breaker.aclose()
    assert cache.closed
