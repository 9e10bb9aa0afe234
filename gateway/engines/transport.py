"""The connections to all engines, each new one told to whoever made it."""

from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

on_connection: ContextVar[Callable[[], None] | None] = ContextVar("on_connection", default=None)
"""Called for each connection that an exchange of this task opens."""


class EngineTransport(AiohttpTransport):
    """The transport has no client around it: no redirect, cookie or proxy is wanted, and a call costs a third less.

    Each scorer bounds its own calls, so that the pool needs no limit.
    """

    def __init__(self) -> None:
        super().__init__(limits=httpx.Limits(max_connections=None))

    def get_client(self) -> aiohttp.ClientSession:
        session = super().get_client()
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_connected)
        trace.freeze()
        session.trace_configs.append(trace)
        return session


async def _connected(_session: aiohttp.ClientSession, _context: SimpleNamespace, _params: object) -> None:
    if told := on_connection.get():
        told()
