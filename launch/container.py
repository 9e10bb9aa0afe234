"""A container's gateway: its settings from the catalogue, for the engines that run beside it, then the gateway itself.

`python -m launch.container --state FOLDER --engine MODEL URL MAX_TOKENS ...`, the engine to prefer first. A composition
starts more or fewer engines by its profiles, and a profile can add services, not change the gateway's: so the gateway
takes the engines whose hosts it can resolve. A file named by RERANK_CONFIG is kept; if it names models, they decide.
"""

import argparse
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from launch import catalogue
from launch.catalogue import LaunchError, Model
from launch.engine import Engine
from launch.up import read_config


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """An engine that may run beside the gateway."""

    model: Model
    host: str
    port: int


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    # Named for the container, which keeps its name when it starts again, and is another when it is made anew.
    merged = options.state / f"{socket.gethostname()}.yaml"
    given = os.environ.get("RERANK_CONFIG")
    try:
        config = read_config(Path(given) if given else None)
        known = read_config(merged) if merged.exists() else {}
        addresses = [engine_address(*words) for words in options.engine]
        text = yaml.safe_dump(settings(config, addresses, known, _resolves), sort_keys=False, allow_unicode=True)
        merged.write_text(text, encoding="utf-8")
    except (LaunchError, OSError) as error:
        sys.exit(f"rerank: {error}")
    os.execv(sys.executable, [sys.executable, "-m", "gateway", "--config", str(merged)])  # noqa: S606 -- no shell wanted


def engine_address(name: str, url: str, max_tokens: str) -> EngineAddress:
    """What `--engine` says; raises LaunchError for a model that is not in the catalogue."""
    model, address = catalogue.read().find(name), urlsplit(url)
    tokens = min(int(max_tokens), model.context) if max_tokens else model.max_tokens
    return EngineAddress(replace(model, max_tokens=tokens), address.hostname or "", address.port or 80)


def settings(
    config: Mapping[str, Any],
    addresses: Sequence[EngineAddress],
    known: Mapping[str, Any],
    resolves: Callable[[str], bool],
) -> dict[str, Any]:
    """The gateway's configuration: the given one, and unless it names models, those of the engines that are there.

    An engine of `known`, this container's last configuration, stays: while it is down the gateway answers 503, and does
    not quietly give the scores of a smaller model. Raises LaunchError when there is none.
    """
    if config.get("models"):
        return dict(config)
    before = known.get("models") or {}
    there = [one for one in addresses if one.model.name in before or resolves(one.host)]
    if not there:
        raise LaunchError(f"no engine is beside this gateway: {', '.join(one.host for one in addresses)}")
    models = {one.model.name: Engine(one.model, one.host, one.port, ()).settings(0) for one in there}
    return {**config, "models": models}


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
