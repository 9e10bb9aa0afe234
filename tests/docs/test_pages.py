"""The pages say what the code says: tables, codes, fields, paths, links."""

import ast
import re
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway.dialects.cohere import Body
from gateway.errors import RerankError
from gateway.families import FAMILIES
from tests.docs import tables
from tests.docs.code import GATEWAY
from tests.docs.pages import PAGES, README, REPOSITORY, anchors, links, page, rows

README_WORDS = 1000


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= README_WORDS


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_tables_are_those_of_the_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == tables.filled(text), "out of date: run `python -m tests.docs.tables`"


def test_every_table_is_on_a_page() -> None:
    found = {block["name"] for path in PAGES for block in tables.BLOCK.finditer(path.read_text(encoding="utf-8"))}
    assert found == set(tables.TABLES)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_inside_the_repository_lead_somewhere(path: Path) -> None:
    for link in links(path.read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        leads_to = (path.parent / target).resolve() if target else path
        assert leads_to.exists(), link
        if anchor:
            assert anchor in anchors(leads_to.read_text(encoding="utf-8")), link


def test_every_field_of_a_request_is_told() -> None:
    told = {
        name for cell, *_ in rows(page("docs/api.md"), "## Rank documents") for name in re.findall(r"`(\w+)`", cell)
    }
    assert told == {field.name for field in msgspec.structs.fields(Body)}


def test_every_error_code_is_told_with_its_status() -> None:
    told = {code.strip("`"): int(status) for status, code, _ in rows(page("docs/api.md"), "## Errors")}
    kinds: list[type[RerankError]] = [RerankError, *subclasses(RerankError)]
    by_class = {kind.code: kind.status for kind in kinds}
    assert by_class.items() <= told.items()
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in GATEWAY]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    given = {
        node.value.value
        for node in nodes
        if isinstance(node, ast.keyword) and node.arg == "code"
        if isinstance(node.value, ast.Constant)
    }
    assert given <= set(told)
    written = {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert set(told) <= written, "a code that no code gives"


def subclasses(kind: type[RerankError]) -> list[type[RerankError]]:
    return [below for child in kind.__subclasses__() for below in (child, *subclasses(child))]


async def test_every_path_of_the_gateway_is_told(client: httpx.AsyncClient) -> None:
    told = page("docs/api.md")
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert [path for path in paths if path.replace("{name}", "NAME") not in told] == []


def test_every_family_is_told() -> None:
    told = {family.strip("`") for family, *_ in rows(page("docs/models.md"), "### Families")}
    assert told == set(FAMILIES)
