"""`make bench` measures the gateway beside its rivals on this machine and writes bench/results.md."""

import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from bench import media, memory, real_engine, sizes, studio, throughput
from bench.report import Report

RESULTS = Path(__file__).with_name("results.md")
WITHIN_S = 600

# A program that some parts need, and where it comes from.
WRK = ("wrk", "apt-get install wrk, or brew install wrk")
PARTS: dict[str, tuple[Callable[[Report], None], tuple[str, str] | None]] = {
    "throughput": (throughput.measure, WRK),
    "sizes": (sizes.measure, None),
    "media": (media.measure, None),
    "memory": (memory.measure, WRK),
    "studio": (studio.measure, None),
    "vllm": (real_engine.measure, None),
}


def main() -> None:
    signal.signal(signal.SIGALRM, _time_is_up)
    signal.alarm(WITHIN_S)
    report = Report()
    started_s = time.monotonic()
    for name in sys.argv[1:] or PARTS:
        measure, needs = PARTS[name]
        if time.monotonic() - started_s >= WITHIN_S:
            report.skip(name, f"the {WITHIN_S} s were used up")
            continue
        if needs and not shutil.which(needs[0]):
            report.skip(name, f"{needs[0]} is not installed: {needs[1]}")
            continue
        print(f"bench: {name}", file=sys.stderr, flush=True)
        try:
            measure(report)
        except Exception as error:
            report.skip(name, f"it failed: {error}".splitlines()[0])
    text = report.markdown(time.monotonic() - started_s, "make bench")
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


def _time_is_up(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"over {WITHIN_S} s")


if __name__ == "__main__":
    main()
