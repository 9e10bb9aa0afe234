"""`rerank up`: an engine and the gateway in front of it, started together, and the first requests to try."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from launch.catalogue import LaunchError
from launch.engine import Engine, free_port, refuse_if_taken, url_of
from launch.processes import Attempt, Program, supervise
from launch.screen import Screen

_READY_POLL_S = 0.25
_EXPLAIN_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class Front:
    """Where the gateway will listen, and whether it will ask for a key: its file, overridden by the environment."""

    host: str
    port: int
    needs_key: bool

    @property
    def url(self) -> str:
        """The address to call it at from this machine."""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- read, not bound
        return url_of(everywhere.get(self.host, self.host), self.port)


async def up(
    engine: Engine, config: Mapping[str, Any], environment: Mapping[str, str], workspace: Path, screen: Screen
) -> int:
    """Runs engine and gateway until stopped; returns the exit status. `workspace` is a private folder.

    Raises LaunchError when the gateway's port is taken.
    """
    front = front_of(config, environment)
    refuse_if_taken(front.host, front.port, change_with="RERANK_PORT")
    merged = workspace / "gateway.yaml"

    def write_config(attempt: int) -> None:
        merged.write_text(yaml.safe_dump(with_engine(config, engine, attempt), sort_keys=False, allow_unicode=True))

    write_config(0)
    gateway = Program(
        name="gateway",
        attempts=[Attempt([sys.executable, "-m", "gateway", "--config", str(merged)])],
        health_url=f"{front.url}/healthz",
        log=workspace / "gateway.log",
        environment={**environment, "RERANK_PORT": str(front.port), "PYTHONUNBUFFERED": "1"},
    )
    programs = [
        # A step down shortens the context, which the gateway must learn.
        engine.program(workspace / "engine.log", environment, before_step_down=write_config, restarts=[gateway.name]),
        gateway,
    ]
    return await supervise(programs, screen, once_ready=lambda: _introduce(front, engine.model.name, screen))


def read_config(path: Path | None) -> dict[str, Any]:
    """The user's gateway configuration; raises LaunchError naming the file when it is not a YAML mapping."""
    if path is None:
        return {}
    try:
        config = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise LaunchError(f"{path}: {str(error).splitlines()[0]}") from error
    if not isinstance(config, dict):
        raise LaunchError(f"{path}: a mapping of settings was expected")
    return config


def with_engine(config: Mapping[str, Any], engine: Engine, attempt: int) -> dict[str, Any]:
    """The configuration with the started engine's model in it, as the default one; nothing else is touched."""
    models = {**(config.get("models") or {}), engine.model.name: engine.settings(attempt)}
    return {**config, "models": models, "default_model": engine.model.name}


def front_of(config: Mapping[str, Any], environment: Mapping[str, str]) -> Front:
    """Reads what the gateway will read, with the same precedence. Port 0 means any free one."""
    port = environment.get("RERANK_PORT") or config.get("port", 8000)
    if not str(port).isdigit():
        raise LaunchError(f"port: {port!r} is not a number")
    host = environment.get("RERANK_HOST") or str(config.get("host", "127.0.0.1"))
    needs_key = any(
        environment.get(f"RERANK_{name.upper()}") or config.get(name) for name in ("api_keys", "api_keys_file")
    )
    if not needs_key and not host.startswith(("127.", "localhost", "::1")):
        host = "127.0.0.1"  # without keys the gateway listens nowhere else, and says so
    return Front(host, int(port) or free_port(), needs_key)


async def _introduce(front: Front, model: str, screen: Screen) -> None:
    """Waits until the gateway says it serves, then shows how to ask it."""
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
        await _until_ready(lambda: client.get(f"{front.url}/readyz"), screen)
    screen.say(introduction(front, model))


async def _until_ready(ask: Callable[[], Awaitable[httpx.Response]], screen: Screen) -> None:
    said, asked = "", 0
    while True:
        try:
            answer = await ask()
        except httpx.HTTPError:
            answer = httpx.Response(503, json={})
        if answer.status_code == 200:
            return
        asked += 1
        why = "; ".join(failed_checks(answer))
        if asked * _READY_POLL_S >= _EXPLAIN_AFTER_S and why not in ("", said):
            said = why
            screen.say(f"gateway: not ready: {why}")
        await asyncio.sleep(_READY_POLL_S)


def failed_checks(answer: httpx.Response) -> list[str]:
    """What /readyz complains of, a line a check."""
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


def introduction(front: Front, model: str) -> str:
    """Requests that work as printed. A configured key is never printed: it is taken from the shell's RERANK_API_KEY."""
    key = 'os.environ["RERANK_API_KEY"]' if front.needs_key else '"any-key-will-do"'
    return _INTRODUCTION.format(
        url=front.url,
        model=model,
        needs=", with RERANK_API_KEY set to one of your keys" if front.needs_key else "",
        header='\\\n  -H "Authorization: Bearer $RERANK_API_KEY" ' if front.needs_key else "",
        imports="import os\n\nimport cohere" if front.needs_key else "import cohere",
        key=key,
    )


_INTRODUCTION = """
{model} answers at {url} (Cohere's Rerank API; docs at {url}/docs). Try it{needs}:

curl -s {url}/v2/rerank {header}-H "Content-Type: application/json" \\
  -d '{{"query": "How do I reset my password?", "documents": ["Our office is closed on Sundays.",
       "Open Settings, choose Security and click on Forgot password.", "The soup of the day is tomato."]}}'

Python (pip install cohere):

{imports}

documents = [
    "Our office is closed on Sundays.",
    "Open Settings, choose Security and click on Forgot password.",
    "The soup of the day is tomato.",
]
client = cohere.ClientV2(api_key={key}, base_url="{url}")
answer = client.rerank(model="{model}", query="How do I reset my password?", documents=documents)
for result in answer.results:
    print(f"{{result.relevance_score:.3f}}  {{documents[result.index]}}")

Ctrl-C ends it.
"""
