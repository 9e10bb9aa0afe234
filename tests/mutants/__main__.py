"""`python -m tests.mutants`: do the tests notice when the code is wrong? Writes docs/mutants.md.

Environment: SAMPLE (300) mutants are drawn with SEED (1) and run by WORKERS (2) processes; ALL=1 runs all there are.
ONLY, a glob, runs the mutants of these files and writes no page. A survivor's reason belongs into
tests/mutants/reasons.yaml. Exit status: 0 where 90 % are killed and each survivor has its reason, 1 where not, 2 where
the tests fail without a mutant.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from tests.mutants import report, runner
from tests.mutants.runner import Plan, Result, TestsFail

ROOT = Path(__file__).resolve().parents[2]
TARGETS = (
    "gateway/scoring/*.py",
    "gateway/rerank.py",
    "gateway/models.py",
    "gateway/notices.py",
    "gateway/http/auth.py",
    "gateway/families/*.py",
    "gateway/dialects/cohere.py",
    "gateway/dialects/content.py",
    "gateway/engines/vllm.py",
    "gateway/engines/wires.py",
    "gateway/engines/readiness.py",
    "gateway/engines/client.py",
    "gateway/engines/media.py",
    "gateway/caches/circuit_breaker.py",
    "gateway/steps/*.py",
)
TESTS = ("tests/gateway",)
# They start processes, which are slow and not measured, or decode hundreds of pictures.
IGNORED = ("tests/gateway/test_process.py", "tests/gateway/test_broken.py")


def main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    environ = os.environ
    plan = Plan(
        asked.root,
        asked.targets,
        asked.tests,
        asked.ignored,
        int(environ.get("SEED") or 1),
        None if environ.get("ALL") else int(environ.get("SAMPLE") or 300),
        int(environ.get("WORKERS") or 2),
        asked.patience,
    )
    only = environ.get("ONLY") or "*"
    started_s = time.monotonic()
    mutants = [mutant for mutant in runner.candidates(plan) if fnmatch(mutant.path, only)]
    sample = runner.chosen(plan, mutants)
    print(f"{len(sample)} of {len(mutants)} mutants, seed {plan.seed}; the tests first run without any", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        try:
            results = runner.run(plan, sample, Path(folder), _Progress(len(sample)))
        except TestsFail as error:
            print(f"{error}\nthe tests fail without any mutant", file=sys.stderr)
            return 2
    reasons = report.reasons_of(asked.reasons)
    if only == "*":
        asked.page.write_text(report.page(plan, mutants, results, reasons), encoding="utf-8")
    minutes = (time.monotonic() - started_s) / 60
    share = report.share_killed(results)
    print(f"{share:.1%} of {len(results)} killed, in {minutes:.1f} minutes")
    unexplained = [
        result
        for result in report.survivors_of(results)
        if report.reason_of(reasons, result.mutant) == report.NO_REASON
    ]
    for change in report.stale(reasons, mutants) if only == "*" else ():
        print(f"reasons.yaml has a reason for what is no mutant any more: {change}")
    if unexplained:
        print(f"{len(unexplained)} survivors have no reason")
    return int(share < report.KILLED_AT_LEAST or bool(unexplained))


class _Progress:
    """Tells each survivor when it is found, and how far the run is."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = 0

    def __call__(self, result: Result) -> None:
        self._done += 1
        mutant = result.mutant
        if result.outcome not in report.KILLED:
            print(f"{result.outcome}: {mutant.path}:{mutant.lines[0]} {mutant.function}: {mutant.change}", flush=True)
        if self._done % 25 == 0:
            print(f"{self._done} of {self._count}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--tests", nargs="+", default=TESTS)
    parser.add_argument("--ignored", nargs="*", default=IGNORED)
    parser.add_argument("--patience", type=float, default=10.0, help="seconds before a test is taken to hang")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "mutants.md")
    parser.add_argument("--reasons", type=Path, default=Path(__file__).with_name("reasons.yaml"))
    return parser


if __name__ == "__main__":
    # An end from outside unwinds too, so that no child is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
