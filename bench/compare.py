"""Two checkouts' gateways measured in one run: CPU of a request, memory, start time.

`python -m bench.compare FOLDER` takes the checkout in FOLDER as "before" and this one as "after". The two take turns,
so that a busy machine slows both alike. Each ratio is the median over the rounds. Both run in this interpreter, and
are used through their command line and HTTP only.
"""

import argparse
import contextlib
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from bench import memory
from bench.load import Server, cpu_s, documents, rerank_ask, rss_mb
from bench.report import Report, Table, Target
from bench.serving import gateway, gateway_command, stub_engine, tokenizer
from tests.vllm.provision import REPOSITORY
from tests.vllm.servers import end_group, free_port

DOCUMENTS = documents(100)
ROUNDS = 25
CPU_RATIO = 1.02
FULL_MB = 240
START_WITHIN_S = 60
T = TypeVar("T")
U = TypeVar("U")
# Values of both checkouts (before, after), one pair a round.
Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Work:
    """Requests of one round, each with a new query or all with the same one."""

    model: str
    requests: int
    every_new: bool


HIT, MISS, IDS_MISS = "CPU of a hit, ms", "CPU of a miss, text, ms", "CPU of a miss, token ids, ms"
WORKS = {HIT: Work("m", 150, False), MISS: Work("m", 80, True), IDS_MISS: Work("ids", 25, True)}
WARM_UP = 20
START_S, START_CPU_S, EMPTY_MB = "start until /healthz answers, s", "CPU of the start, s", "RSS after the start, MB"
FULL = f"RSS with {memory.PAIRS:,} cached pairs, MB"


@dataclass(frozen=True, slots=True)
class Started:
    """Costs of one start. `rss_mb` is of a gateway that has answered nothing but /healthz."""

    seconds: float
    cpu_s: float
    rss_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", type=Path, metavar="FOLDER", help="the other checkout, such as a git worktree")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    arguments = parser.parse_args()
    before, after = arguments.before.resolve(), REPOSITORY
    started_s = time.monotonic()
    found = {
        **_requests(before, after, arguments.rounds),
        **_starts(before, after, arguments.rounds),
        FULL: [(_full_mb(before), _full_mb(after))],
    }
    report = Report(targets=_targets(found), tables=[_table(found, arguments.rounds)])
    print(report.markdown(time.monotonic() - started_s, f"python -m bench.compare {arguments.before}"))


def _requests(before: Path, after: Path, rounds: int) -> dict[str, Pairs]:
    """CPU of a request in ms, by kind of work."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WORKS}
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(stub_engine())
        models = {
            "m": {"family": "cross-encoder", "engine": engine.url},
            "ids": {"family": "qwen3-reranker", "engine": engine.url, "tokenizer": str(tokenizer())},
        }
        servers = [
            stack.enter_context(gateway(models, checkout=checkout, name=f"bench-{side}", default_model="m"))
            for side, checkout in (("before", before), ("after", after))
        ]
        clients = {server: stack.enter_context(httpx.Client(base_url=server.url, timeout=60)) for server in servers}
        # Round 0 warms up and is left out.
        for turn in range(rounds + 1):
            for name, work in WORKS.items():

                def measure(server: Server, work: Work = work, turn: int = turn) -> float:
                    return _cpu_ms(server, clients[server], work, turn)

                found[name].append(_in_turns(measure, *servers, turn=turn))
    return {name: pairs[1:] for name, pairs in found.items()}


def _cpu_ms(server: Server, client: httpx.Client, work: Work, turn: int) -> float:
    ask = rerank_ask(DOCUMENTS, model=work.model)
    requests = work.requests if turn else WARM_UP
    first = 10**6 * (turn + 1) if work.every_new else 0
    started_cpu_s = cpu_s(server.pid)
    for number in range(requests):
        client.post(ask.path, content=ask.numbered(first + number * work.every_new)).raise_for_status()
    return (cpu_s(server.pid) - started_cpu_s) / requests * 1e3


def _starts(before: Path, after: Path, rounds: int) -> dict[str, Pairs]:
    with stub_engine() as engine:

        def start(checkout: Path) -> Started:
            return _started(checkout, engine)

        # The first start writes the byte code and is left out.
        pairs = [_in_turns(start, before, after, turn=turn) for turn in range(rounds + 1)][1:]
    return {
        START_S: [(old.seconds, new.seconds) for old, new in pairs],
        START_CPU_S: [(old.cpu_s, new.cpu_s) for old, new in pairs],
        EMPTY_MB: [(old.rss_mb, new.rss_mb) for old, new in pairs],
    }


def _started(checkout: Path, engine: Server) -> Started:
    """Start and end a gateway with one text model. Raises RuntimeError if it does not answer in time."""
    port = free_port()
    models = {"m": {"family": "cross-encoder", "engine": engine.url}}
    command = gateway_command("bench-start", port, models, checkout=checkout)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
        started_s = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not _answers(client):
                if process.poll() is not None or time.perf_counter() - started_s > START_WITHIN_S:
                    raise RuntimeError(f"the gateway of {checkout} does not start")
                time.sleep(0.002)
            seconds = time.perf_counter() - started_s
            return Started(seconds, cpu_s(process.pid), rss_mb(process.pid))
        finally:
            end_group(process)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").is_success
    except httpx.TransportError:
        return False


def _full_mb(checkout: Path) -> float:
    with stub_engine() as engine:
        models = {"m": {"family": "cross-encoder", "engine": engine.url}}
        with gateway(models, checkout=checkout, name="bench-full", cache=memory.CACHE) as server:
            memory.fill(server)
            return rss_mb(server.pid)


def _in_turns(measure: Callable[[T], U], before: T, after: T, *, turn: int) -> tuple[U, U]:
    """Measurements of both. Every second round begins with `after`."""
    if turn % 2:
        later = measure(after)
        return measure(before), later
    earlier = measure(before)
    return earlier, measure(after)


def _targets(found: Mapping[str, Pairs]) -> list[Target]:
    ratios = [(name, statistics.median(_ratios(found[name]))) for name in WORKS]
    full_mb = found[FULL][0][1]
    return [
        *(Target(name, f"≤ {CPU_RATIO} × before", f"{ratio:.3f} ×", ratio <= CPU_RATIO) for name, ratio in ratios),
        Target(FULL, f"≤ {FULL_MB}", f"{full_mb:.0f}", full_mb <= FULL_MB),
    ]


def _table(found: Mapping[str, Pairs], rounds: int) -> Table:
    rows = [(name, *_cells(pairs)) for name, pairs in found.items()]
    note = (
        f"Medians of {rounds} rounds in which the checkouts take turns; the ratio is the median of the rounds' ratios, "
        f"beside it their quartiles. A request has {len(DOCUMENTS)} documents of 300 characters; there is one caller. "
        "CPU is that of the gateway's process. Memory with cached pairs is measured once."
    )
    return Table("Before and after", ("", "before", "after", "ratio", "quartiles"), rows, note)


def _cells(pairs: Pairs) -> tuple[str, str, str, str]:
    before, after = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratios = _ratios(pairs)
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return f"{before:.3g}", f"{after:.3g}", f"{statistics.median(ratios):.3f}", f"{low:.3f}-{high:.3f}"


def _ratios(pairs: Pairs) -> list[float]:
    return [after / before for before, after in pairs]


if __name__ == "__main__":
    main()
