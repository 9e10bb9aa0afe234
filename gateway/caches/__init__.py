"""Caches by URL: `memory://`, `sqlite:///path`, `redis://host`. A new one is a file and a row of CACHES."""

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
# Options of the URL's query that every cache is given as numbers.
OPTIONS = ("max_bytes", "ttl_s", "timeout_s")


def cache_of(url: str) -> Cache | None:
    """The cache that a URL names; None for `none`. Raises SettingsError."""
    if url == "none":
        return None
    parts = urlsplit(url)
    if parts.scheme not in CACHES:
        raise SettingsError(f"cache: expected none or a URL with one of {', '.join(CACHES)}")
    query = dict(parse_qsl(parts.query))
    options = {name: _number(name, query.pop(name)) for name in OPTIONS if name in query}
    return CACHES[parts.scheme](parts._replace(query=urlencode(query)), options)


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if number <= 0:
        raise SettingsError(f"cache: {name} must be a number above 0")
    return number


def _refuse_more(url: SplitResult) -> None:
    """Raises SettingsError for an option that is none of OPTIONS."""
    if url.query:
        raise SettingsError(f"cache: unknown option {url.query.partition('=')[0]}")


def _memory(url: SplitResult, options: Mapping[str, float]) -> Cache:
    _refuse_more(url)
    return MemoryCache(max_bytes=int(options.get("max_bytes", DEFAULT_MAX_BYTES)), ttl_s=options.get("ttl_s"))


def _sqlite(url: SplitResult, options: Mapping[str, float]) -> Cache:
    _refuse_more(url)
    if not url.path.strip("/"):
        raise SettingsError("cache: sqlite:///path/to/file names no file")
    max_bytes = int(options.get("max_bytes", 4 * DEFAULT_MAX_BYTES))
    cache = SqliteCache(Path(url.path), max_bytes=max_bytes, ttl_s=options.get("ttl_s"))
    return CircuitBreaker(cache, timeout_s=options.get("timeout_s", DEFAULT_TIMEOUT_S))


def _redis(url: SplitResult, options: Mapping[str, float]) -> Cache:
    # The rest of the query is for the client: `redis://host?db=1`.
    cache = RedisCache(url.geturl(), ttl_s=options.get("ttl_s"))
    return CircuitBreaker(cache, timeout_s=options.get("timeout_s", DEFAULT_TIMEOUT_S))


# By the scheme of the URL. A factory gets the URL without the options, and the options that it names.
CACHES: dict[str, Callable[[SplitResult, Mapping[str, float]], Cache]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "rediss": _redis,
}
