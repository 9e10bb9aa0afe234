"""docs/ARCHITECTURE.md is true: its paths, its spine, its protocols."""

import importlib
import re
from typing import Any

import pytest

from tests.docs.pages import REPOSITORY, page, rows, without_code
from tests.test_shape import SPINE

ARCHITECTURE = page("docs/ARCHITECTURE.md")
TOPS = {path.name for path in REPOSITORY.iterdir()}
CODE = re.compile(r"`([^`\n]+)`")
PROTOCOLS = {row[0].strip("`"): row for row in rows(ARCHITECTURE, "## Five protocols")}


def paths_named() -> list[str]:
    """Everything in code marks that begins with a folder or file of the repository."""
    named = (text for text in CODE.findall(without_code(ARCHITECTURE)) if " " not in text)
    return sorted({text for text in named if text.split("/")[0] in TOPS})


def test_every_path_it_names_exists() -> None:
    named = paths_named()
    assert len(named) > 30
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def test_the_spine_is_the_one_that_is_counted() -> None:
    told = [row[0].strip("`") for row in rows(ARCHITECTURE, "## The walk of a request")]
    assert told == SPINE


@pytest.mark.parametrize("name", ["Dialect", "Family", "Engine", "Step", "Cache"])
def test_a_protocol_has_the_members_that_are_told(name: str) -> None:
    _, file, members, _ = PROTOCOLS[name]
    protocol: Any = getattr(importlib.import_module(file.strip("`").removesuffix(".py").replace("/", ".")), name)
    public = {*protocol.__annotations__, *vars(protocol)}
    assert set(CODE.findall(members)) == {member for member in public if not member.startswith("_")}


def test_there_are_five_protocols() -> None:
    assert len(PROTOCOLS) == 5


def test_ten_coming_changes_have_their_file() -> None:
    coming = rows(ARCHITECTURE, "## The newcomer's check")
    assert len(coming) == 10
    for change, place in coming:
        assert CODE.findall(place), change
