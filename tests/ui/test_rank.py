"""Ranking on the page, with the real gateway and the embedded engine."""

import json
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.ui.visit import QUERY, TEXTS, Visit
from ui import examples

BEST = ["Click “Forgot password”", "无线降噪耳机，头戴式", "trees stop making chlorophyll"]
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "${alert(1)}",
    "{{x}}",
    r"C:\users\new",
    "</script><script>alert(1)</script>",
    "` + alert(1) + `",
]


def test_typed_candidates_are_ranked_best_first_and_a_row_opens_and_closes_by_click(visit: Visit) -> None:
    visit.run()
    assert visit.words()[0] == TEXTS[2]
    assert visit.scores() == sorted(visit.scores(), reverse=True)
    assert all(0 <= score <= 1 for score in visit.scores())
    expect(visit.items.locator(".rank")).to_have_text(["#1", "#2", "#3"])
    expect(visit.items.first.locator(".moved")).to_have_text("▲ 2")
    expect(visit.results.locator(".histogram")).to_be_visible()
    expect(visit.results.locator(".chip")).to_have_text(
        ["3/3 scored", re.compile(r"^\d+ ms$|^\d+\.\d s$"), re.compile("MiniLM")]
    )
    first = visit.items.first
    expect(first.locator(".detail")).to_be_hidden()
    first.locator(".words").click()
    expect(first.locator(".words")).to_have_attribute("aria-expanded", "true")
    expect(first.locator(".full")).to_have_text(TEXTS[2])
    first.locator(".row").click()
    expect(first.locator(".detail")).to_be_hidden()


def test_every_example_ranks_at_first_click_with_its_best_on_top(visit: Visit) -> None:
    for chosen, best in zip(examples.RERANK, BEST, strict=False):
        visit.button(chosen.label[0]).click()
        expect(visit.query).to_have_value(chosen.query)
        visit.button("Rerank").click()
        expect(visit.items.first.locator(".words")).to_contain_text(best)
        visit.done(len(chosen.texts))


def test_what_is_marked_in_a_long_text_is_a_part_of_it(visit: Visit) -> None:
    chosen = examples.RERANK[2]
    visit.run(chosen.query, chosen.texts)
    first = visit.items.first
    expect(first.locator(".words mark").first).to_be_visible()
    first.locator(".words").click()
    expect(first.locator(".full")).to_have_text(chosen.texts[1])
    marks = first.locator(".full mark").all_inner_texts()
    assert marks
    assert all(mark and mark != chosen.texts[1] and mark in chosen.texts[1] for mark in marks)
    assert any("chlorophyll" in mark for mark in marks)


def test_ctrl_enter_ranks_and_the_list_is_walked_with_arrows_j_and_k(visit: Visit) -> None:
    visit.ask()
    visit.texts.press("Control+Enter")
    visit.done(3)
    rows = visit.items.locator(".words")
    rows.first.focus()
    for key, place in [("ArrowDown", 1), ("j", 2), ("j", 2), ("k", 1), ("ArrowUp", 0), ("End", 2), ("Home", 0)]:
        visit.page.keyboard.press(key)
        expect(rows.nth(place)).to_be_focused()
    visit.page.keyboard.press("Enter")
    expect(visit.items.first.locator(".full")).to_be_visible()
    visit.page.keyboard.press("Enter")
    expect(visit.items.first.locator(".full")).to_be_hidden()


def test_the_whole_page_can_be_used_without_a_mouse(visit: Visit) -> None:
    """The Tab key reaches every control, and each control works by the keyboard."""
    keyboard = visit.page.keyboard

    def tab_to(selector: str, key: str = "Tab") -> None:
        for _ in range(60):
            keyboard.press(key)
            if visit.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not come by {selector}")

    visit.page.locator("h1").click()
    for passed in ("#engine input", "#load", "#language input", "[role=tab]", "[data-testid=upload-button]"):
        tab_to(passed)
    tab_to("#query textarea")
    keyboard.type(QUERY)
    tab_to("button.go")
    tab_to(".chips button")
    tab_to("#texts textarea")
    keyboard.type("\n".join(TEXTS))
    tab_to("#media button")
    tab_to("button.go", "Shift+Tab")
    keyboard.press("Enter")
    visit.done(3)
    tab_to(".exports button")
    tab_to("#copy-link")
    tab_to(".words")
    keyboard.press("Space")
    expect(visit.items.first.locator(".full")).to_have_text(TEXTS[2])
    tab_to(".detail button")


def test_what_looks_like_code_is_shown_as_text(visit: Visit) -> None:
    """`visit` fails by itself if the code runs: at a dialog, an error or a request elsewhere."""
    visit.run("${alert(1)} <img src=x onerror=alert(1)>", HOSTILE)
    assert sorted(visit.words()) == sorted(HOSTILE)
    for row in visit.items.all():
        row.locator(".words").click()
        expect(row.locator(".full")).to_have_text(row.locator(".words").inner_text())
    expect(visit.results.locator("li img, li script")).to_have_count(0)
    visit.tab("Use from code")
    expect(visit.page.locator("#code-python .cm-content")).to_contain_text("onerror=alert(1)")


def test_of_500_candidates_100_are_shown_the_rest_is_told_and_an_export_has_all(visit: Visit, tmp_path: Path) -> None:
    texts = [f"{TEXTS[place % 3]} Copy {place}." for place in range(500)]
    visit.page.get_by_role("button", name="Options").click()
    visit.page.get_by_label("number input for Show the best").fill("100")
    visit.page.get_by_label("number input for Show the best").blur()
    visit.run(texts=texts)
    expect(visit.items).to_have_count(100)
    assert visit.scores() == sorted(visit.scores(), reverse=True)
    assert all(text.startswith("To reset") for text in visit.words())
    rows = json.loads(visit.exported("JSON", tmp_path))
    assert [row["rank"] for row in rows] == list(range(1, 501))
    assert {row["content"] for row in rows} == {*texts}
    expect(visit.results.locator(".foot")).to_contain_text("and 400 more")


def test_options_show_the_best_few_and_hide_low_scores(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Options").click()
    visit.page.get_by_label("number input for Hide scores below").fill("0.5")
    visit.page.get_by_label("number input for Hide scores below").blur()
    visit.run()
    assert visit.words() == [TEXTS[2]]
    expect(visit.results.locator(".foot")).to_contain_text("2 below the lowest score")
    visit.page.get_by_label("number input for Hide scores below").fill("0")
    visit.page.get_by_label("number input for Show the best").fill("2")
    visit.page.get_by_label("number input for Show the best").blur()
    visit.button("Rerank").click()
    expect(visit.items).to_have_count(2)
