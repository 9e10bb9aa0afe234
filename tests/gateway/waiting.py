"""Bounded waits for conditions that only the gateway's own metrics show."""

import asyncio

import httpx

from tests.gateway.serving import DEADLINE_S


async def told(client: httpx.AsyncClient, line: str) -> None:
    """Returns when the gateway's metrics have this line; fails after a time in which they should."""
    async with asyncio.timeout(DEADLINE_S):
        while line not in (await client.get("/metrics")).text.splitlines():  # noqa: ASYNC110 - another loop's doing
            await asyncio.sleep(0.001)


async def in_flight(client: httpx.AsyncClient, requests: int) -> None:
    """Returns when the gateway has so many requests under way."""
    await told(client, f"rerank_requests_in_flight {requests}.0")
