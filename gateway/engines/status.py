"""How the engines do, told cheaply: by the launcher that started them, else by whether each of them answers."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import httpx
import msgspec

from gateway.engines.base import Engine
from gateway.errors import BadRequest, EngineUnavailable, RerankError
from gateway.settings import LauncherSettings

TIMEOUT_S = 5.0


class EngineState(msgspec.Struct, frozen=True):
    """progress: a share of the stages that loading has, None where nothing tells. loadable: it can be started."""

    state: Literal["stopped", "loading", "ready", "failed", "offline"]
    progress: float | None = None
    detail: str = ""
    loadable: bool = False


class Memory(msgspec.Struct, frozen=True):
    used_bytes: int
    total_bytes: int


class Gpu(msgspec.Struct, frozen=True):
    name: str
    used_bytes: int
    total_bytes: int


class Report(msgspec.Struct, frozen=True):
    """What the launcher answers, and what becomes of it without one."""

    engines: dict[str, EngineState] = {}
    gpus: tuple[Gpu, ...] = ()
    memory: Memory | None = None


class EngineStatus:
    """All engines, by their models' names."""

    def __init__(
        self,
        engines: Mapping[str, Engine],
        launcher: LauncherSettings | None,
        transport: httpx.AsyncBaseTransport,
    ) -> None:
        self._engines = engines
        self._launcher = launcher
        self._transport = transport

    async def report(self) -> Report:
        """Never raises: an engine nobody knows of is offline."""
        told = await self._told()
        others = [name for name in self._engines if name not in told.engines]
        states = await asyncio.gather(*(self._probe(name) for name in others))
        return Report(
            {
                **{name: msgspec.structs.replace(state, loadable=True) for name, state in told.engines.items()},
                **dict(zip(others, states, strict=True)),
            },
            told.gpus,
            told.memory or _memory_here(),
        )

    async def load(self, name: str) -> str:
        """Its state once it was asked to start, if it did not before. Raises BadRequest where nobody here can."""
        try:
            status, body = await self._ask("POST", f"/engines/{quote(name, safe='')}/load")
            if status == 202:
                return msgspec.json.decode(body, type=EngineState).state
        except (OSError, httpx.HTTPError, msgspec.DecodeError):
            pass
        state = await self._probe(name)
        if state.state != "ready":
            raise BadRequest(f"{name} was not started by this gateway's launcher: start it where it runs")
        return state.state

    async def explained(self, name: str, error: EngineUnavailable) -> EngineUnavailable:
        """The error, with what the launcher knows of its cause."""
        state = (await self._told()).engines.get(name)
        why = _WHY.get(state.state) if state else None
        return EngineUnavailable(why.format(name=name)) if why else error

    async def _told(self) -> Report:
        try:
            status, body = await self._ask("GET", "/engines")
            return msgspec.json.decode(body, type=Report) if status == 200 else Report()
        except (OSError, httpx.HTTPError, msgspec.DecodeError):
            return Report()

    async def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        if self._launcher is None:
            return 404, b""
        headers = {"X-Launcher-Token": self._launcher.token}
        request = httpx.Request(method, self._launcher.url.rstrip("/") + path, headers=headers)
        async with asyncio.timeout(TIMEOUT_S):
            reply = await self._transport.handle_async_request(request)
            try:
                return reply.status_code, await reply.aread()
            finally:
                await reply.aclose()

    async def _probe(self, name: str) -> EngineState:
        try:
            await self._engines[name].alive()
        except RerankError as error:
            return EngineState("offline", detail=str(error))
        return EngineState("ready")


_WHY = {
    "stopped": "{name} is not loaded: POST /v1/engines/{name}/load loads it",
    "loading": "{name} is being loaded: GET /v1/engines tells how far it is",
    "failed": "{name} could not be loaded: GET /v1/engines tells why, POST /v1/engines/{name}/load tries again",
}


def _memory_here() -> Memory | None:
    """This machine's, where Linux tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    total, free = kib["MemTotal"] << 10, kib["MemAvailable"] << 10
    return Memory(total - free, total)
