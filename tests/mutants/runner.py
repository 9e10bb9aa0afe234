"""Runs a sample of mutants: each in a copy of the tree, against the tests that cover its line, until one fails."""

import hashlib
import itertools
import json
import os
import select
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from tests.mutants import session
from tests.mutants.lines import Covering, read
from tests.mutants.operators import Mutant, mutants_of

Outcome = Literal["killed", "timed out", "survived", "not covered"]

NOT_COPIED = (
    ".git",
    ".venv*",
    ".cache",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "*.egg-info",
    "dist",
    "node_modules",
)
# A test that takes so many times its usual time, and longer than the plan's patience, hangs.
PATIENCE = 10
# Until the first test runs: imports and collection.
COLLECTION_S = 60.0
# pytest: the tests passed, or none of the chosen was left to run.
PASSED = {0, 5}


class TestsFail(Exception):
    """The tests fail without any mutant; the message is what pytest wrote."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An examination: `targets` are globs of files to mutate, `tests` and `ignored` paths as pytest takes them.

    sample: how many mutants are run; None is all of them. patience_s: no test is taken to hang before.
    """

    root: Path
    targets: Sequence[str]
    tests: Sequence[str]
    ignored: Sequence[str]
    seed: int
    sample: int | None
    workers: int
    patience_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Result:
    """test: the one that failed or hung."""

    mutant: Mutant
    outcome: Outcome
    test: str = ""


def candidates(plan: Plan) -> list[Mutant]:
    """Every mutant of the targets, in the order of files and lines."""
    return [mutant for path in matched(plan) for mutant in mutants_of(path, (plan.root / path).read_text())]


def matched(plan: Plan) -> list[str]:
    """The files that the targets name."""
    found = {file.relative_to(plan.root).as_posix() for glob in plan.targets for file in files(plan.root, glob)}
    return sorted(found)


def files(root: Path, glob: str) -> list[Path]:
    return [file for file in root.glob(glob) if file.suffix == ".py"]


def chosen(plan: Plan, mutants: Sequence[Mutant]) -> list[Mutant]:
    """The sample, in the order of the mutants.

    Each mutant has a number of its own for each seed, and the least are drawn. A change of one line of the code leaves
    the rest of the sample as it is.
    """
    if plan.sample is None:
        return list(mutants)

    def number(mutant: Mutant) -> bytes:
        name = "\n".join((str(plan.seed), mutant.path, mutant.function, mutant.change))
        return hashlib.blake2b(name.encode(), digest_size=16).digest()

    drawn = set(sorted(mutants, key=number)[: plan.sample])
    return [mutant for mutant in mutants if mutant in drawn]


def run(plan: Plan, mutants: Sequence[Mutant], folder: Path, told: Callable[[Result], None]) -> list[Result]:
    """A result for each mutant, in their order. Raises TestsFail."""
    examination = _Examination(_recorded(plan, folder), mutants, plan.patience_s, told)
    running: dict[_Tree, _Job] = {}
    try:
        for number in range(plan.workers):
            tree = _Tree(folder / f"tree-{number}", folder / f"temporary-{number}")
            shutil.copytree(folder / "tree", tree.path)
            if job := examination.begin(tree):
                running[tree] = job
        while running:
            select.select([job.child.pipe for job in running.values()], [], [], 1.0)
            for tree, job in list(running.items()):
                if not (outcome := examination.outcome_of(job)):
                    continue
                del running[tree]
                if outcome == "timed out" and not job.again:
                    running[tree] = examination.begin_again(tree, job)
                    continue
                tree.restore()
                examination.finish(job, outcome)
                if following := examination.begin(tree):
                    running[tree] = following
    finally:
        for job in running.values():
            job.child.kill()
    return [examination.results[mutant] for mutant in mutants]


def _recorded(plan: Plan, folder: Path) -> Covering:
    """Runs the tests once without a mutant, and loads into this process what they needed of libraries."""
    tree = folder / "tree"
    shutil.copytree(plan.root, tree, ignore=shutil.ignore_patterns(*NOT_COPIED))
    session.warm([], folder / "warm")
    paths = matched(plan)
    child = session.fork(tree, lambda tell: session.record(plan.tests, plan.ignored, paths, folder, tell))
    try:
        while child.read():
            pass
    except BaseException:
        child.kill()
        raise
    if child.wait() not in PASSED:
        raise TestsFail((tree / "output").read_text(errors="replace"))
    session.warm(json.loads((folder / "tests.json").read_text())["modules"], folder / "warm")
    return read(folder, tree, paths)


class _Tree:
    """A copy of the tree, in which one file at a time is mutated."""

    # No two versions of a file have the same time: a compiled file of another version is never taken for this one's.
    _times = itertools.count(2_000_000_000)

    def __init__(self, path: Path, temporary: Path) -> None:
        self.path = path
        self.temporary = temporary
        self._original: tuple[Path, bytes, os.stat_result] | None = None

    def mutate(self, mutant: Mutant) -> None:
        file = self.path / mutant.path
        self._original = file, file.read_bytes(), file.stat()
        file.write_text(mutant.source, encoding="utf-8")
        time_s = next(self._times)
        os.utime(file, (time_s, time_s))

    def restore(self) -> None:
        assert self._original is not None
        file, data, stat = self._original
        file.write_bytes(data)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@dataclass(frozen=True, slots=True)
class _Job:
    """A mutant under way. again: one of its tests seemed to hang, and is run a second time."""

    mutant: Mutant
    tests: Sequence[str]
    child: session.Child
    again: bool = False


class _Examination:
    """The mutants still to be run, the tests of each, and the outcomes.

    Tests that killed another mutant of the same function, then of the same file, come first; then the quickest.
    """

    def __init__(
        self, covering: Covering, mutants: Sequence[Mutant], patience_s: float, told: Callable[[Result], None]
    ) -> None:
        self.results: dict[Mutant, Result] = {}
        self._covering = covering
        self._waiting = iter(mutants)
        self._patience_s = patience_s
        self._told = told
        self._kills: Counter[tuple[str, str, str]] = Counter()

    def begin(self, tree: _Tree) -> _Job | None:
        """The next mutant that some test covers, under way; None when there are no more."""
        for mutant in self._waiting:
            if tests := self._tests_of(mutant):
                tree.mutate(mutant)
                return _Job(mutant, tests, self._child(tree, tests))
            self._finish(Result(mutant, "not covered"))
        return None

    def begin_again(self, tree: _Tree, job: _Job) -> _Job:
        """The same mutant from the test on that seemed to hang: a busy machine must not kill a mutant."""
        hung = job.child.current
        tests = job.tests[job.tests.index(hung) :] if hung in job.tests else job.tests
        return _Job(job.mutant, tests, self._child(tree, tests), again=True)

    def _child(self, tree: _Tree, tests: Sequence[str]) -> session.Child:
        return session.fork(tree.path, partial(session.run_tests, tests, tree.temporary))

    def outcome_of(self, job: _Job) -> Outcome | None:
        """None as long as the child runs."""
        if select.select([job.child.pipe], [], [], 0)[0]:
            if job.child.read():
                return None
            return "survived" if job.child.wait() in PASSED else "killed"
        usual_s = self._covering.durations.get(job.child.current)
        patience_s = COLLECTION_S if usual_s is None else max(self._patience_s, PATIENCE * usual_s)
        if time.monotonic() - job.child.since_s < patience_s:
            return None
        job.child.kill()
        return "timed out"

    def finish(self, job: _Job, outcome: Outcome) -> None:
        self._finish(Result(job.mutant, outcome, job.child.current if outcome in ("killed", "timed out") else ""))

    def _finish(self, result: Result) -> None:
        if result.outcome == "killed":
            self._kills[result.mutant.path, result.mutant.function, result.test] += 1
            self._kills[result.mutant.path, "", result.test] += 1
        self.results[result.mutant] = result
        self._told(result)

    def _tests_of(self, mutant: Mutant) -> list[str]:
        kills, path, function = self._kills, mutant.path, mutant.function
        tests = self._covering.tests_of(mutant)
        return sorted(tests, key=lambda test: (-kills[path, function, test], -kills[path, "", test]))
