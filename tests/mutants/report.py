"""The page: how many mutants of each file were killed, and each survivor with its reason."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

import yaml

from tests.mutants.operators import Mutant
from tests.mutants.runner import Outcome, Plan, Result, files

KILLED_AT_LEAST = 0.9
NO_REASON = "no reason given"
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
KILLED = OUTCOMES[:2]

# Why a mutant may survive, by file, function and change.
Reasons = Mapping[tuple[str, str, str], str]

HEAD = """# Mutants

Written by `make mutants`, not by hand. Each mutant is one small change of the code, run against the tests that cover
its line until one of them fails. A mutant that no test notices survives. {which}

A mutant that makes a test hang is told as timed out, and counts as killed. The operators, and what is left out by rule,
are told in `tests/mutants/operators.py`; reasons are kept in `tests/mutants/reasons.yaml`.
"""


def reasons_of(path: Path) -> Reasons:
    """The reasons in a YAML file: under each file a list of function, before, after and reason."""
    told = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    return {
        (file, one["function"], f"{one['before']} -> {one['after']}"): one["reason"]
        for file, found in (told or {}).items()
        for one in found
    }


def reason_of(reasons: Reasons, mutant: Mutant) -> str:
    return reasons.get((mutant.path, mutant.function, mutant.change), NO_REASON)


def survivors_of(results: Iterable[Result]) -> list[Result]:
    return [result for result in results if result.outcome not in KILLED]


def share_killed(results: Sequence[Result]) -> float:
    return 1 - len(survivors_of(results)) / max(1, len(results))


def stale(reasons: Reasons, mutants: Iterable[Mutant]) -> list[str]:
    """Reasons for mutants that are no more: the code has changed since."""
    known = {(mutant.path, mutant.function, mutant.change) for mutant in mutants}
    return [": ".join(key) for key in reasons if key not in known]


def page(plan: Plan, mutants: Sequence[Mutant], results: Sequence[Result], reasons: Reasons) -> str:
    """The page in Markdown. `mutants` are all there are, `results` those that were run."""
    if len(results) < len(mutants):
        which = f"This is a sample: {len(results)} of {len(mutants)} mutants, with seed {plan.seed}."
    else:
        which = f"These are all {len(mutants)} mutants."
    survivors = survivors_of(results)
    return "\n".join(
        [
            HEAD.format(which=which),
            f"**{share_killed(results):.1%} killed**, {KILLED_AT_LEAST:.0%} at least is asked for.\n",
            *_table("file", mutants, results, lambda mutant: mutant.path),
            *_table("operator", mutants, results, lambda mutant: mutant.operator),
            "## Survivors\n",
            *([] if survivors else ["None.\n"]),
            *_survivors(survivors, reasons),
            "## Files\n",
            *(f"- `{glob}`: {len(files(plan.root, glob)) or 'no'} files" for glob in plan.targets),
            "",
        ]
    )


def _table(name: str, mutants: Sequence[Mutant], results: Sequence[Result], key: Callable[[Mutant], str]) -> list[str]:
    """A row per file or operator, and one for all of them."""
    there = Counter(map(key, mutants))
    ended = Counter((key(result.mutant), result.outcome) for result in results)
    lines = [
        f"| {name} | mutants | killed | timed out | survived | not covered | not run | killed of those run |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    rows = {row: [ended[row, outcome] for outcome in OUTCOMES] for row in sorted(there)}
    rows["all"] = [sum(column) for column in zip(*rows.values(), strict=True)] if rows else [0] * len(OUTCOMES)
    for row, counts in rows.items():
        total = there[row] if row in there else len(mutants)
        share = f"{sum(counts[:2]) / sum(counts):.0%}" if sum(counts) else ""
        numbers = " | ".join(map(str, [*counts, total - sum(counts)]))
        lines.append(f"| {row} | {total} | {numbers} | {share} |")
    return [*lines, ""]


def _survivors(survivors: Sequence[Result], reasons: Reasons) -> Iterator[str]:
    path = ""
    for result in survivors:
        mutant = result.mutant
        if mutant.path != path:
            path = mutant.path
            yield f"### {path}\n"
        uncovered = " No test covers this line." if result.outcome == "not covered" else ""
        yield f"Line {mutant.lines[0]}, `{mutant.function}`:{uncovered} {reason_of(reasons, mutant)}\n"
        yield f"```diff\n- {mutant.before}\n+ {mutant.after}\n```\n"
