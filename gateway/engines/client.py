"""HTTP to one engine: every call bounded in time, every failure one of ours."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import httpx

from gateway.engines.transport import on_connection
from gateway.errors import EngineBadResponse, EngineTimeout, EngineUnavailable

log = logging.getLogger("gateway")

JSON = {"content-type": "application/json"}
PROBE_TIMEOUT_S = 5.0
# A call's whole time is bounded where it is made; this is for an engine whose machine is gone.
EXTENSIONS = {"timeout": {"connect": 5.0}}
# A longer body is written in pieces, between which other requests have their turn.
PIECE_BYTES = 512 * 1024


class EngineClient:
    """Exchanges with one server. Raises EngineUnavailable, EngineTimeout or EngineBadResponse.

    epoch: grows with each new connection, behind which another server may stand, and each time the server stops
    answering: what was checked before must be checked again.
    """

    def __init__(self, name: str, url: str, transport: httpx.AsyncBaseTransport, *, timeout_s: float) -> None:
        self.epoch = 0
        self._name = name
        self._url = url.rstrip("/").removesuffix("/v1")  # which OpenAI's clients want there, and vLLM does not
        self._transport = transport
        self._timeout_s = timeout_s
        self._answers = True

    async def get(self, path: str, timeout_s: float = PROBE_TIMEOUT_S) -> httpx.Response:
        """For probes: the whole exchange has `timeout_s`."""
        return await self._send("GET", path, b"", timeout_s)

    async def post(self, path: str, content: bytes) -> httpx.Response:
        """The whole exchange has the engine's timeout."""
        return await self._send("POST", path, content, self._timeout_s)

    async def _send(self, method: str, path: str, content: bytes, timeout_s: float) -> httpx.Response:
        """One exchange, on a second connection if the engine had closed a kept one: it restarts, we need not fail."""
        try:
            with _translated():
                async with asyncio.timeout(timeout_s):
                    try:
                        reply = await self._exchange(method, path, content)
                    except httpx.TransportError as error:
                        if not isinstance(error.__cause__, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
                            raise
                        reply = await self._exchange(method, path, content)
        except EngineUnavailable:
            self._noticed(answers=False)
            raise
        self._noticed(answers=True)
        return reply

    async def _exchange(self, method: str, path: str, content: bytes) -> httpx.Response:
        url, headers = self._url + path, JSON
        if len(content) <= PIECE_BYTES:
            request = httpx.Request(method, url, content=content, headers=headers, extensions=EXTENSIONS)
        else:
            headers = {**JSON, "content-length": str(len(content))}
            request = httpx.Request(method, url, stream=_Pieces(content), headers=headers, extensions=EXTENSIONS)
        on_connection.set(self._connected)
        reply = await self._transport.handle_async_request(request)
        try:
            await reply.aread()
        finally:
            await reply.aclose()
        return reply

    def _connected(self) -> None:
        self.epoch += 1

    def _noticed(self, *, answers: bool) -> None:
        if answers != self._answers:
            self._answers = answers
            log.warning("engine of %s %s", self._name, "answers again" if answers else "does not answer")
        if not answers:
            self.epoch += 1


class _Pieces(httpx.AsyncByteStream):
    """A long body on its way."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), PIECE_BYTES):
            yield self._content[start : start + PIECE_BYTES]


@contextmanager
def _translated() -> Iterator[None]:
    """httpx, and the aiohttp below it, to our errors. Their messages hold the engine's address and stay here."""
    try:
        yield
    except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout):
        raise EngineTimeout("the engine took too long to answer") from None
    except (aiohttp.ClientResponseError, httpx.DecodingError, httpx.RemoteProtocolError):
        raise EngineBadResponse("the engine's answer is not HTTP") from None
    except (httpx.TransportError, aiohttp.ClientError, OSError):
        # httpx-aiohttp 0.2 reports refused and broken connections alike as ConnectTimeout.
        raise EngineUnavailable("the engine does not answer: it is starting, restarting or gone") from None
