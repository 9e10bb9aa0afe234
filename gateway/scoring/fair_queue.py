"""Order at an engine: by priority, and within one priority fairly between requests of any size."""

import asyncio
import heapq
import itertools


class FairQueue:
    """A semaphore with `places` permits; waiters are served by (priority, round, arrival).

    The slices of a request have successive rounds, the first of them the round now being served. Ten documents asked
    for while ten thousand are under way therefore go next, not last. (Start-time fair queueing, each slice counting as
    one: Goyal, Vin and Cheng, "Start-time fair queuing", SIGCOMM 1996.)
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()
        self.round = 0

    async def acquire(self, priority: int, round_: int) -> None:
        """Waits for a place. Whoever got one must `release` it."""
        if self._free:
            self._free -= 1
            self.round = max(self.round, round_)
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, round_, next(self._arrivals), place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # served at the very moment of leaving
                self.release()
            raise

    def release(self) -> None:
        """Gives a place back, to the next waiter if there is one."""
        while self._waiting:
            _, round_, _, place = heapq.heappop(self._waiting)
            if not place.done():
                self.round = max(self.round, round_)
                place.set_result(None)
                return
        self._free += 1
