"""`rerank up`: engines, the gateway in front of them and the studio, started together."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from launch.address import Address, refuse_if_taken
from launch.console import Console
from launch.engine import Engine
from launch.gateway_config import GatewayAddress, GatewayConfig, gateway_address, read_settings
from launch.introduction import introduction
from launch.program import Attempt, Program
from launch.readiness import wait_for_gateway
from launch.status_server import StatusServer
from launch.studio import studio_program
from launch.supervisor import supervise


@dataclass(frozen=True, slots=True)
class Composition:
    """The programs of one `rerank up`.

    config: the user's own settings of the gateway. lazy: an engine starts when the gateway is asked to load it, and if
    it fails the others go on.
    """

    engines: Sequence[Engine]
    config: Mapping[str, Any] = field(default_factory=dict)
    with_studio: bool = True
    lazy: bool = False


async def up(
    composition: Composition, environment: Mapping[str, str], workspace: Path, console: Console, stop: asyncio.Event
) -> int:
    """Run the programs until `stop` is set; returns the exit status. `workspace` is a private folder for their files.

    Raises LaunchError if a setting is wrong or the gateway's port is taken.
    """
    status_server = StatusServer()
    config = GatewayConfig(composition.config, composition.engines, status_server.settings, workspace / "gateway.yaml")
    settings = read_settings(config.text(), environment)
    address = gateway_address(settings)
    refuse_if_taken(Address(address.host, address.port), change_with="RERANK_PORT")
    config.write()
    programs = [*_engines(composition, environment, config), _gateway(address, config.path, environment)]
    page = ""
    if composition.with_studio:
        key = environment.get("RERANK_API_KEY") or next(iter(settings.api_keys), "")
        studio = studio_program(address.url, key, environment, workspace / "studio.log", console)
        if studio:
            programs.append(studio)
            page = studio.health_url
    return await supervise(
        programs,
        console,
        stop,
        once_ready=lambda: _introduce(composition, address, page, console),
        status_server=status_server,
    )


def _engines(composition: Composition, environment: Mapping[str, str], config: GatewayConfig) -> list[Program]:
    return [
        engine.program(
            config.path.with_name(f"engine-{engine.model.name}.log"),
            environment,
            # A step down shortens the context. The gateway learns that when it restarts.
            on_step_down=partial(config.step_down, engine.model.name),
            restarts=["gateway"],
            lazy=composition.lazy,
        )
        for engine in composition.engines
    ]


def _gateway(address: GatewayAddress, config: Path, environment: Mapping[str, str]) -> Program:
    return Program(
        name="gateway",
        attempts=[Attempt([sys.executable, "-m", "gateway", "--config", str(config)])],
        health_url=f"{address.url}/healthz",
        log=config.with_name("gateway.log"),
        environment={**environment, "RERANK_PORT": str(address.port), "PYTHONUNBUFFERED": "1"},
    )


async def _introduce(composition: Composition, address: GatewayAddress, page: str, console: Console) -> None:
    """Wait until the gateway serves, then print requests to try."""
    model = composition.engines[0].model.name
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
        path = "healthz" if composition.lazy else "readyz"
        await wait_for_gateway(client, f"{address.url}/{path}", console)
        if composition.lazy:
            console.say(f"No engine is loaded yet. To load one: curl -X POST {address.url}/v1/engines/{model}/load")
        console.say(introduction(address, model, page if page and await _answers(client, page) else ""))


async def _answers(client: httpx.AsyncClient, page: str) -> bool:
    try:
        return (await client.get(page)).is_success
    except httpx.HTTPError:
        return False
