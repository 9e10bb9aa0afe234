"""Score every distinct pair once, in bounded slices, so that one big request cannot starve the small ones."""

import asyncio
from collections.abc import Sequence

from gateway.domain import Outcome, Pair, Reading
from gateway.engines import Engine
from gateway.errors import TooManyPairs

# One call's pairs: enough to fill an engine's batch, few enough that the next request's turn comes soon.
SLICE_PAIRS = 128
# Calls under way at one engine: it batches across calls, and must never wait for the next.
CALLS_PER_ENGINE = 4
# Of these, what one request may hold or queue for: the places are given in order of asking, so a request of 10,000
# documents asks for its third slice only after its first is back, behind whoever came in the meantime.
CALLS_PER_REQUEST = 2


class Scorer:
    """The way to one engine. A pair cache belongs here: look up the distinct pairs, send only what is missing."""

    def __init__(self, engine: Engine, *, max_pairs_waiting: int) -> None:
        self.engine = engine
        self._max_pairs_waiting = max_pairs_waiting
        self._pairs_waiting = 0
        self._calls = asyncio.Semaphore(CALLS_PER_ENGINE)

    async def score(self, pairs: Sequence[Pair], reading: Reading) -> list[Outcome]:
        """One outcome per pair, in order. Raises TooManyPairs at once rather than queue without bound."""
        distinct = list(dict.fromkeys(pairs))
        self._admit(len(distinct))
        try:
            outcomes = await self._engine_scores(distinct, reading)
        finally:
            self._pairs_waiting -= len(distinct)
        of = dict(zip(distinct, outcomes, strict=True))
        return [of[pair] for pair in pairs]

    def _admit(self, count: int) -> None:
        if self._pairs_waiting + count > self._max_pairs_waiting:
            raise TooManyPairs(
                f"{self._pairs_waiting} pairs are waiting and this request brings {count}: "
                f"at most {self._max_pairs_waiting} may wait, please try again later",
                retry_after_s=2,
            )
        self._pairs_waiting += count

    async def _engine_scores(self, pairs: Sequence[Pair], reading: Reading) -> list[Outcome]:
        slices = [pairs[start : start + SLICE_PAIRS] for start in range(0, len(pairs), SLICE_PAIRS)]
        if len(slices) == 1:
            return await self._slice_scores(pairs, reading)
        scored: dict[int, list[Outcome]] = {}
        todo = iter(enumerate(slices))

        async def work() -> None:
            for place, one in todo:
                scored[place] = await self._slice_scores(one, reading)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(CALLS_PER_REQUEST):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [outcome for place in range(len(slices)) for outcome in scored[place]]

    async def _slice_scores(self, pairs: Sequence[Pair], reading: Reading) -> list[Outcome]:
        async with self._calls:
            return await self.engine.score(pairs, reading)
