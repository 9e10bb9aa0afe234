"""Lines of code as the documentation counts them, and the files it counts."""

import ast
import io
import tokenize
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
GATEWAY = sorted((REPOSITORY / "gateway").rglob("*.py"))
# Everything that a plain text request passes, in the order in which it is best read.
SPINE = [
    REPOSITORY / "gateway" / name
    for name in (
        "domain.py",
        "rerank.py",
        "http/rerank_api.py",
        "dialects/cohere.py",
        "scoring/scorer.py",
        "families/qwen3.py",
        "engines/vllm.py",
        "engines/client.py",
        "app.py",
    )
    if (REPOSITORY / "gateway" / name).exists()
]


def lines_of_code(path: Path) -> int:
    """Lines that hold code: no blank line, no comment, no docstring."""
    source = path.read_text(encoding="utf-8")
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in quiet
        for line in range(token.start[0], token.end[0] + 1)
    }
    for text in bare_strings(ast.parse(source)):
        lines.difference_update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(lines)


def bare_strings(tree: ast.AST) -> list[ast.Expr]:
    """Docstrings, and the strings that stand below an attribute and tell of it."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
