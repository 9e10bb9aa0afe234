"""Throughput of the gateway and of LiteLLM's proxy in front of the same stub engine, and of that engine alone."""

import contextlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer

from bench.load import PLACEHOLDER, Ask, Load, Server, documents, rerank_ask, wrk
from bench.provision import RIVAL
from bench.report import Report, Table, Target
from bench.serving import gateway, litellm, stub_engine, tokenizer

DOCUMENTS = documents(100)
CONNECTIONS = (1, 16)
ROUNDS = 3
ROUND_S = 3

MISS, HIT = "rerank-gateway, text, miss", "rerank-gateway, text, hit"
IDS_MISS, IDS_HIT = "rerank-gateway, token ids, miss", "rerank-gateway, token ids, hit"
RIVAL_MISS, RIVAL_HIT = "LiteLLM, miss", "LiteLLM, hit in its cache of whole requests"


@dataclass(frozen=True, slots=True)
class Contender:
    server: Server
    ask: Ask
    every_new: bool


Results = Mapping[tuple[str, int], Load]


def measure(report: Report) -> None:
    folder = tokenizer()
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(stub_engine())
        models = {
            "m": {"family": "cross-encoder", "engine": engine.url},
            "ids": {"family": "qwen3-reranker", "engine": engine.url, "tokenizer": str(folder)},
        }
        ours = stack.enter_context(gateway(models, default_model="m"))
        text = rerank_ask(DOCUMENTS)
        ids = replace(text, body=text.body.replace('"model": "m"', '"model": "ids"', 1))
        contenders = {
            "the engine alone, /score": Contender(engine, _score_ask(), True),
            "the engine alone, /classify": Contender(engine, _classify_ask(folder), True),
            MISS: Contender(ours, text, True),
            HIT: Contender(ours, text, False),
            IDS_MISS: Contender(ours, ids, True),
            IDS_HIT: Contender(ours, ids, False),
        }
        if RIVAL.is_provisioned:
            rival = stack.enter_context(litellm(engine))
            contenders |= {RIVAL_MISS: Contender(rival, text, True), RIVAL_HIT: Contender(rival, text, False)}
        before_ms = _tokenising_cpu_ms(folder)
        results = _rounds(contenders)
        tokenising_ms = (before_ms + _tokenising_cpu_ms(folder)) / 2
    report.targets += _targets(results, tokenising_ms)
    report.tables.append(_table(results, tokenising_ms))


def _rounds(contenders: Mapping[str, Contender]) -> Results:
    """Each contender's round of median rate. All contenders have a turn in each round."""
    for contender in contenders.values():
        _run(contender, 16, 1)
    loads: dict[tuple[str, int], list[Load]] = {(name, count): [] for name in contenders for count in CONNECTIONS}
    for _ in range(ROUNDS):
        for (name, count), found in loads.items():
            found.append(_run(contenders[name], count, ROUND_S))
    return {key: sorted(found, key=lambda load: load.per_s)[ROUNDS // 2] for key, found in loads.items()}


def _run(contender: Contender, connections: int, seconds: int) -> Load:
    server, ask, every_new = contender.server, contender.ask, contender.every_new
    return wrk(server, ask, connections=connections, seconds=seconds, every_new=every_new)


def _targets(results: Results, tokenising_ms: float) -> list[Target]:
    miss_ms, hit_ms = results[MISS, 16].cpu_ms, results[HIT, 16].cpu_ms
    ids_ms = results[IDS_MISS, 16].cpu_ms - tokenising_ms
    latency_ms = results[HIT, 1].p50_ms
    return [
        _ratio("misses, text", results, MISS, RIVAL_MISS, 12),
        _ratio("hits", results, HIT, RIVAL_HIT, 40),
        Target("CPU for a miss, text", "≤ 0.7 ms", f"{miss_ms:.2f} ms", miss_ms <= 0.7),
        Target("CPU for a hit", "≤ 0.19 ms", f"{hit_ms:.2f} ms", hit_ms <= 0.19),
        Target("CPU for a miss, token ids, less tokenising", "≤ 1.2 ms", f"{ids_ms:.2f} ms", ids_ms <= 1.2),
        Target("a hit's latency, one connection, p50", "≤ 0.6 ms", f"{latency_ms:.2f} ms", latency_ms <= 0.6),
    ]


def _ratio(what: str, results: Results, ours: str, theirs: str, wanted: int) -> Target:
    if (theirs, 16) not in results:
        return Target(what, f"≥ {wanted} × LiteLLM", "skipped: LiteLLM is not installed", None)
    ratio = results[ours, 16].per_s / results[theirs, 16].per_s
    return Target(what, f"≥ {wanted} × LiteLLM", f"{ratio:.1f} ×", ratio >= wanted)


def _table(results: Results, tokenising_ms: float) -> Table:
    rows = [
        (name, str(connections), f"{load.per_s:,.0f}", f"{load.p50_ms:.2f}", f"{load.p99_ms:.2f}", _cpu(load.cpu_ms))
        for (name, connections), load in results.items()
    ]
    note = (
        f"100 documents of 300 characters a request, one worker each, load from one thread of wrk on the same machine; "
        f"of {ROUNDS} rounds of {ROUND_S} s the one of the median rate. Miss: every request has another query. "
        f"CPU is that of the process named. Tokenising the 100 documents alone costs {tokenising_ms:.2f} ms of CPU."
    )
    return Table("100 documents", ("", "connections", "req/s", "p50 ms", "p99 ms", "CPU ms"), rows, note)


def _cpu(milliseconds: float) -> str:
    return "–" if math.isnan(milliseconds) else f"{milliseconds:.2f}"


def _score_ask() -> Ask:
    body = {"text_1": f"which of these fits best {PLACEHOLDER}", "text_2": DOCUMENTS}
    return Ask("/score", json.dumps(body, separators=(",", ":")))


def _classify_ask(folder: Path) -> Ask:
    encoded = _tokenizer(folder).encode_batch(DOCUMENTS)
    # A prompt is about 80 tokens longer than its document.
    body = {"user": PLACEHOLDER, "input": [[*range(80), *document.ids] for document in encoded]}
    return Ask("/classify", json.dumps(body, separators=(",", ":")))


def _tokenising_cpu_ms(folder: Path, times: int = 50) -> float:
    tokenizer = _tokenizer(folder)
    texts = ["<Document>: " + document for document in DOCUMENTS]
    started_s = time.process_time()
    for _ in range(times):
        tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return (time.process_time() - started_s) / times * 1e3


def _tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
