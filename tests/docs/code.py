"""The code as the documentation's tests read it."""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
GATEWAY = sorted((REPOSITORY / "gateway").rglob("*.py"))


def bare_strings(tree: ast.AST) -> list[ast.Expr]:
    """Docstrings, and the strings that stand below an attribute and tell of it."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
