"""Cost of a request by its number of documents, all of them new."""

import statistics
import time

import httpx

from bench.load import cpu_s, documents, rerank_ask
from bench.report import Report, Table, Target
from bench.serving import gateway, stub_engine

# Documents in a request, and the count of timed requests.
SIZES = {10: 300, 100: 150, 1_000: 40, 10_000: 10}
WARM_UP = 3
# Largest ratio of the cost of a document in the largest request to that in a request of a hundred.
GROWTH = 1.25


def measure(report: Report) -> None:
    rows, us_per_document = [], {}
    with (
        stub_engine() as engine,
        gateway({"m": {"family": "cross-encoder", "engine": engine.url}}) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        for size, times in SIZES.items():
            ask = rerank_ask(documents(size))
            seconds = []
            for number in range(-WARM_UP, times):
                if number == 0:
                    started_cpu_s = cpu_s(server.pid)
                content = ask.numbered(10**6 + number)
                started_s = time.perf_counter()
                client.post(ask.path, content=content).raise_for_status()
                seconds.append(time.perf_counter() - started_s)
            cpu_ms = (cpu_s(server.pid) - started_cpu_s) / times * 1e3
            ms = statistics.median(seconds[WARM_UP:]) * 1e3
            us_per_document[size] = ms * 1e3 / size
            rows.append((f"{size:,}", f"{ms:.2f}", f"{us_per_document[size]:.1f}", f"{cpu_ms:.2f}"))
    growth = us_per_document[10_000] / us_per_document[100]
    what = "a document among 10,000 against one among 100"
    report.targets.append(Target(what, f"≤ {GROWTH} × the time", f"{growth:.2f} ×", growth <= GROWTH))
    columns = ("documents", "ms", "µs a document", "CPU ms")
    note = "Misses, 300 characters a document, one caller, median."
    report.tables.append(Table("Cost by size", columns, rows, note))
