"""Trust in an engine: it is examined when it is first asked, and again when another process may answer."""

import asyncio
import math
from typing import NamedTuple

from gateway.caches import Cache
from gateway.engines.base import Trust
from gateway.engines.examination import Check, Examination
from gateway.engines.identity import identity_of
from gateway.engines.probes import check_health, started_at
from gateway.engines.vllm import VllmEngine
from gateway.errors import EngineTimeout, EngineUnavailable, EngineUntrusted, RerankError

# Before a cached score is given, the engine's process is looked at, unless that was done within this time: a server
# that restarts needs longer.
LEASE_S = 1.0
# An engine that is busy or gone, looked for once a lease, must not hold up answers of which all scores are known.
GLANCE_TIMEOUT_S = 1.0
# An engine found wrong is examined again for a request after so long, and for /readyz at once.
DOUBT_S = 5.0


class _Finding(NamedTuple):
    """The outcome of the last examination.

    epoch: of the client then. started: the process that was examined, where it tells. examined_s: by the loop's clock.
    """

    epoch: int
    started: str | None
    examined_s: float
    checks: list[Check]
    fault: RerankError | None
    identity: str


class Readiness:
    """Examines one engine. The deep checks cost it real work: once passed, they hold for its process.

    cache: beside its scores the engines met before are kept. refuses: an engine whose scores are wrong gives none.
    """

    def __init__(self, engine: VllmEngine, cache: Cache | None, *, refuses: bool) -> None:
        self._engine = engine
        self._cache = cache
        self._refuses = refuses
        self._last: _Finding | None = None
        self._examining = asyncio.Lock()
        self._glanced_s = -math.inf
        self._gone = False

    async def checks(self) -> list[Check]:
        """Never raises: an engine that is gone is a check that failed. A check that failed is made again."""
        try:
            await check_health(self._engine.client)
            finding = await self._examined(doubt_s=0.0)
        except RerankError as error:
            return [Check("engine", False, str(error))]
        counted = [Check("tokens", False, self._engine.mismatch)] if self._engine.mismatch else []
        return [Check("engine", True, "answers"), *finding.checks, *counted]

    async def known(self) -> Trust:
        last = self._last
        if last is None or last.fault:
            return await self.answering()
        now_s = asyncio.get_running_loop().time()
        look = now_s - self._glanced_s > LEASE_S
        if self._gone and not look:
            return Trust(last.identity)
        try:
            if look:
                self._glanced_s = now_s
                if await started_at(self._engine.client, GLANCE_TIMEOUT_S) != last.started:
                    self._engine.client.epoch += 1
            trust = Trust(last.identity) if last.epoch == self._engine.client.epoch else await self.answering()
        except (EngineUnavailable, EngineTimeout):
            self._gone = True  # or busy; its scores were right
            return Trust(last.identity)
        self._gone = False
        return trust

    async def answering(self) -> Trust:
        finding = await self._examined(doubt_s=DOUBT_S)
        if finding.fault is None:
            return Trust(finding.identity)
        if isinstance(finding.fault, EngineUnavailable | EngineTimeout):
            raise finding.fault
        if self._refuses:
            raise EngineUntrusted(f"no score is given, since it would be wrong: {finding.fault}")
        return Trust("", f"its scores may be wrong: {finding.fault}")

    async def _examined(self, *, doubt_s: float) -> _Finding:
        """The finding on the process that answers now; one with a fault holds for `doubt_s`."""
        client = self._engine.client
        if (last := self._holding(doubt_s)) is not None:
            return last
        async with self._examining:
            if (last := self._holding(doubt_s)) is not None:
                return last
            await check_health(client)
            epoch = client.epoch  # of the connection that was opened for the question, if one was
            started = await started_at(client)
            last = self._last
            if last and not last.fault and started is not None and started == last.started:
                self._last = last._replace(epoch=epoch)
            else:
                self._last = await self._examine(epoch, started)
            return self._last

    def _holding(self, doubt_s: float) -> _Finding | None:
        last = self._last
        if last is None or last.epoch != self._engine.client.epoch:
            return None
        doubted = last.fault and asyncio.get_running_loop().time() - last.examined_s >= doubt_s
        return None if doubted else last

    async def _examine(self, epoch: int, started: str | None) -> _Finding:
        examination = Examination(self._engine)
        await examination.run()
        identity = ""
        if examination.fault is None:
            identity = await identity_of(examination.described, examination.logits, examination.noise, self._cache)
        now_s = asyncio.get_running_loop().time()
        return _Finding(epoch, started, now_s, examination.checks, examination.fault, identity)
