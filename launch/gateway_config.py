"""The gateway's configuration as the launcher writes it, read with the gateway's own code.

Only `rerank up` and `launch.container` import this module: `rerank engine` also runs without gateway/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway.settings import Settings, SettingsError, listening_host, load
from launch.address import Address, free_port
from launch.catalogue import Model
from launch.embedded.packaged import packaged_folder
from launch.engine import Engine
from launch.errors import LaunchError

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- read, not bound


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """The address that the gateway will listen on, and whether it will ask for a key."""

    host: str
    port: int
    needs_key: bool

    @property
    def url(self) -> str:
        """The URL for calls from this machine."""
        return Address(_EVERYWHERE.get(self.host, self.host), self.port).url


class GatewayConfig:
    """The configuration file of a gateway in front of engines that are started with it.

    user: the user's own settings. launcher: the gateway's setting of that name. path: the file to write.
    """

    def __init__(
        self, user: Mapping[str, Any], engines: Sequence[Engine], launcher: Mapping[str, str], path: Path
    ) -> None:
        self.path = path
        self._user, self._engines, self._launcher = user, engines, launcher
        self._attempts = {engine.model.name: 0 for engine in engines}

    def text(self) -> str:
        """The configuration as YAML."""
        return to_yaml({**with_engines(self._user, self._engines, self._attempts), "launcher": dict(self._launcher)})

    def write(self) -> None:
        self.path.write_text(self.text(), encoding="utf-8")

    def step_down(self, model: str, attempt: int) -> None:
        """Write the file anew with the shorter context that the engine of `model` now has."""
        self._attempts[model] = attempt
        self.write()


def read_config(path: Path | None) -> dict[str, Any]:
    """A configuration file as written, unchecked. Raises LaunchError if it is not a YAML mapping."""
    if path is None:
        return {}
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LaunchError(f"{path}: {str(error).splitlines()[0]}") from error
    if not isinstance(config, dict):
        raise LaunchError(f"{path}: a mapping of settings was expected")
    return config


def read_settings(text: str, environment: Mapping[str, str]) -> Settings:
    """The settings that the gateway will read from this text and environment. Raises LaunchError."""
    try:
        return load(text, environment)
    except SettingsError as error:
        raise LaunchError(str(error)) from error


def gateway_address(settings: Settings) -> GatewayAddress:
    """The address that the gateway will listen on with these settings. Port 0 becomes a free port."""
    return GatewayAddress(listening_host(settings), settings.port or free_port(), bool(settings.api_keys))


def with_engines(config: Mapping[str, Any], engines: Sequence[Engine], attempts: Mapping[str, int]) -> dict[str, Any]:
    """The configuration with the models of the engines added, the first of them as the default.

    `attempts` has the number of the memory plan that each engine runs with, by model name.
    """
    started = {
        engine.model.name: gateway_entry(engine.model, engine.address, engine.max_tokens(attempts[engine.model.name]))
        for engine in engines
    }
    multimodal = [engine.model.name for engine in engines if "image" in engine.model.modalities]
    default_media = {"default_media_model": multimodal[0]} if multimodal else {}
    models = {**(config.get("models") or {}), **started}
    return {**config, "models": models, "default_model": engines[0].model.name, **default_media}


def gateway_entry(model: Model, address: Address, max_tokens: int) -> dict[str, Any]:
    """The entry of a model in the gateway's configuration. `max_tokens` is the longest prompt its engine takes."""
    entry = {
        "family": model.family,
        "engine": address.url,
        # The weights of a folder may be anything. Without a hub id the readiness check expects no known scores of them.
        "hub": None if model.is_folder else model.hub,
        "revision": model.revision,
        "dtype": model.dtype,
        "tokenizer": _tokenizer(model),
        "max_tokens": max_tokens,
        "max_tokens_per_doc": model.max_tokens_per_doc,
        "logit_mean": model.logit_mean,
        "logit_sigma": model.logit_sigma,
        "aliases": list(model.aliases),
        "instruction": model.instruction,
    }
    return {name: value for name, value in entry.items() if value is not None}


def _tokenizer(model: Model) -> str | None:
    """Path or hub id of the model's tokenizer. None for a folder without one, whose limits only vLLM knows."""
    packaged = packaged_folder() if model.engine == "embedded" and not model.embeddable else None
    if packaged:
        return str(packaged / "tokenizer.json")
    return None if model.is_folder and not Path(model.hub, "tokenizer.json").exists() else model.hub


def to_yaml(config: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
