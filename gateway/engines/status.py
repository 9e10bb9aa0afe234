"""The state of each engine, told cheaply: by the launcher that started them, else by asking each if it answers."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import httpx
import msgspec

from gateway.engines.probes import check_health
from gateway.engines.vllm import VllmEngine
from gateway.errors import BadRequest, EngineUnavailable, RerankError
from gateway.settings import LauncherSettings

TIMEOUT_S = 5.0


class EngineState(msgspec.Struct, frozen=True):
    """progress: of loading, 0 to 1 by stage, None if unknown. loadable: the launcher can start it."""

    state: Literal["stopped", "loading", "ready", "failed", "offline"]
    progress: float | None = None
    detail: str = ""
    loadable: bool = False


class Memory(msgspec.Struct, frozen=True):
    """Main memory of the machine."""

    used_bytes: int
    total_bytes: int


class Gpu(msgspec.Struct, frozen=True):
    """Memory of one accelerator."""

    name: str
    used_bytes: int
    total_bytes: int


class Report(msgspec.Struct, frozen=True):
    """The launcher's answer, or what can be said without one."""

    engines: dict[str, EngineState] = {}
    gpus: tuple[Gpu, ...] = ()
    memory: Memory | None = None


class EngineStatus:
    """The engines by the names of their models."""

    def __init__(
        self,
        engines: Mapping[str, VllmEngine],
        launcher: LauncherSettings | None,
        transport: httpx.AsyncBaseTransport,
    ) -> None:
        self._engines = engines
        self._launcher = launcher
        self._transport = transport

    async def report(self) -> Report:
        """Never raises: an engine that the launcher does not know and that does not answer is offline."""
        known = await self._ask_launcher()
        others = [name for name in self._engines if name not in known.engines]
        states = await asyncio.gather(*(self._probe(name) for name in others))
        return Report(
            {
                **{name: msgspec.structs.replace(state, loadable=True) for name, state in known.engines.items()},
                **dict(zip(others, states, strict=True)),
            },
            known.gpus,
            known.memory or _memory(),
        )

    async def load(self, name: str) -> str:
        """Asks the launcher to start an engine, and returns its state. Raises BadRequest where no launcher has it."""
        try:
            status, body = await self._exchange("POST", f"/engines/{quote(name, safe='')}/load")
            if status == 202:
                return msgspec.json.decode(body, type=EngineState).state
        except (OSError, httpx.HTTPError, msgspec.DecodeError):
            pass
        state = await self._probe(name)
        if state.state != "ready":
            raise BadRequest(
                f"{name} was not started by this gateway's launcher: start it where it runs",
                code="engine_not_launched",
            )
        return state.state

    async def with_cause(self, error: EngineUnavailable) -> EngineUnavailable:
        """The error with the launcher's reason in place of its own, where the launcher knows one."""
        state = (await self._ask_launcher()).engines.get(error.model or "")
        reason = _REASONS.get(state.state) if state else None
        if reason is None:
            return error
        code, words = reason
        return EngineUnavailable(words.format(name=error.model), code=code)

    async def _ask_launcher(self) -> Report:
        try:
            status, body = await self._exchange("GET", "/engines")
            return msgspec.json.decode(body, type=Report) if status == 200 else Report()
        except (OSError, httpx.HTTPError, msgspec.DecodeError):
            return Report()

    async def _exchange(self, method: str, path: str) -> tuple[int, bytes]:
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
            await check_health(self._engines[name].client)
        except RerankError as error:
            return EngineState("offline", detail=str(error))
        return EngineState("ready")


# By the launcher's state: the code and the words of the 503.
_REASONS = {
    "stopped": ("engine_stopped", "{name} is not loaded: POST /v1/engines/{name}/load loads it"),
    "loading": ("engine_loading", "{name} is being loaded: GET /v1/engines tells how far it is"),
    "failed": (
        "engine_failed",
        "{name} could not be loaded: GET /v1/engines tells why, POST /v1/engines/{name}/load tries again",
    ),
}


def _memory() -> Memory | None:
    """Main memory of this machine, where Linux tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    total, free = kib["MemTotal"] << 10, kib["MemAvailable"] << 10
    return Memory(total - free, total)
