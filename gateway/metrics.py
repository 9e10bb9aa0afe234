"""Counts for Prometheus. The endpoint records what a response reports; no logic counts anything itself."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.domain import RerankResponse

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The gateway's counts. With several workers each writes to `shared_dir`, and any of them reports all."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, *, shared_dir: str | None = None) -> None:
        self._shared_dir = shared_dir
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter("rerank_requests", "Answers, by status", ["dialect", "status"], registry=registry)
        self._seconds = Histogram(
            "rerank_request_seconds", "From the request's last byte to its answer", buckets=SECONDS, registry=registry
        )
        self._pairs = Counter("rerank_pairs", "Pairs scored", ["model"], registry=registry)
        self._tokens = Counter("rerank_tokens", "Tokens read by the engine", ["model"], registry=registry)
        self._cut_documents = Counter("rerank_cut_documents", "Documents cut to fit", ["model"], registry=registry)
        self._cut_tokens = Counter("rerank_cut_tokens", "Document tokens left out", ["model"], registry=registry)
        self._cache_pairs = Counter("rerank_cache_pairs", "Pairs looked up", ["backend", "result"], registry=registry)
        self._cache_bytes = Gauge(
            "rerank_cache_bytes", "Bytes used", ["backend"], registry=registry, multiprocess_mode="livesum"
        )
        self._cache_evicted = Gauge(
            "rerank_cache_evicted", "Pairs evicted", ["backend"], registry=registry, multiprocess_mode="livesum"
        )
        self._in_flight = Gauge(
            "rerank_requests_in_flight", "Requests under way", registry=registry, multiprocess_mode="livesum"
        )

    def started(self) -> None:
        self._in_flight.inc()

    def answered(self, dialect: str, status: int, seconds: float) -> None:
        self._in_flight.dec()
        self._requests.labels(dialect, str(status)).inc()
        self._seconds.observe(seconds)

    def ranked(self, response: RerankResponse, pairs: int) -> None:
        self._pairs.labels(response.model).inc(pairs)
        self._tokens.labels(response.model).inc(response.tokens)
        if response.cut_tokens:
            self._cut_documents.labels(response.model).inc(response.cut_documents)
            self._cut_tokens.labels(response.model).inc(response.cut_tokens)

    def looked_up(self, backend: str, response: RerankResponse, pairs: int) -> None:
        self._cache_pairs.labels(backend, "hit").inc(response.cached)
        self._cache_pairs.labels(backend, "miss").inc(pairs - response.cached)

    def cache_is(self, backend: str, bytes_used: int | None, evicted: int) -> None:
        self._cache_evicted.labels(backend).set(evicted)
        if bytes_used is not None:
            self._cache_bytes.labels(backend).set(bytes_used)

    def report(self) -> bytes:
        """All counts in Prometheus' text format."""
        registry = self._registry
        if self._shared_dir:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=self._shared_dir)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
