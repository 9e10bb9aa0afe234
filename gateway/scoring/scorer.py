"""Score every distinct pair exactly once: cache first, then whoever is already scoring it, then the engine."""

import asyncio
import hashlib
import math
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from gateway.caches import Cache
from gateway.domain import Blob, Content, Outcome, Pair, Score, ScoringOptions
from gateway.engines import Engine
from gateway.errors import Overloaded
from gateway.scoring.fair_queue import FairQueue

# One call's pairs: enough to fill an engine's batch, few enough that the next request's turn comes soon.
SLICE_PAIRS = 128
# Calls under way at one engine: it batches across calls, and must never wait for the next.
CALLS_PER_ENGINE = 4
# The newest call's weight in the measured rate, and the rate before anything was measured.
RATE_WEIGHT = 0.2
FIRST_RATE_PAIRS_PER_S = 100.0
MAX_RETRY_AFTER_S = 60

# A Score as it is kept, field by field: what was cut is not kept, so the last two are 0.
_STORED = struct.Struct("<dIHBB")
_make_score = partial(tuple.__new__, Score)


@dataclass(frozen=True, slots=True)
class Scored:
    """Outcomes in the order of the documents; how many of them, and of their tokens, the cache knew; stages in s."""

    outcomes: Sequence[Outcome]
    cached: int
    cached_tokens: int
    seconds: dict[str, float]


@dataclass(slots=True, eq=False)
class _Flight:
    """A slice of pairs on its way to the engine, and how many requests wait for it."""

    pairs: dict[bytes, Pair]
    landed: "asyncio.Future[dict[bytes, Outcome]]"
    waiting: int = 0
    task: "asyncio.Task[None] | None" = field(default=None)


class Scorer:
    """The way to one engine."""

    def __init__(self, engine: Engine, cache: Cache | None, *, max_pairs_waiting: int) -> None:
        self.engine = engine
        self._cache = cache
        self._max_pairs_waiting = max_pairs_waiting
        self._pairs_waiting = 0
        self._in_flight: dict[bytes, _Flight] = {}
        self._turns = FairQueue(CALLS_PER_ENGINE)
        self._rate = FIRST_RATE_PAIRS_PER_S
        self._landed_s = 0.0

    async def score(
        self,
        query: Content,
        documents: Sequence[Content],
        reading: ScoringOptions,
        *,
        priority: int = 0,
        fresh: bool = False,
    ) -> Scored:
        """Raises Overloaded at once rather than queue without bound, and what the engine raises."""
        started_s = time.perf_counter()
        cache = None if fresh else self._cache
        reading = self.engine.canonical(reading)
        keys = pair_keys(self.engine.identity, reading, query, documents)
        known = {} if cache is None else _unpacked(keys, await cache.get_many(keys))
        looked_s = time.perf_counter()
        seconds = {"cache": looked_s - started_s}
        cached = [known[key] for key in keys if key in known]
        outcomes: Sequence[Outcome] = cached
        if len(cached) < len(keys):
            missing = {key: Pair(query, text) for key, text in zip(keys, documents, strict=True) if key not in known}
            of = known | await self._flown(missing, reading, priority, cache)
            outcomes = [of[key] for key in keys]
            seconds["engine"] = time.perf_counter() - looked_s
        tokens = sum(score.tokens for score in cached)
        return Scored(outcomes, len(cached), tokens, seconds)

    async def _flown(
        self, missing: dict[bytes, Pair], reading: ScoringOptions, priority: int, cache: Cache | None
    ) -> dict[bytes, Outcome]:
        """Outcomes of what the cache did not know, from flights under way and new ones, in slices."""
        boarded = self._boarded(missing, reading, priority, cache)
        outcomes: dict[bytes, Outcome] = {}
        try:
            for flight in boarded:
                # Shielded: a caller that leaves must not end a flight that others wait for.
                outcomes |= await asyncio.shield(flight.landed)
        finally:
            for flight in boarded:
                self._leave(flight)
        return outcomes

    def _boarded(
        self, missing: dict[bytes, Pair], reading: ScoringOptions, priority: int, cache: Cache | None
    ) -> list[_Flight]:
        joined = {flight: None for key in missing if (flight := self._in_flight.get(key))}
        new = [(key, pair) for key, pair in missing.items() if key not in self._in_flight]
        self._admit(len(new))
        boarded = list(joined)
        for place, start in enumerate(range(0, len(new), SLICE_PAIRS)):
            flight = _Flight(dict(new[start : start + SLICE_PAIRS]), asyncio.get_running_loop().create_future())
            self._in_flight |= dict.fromkeys(flight.pairs, flight)
            order = (priority, self._turns.round + place)
            flight.task = asyncio.create_task(self._fly(flight, reading, order, cache))
            boarded.append(flight)
        for flight in boarded:
            flight.waiting += 1
        return boarded

    def _admit(self, count: int) -> None:
        waiting = self._pairs_waiting
        if waiting + count > self._max_pairs_waiting:
            raise Overloaded(
                f"{waiting} pairs are waiting and this request brings {count}: "
                f"at most {self._max_pairs_waiting} may wait, please try again later",
                retry_after_s=max(1, min(MAX_RETRY_AFTER_S, math.ceil(waiting / self._rate))),
            )
        self._pairs_waiting += count

    async def _fly(self, flight: _Flight, reading: ScoringOptions, order: tuple[int, int], cache: Cache | None) -> None:
        try:
            await self._turns.take(*order)
            started_s = time.monotonic()
            try:
                outcomes = await self.engine.score(list(flight.pairs.values()), reading)
            finally:
                self._turns.give_back()
        except asyncio.CancelledError:
            flight.landed.cancel()
            raise
        except Exception as error:
            flight.landed.set_exception(error)
            flight.landed.exception()  # every caller may have left: then nobody asks for it
        else:
            self._measure(len(outcomes), started_s)
            by_key = dict(zip(flight.pairs, outcomes, strict=True))
            flight.landed.set_result(by_key)
            # Still in flight while it is kept: whoever asks now joins, and finds it landed.
            if cache is not None:
                await cache.set_many(_packed(by_key.items()))
        finally:
            self._end(flight)

    def _leave(self, flight: _Flight) -> None:
        flight.waiting -= 1
        if flight.waiting == 0 and not flight.landed.done() and flight.task is not None:
            self._end(flight)  # at once: nobody may join what is being cancelled
            flight.task.cancel()

    def _end(self, flight: _Flight) -> None:
        for key in flight.pairs:
            if self._in_flight.get(key) is flight:
                del self._in_flight[key]
        self._pairs_waiting -= len(flight.pairs)
        flight.pairs = {}

    def _measure(self, pairs: int, started_s: float) -> None:
        """Pairs over the time since the last call landed, or since this one began if the engine was idle before."""
        now_s = time.monotonic()
        rate = pairs / max(now_s - max(self._landed_s, started_s), 1e-3)
        self._rate += RATE_WEIGHT * (rate - self._rate)
        self._landed_s = now_s


def pair_keys(identity: str, reading: ScoringOptions, query: Content, documents: Sequence[Content]) -> list[bytes]:
    """A 16-byte key per document. Whatever changes the pair's score changes its key, and nothing else does."""
    prefix = hashlib.blake2b(digest_size=16)
    limits = f"{reading.max_tokens_per_doc}/{reading.max_chunks_per_doc}"
    sizes = f"{reading.fps}/{reading.max_frames}/{reading.max_pixels}".encode()
    for content in (identity, reading.instruction or "", limits, query):
        data = content.encode() if isinstance(content, str) else _mixed(content, sizes)
        # Each field is preceded by its length: else ("ab", "c") and ("a", "bc") could be one key, and one caller get
        # another's score. The document comes last and needs none.
        prefix.update(len(data).to_bytes(8, "little") + data)
    keys = []
    for document in documents:
        digest = prefix.copy()
        digest.update(document.encode() if isinstance(document, str) else _mixed(document, sizes))
        keys.append(digest.digest())
    return keys


def _mixed(content: Content, sizes: bytes) -> bytes:
    """A content's parts and how media are read. No text is taken for one: 0xFF is in no UTF-8, and a part is tagged."""
    fields = [part.digest if isinstance(part, Blob) else f"text{part}".encode() for part in content]
    return b"\xff" + b"".join(len(field).to_bytes(8, "little") + field for field in (sizes, *fields))


def _packed(outcomes: Iterable[tuple[bytes, Outcome]]) -> dict[bytes, bytes]:
    """What may be kept: plain scores. What was cut or refused comes with a warning, which is not kept."""
    return {
        key: _STORED.pack(*one) for key, one in outcomes if isinstance(one, Score) and not one.cut and not one.query_cut
    }


def _unpacked(keys: Sequence[bytes], values: Sequence[bytes | None]) -> dict[bytes, Score]:
    """The scores a cache knew; a value of another size is another version's."""
    known = {key: value for key, value in zip(keys, values, strict=True) if value and len(value) == _STORED.size}
    return dict(zip(known, map(_make_score, _STORED.iter_unpack(b"".join(known.values()))), strict=True))
