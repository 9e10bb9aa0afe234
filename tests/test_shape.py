"""The size of what a newcomer reads: the text spine counted, and no function too long."""

import ast
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# The path of a plain text request, in the order in which it is read.
SPINE = [
    "gateway/domain.py",
    "gateway/rerank.py",
    "gateway/http/rerank_api.py",
    "gateway/dialects/cohere.py",
    "gateway/scoring/scorer.py",
    "gateway/families/qwen3.py",
    "gateway/engines/vllm.py",
    "gateway/engines/client.py",
    "gateway/app.py",
]
MAX_SPINE_LINES = 900
MAX_FUNCTION_LINES = 45
PROGRAMS = [name for name in ("gateway", "launch", "ui", "offline") if (REPOSITORY / name).is_dir()]
WITHOUT_MEDIA = """
import sys
from gateway import app
from gateway.settings import load
app.build(load("models: {m: {family: cross-encoder, engine: 'http://127.0.0.1:9'}}", {}))
print(sorted({"PIL", "av", "pi_heif"} & set(sys.modules)))
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(path: Path) -> set[int]:
    """The numbers of the lines that hold code: no blank lines, no comments, no docstrings."""
    source = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines.discard(source.count("\n") + 1)  # the end of the file is a token too
    return lines


def functions(program: str) -> Iterator[tuple[str, int]]:
    """Each function's file and name, and its lines of code."""
    for path in sorted((REPOSITORY / program).rglob("*.py")):
        lines = code_lines(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function):
                size = len(lines & set(range(node.lineno, (node.end_lineno or 0) + 1)))
                yield f"{path.relative_to(REPOSITORY)}:{node.name}", size


def test_the_text_spine_can_be_read_in_an_hour() -> None:
    counted = {name: len(code_lines(REPOSITORY / name)) for name in SPINE}
    assert sum(counted.values()) <= MAX_SPINE_LINES, counted


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_function_is_longer_than_a_screen(program: str) -> None:
    long = {name: size for name, size in functions(program) if size > MAX_FUNCTION_LINES}
    assert not long


def test_a_gateway_that_reads_text_only_loads_no_library_of_pictures() -> None:
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEDIA], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
