"""Whose turn it is at an engine: by priority, and within one, fairly between requests of any size."""

import asyncio
import heapq
import itertools


class FairQueue:
    """So many places; who waits is let in by (priority, round, arrival).

    A request's slices are of successive rounds, the first of the round now being served: ten documents asked for
    while ten thousand are under way go next, not last. (Start-time fair queueing, each slice counting as one.)
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()
        self.round = 0

    async def take(self, priority: int, round_: int) -> None:
        """Waits for a place; whoever got one must `give_back` it."""
        if self._free:
            self._free -= 1
            self.round = max(self.round, round_)
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, round_, next(self._arrivals), place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # let in at the very moment of leaving
                self.give_back()
            raise

    def give_back(self) -> None:
        while self._waiting:
            _, round_, _, place = heapq.heappop(self._waiting)
            if not place.done():
                self.round = max(self.round, round_)
                place.set_result(None)
                return
        self._free += 1
