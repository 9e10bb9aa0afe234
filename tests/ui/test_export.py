"""Exports, links and code snippets hold exactly the contents of the page."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.ui.conftest import Open
from tests.ui.visit import QUERY, TEXTS, Visit

FORMULA = "=1+1"


def shown(rows: list[dict[str, Any]]) -> tuple[list[str], list[float]]:
    """Contents and scores of an export's rows, in the form of the page."""
    return [row["content"] for row in rows], [round(float(row["relevance_score"]), 3) for row in rows]


def test_json_and_csv_hold_what_is_shown_and_no_formula(visit: Visit, tmp_path: Path) -> None:
    visit.run(texts=[*TEXTS, FORMULA, "重置密码，请点击“忘记密码”"])
    seen = visit.words(), visit.scores()
    rows = json.loads(visit.exported("JSON", tmp_path))
    assert shown(rows) == seen
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    table = visit.exported("CSV", tmp_path)
    assert f"'{FORMULA}" in table
    assert (tmp_path / "CSV").read_bytes().startswith(b"\xef\xbb\xbf"), "Excel needs the mark"
    read = list(csv.DictReader(table.splitlines()))
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in read for cell in row.values())
    assert shown([{**row, "content": row["content"].removeprefix("'")} for row in read]) == seen


def test_a_copied_link_opens_with_what_was_typed_and_a_broken_one_with_nothing(open_page: Open, address: str) -> None:
    visit = open_page(address, fragment="#no-such-thing")
    expect(visit.query).to_have_value("")
    typed = "Zurücksetzen? 密码 🔑 ${x} <b>"
    visit.ask(typed, TEXTS)
    visit.button("Copy link").click()
    expect(visit.page.locator("#copy-link.done")).to_be_visible()
    link = visit.page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{visit.url}/#")
    other = open_page(visit.url, fragment=link.removeprefix(visit.url))
    expect(other.query).to_have_value(typed)
    expect(other.texts).to_have_value("\n".join(TEXTS))
    other.button("Rerank").click()
    other.done(3)


def test_the_python_shown_runs_as_printed_and_ranks_the_same(visit: Visit, tmp_path: Path) -> None:
    texts = [*TEXTS, "quotes: ' \" ''' \\ and C:\\users\\new", "忘记密码？"]
    visit.run(QUERY, texts)
    visit.tab("Use from code")
    python = visit.page.locator("#code-python")
    expect(python.locator(".cm-content")).to_contain_text("cohere.ClientV2")
    expect(visit.page.locator("#code-curl .cm-content")).to_contain_text("/v2/rerank")
    expect(visit.page.locator("#code-javascript .cm-content")).to_contain_text("fetch(")
    code = "\n".join(python.locator(".cm-line").all_inner_texts()).replace("\n\n", "\n")
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert ran.returncode == 0, ran.stderr
    printed = [line.split() for line in ran.stdout.splitlines()]
    visit.tab("Rerank")
    assert [texts[int(index)] for index, _ in printed] == visit.words()
    assert [round(float(score), 3) for _, score in printed] == visit.scores()
