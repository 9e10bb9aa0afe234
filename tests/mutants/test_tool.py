"""The tool finds the test that proves nothing: over a toy package, in a process of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.mutants import report
from tests.mutants.operators import Mutant, mutants_of
from tests.mutants.runner import Plan, chosen

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = {
    "toy/__init__.py": "",
    "toy/sums.py": """
        LIMIT = 10


        def strong(a: int) -> int:
            return a + 1


        def weak(a: int) -> int:
            return a + 1


        def lonely(a: int) -> int:
            return a + 1


        def endless(a: int) -> int:
            while a < LIMIT:
                a += 1
            return a
    """,
    "tests/test_strong.py": """
        from toy.sums import LIMIT, endless, strong

        def test_strong():
            assert strong(1) == 2

        def test_endless():
            assert endless(8) == LIMIT == 10
    """,
    "tests/test_weak.py": """
        from toy.sums import weak

        def test_weak():
            assert weak(1)
    """,
    "pyproject.toml": """
        [tool.pytest.ini_options]
        addopts = ["--import-mode=importlib"]
    """,
}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text).lstrip("\n"))
    return tmp_path


def examine(toy: Path) -> subprocess.CompletedProcess[str]:
    # Measured twice, by this run and by the tool, lines would be counted by neither.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    options = ["--tests", "tests", "--ignored", "--patience", "2", "--page", toy / "page.md"]
    targets = ["--root", toy, "--targets", "toy/*.py", "toy/none/*.py", "--reasons", toy / "reasons.yaml"]
    return subprocess.run(
        [sys.executable, "-m", "tests.mutants", *map(str, (*targets, *options))],
        cwd=REPOSITORY,
        env=environ | {"PYTHONPATH": str(REPOSITORY), "ALL": "1", "WORKERS": "2", "ONLY": ""},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_a_weak_test_lets_mutants_live_a_strong_one_does_not_and_a_hanging_one_is_told(toy: Path) -> None:
    told = examine(toy)
    assert told.returncode == 1, told.stderr
    page = (toy / "page.md").read_text()
    survivors = page.partition("## Survivors")[2].partition("## Files")[0]
    assert "`strong`" not in survivors
    assert "`weak`: no reason given" in survivors
    assert "`lonely`: No test covers this line. no reason given" in survivors
    (row,) = (line for line in page.splitlines() if line.startswith("| toy/sums.py "))
    _, _, count, killed, timed_out, survived, uncovered, not_run, _, _ = (cell.strip() for cell in row.split("|"))
    assert int(timed_out) >= 1  # `a -= 1` for ever
    assert int(survived) >= 1
    assert int(uncovered) >= 2
    assert int(count) == sum(map(int, (killed, timed_out, survived, uncovered)))
    assert not_run == "0"
    assert "- `toy/none/*.py`: no files" in page
    assert (toy / "toy" / "sums.py").read_text() == textwrap.dedent(FILES["toy/sums.py"]).lstrip("\n")


def test_tests_that_fail_without_a_mutant_are_told_and_nothing_is_judged(toy: Path) -> None:
    (toy / "tests" / "test_weak.py").write_text("def test_wrong():\n    assert False\n")
    told = examine(toy)
    assert told.returncode == 2
    assert "fail without any mutant" in told.stderr
    assert not (toy / "page.md").exists()


def changes(source: str) -> set[str]:
    return {mutant.change for mutant in mutants_of("m.py", textwrap.dedent(source).lstrip("\n"))}


def test_one_side_of_a_condition_is_left_out_and_a_statement_too() -> None:
    found = changes("def f(a, b):\n    if a and b:\n        go()\n")
    assert {"if a and b: -> if (a):", "if a and b: -> if (b):", "if a and b: -> if a or b:", "go() -> pass"} <= found


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""\n',
        "def f(a: int | None) -> 'str': ...\n",
        "Kind = Literal['a', 'b']\n",
        "Both = str | Other\n",
        "log = logging.getLogger('gateway')\n",
        "def f():\n    log.warning('a %s', 1 + 1)\n",
        "class P(Protocol):\n    a: int = 1\n",
        "class C:\n    __slots__ = ('a',)\n",
        "@dataclass(frozen=True)\nclass C:\n    a: int\n",
        "def f(a):\n    assert isinstance(a, int)\n",
        "class C:\n    a: int | None = None\n",
        "from a import b\n",
        "def f(a):\n    return cast('Sequence[int]', a)\n",
    ],
)
def test_what_no_test_could_see_is_left_out(source: str) -> None:
    assert not changes(source)


def test_the_words_of_an_error_are_left_out_and_its_other_facts_are_not() -> None:
    found = changes("def f():\n    raise Wrong('in words', code='gone')\n")
    assert found == {
        "raise Wrong('in words', code='gone') -> pass",
        "raise Wrong('in words', code='gone') -> raise Wrong('in words', code='XXgoneXX')",
    }


def test_the_same_change_in_the_same_line_is_told_apart() -> None:
    found = changes("def f(a):\n    return g(1) + g(1)\n")
    assert "return g(1) + g(1) -> return g(2) + g(1)" in found
    assert "return g(1) + g(1) -> return g(1) + g(2)" in found


def test_a_reason_belongs_to_one_change_and_goes_stale_with_it(tmp_path: Path) -> None:
    (first, *_) = mutants_of("m.py", "def f(a):\n    return a + 1\n")
    file = tmp_path / "reasons.yaml"
    file.write_text(
        f"m.py:\n  - function: f\n    before: {first.before}\n    after: {first.after}\n    reason: It may.\n"
        "  - function: g\n    before: a\n    after: b\n    reason: It might.\n"
    )
    reasons = report.reasons_of(file)
    assert report.reason_of(reasons, first) == "It may."
    assert report.stale(reasons, [first]) == ["m.py: g: a -> b"]
    assert report.reason_of({}, first) == report.NO_REASON
    assert report.reasons_of(tmp_path / "none.yaml") == {}


def test_a_sample_is_the_same_for_a_seed_and_hardly_another_where_the_code_has_changed() -> None:
    lines = [f"def f{n}(a):\n    return a + {n}\n" for n in range(100)]
    before, after = (mutants_of("m.py", "\n".join(text)) for text in (lines, [*lines[:50], *lines[51:]]))

    def drawn(seed: int, mutants: list[Mutant]) -> set[tuple[str, str]]:
        plan = Plan(Path(), [], [], [], seed, 30, 1)
        return {(mutant.function, mutant.change) for mutant in chosen(plan, mutants)}

    assert len(drawn(1, before)) == 30
    assert drawn(1, before) != drawn(2, before)
    assert len(drawn(1, before) & drawn(1, after)) >= 27
