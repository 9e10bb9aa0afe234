"""Waits until an engine or the gateway is ready, and tells the reason if that takes long."""

import asyncio
import time

import httpx

from launch.console import Console

_ENGINE_POLL_S = 2.0
_GATEWAY_POLL_S = 0.25
_EXPLAIN_AFTER_S = 10.0


def wait_for_engine(url: str, console: Console) -> None:
    """Return when the engine at `url` is ready, without a time limit: it may have to download its weights.

    An engine that starts beside it on the same GPU earlier than that would count its memory as free.
    """
    console.say(f"Waiting for {url} to be ready")
    while not _is_ready(url):
        time.sleep(_ENGINE_POLL_S)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=_ENGINE_POLL_S, trust_env=False).is_success
    except httpx.HTTPError:
        return False


async def wait_for_gateway(client: httpx.AsyncClient, url: str, console: Console) -> None:
    """Return when `url`, /readyz or /healthz of the gateway, answers 200. After 10 s show the checks that fail."""
    shown, asked = "", 0
    while True:
        try:
            answer = await client.get(url)
        except httpx.HTTPError:
            answer = httpx.Response(503, json={})
        if answer.status_code == 200:
            return
        asked += 1
        reason = "; ".join(_failed_checks(answer))
        if asked * _GATEWAY_POLL_S >= _EXPLAIN_AFTER_S and reason not in ("", shown):
            shown = reason
            console.say(f"gateway: not ready: {reason}")
        await asyncio.sleep(_GATEWAY_POLL_S)


def _failed_checks(answer: httpx.Response) -> list[str]:
    """The failed checks in an answer of /readyz, one line each."""
    try:
        models = answer.json().get("models", [])
    except ValueError:
        return []
    return [
        f"{model['name']}: {check['check']}: {check['detail']}"
        for model in models
        for check in model.get("checks", [])
        if not check["passed"]
    ]
