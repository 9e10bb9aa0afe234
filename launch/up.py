"""`rerank up`: engines, the gateway in front of them and the studio, started together, and first requests to try."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import yaml

from launch.catalogue import LaunchError
from launch.console import Console
from launch.engine import Engine, free_port, refuse_if_taken, url_of
from launch.status_server import StatusServer
from launch.supervisor import Attempt, Program, supervise

_READY_POLL_S = 0.25
_EXPLAIN_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class GatewayAddress:
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
    engines: Sequence[Engine],
    config: Mapping[str, Any],
    environment: Mapping[str, str],
    workspace: Path,
    console: Console,
    *,
    with_studio: bool,
    lazy: bool = False,
) -> int:
    """Runs engines, gateway and studio until stopped; returns the exit status. `workspace` is a private folder.

    lazy: an engine is started when the gateway is asked to load it, and one that fails leaves the others running.
    Raises LaunchError when the gateway's port is taken.
    """
    address = gateway_address(config, environment)
    refuse_if_taken(address.host, address.port, change_with="RERANK_PORT")
    merged = workspace / "gateway.yaml"
    status_server = StatusServer()
    attempts = {engine.model.name: 0 for engine in engines}

    def write_config() -> None:
        whole = {**with_engines(config, engines, attempts), "launcher": status_server.settings}
        merged.write_text(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True))

    def step_down(engine: Engine) -> Callable[[int], None]:
        def learn(attempt: int) -> None:
            attempts[engine.model.name] = attempt
            write_config()

        return learn

    write_config()
    gateway = Program(
        name="gateway",
        attempts=[Attempt([sys.executable, "-m", "gateway", "--config", str(merged)])],
        health_url=f"{address.url}/healthz",
        log=workspace / "gateway.log",
        environment={**environment, "RERANK_PORT": str(address.port), "PYTHONUNBUFFERED": "1"},
    )
    # A step down shortens the context, which the gateway must learn.
    started = [
        engine.program(
            workspace / f"engine-{engine.model.name}.log",
            environment,
            before_step_down=step_down(engine),
            restarts=[gateway.name],
            idle=lazy,
            optional=lazy,
        )
        for engine in engines
    ]
    studio = studio_of(address, config, environment, workspace, console) if with_studio else None
    programs = [*started, gateway, *([studio] if studio else [])]
    page = studio.health_url if studio else ""
    return await supervise(
        programs,
        console,
        once_ready=lambda: _introduce(address, engines[0].model.name, page, console, lazy=lazy),
        status_server=status_server,
    )


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


def with_engines(config: Mapping[str, Any], engines: Sequence[Engine], attempts: Mapping[str, int]) -> dict[str, Any]:
    """The configuration with the started engines' models in it, the first as the default; nothing else is touched."""
    started = {engine.model.name: engine.settings(attempts[engine.model.name]) for engine in engines}
    seeing = [engine.model.name for engine in engines if engine.model.family == "qwen3-vl-reranker"]
    default_media = {"default_media_model": seeing[0]} if seeing else {}
    models = {**(config.get("models") or {}), **started}
    return {**config, "models": models, "default_model": engines[0].model.name, **default_media}


def studio_of(
    address: GatewayAddress,
    config: Mapping[str, Any],
    environment: Mapping[str, str],
    workspace: Path,
    console: Console,
) -> Program | None:
    """The studio as a program that may fail; None, and said why, where it cannot be started."""
    missing = next((name for name in ("ui", "gradio", "ui.__main__") if find_spec(name) is None), None)
    if missing:
        console.say(f"no studio: {missing} is not installed")
        return None
    port = environment.get("RERANK_UI_PORT") or "7860"
    if not port.isdigit():
        raise LaunchError(f"RERANK_UI_PORT: {port!r} is not a number")
    number = int(port) or free_port()
    try:
        refuse_if_taken("127.0.0.1", number, change_with="RERANK_UI_PORT")
    except LaunchError as error:
        console.say(f"no studio: {error}")
        return None
    key = environment.get("RERANK_API_KEY") or _a_key(config, environment)
    settings = {name: value for name, value in environment.items() if not name.startswith("RERANK_")}
    words = ["--gateway", address.url, "--host", "127.0.0.1", "--port", str(number)]
    return Program(
        name="studio",
        attempts=[Attempt([sys.executable, "-m", "ui", *words])],
        health_url=f"{url_of('127.0.0.1', number)}/",
        log=workspace / "studio.log",
        # The key goes by the environment: everybody may read a command line.
        environment={**settings, "PYTHONUNBUFFERED": "1", **({"RERANK_API_KEY": key} if key else {})},
        optional=True,
    )


def _a_key(config: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """A key the gateway takes, for the studio to ask with; never an admin's."""
    given = environment.get("RERANK_API_KEYS")
    keys = given.split(",") if given else list(config.get("api_keys") or [])
    if path := environment.get("RERANK_API_KEYS_FILE") or config.get("api_keys_file"):
        with contextlib.suppress(OSError, UnicodeDecodeError):  # the gateway says what is wrong with it
            keys += [line for line in Path(path).read_text().splitlines() if not line.strip().startswith("#")]
    return next((str(key).strip() for key in keys if str(key).strip()), "")


def gateway_address(config: Mapping[str, Any], environment: Mapping[str, str]) -> GatewayAddress:
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
    return GatewayAddress(host, int(port) or free_port(), needs_key)


async def _introduce(address: GatewayAddress, model: str, page: str, console: Console, *, lazy: bool) -> None:
    """Waits until the gateway says it serves, then shows how to ask it."""
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
        await _until_ready(lambda: client.get(f"{address.url}/{'healthz' if lazy else 'readyz'}"), console)
        if lazy:
            console.say(f"No engine is loaded yet. To load one: curl -X POST {address.url}/v1/engines/{model}/load")
        console.say(introduction(address, model, page if page and await _answers(client, page) else ""))


async def _answers(client: httpx.AsyncClient, page: str) -> bool:
    try:
        return (await client.get(page)).is_success
    except httpx.HTTPError:
        return False


async def _until_ready(ask: Callable[[], Awaitable[httpx.Response]], console: Console) -> None:
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
            console.say(f"gateway: not ready: {why}")
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


def introduction(address: GatewayAddress, model: str, page: str = "") -> str:
    """Requests that work as printed. A configured key is never printed: it is taken from the shell's RERANK_API_KEY."""
    key = 'os.environ["RERANK_API_KEY"]' if address.needs_key else '"any-key-will-do"'
    return _INTRODUCTION.format(
        url=address.url,
        model=model,
        needs=", with RERANK_API_KEY set to one of your keys" if address.needs_key else "",
        header='\\\n  -H "Authorization: Bearer $RERANK_API_KEY" ' if address.needs_key else "",
        imports="import os\n\nimport cohere" if address.needs_key else "import cohere",
        key=key,
        studio=f"The studio, in a browser: {page}\n" if page else "",
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

{studio}Ctrl-C ends it.
"""
