"""Findings of a benchmark as Markdown: the targets with what was measured, then the tables behind them."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.provision import RIVAL

OURS = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "httpx", "httpx-aiohttp", "aiohttp", "tokenizers")


@dataclass(frozen=True, slots=True)
class Target:
    """Something to reach. `met` is None if it could not be measured here; `measured` then says why."""

    what: str
    wanted: str
    measured: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(slots=True)
class Report:
    """Targets and tables so far. The parts fill it one after the other, so a run that is cut short still reports."""

    targets: list[Target] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def skip(self, part: str, why: str) -> None:
        self.targets.append(Target(part, "", f"skipped: {why}", None))

    def markdown(self, seconds: float, command: str) -> str:
        met = {True: "met", False: "**not met**", None: "–"}
        rows = [(target.what, target.wanted, target.measured, met[target.met]) for target in self.targets]
        summary = Table("Targets", ("", "target", "measured", ""), rows)
        parts = [f"# Benchmark\n\n{_machine()}\nThe run took {seconds:.0f} s; `{command}` repeats it."]
        return "\n\n".join([*parts, *map(_markdown, (summary, *self.tables))]) + "\n"


def _markdown(table: Table) -> str:
    rule = ["---", *("---:" for _ in table.columns[1:])]
    lines = [f"| {' | '.join(cells)} |" for cells in (table.columns, rule, *table.rows)]
    return "\n".join([f"## {table.title}\n", *lines, *(["", table.note] if table.note else [])])


def _machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in OURS)
    rival = RIVAL.package if RIVAL.is_provisioned else "no LiteLLM"
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}. {_processor()}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.release()}, load {load:.1f} at the end. "
        f"CPython {sys.version.split()[0]}, {versions}; {rival}."
    )


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    return next(line.partition(": ")[2] for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
