"""Load from wrk, and the CPU time and memory of the process that answers it."""

import ctypes
import itertools
import json
import math
import random
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.vllm.servers import LOGS

PASSAGES = Path(__file__).with_name("passages.yaml").read_text(encoding="utf-8")
WORDS = [word for word in PASSAGES.split() if word.isascii() and word.isalpha()]
# A number of twelve digits in a query. Another number makes another query of the same length.
PLACEHOLDER = "#" * 12
FIRST_NUMBERS = itertools.count(10**9, 10**7)

SCRIPT = """
local head = "POST {path} HTTP/1.1\\r\\nHost: {host}\\r\\nContent-Type: application/json\\r\\n" ..
  "Content-Length: {length}\\r\\n\\r\\n"
local before, after = head .. [==[{before}]==], [==[{after}]==]
local number = {first}
local same = before .. string.format("%012d", number) .. after

request = function()
  if {step} == 0 then return same end
  number = number + {step}
  return before .. string.format("%012d", number) .. after
end

done = function(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.status + summary.errors.timeout
  print(string.format('{{"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"failed":%d}}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
"""


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A request's path and JSON. Another number in place of PLACEHOLDER makes another query of it."""

    path: str
    body: str

    def numbered(self, number: int) -> bytes:
        return self.body.replace(PLACEHOLDER, f"{number:012d}").encode()


@dataclass(frozen=True, slots=True)
class Load:
    """Figures of one run. `cpu_ms` is the CPU time of the server's process for one request."""

    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


def rerank_ask(documents: list[str], model: str = "m") -> Ask:
    query = f"which of these fits best {PLACEHOLDER}"
    return Ask("/v2/rerank", json.dumps({"model": model, "query": query, "documents": documents}))


def documents(count: int, chars: int = 300) -> list[str]:
    """Documents of so many characters: no two alike, and the same on every run."""
    pick = random.Random(count)
    return [f"{number} {' '.join(pick.choices(WORDS, k=chars // 2))}"[:chars] for number in range(count)]


def wrk(server: Server, ask: Ask, *, connections: int, seconds: int, every_new: bool) -> Load:
    """Load on one server from one thread. Raises RuntimeError if a single answer was not 200."""
    before, _, after = ask.body.partition(PLACEHOLDER)
    script = SCRIPT.format(
        path=ask.path,
        host=urlsplit(server.url).netloc,
        length=len(ask.body),
        before=before,
        after=after,
        first=next(FIRST_NUMBERS) if every_new else 0,
        step=int(every_new),
    )
    file = LOGS / "bench.lua"
    file.write_text(script)
    if not every_new:
        httpx.post(server.url + ask.path, content=ask.numbered(0), timeout=60).raise_for_status()
    started_cpu_s = cpu_s(server.pid)
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    output = subprocess.run(
        [*command, "--timeout", "30s", "--script", file, server.url],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    ).stdout
    spent_s = cpu_s(server.pid) - started_cpu_s
    found = json.loads(output.splitlines()[-1])
    if found["failed"] or not found["requests"]:
        raise RuntimeError(f"{found['failed']} of {found['requests']} requests to {ask.path} failed")
    requests = found["requests"]
    per_s = requests / found["us"] * 1e6
    return Load(requests, per_s, found["p50_us"] / 1e3, found["p99_us"] / 1e3, spent_s / requests * 1e3)


def cpu_s(pid: int) -> float:
    """User and system time of a process and all its threads, in s; NaN if this system does not tell.

    `clock_getcpuclockid` counts in nanoseconds. /proc/PID/stat counts in steps of 10 ms, 30 times as long as a hit.
    """
    find = getattr(ctypes.CDLL(None), "clock_getcpuclockid", None)
    clock = ctypes.c_int()
    if find is None or find(pid, ctypes.byref(clock)) != 0:
        return math.nan
    return time.clock_gettime(clock.value)


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB of 10^6 bytes."""
    kib = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    return int(kib) * 1024 / 1e6
