"""Counts for Prometheus. They are taken from the ranking that a request gets; no other code counts anything."""

from collections.abc import Callable
from functools import cache as keep

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.domain import Ranking

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The gateway's counts. With several workers each writes to `shared_dir`, and any of them reports all.

    cache: the kind of cache that pairs are looked up in, if there is one.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, cache: str | None, *, shared_dir: str | None = None) -> None:
        self._cache = cache
        self._shared_dir = shared_dir
        self._registry = registry = CollectorRegistry()

        def counter(name: str, meaning: str, *labels: str) -> Callable[..., Counter]:
            # `labels` takes a lock and builds a tuple at every call; there are few of them, so they are kept.
            return keep(Counter(name, meaning, labels, registry=registry).labels)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(name, meaning, labels, registry=registry, multiprocess_mode="livesum")

        self._requests = counter("rerank_requests", "Answers, by status", "dialect", "status")
        self._seconds = Histogram(
            "rerank_request_seconds", "From a request's head to its answer", buckets=SECONDS, registry=registry
        )
        self._in_flight = gauge("rerank_requests_in_flight", "Requests under way")
        self._pairs = counter("rerank_pairs", "Pairs scored", "model")
        self._tokens = counter("rerank_tokens", "Tokens of these pairs", "model")
        self._cut_documents = counter("rerank_cut_documents", "Documents cut to fit", "model")
        self._cut_tokens = counter("rerank_cut_tokens", "Document tokens left out", "model")
        self._cache_pairs = counter("rerank_cache_pairs", "Pairs looked up", "backend", "result")
        self._cache_bytes = gauge("rerank_cache_bytes", "Bytes used", "backend")
        self._cache_evicted = gauge("rerank_cache_evicted", "Pairs evicted", "backend")

    def started(self) -> None:
        """Counts a request as under way; `answered` must follow."""
        self._in_flight.inc()

    def answered(self, dialect: str, status: int, seconds: float) -> None:
        """Counts a request as answered after so many seconds."""
        self._in_flight.dec()
        self._requests(dialect, str(status)).inc()
        self._seconds.observe(seconds)

    def ranked(self, ranking: Ranking) -> None:
        """Counts a ranking's pairs, tokens and cuts, and its cache hits unless the caller wanted none."""
        self._pairs(ranking.model).inc(ranking.pairs)
        self._tokens(ranking.model).inc(ranking.tokens)
        if ranking.cut_tokens:
            self._cut_documents(ranking.model).inc(ranking.cut_documents)
            self._cut_tokens(ranking.model).inc(ranking.cut_tokens)
        if self._cache is not None and not ranking.request.no_store:
            self._cache_pairs(self._cache, "hit").inc(ranking.cached)
            self._cache_pairs(self._cache, "miss").inc(ranking.pairs - ranking.cached)

    def cache_is(self, bytes_used: int | None, evicted: int) -> None:
        """Records the size of the cache, in bytes where it can tell, and the pairs evicted so far."""
        self._cache_evicted.labels(self._cache).set(evicted)
        if bytes_used is not None:
            self._cache_bytes.labels(self._cache).set(bytes_used)

    def report(self) -> bytes:
        """All counts in Prometheus' text format."""
        registry = self._registry
        if self._shared_dir:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=self._shared_dir)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
