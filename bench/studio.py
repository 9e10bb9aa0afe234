"""Response time of the studio's controls while many people rank."""

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
from gradio_client import Client
from gradio_client.exceptions import AppError

from bench.report import Report, Table, Target
from bench.serving import gateway, stub_engine, studio

PEOPLE = (5, 20)
CLICKS = 100
P95_S = 0.3
_TEXTS = "\n".join(f"text number {number}" for number in range(100))


def measure(report: Report) -> None:
    rows = []
    with (
        stub_engine() as engine,
        gateway({"m": {"family": "cross-encoder", "engine": engine.url}}) as server,
        studio(server) as page,
    ):
        for people in PEOPLE:
            clicks_s, answered, refused = _measured(page.url, people)
            p95_s = statistics.quantiles(clicks_s, n=20)[-1]
            rows.append(
                (f"{people}", f"{statistics.median(clicks_s):.3f}", f"{p95_s:.3f}", f"{answered}", f"{refused}")
            )
            what = f"the studio's controls while {people} people rank"
            report.targets.append(Target(what, f"p95 ≤ {P95_S} s", f"{p95_s:.2f} s", p95_s <= P95_S))
    columns = ("people", "a click, median s", "p95 s", "rankings", "told that the queue is full")
    report.tables.append(Table("The studio", columns, rows, f"100 texts a ranking, {CLICKS} clicks on an example."))


def _measured(url: str, people: int) -> tuple[list[float], int, int]:
    """Seconds of each click, and the counts of rankings answered and refused meanwhile."""
    done, told = threading.Event(), {"answered": 0, "refused": 0}

    def rank(person: int) -> None:
        client = Client(url, verbose=False, analytics_enabled=False)
        number = 0
        while not done.is_set():
            box = {"text": f"person {person} asks for {number}", "files": []}
            try:
                client.predict(box, _TEXTS, [], "", 10, 0, None, "en", api_name="/rerank")
                told["answered"] += 1
            except AppError:
                told["refused"] += 1
            number += 1
        client.close()

    with ThreadPoolExecutor(people) as pool, httpx.Client(base_url=url, timeout=30) as visitor:
        # Button of the first example. It has no inputs, and fills the query, the texts and the gallery.
        events = visitor.get("/config").json()["dependencies"]
        example = next(event["id"] for event in events if not event["inputs"] and len(event["outputs"]) == 3)
        ranking = [pool.submit(rank, person) for person in range(people)]
        while told["answered"] < people and not any(person.done() for person in ranking):
            time.sleep(0.05)
        clicks_s = [_click(visitor, example) for _ in range(CLICKS)]
        done.set()
        for person in ranking:
            person.result()
    return clicks_s, told["answered"], told["refused"]


def _click(visitor: httpx.Client, example: int) -> float:
    started_s = time.perf_counter()
    body = {"data": [], "fn_index": example, "session_hash": "bench"}
    visitor.post("/gradio_api/run/predict", json=body).raise_for_status()
    return time.perf_counter() - started_s
