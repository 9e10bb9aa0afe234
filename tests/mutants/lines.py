"""The tests that cover each line of the mutated files, from one run of all tests with coverage's dynamic contexts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import coverage

from tests.mutants.operators import Mutant
from tests.mutants.session import FIXTURE

# A longer test is run only for what no quicker one covers.
SLOW_S = 3.0


@dataclass(frozen=True, slots=True)
class Covering:
    """lines: per file and line, the tests that cover it; `""` among them stands for an import."""

    lines: Mapping[str, Mapping[int, frozenset[str]]]
    durations: Mapping[str, float]

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that meet a mutant, quickest first; none where nothing covers it."""
        lines = self.lines.get(mutant.path, {})
        found: frozenset[str] = frozenset()
        if not mutant.at_import:
            found = next((lines[line] for line in mutant.lines if line in lines), frozenset())
            if found and found != {""}:
                return self._ordered(found)
            if not found:
                return []
        # What runs at import decides for every test that comes to the file.
        return self._ordered(frozenset().union(*lines.values()))

    def _ordered(self, tests: frozenset[str]) -> list[str]:
        known = sorted(tests & self.durations.keys(), key=lambda test: (self.durations[test], test))
        quick = [test for test in known if self.durations[test] <= SLOW_S]
        return quick or known


def read(folder: Path, tree: Path, paths: Sequence[str]) -> Covering:
    """The record that `session.record` left in the folder."""
    told = json.loads((folder / "tests.json").read_text())
    data = coverage.CoverageData(str(folder / "lines"))
    data.read()
    users: dict[str, list[str]] = told["users"]
    lines = {}
    for path in paths:
        contexts = data.contexts_by_lineno(str(tree / path))
        lines[path] = {
            line: frozenset(
                test for name in names for test in (users.get(name, []) if name.startswith(FIXTURE) else [name])
            )
            for line, names in contexts.items()
        }
    return Covering(lines, told["durations"])
