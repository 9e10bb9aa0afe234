"""What an operator may set: one YAML file, overridden by `RERANK_*`, checked whole before anything starts."""

import math
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from gateway.validation import field_first

PREFIX = "RERANK_"


class SettingsError(Exception):
    """A setting is wrong; the message is one line and names it."""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model. `family` says how its prompt is made, `engine` is the base URL of a server that speaks vLLM's wire.

    max_tokens: the longest prompt the engine reads. max_tokens_per_doc: what it reads of one document, where that is
    less than would fit (embedding models read query and document apart).
    max_pixels: of a picture. max_frames, max_video_s: of a video. A request may ask for so much at most; None is the
    family's own limit.
    """

    family: str
    engine: str
    hub: str | None = None
    revision: str | None = None
    dtype: str | None = None
    tokenizer: str | None = None
    max_tokens: int = 8192
    max_tokens_per_doc: int | None = None
    aliases: tuple[str, ...] = ()
    instruction: str | None = None
    max_pixels: int | None = None
    max_frames: int | None = None
    max_video_s: float | None = None


class MediaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether and from where pictures and videos are fetched, and what one may cost.

    fetch: off (only data URLs are read), public (any address of the open internet) or listed (only from `hosts`,
    names that may be of this network). max_bytes: of one file.
    """

    fetch: Literal["off", "public", "listed"] = "off"
    hosts: tuple[str, ...] = ()
    max_bytes: int = 32 * 1024 * 1024
    timeout_s: float = 10.0
    max_fetches: int = 8


class LauncherSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the launcher that started the engines can be asked how they do. `rerank up` writes it."""

    url: str
    token: str


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one request, and all of them together, may cost."""

    max_documents: int = 10_000
    max_body_bytes: int = 64 * 1024 * 1024
    max_pairs_waiting: int = 20_000
    engine_timeout_s: float = 60.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the gateway is told; built once, handed down in pieces.

    published_on: the address at which others reach it, where `host` is a container's own.
    api_keys_file, admin_keys_file: more keys, one a line.
    """

    models: dict[str, ModelSettings]
    default_model: str = ""
    default_media_model: str = ""
    unknown_model: Literal["default", "error"] = "default"
    api_keys: tuple[str, ...] = ()
    admin_keys: tuple[str, ...] = ()
    api_keys_file: str = ""
    admin_keys_file: str = ""
    host: str = "127.0.0.1"
    published_on: str = ""
    port: int = 8000
    workers: int = 1
    cache: str = "memory://"
    limits: LimitSettings = LimitSettings()
    media: MediaSettings = MediaSettings()
    launcher: LauncherSettings | None = None


def load(text: str, environ: Mapping[str, str]) -> Settings:
    """The settings in a YAML text, each overridden by the variable of its name (`RERANK_LIMITS_MAX_DOCUMENTS`).

    Raises SettingsError with one line that names the first wrong setting.
    """
    try:
        raw = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise SettingsError(f"the file is not YAML{f', line {mark.line + 1}' if mark else ''}") from None
    if not isinstance(raw, dict):
        raise SettingsError("the file must hold `name: value` lines")
    _override(raw, Settings, environ, PREFIX)
    try:
        settings = msgspec.convert(raw, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(field_first(str(error))) from None
    return _checked(_with_keys_of_files(settings))


def _with_keys_of_files(settings: Settings) -> Settings:
    """A key of a file counts as one that was named. An empty line, or one that starts with #, holds none."""
    keys = {}
    for name in ("api_keys", "admin_keys"):
        path = getattr(settings, f"{name}_file")
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines() if path else []
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8"
            raise SettingsError(f"{name}_file: cannot read {path}: {why}") from None
        found = (line.strip() for line in lines)
        keys[name] = (*getattr(settings, name), *(key for key in found if key and not key.startswith("#")))
    return msgspec.structs.replace(settings, **keys)


def _override(raw: dict[str, Any], kind: type[msgspec.Struct], environ: Mapping[str, str], prefix: str) -> None:
    for field in msgspec.structs.fields(kind):
        variable = prefix + field.name.upper()
        if field.type in (LimitSettings, MediaSettings):
            nested = raw.setdefault(field.name, {}) or {}
            if isinstance(nested, dict):  # else the conversion says what is wrong with it
                raw[field.name] = dict(nested)
                _override(raw[field.name], field.type, environ, variable + "_")
        elif variable in environ:
            raw[field.name] = _value(field.name, environ[variable])


def _value(name: str, text: str) -> Any:
    if name in ("api_keys", "admin_keys", "hosts"):
        return [key.strip() for key in text.split(",") if key.strip()]
    if name == "models":
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            raise SettingsError(f"{PREFIX}MODELS: not YAML") from None
    return text


def _checked(settings: Settings) -> Settings:
    """What types cannot say."""
    if not settings.models:
        raise SettingsError("models: name at least one")
    for name, model in settings.models.items():
        _check_model(f"models.{name}", model)
    for group in ("limits", "media"):
        for name, number in msgspec.structs.asdict(getattr(settings, group)).items():
            if isinstance(number, int | float) and not 0 < number < math.inf:  # false for NaN too
                raise SettingsError(f"{group}.{name}: must be a number above 0")
    if settings.media.fetch == "listed" and not settings.media.hosts:
        raise SettingsError("media.hosts: name the hosts that media.fetch: listed may ask")
    if not 0 <= settings.port <= 65535:
        raise SettingsError("port: must be between 0 and 65535")
    if settings.workers < 1:
        raise SettingsError("workers: must be at least 1")
    for name in ("api_keys", "admin_keys"):
        if not all(getattr(settings, name)):
            raise SettingsError(f"{name}: an empty key would let everybody in")
    _check_names(settings.models)
    default = settings.default_model or next(iter(settings.models))
    if default not in settings.models:
        raise SettingsError(f"default_model: no model is called {default!r}")
    return msgspec.structs.replace(settings, default_model=default)


def _check_names(models: Mapping[str, ModelSettings]) -> None:
    """A name that two models answer to would be served by whichever comes last."""
    seen: dict[str, str] = {}
    for name, model in models.items():
        for known in {name.lower(), *map(str.lower, model.aliases)}:
            if seen.setdefault(known, name) != name:
                raise SettingsError(f"models.{name}.aliases: {known} is a name of {seen[known]} already")


def _check_model(where: str, model: ModelSettings) -> None:
    if not model.engine.startswith(("http://", "https://")):
        raise SettingsError(f"{where}.engine: expected an http:// or https:// URL")
    for name in ("max_tokens", "max_tokens_per_doc", "max_pixels", "max_frames", "max_video_s"):
        number = getattr(model, name)
        if number is not None and number < 1:
            raise SettingsError(f"{where}.{name}: must be at least 1")


def is_loopback(host: str) -> bool:
    """Whether only this machine is there; a name other than localhost is nobody's promise."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
