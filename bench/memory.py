"""Memory of the gateway with a million cached pairs, and its growth under load."""

import time

import httpx

from bench.load import Server, documents, rerank_ask, rss_mb, wrk
from bench.report import Report, Table, Target
from bench.serving import gateway, stub_engine

PAIRS = 1_000_000
PAIRS_AT_ONCE = 10_000
CACHE = "memory://?max_bytes=512000000"
REQUESTS = 100_000
REQUESTS_WITHIN_S = 45


def measure(report: Report) -> None:
    models_of = {"family": "cross-encoder"}
    with stub_engine() as engine, gateway({"m": {**models_of, "engine": engine.url}}, cache=CACHE) as server:
        empty_mb = rss_mb(server.pid)
        fill(server)
        full_mb = rss_mb(server.pid)

        small = rerank_ask(documents(10, chars=50))
        started_s = time.monotonic()
        requests, first_mb = 0, 0.0
        while requests < REQUESTS and time.monotonic() - started_s < REQUESTS_WITHIN_S:
            requests += wrk(server, small, connections=16, seconds=3, every_new=False).requests
            first_mb = first_mb or rss_mb(server.pid)
        drift_mb = rss_mb(server.pid) - first_mb
    report.targets += [
        Target("memory with 1,000,000 cached pairs", "≤ 250 MB", f"{full_mb:.0f} MB", full_mb <= 250),
        Target(f"growth over {requests:,} requests", "≤ 5 MB", f"{drift_mb:+.1f} MB", drift_mb <= 5),
    ]
    rows = [
        ("just started", f"{empty_mb:.0f}"),
        (f"{PAIRS:,} pairs cached, {PAIRS_AT_ONCE:,} a request", f"{full_mb:.0f}"),
        ("after the first requests of 10 documents, all cached", f"{first_mb:.0f}"),
        (f"after {requests:,} of them", f"{first_mb + drift_mb:.0f}"),
    ]
    report.tables.append(Table("Memory", ("the gateway's process", "RSS in MB"), rows))


def fill(server: Server) -> None:
    """Send requests until PAIRS pairs are cached. Raises RuntimeError if the cache did not keep them all."""
    ask = rerank_ask(documents(PAIRS_AT_ONCE, chars=30))
    with httpx.Client(base_url=server.url, timeout=120) as client:
        for number in range(PAIRS // PAIRS_AT_ONCE):
            client.post(ask.path, content=ask.numbered(number)).raise_for_status()
        # The oldest and the newest pairs are still known: none was evicted.
        for number in (0, PAIRS // PAIRS_AT_ONCE - 1):
            meta = client.post(ask.path, content=ask.numbered(number)).json()["meta"]
            if meta["cached_pairs"] != PAIRS_AT_ONCE:
                raise RuntimeError(f"only {meta['cached_pairs']} of {PAIRS_AT_ONCE} pairs were kept")
