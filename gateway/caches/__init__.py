"""The caches by URL: `memory://`, `sqlite:///path`, `redis://host`; a new one is a file and a row here."""

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from gateway.caches.base import Cache, CacheError
from gateway.caches.circuit_breaker import CircuitBreaker
from gateway.caches.memory import MemoryCache
from gateway.caches.redis import RedisCache
from gateway.caches.sqlite import SqliteCache
from gateway.settings import SettingsError

__all__ = ["Cache", "CacheError", "cache_of"]

DEFAULT_MAX_BYTES = 256 * 1024 * 1024
DEFAULT_TIMEOUT_S = 0.1
OPTIONS = ("max_bytes", "ttl_s", "timeout_s")


def cache_of(url: str) -> Cache | None:
    """The cache a URL names; `none` is no cache. Raises SettingsError."""
    if url == "none":
        return None
    parts = urlsplit(url)
    if parts.scheme not in CACHES:
        raise SettingsError(f"cache: expected none or a URL with one of {', '.join(CACHES)}")
    query = dict(parse_qsl(parts.query))
    options = {name: _number(name, query.pop(name)) for name in OPTIONS if name in query}
    if query and not parts.scheme.startswith("redis"):
        raise SettingsError(f"cache: unknown option {next(iter(query))}")
    return CACHES[parts.scheme](parts._replace(query=urlencode(query)), options)


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if number <= 0:
        raise SettingsError(f"cache: {name} must be a number above 0")
    return number


def _memory(_: SplitResult, options: Mapping[str, float]) -> Cache:
    return MemoryCache(max_bytes=int(options.get("max_bytes", DEFAULT_MAX_BYTES)), ttl_s=options.get("ttl_s"))


def _sqlite(url: SplitResult, options: Mapping[str, float]) -> Cache:
    if not url.path.strip("/"):
        raise SettingsError("cache: sqlite:///path/to/file names no file")
    max_bytes = int(options.get("max_bytes", 4 * DEFAULT_MAX_BYTES))
    cache = SqliteCache(Path(url.path), max_bytes=max_bytes, ttl_s=options.get("ttl_s"))
    return CircuitBreaker(cache, timeout_s=options.get("timeout_s", DEFAULT_TIMEOUT_S))


def _redis(url: SplitResult, options: Mapping[str, float]) -> Cache:
    cache = RedisCache(url.geturl(), ttl_s=options.get("ttl_s"))
    return CircuitBreaker(cache, timeout_s=options.get("timeout_s", DEFAULT_TIMEOUT_S))


CACHES: dict[str, Callable[[SplitResult, Mapping[str, float]], Cache]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "rediss": _redis,
}
