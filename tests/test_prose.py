"""Docstrings are sentences about the thing. None opens with a free relative clause, as in "What the engine reads"."""

import ast
import re
from pathlib import Path

import pytest

from tests.docs.code import bare_strings
from tests.docs.pages import REPOSITORY

FOLDERS = [
    folder for folder in ("gateway", "launch", "ui", "offline", "bench", "tests") if (REPOSITORY / folder).exists()
]
OPENING = re.compile(r"(What|Whether|How|As|Where|Who)\b")


def refused(path: Path) -> list[str]:
    """Docstrings of a file that open with one of the words, with their places."""
    return [
        f"{path.relative_to(REPOSITORY)}:{node.lineno}: {opening}"
        for node in bare_strings(ast.parse(path.read_text(encoding="utf-8")))
        if OPENING.match(opening := ast.literal_eval(node.value).lstrip().partition("\n")[0])
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_docstring_opens_with_a_relative_clause(folder: str) -> None:
    found = [line for path in sorted((REPOSITORY / folder).rglob("*.py")) for line in refused(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "opening", ["What it reads.", "Whether it runs.", "How far it is.", "As told.", "Where.", "Who."]
)
def test_such_a_docstring_is_found(tmp_path: Path, opening: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(f'x: int\n"""{opening}"""\n\ndef f() -> None:\n    """Asks: what it reads."""\n')
    assert [node.lineno for node in bare_strings(ast.parse(path.read_text()))] == [2, 5]
    assert OPENING.match(opening)
