"""The studio as a program beside the gateway. It is optional: without it everything else runs."""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from launch.address import Address, free_port, refuse_if_taken
from launch.console import Console
from launch.errors import LaunchError
from launch.program import Attempt, Program

_HOST = "127.0.0.1"


def studio_program(
    gateway_url: str, api_key: str, environment: Mapping[str, str], log: Path, console: Console
) -> Program | None:
    """The studio in front of the gateway. None, with the reason on the console, if it cannot be started.

    api_key: a key of the gateway, never an admin's; "" if it needs none. Raises LaunchError if RERANK_UI_PORT is not
    a number.
    """
    missing = next((name for name in ("ui", "gradio", "ui.__main__") if find_spec(name) is None), None)
    if missing:
        console.say(f"no studio: {missing} is not installed")
        return None
    port = environment.get("RERANK_UI_PORT") or "7860"
    if not port.isdigit():
        raise LaunchError(f"RERANK_UI_PORT: {port!r} is not a number")
    address = Address(_HOST, int(port) or free_port())
    try:
        refuse_if_taken(address, change_with="RERANK_UI_PORT")
    except LaunchError as error:
        console.say(f"no studio: {error}")
        return None
    # The key goes by the environment, because everybody may read a command line. The gateway's own settings stay here.
    own = {name: value for name, value in environment.items() if not name.startswith("RERANK_")}
    key = {"RERANK_API_KEY": api_key} if api_key else {}
    words = ["--gateway", gateway_url, "--host", address.host, "--port", str(address.port)]
    return Program(
        name="studio",
        attempts=[Attempt([sys.executable, "-m", "ui", *words])],
        health_url=f"{address.url}/",
        log=log,
        environment={**own, "PYTHONUNBUFFERED": "1", **key},
        optional=True,
    )
