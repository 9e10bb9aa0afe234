"""End to end on a real vLLM, directly and through the gateway, with new pairs and with a replay of hot queries."""

import json
import os
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from bench.report import Report, Table, Target
from bench.serving import TINY, gateway
from tests.vllm.provision import REPOSITORY, VLLM
from tests.vllm.servers import MODEL, gateway_model, vllm

TEMPLATE = REPOSITORY / "launch" / "templates" / "qwen3_reranker.jinja"
PASSAGES = Path(__file__).with_name("passages.yaml")
PRODUCTS_VARIABLE = "BENCH_PRODUCTS"
CALLERS = 4
COLD_ROUNDS = 6
COLD_REQUESTS = 48
ZIPF_EXPONENT = 1.1
REQUESTS_PER_QUERY = 10
REPLAY_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Search:
    """A query and its candidates from a first stage."""

    query: str
    documents: Sequence[str]

    def marked(self, mark: str) -> "Search":
        """A new query of the same words, unknown to our cache and to vLLM's prefix cache."""
        return Search(f"{mark} {self.query}", self.documents)


@dataclass(frozen=True, slots=True)
class Endpoint:
    name: str
    url: str


def measure(report: Report) -> None:
    if not VLLM.exists():
        report.skip("end to end on vLLM", "vLLM is not installed, see tests/vllm/provision.py")
        return
    searches, source = _searches()
    with vllm("bench-vllm", TINY, TEMPLATE) as engine, gateway({MODEL: gateway_model(engine)}) as server:
        direct, ours = (
            Endpoint("vLLM directly", f"{engine.url}/rerank"),
            Endpoint("the gateway", f"{server.url}/v2/rerank"),
        )
        difference = _largest_difference(direct, ours, searches)
        cold = _cold(direct, ours, searches)
        replayed, replay = _replay(direct, ours, searches)
    cold_ratio, replay_ratio = cold[direct] / cold[ours], replay[direct] / replay[ours]
    report.targets += [
        Target("new pairs, through us against vLLM directly", "≥ 1.0 ×", f"{cold_ratio:.2f} ×", cold_ratio >= 1.0),
        Target("Zipf(1.1) replay, the same", "≥ 5 ×", f"{replay_ratio:.1f} ×", replay_ratio >= 5),
    ]
    rows = [
        (f"{COLD_REQUESTS} requests, every pair new", f"{cold[direct]:.2f}", f"{cold[ours]:.2f}", f"{cold_ratio:.2f}"),
        (f"{replayed} requests, Zipf(1.1)", f"{replay[direct]:.2f}", f"{replay[ours]:.2f}", f"{replay_ratio:.1f}"),
    ]
    mean = statistics.mean(len(search.documents) for search in searches)
    note = (
        f"vLLM's CPU build with a Qwen3 of 0.1 M parameters and random weights: of all engines the one beside which a "
        f"gateway's own cost shows most. {len(searches)} queries of {source}, {mean:.0f} candidates each, {CALLERS} "
        f"callers at once; new pairs: median of {COLD_ROUNDS} rounds. Scores differ by at most {difference:.0e}."
    )
    columns = ("", "vLLM directly, s", "through us, s", "ratio")
    report.tables.append(Table("End to end on vLLM", columns, rows, note))


def _cold(direct: Endpoint, ours: Endpoint, searches: Sequence[Search]) -> dict[Endpoint, float]:
    """Median seconds of each endpoint for requests that are all new. The endpoints take turns."""
    seconds: dict[Endpoint, list[float]] = {direct: [], ours: []}
    for turn in range(COLD_ROUNDS):
        for endpoint in (direct, ours) if turn % 2 else (ours, direct):
            new = [
                searches[number % len(searches)].marked(f"{turn}{number:02d}{endpoint.name[:1]}")
                for number in range(COLD_REQUESTS)
            ]
            seconds[endpoint].append(_timed(endpoint, new, within_s=REPLAY_WITHIN_S)[1])
    return {endpoint: statistics.median(found) for endpoint, found in seconds.items()}


def _replay(direct: Endpoint, ours: Endpoint, searches: Sequence[Search]) -> tuple[int, dict[Endpoint, float]]:
    """Count of replayed requests, and their seconds on each endpoint. Our cache is empty at first."""
    pick = random.Random(0)
    weights = [rank**-ZIPF_EXPONENT for rank in range(1, len(searches) + 1)]
    chosen = pick.choices(searches, weights, k=REQUESTS_PER_QUERY * len(searches))
    done, direct_s = _timed(direct, [search.marked("d") for search in chosen], within_s=REPLAY_WITHIN_S)
    _, ours_s = _timed(ours, [search.marked("o") for search in chosen[:done]], within_s=REPLAY_WITHIN_S)
    return done, {direct: direct_s, ours: ours_s}


def _timed(endpoint: Endpoint, searches: Sequence[Search], *, within_s: float) -> tuple[int, float]:
    """Count of the requests sent within `within_s`, and the seconds that they took."""
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(CALLERS) as callers:
        started_s = time.perf_counter()  # after the client, which reads the system's certificates

        def ask(search: Search) -> bool:
            if time.perf_counter() - started_s > within_s:
                return False
            _scores(client, endpoint, search)
            return True

        done = sum(callers.map(ask, searches))
        return done, time.perf_counter() - started_s


def _largest_difference(direct: Endpoint, ours: Endpoint, searches: Sequence[Search]) -> float:
    """Largest difference between the scores of both. Their speed is comparable only if both do the same work."""
    with httpx.Client(timeout=60) as client:
        pairs = [
            pair
            for search in searches[:5]
            for pair in zip(_scores(client, direct, search), _scores(client, ours, search), strict=True)
        ]
    return max(abs(first - second) for first, second in pairs)


def _scores(client: httpx.Client, endpoint: Endpoint, search: Search) -> list[float]:
    response = client.post(endpoint.url, json={"query": search.query, "documents": search.documents})
    results = response.raise_for_status().json()["results"]
    return [result["relevance_score"] for result in sorted(results, key=lambda result: int(result["index"]))]


def _searches() -> tuple[list[Search], str]:
    """Searches of the folder in BENCH_PRODUCTS, or else of our passages, and their name for the report."""
    folder = os.environ.get(PRODUCTS_VARIABLE)
    if folder:
        return _product_searches(Path(folder)), "a product search"
    topics = yaml.safe_load(PASSAGES.read_text(encoding="utf-8"))
    searches = [Search(query, topic["passages"]) for topic in topics for query in topic["queries"]]
    # Otherwise the most frequent queries would all be of one topic.
    random.Random(0).shuffle(searches)
    return searches, "bench/passages.yaml"


def _product_searches(folder: Path) -> list[Search]:
    """Searches of products.jsonl (id, title, description, attributes) and judgements.jsonl (query, ratings by id)."""
    products = {product["id"]: product for product in _lines(folder / "products.jsonl")}
    return [
        Search(judged["query"], [_text(products[number]) for number in judged["ratings"] if number in products])
        for judged in _lines(folder / "judgements.jsonl")
    ]


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _text(product: Mapping[str, Any]) -> str:
    listed = [f"{name}: {value}" for name, value in (product.get("attributes") or {}).items()]
    return "\n".join([f"{product['title']}. {product.get('description') or ''}", *listed])
