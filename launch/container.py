"""The gateway of a container: its settings from the catalogue for the engines that run beside it, then the gateway.

`python -m launch.container --state FOLDER --engine MODEL URL MAX_TOKENS ...`, the preferred engine first. The profiles
of a composition decide which engines run, but cannot change the gateway's settings. So the gateway takes the engines
whose host names resolve. Settings in the file RERANK_CONFIG are kept. If they name models, only those are served.
"""

import argparse
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from launch import catalogue
from launch.address import Address
from launch.catalogue import Model
from launch.errors import LaunchError
from launch.gateway_config import gateway_entry, read_config, read_settings, to_yaml


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """An engine that may run beside the gateway, and the longest prompt that it takes."""

    model: Model
    address: Address
    max_tokens: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the configuration and become the gateway. Exits with one line if the configuration is wrong."""
    options = _parser().parse_args(arguments)
    # A container keeps its host name when it starts again and gets another one when it is made anew.
    merged = options.state / f"{socket.gethostname()}.yaml"
    try:
        merged.write_text(configuration(options.engine, merged, os.environ, _resolves), encoding="utf-8")
    except (LaunchError, OSError) as error:
        sys.exit(f"rerank: {error}")
    os.execv(sys.executable, [sys.executable, "-m", "gateway", "--config", str(merged)])  # noqa: S606 -- no shell wanted


def configuration(
    engines: Sequence[Sequence[str]], merged: Path, environment: Mapping[str, str], resolves: Callable[[str], bool]
) -> str:
    """The text of the configuration, checked as the gateway will check it. Raises LaunchError.

    engines: words of each --engine. merged: this container's last configuration, if it exists.
    """
    given = environment.get("RERANK_CONFIG")
    config = read_config(Path(given) if given else None)
    if not config.get("models") and "RERANK_MODELS" not in environment:
        known = read_config(merged) if merged.exists() else {}
        config = {**config, "models": models_beside([engine_address(*words) for words in engines], known, resolves)}
    text = to_yaml(config)
    read_settings(text, environment)
    return text


def engine_address(name: str, url: str, max_tokens: str) -> EngineAddress:
    """The meaning of `--engine`. Raises LaunchError if the model is not in the catalogue."""
    model, address = catalogue.read().find(name), urlsplit(url)
    longest = min(int(max_tokens), model.context) if max_tokens else model.max_tokens
    return EngineAddress(model, Address(address.hostname or "", address.port or 80), longest)


def models_beside(
    engines: Sequence[EngineAddress], known: Mapping[str, Any], resolves: Callable[[str], bool]
) -> dict[str, Any]:
    """The gateway's `models` for the engines that are there. Raises LaunchError if none is.

    An engine of `known`, this container's last configuration, stays. While it is down the gateway answers 503 and does
    not quietly give the scores of a smaller model.
    """
    before = known.get("models") or {}
    there = [engine for engine in engines if engine.model.name in before or resolves(engine.address.host)]
    if not there:
        raise LaunchError(f"no engine is beside this gateway: {', '.join(engine.address.host for engine in engines)}")
    return {engine.model.name: gateway_entry(engine.model, engine.address, engine.max_tokens) for engine in there}


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m launch.container", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, metavar="FOLDER", help="where to write the configuration")
    parser.add_argument(
        "--engine", nargs=3, action="append", required=True, metavar=("MODEL", "URL", "MAX_TOKENS"), help="repeatable"
    )
    return parser


if __name__ == "__main__":
    main()
