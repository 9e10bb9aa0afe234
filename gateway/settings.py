"""The operator's settings: one YAML file, overridden by `RERANK_*`, checked whole before anything starts."""

import math
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta

from gateway.validation import field_first

PREFIX = "RERANK_"


class SettingsError(Exception):
    """A setting is wrong; the message is one line and names it."""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model, and the engine that serves it."""

    family: Annotated[str, Meta(description="The model's recipe: how its prompt is written and its answer read.")]
    engine: Annotated[str, Meta(description="Base URL of a server that speaks vLLM's wire.")]
    hub: Annotated[
        str | None,
        Meta(description="Repository on the Hugging Face hub; also a name for the model. Part of the cache key."),
    ] = None
    revision: Annotated[str | None, Meta(description="Commit of that repository. Part of the cache key.")] = None
    dtype: Annotated[str | None, Meta(description="Number format the engine computes in. Part of the cache key.")] = (
        None
    )
    tokenizer: Annotated[
        str | None,
        Meta(description="Folder, tokenizer.json or hub id of the model's tokenizer; without it `hub` is used."),
    ] = None
    max_tokens: Annotated[
        int, Meta(description="Longest prompt the engine reads, in tokens: its `--max-model-len`.")
    ] = 8192
    max_tokens_per_doc: Annotated[
        int | None,
        Meta(description="Tokens read of one document, where that is less than would fit (embedding models)."),
    ] = None
    aliases: Annotated[tuple[str, ...], Meta(description="Other names callers may ask for.")] = ()
    instruction: Annotated[
        str | None, Meta(description="Task description in the prompt; without it the official one is used.")
    ] = None
    logit_mean: Annotated[
        float | None,
        Meta(
            description="Logit whose score is 0.5: scores are sigmoid((logit - mean) / sigma). Else the family's own."
        ),
    ] = None
    logit_sigma: Annotated[
        float | None, Meta(description="Temperature that the logit is divided by, above 0. Else the family's own.")
    ] = None
    max_pixels: Annotated[
        int | None,
        Meta(description="Pixels of one picture at most; larger ones are scaled down. Else the family's own limit."),
    ] = None
    max_frames: Annotated[
        int | None, Meta(description="Frames read of one video at most. Else the family's own limit.")
    ] = None
    max_video_s: Annotated[
        float | None, Meta(description="Longest video accepted, in seconds. Else the family's own limit.")
    ] = None


class MediaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sources and limits of pictures and videos."""

    fetch: Annotated[
        Literal["off", "public", "listed"],
        Meta(
            description="Addresses that are fetched: none (only data URLs and base64 are read), "
            "those of the open internet, or those of `hosts`."
        ),
    ] = "off"
    hosts: Annotated[
        tuple[str, ...], Meta(description="Host names for `fetch: listed`; they may be of the gateway's own network.")
    ] = ()
    max_bytes: Annotated[int, Meta(description="Size of one picture or video at most, in bytes.")] = 32 * 1024 * 1024
    timeout_s: Annotated[float, Meta(description="Time to fetch one picture or video, in seconds.")] = 10.0
    max_fetches: Annotated[int, Meta(description="Fetches under way at once.")] = 8


class LauncherSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The launcher's own address, which tells the state of the engines it started. `rerank up` writes it."""

    url: str
    token: str


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds on one request, and on all of them together."""

    max_documents: Annotated[int, Meta(description="Documents in one request at most.")] = 10_000
    max_body_bytes: Annotated[int, Meta(description="Size of one request at most, in bytes.")] = 64 * 1024 * 1024
    max_pairs_waiting: Annotated[
        int, Meta(description="Pairs that may wait for one engine; a request beyond that gets 429.")
    ] = 20_000
    engine_timeout_s: Annotated[float, Meta(description="Time for one call to an engine, in seconds.")] = 60.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of the gateway; built once, handed down in pieces."""

    models: Annotated[dict[str, ModelSettings], Meta(description="The models by name; see the table below.")]
    default_model: Annotated[
        str, Meta(description="Model that answers where the request names none that is known; else the first.")
    ] = ""
    default_media_model: Annotated[
        str,
        Meta(
            description="Model for pictures and videos where the request names none that sees; "
            "else the default model, or the first that does."
        ),
    ] = ""
    unknown_model: Annotated[
        Literal["default", "error"],
        Meta(description="Answer to an unknown model name: the default model's scores, or status 404."),
    ] = "default"
    scoring: Annotated[
        Literal["refuse", "warn"],
        Meta(
            description="Answer for a model whose engine fails its checks: status 503, or scores with a warning "
            "that are not kept."
        ),
    ] = "refuse"
    api_keys: Annotated[
        tuple[str, ...], Meta(description="Keys that open the gateway. Without any, it listens on loopback only.")
    ] = ()
    admin_keys: Annotated[
        tuple[str, ...],
        Meta(
            description="Keys for `DELETE /v1/cache` and for loading engines; they open the rest too. "
            "Without any, only calls from this machine may do either."
        ),
    ] = ()
    api_keys_file: Annotated[str, Meta(description="File with more `api_keys`, one a line.")] = ""
    admin_keys_file: Annotated[str, Meta(description="File with more `admin_keys`, one a line.")] = ""
    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    published_on: Annotated[
        str,
        Meta(
            description="Address the port is published on, where `host` is a container's own; "
            "it then decides whether keys are needed."
        ),
    ] = ""
    port: Annotated[int, Meta(description="Port to listen on; 0 is any free one.")] = 8000
    workers: Annotated[
        int, Meta(description="Processes. They share nothing but the cache, if it is sqlite or redis.")
    ] = 1
    cache: Annotated[
        str,
        Meta(description="Cache of scores: `memory://`, `sqlite:///path/to/file`, `redis://host` or `none`."),
    ] = "memory://"
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
    """Adds the keys of `*_file` to the inline keys. Empty lines and lines that start with # hold none."""
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
    """Checks that types cannot make. Raises SettingsError for the first wrong setting."""
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
    if model.logit_sigma is not None and not 0 < model.logit_sigma < math.inf:
        raise SettingsError(f"{where}.logit_sigma: must be a number above 0")
    if model.logit_mean is not None and not math.isfinite(model.logit_mean):
        raise SettingsError(f"{where}.logit_mean: must be a number")


def listening_host(settings: Settings) -> str:
    """The host to listen on: the one set, but without keys this machine's own, unless no other machine reaches it."""
    if settings.api_keys or is_loopback(settings.published_on or settings.host):
        return settings.host
    return "127.0.0.1"


def is_loopback(host: str) -> bool:
    """True for an address that only this machine reaches. Of names only localhost counts."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
