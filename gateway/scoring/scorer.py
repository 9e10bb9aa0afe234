"""Score every distinct pair exactly once: cache first, then whoever is already scoring it, then the engine."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.caches import Cache
from gateway.domain import Content, Outcome, Pair, RerankRequest, ScoringOptions
from gateway.engines import Engine, Examiner
from gateway.errors import EngineUnavailable, Overloaded
from gateway.scoring.cache_keys import list_keys, pair_keys
from gateway.scoring.cache_values import decoded, encoded
from gateway.scoring.fair_queue import FairQueue

# One call's pairs: enough to fill an engine's batch, few enough that the next request's turn comes soon.
SLICE_PAIRS = 128
# Calls under way at one engine: it batches across calls, and must never wait for the next.
CALLS_PER_ENGINE = 4
# The newest call's weight in the measured rate, and the rate before anything was measured.
RATE_WEIGHT = 0.2
FIRST_RATE_PAIRS_PER_S = 100.0
MAX_RETRY_AFTER_S = 60


@dataclass(frozen=True, slots=True)
class Scored:
    """Outcomes in the order of the documents, cache hits, the tokens of those hits, and seconds by stage.

    doubt: in words, why the scores may be wrong; empty where nothing is wrong.
    """

    outcomes: Sequence[Outcome]
    cached: int
    cached_tokens: int
    seconds: dict[str, float]
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class _Terms:
    """The way a request's pairs are scored: engine, reading, priority, and the cache that keeps them."""

    identity: str
    options: ScoringOptions
    priority: int
    cache: Cache | None


@dataclass(slots=True, eq=False)
class _InFlightBatch:
    """A slice of pairs on its way to the engine, and how many requests wait for it."""

    pairs: dict[bytes, Pair]
    outcomes: "asyncio.Future[dict[bytes, Outcome]]"
    waiting: int = 0
    task: "asyncio.Task[None] | None" = field(default=None)


class Scorer:
    """The way to one engine, whose scores are right as far as `examiner` knows."""

    def __init__(self, engine: Engine, examiner: Examiner, cache: Cache | None, *, max_pairs_waiting: int) -> None:
        self.listwise = engine.listwise
        self._engine = engine
        self._examiner = examiner
        self._cache = cache
        self._max_pairs_waiting = max_pairs_waiting
        self._pairs_waiting = 0
        self._in_flight: dict[bytes, _InFlightBatch] = {}
        self._queue = FairQueue(CALLS_PER_ENGINE)
        self._rate = FIRST_RATE_PAIRS_PER_S
        self._answered_s = 0.0

    async def score(
        self, request: RerankRequest, documents: Sequence[Content], options: ScoringOptions | None = None
    ) -> Scored:
        """Scores documents for a request's query and on its terms; `options` stand in for the request's own.

        Raises Overloaded at once rather than queue without bound, and what the engine raises.
        """
        started_s = time.perf_counter()
        options = self._engine.canonical(options or request.options)
        identity, doubt = await self._examiner.known()
        cache = None if request.no_store or doubt else self._cache
        query = request.query
        keys = (list_keys if self.listwise else pair_keys)(identity, options, query, documents)
        known = {} if cache is None else decoded(keys, await cache.get_many(keys))
        if self.listwise and len(known) < len(keys):
            known = {}  # a list is scored whole
        looked_s = time.perf_counter()
        seconds = {"cache": looked_s - started_s}
        cached = [known[key] for key in keys if key in known]
        outcomes: Sequence[Outcome] = cached
        if len(cached) < len(keys):
            missing = {key: Pair(query, text) for key, text in zip(keys, documents, strict=True) if key not in known}
            scored = await self._join_and_wait(missing, _Terms(identity, options, request.priority, cache))
            by_key = known | scored
            outcomes = [by_key[key] for key in keys]
            seconds["engine"] = time.perf_counter() - looked_s
        return Scored(outcomes, len(cached), sum(score.tokens for score in cached), seconds, doubt)

    async def _join_and_wait(self, missing: dict[bytes, Pair], terms: _Terms) -> dict[bytes, Outcome]:
        """Outcomes of what the cache did not know, from batches under way and new ones."""
        joined = self._join(missing, terms)
        outcomes: dict[bytes, Outcome] = {}
        try:
            for batch in joined:
                # Shielded: a caller that leaves must not end a batch that others wait for.
                outcomes |= await asyncio.shield(batch.outcomes)
        finally:
            for batch in joined:
                self._leave(batch)
        return outcomes

    def _join(self, missing: dict[bytes, Pair], terms: _Terms) -> list[_InFlightBatch]:
        known = {batch: None for key in missing if (batch := self._in_flight.get(key))}
        new = [(key, pair) for key, pair in missing.items() if key not in self._in_flight]
        self._admit(len(new))
        joined = list(known)
        for place, start in enumerate(range(0, len(new), SLICE_PAIRS)):
            batch = _InFlightBatch(dict(new[start : start + SLICE_PAIRS]), asyncio.get_running_loop().create_future())
            self._in_flight |= dict.fromkeys(batch.pairs, batch)
            batch.task = asyncio.create_task(self._run(batch, terms, self._queue.round + place))
            joined.append(batch)
        for batch in joined:
            batch.waiting += 1
        return joined

    def _admit(self, count: int) -> None:
        waiting = self._pairs_waiting
        if waiting + count > self._max_pairs_waiting:
            raise Overloaded(
                f"{waiting} pairs are waiting and this request brings {count}: "
                f"at most {self._max_pairs_waiting} may wait, please try again later",
                retry_after_s=max(1, min(MAX_RETRY_AFTER_S, math.ceil(waiting / self._rate))),
            )
        self._pairs_waiting += count

    async def _run(self, batch: _InFlightBatch, terms: _Terms, round_: int) -> None:
        try:
            await self._queue.acquire(terms.priority, round_)
            started_s = time.monotonic()
            try:
                outcomes = await self._engine.score(list(batch.pairs.values()), terms.options)
                await self._expect(terms.identity)
            finally:
                self._queue.release()
        except asyncio.CancelledError:
            batch.outcomes.cancel()
            raise
        except Exception as error:
            batch.outcomes.set_exception(error)
            batch.outcomes.exception()  # every caller may have left: then nobody asks for it
        else:
            self._measure(len(outcomes), started_s)
            by_key = dict(zip(batch.pairs, outcomes, strict=True))
            batch.outcomes.set_result(by_key)
            # Still in flight while it is kept: whoever asks now joins, and finds the outcomes.
            if terms.cache is not None:
                await terms.cache.set_many(encoded(by_key))
        finally:
            self._end(batch)

    async def _expect(self, identity: str) -> None:
        """Raises EngineError when another engine answered than the one whose name is on the keys, or a wrong one."""
        if (await self._examiner.answering()).identity != identity:
            raise EngineUnavailable("the engine was exchanged for another, please try again")

    def _leave(self, batch: _InFlightBatch) -> None:
        batch.waiting -= 1
        if batch.waiting == 0 and not batch.outcomes.done() and batch.task is not None:
            self._end(batch)  # at once: nobody may join what is being cancelled
            batch.task.cancel()

    def _end(self, batch: _InFlightBatch) -> None:
        for key in batch.pairs:
            if self._in_flight.get(key) is batch:
                del self._in_flight[key]
        self._pairs_waiting -= len(batch.pairs)
        batch.pairs = {}

    def _measure(self, pairs: int, started_s: float) -> None:
        """Pairs over the time since the last call ended, or since this one began if the engine was idle before."""
        now_s = time.monotonic()
        rate = pairs / max(now_s - max(self._answered_s, started_s), 1e-3)
        self._rate += RATE_WEIGHT * (rate - self._rate)
        self._answered_s = now_s
