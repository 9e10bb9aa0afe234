"""The choice of English or Chinese changes every word of the page, and nothing that was typed."""

import re

from playwright.sync_api import expect

from tests.ui.conftest import Open
from tests.ui.visit import QUERY, TEXTS, Visit
from ui.texts import FAULTS, WORDS

TABS = ("tab_rerank", "tab_products", "tab_compare", "tab_code")
# Names, units, typed text and commands.
LATIN = re.compile(r"[A-Za-z]{2,}")
NAMES = {"Rerank", "Studio", "all", "MiniLM", "EN", "RAM", "GB", "JSON", "CSV", "ms", "mp", "bm", "BM", "Language"}


def test_the_language_changes_every_label_and_the_results_and_keeps_what_was_typed(visit: Visit) -> None:
    visit.run()
    for language, place in (("中文", 1), ("EN", 0)):
        visit.page.locator("#language").get_by_text(language, exact=True).click()
        for key in TABS:
            expect(visit.page.get_by_role("tab", name=WORDS[key][place], exact=True)).to_be_visible()
        for key in ("rerank", "stop", "load", "json", "csv", "copy_link"):
            expect(visit.button(WORDS[key][place])).to_be_visible()
        for key in ("query", "texts", "media", "tagline", "examples", "state_ready", "results"):
            expect(visit.page.get_by_text(WORDS[key][place], exact=True).first).to_be_visible()
        expect(visit.query).to_have_attribute("placeholder", WORDS["query_hint"][place])
        expect(visit.texts).to_have_attribute("placeholder", WORDS["texts_hint"][place])
        expect(visit.items.first.locator(".rank")).to_have_text(WORDS["rank"][place].format(1))
        expect(visit.results.locator(".chip").first).to_have_text(WORDS["scored"][place].format(3, 3))
        expect(visit.query).to_have_value(QUERY)
        expect(visit.texts).to_have_value("\n".join(TEXTS))
        expect(visit.page.locator("#counter")).to_contain_text(WORDS["n_text"][place].rpartition("|")[2].format(3))
    assert visit.words()[0] == TEXTS[2]


def test_a_chinese_browser_finds_the_page_in_chinese_and_no_english_on_it(open_page: Open, address: str) -> None:
    chinese = open_page(address, locale="zh-CN")
    expect(chinese.button("重排序")).to_be_visible()
    chinese.button("无线降噪耳机").click()
    expect(chinese.query).to_have_value("无线降噪耳机")
    chinese.button("重排序").click()
    expect(chinese.results.locator(".chip", has_text="已打分 8/8")).to_be_visible()
    expect(chinese.items.first.locator(".rank")).to_have_text("第1名")
    expect(chinese.items.first).to_contain_text("无线降噪耳机，头戴式")
    assert english(chinese) == set()
    chinese.query.fill("")
    chinese.button("重排序").click()
    expect(chinese.alert).to_contain_text(FAULTS["no_query"][0][1])
    assert english(chinese) == set()
    chinese.tab("商品搜索")
    chinese.button("登山装备").click()
    chinese.button("搜索").click()
    best = chinese.page.locator("#product-results li.item").first
    expect(best).to_contain_text("防水登山鞋")
    expect(best.locator(".rank")).to_have_text("第1名")


def english(visit: Visit) -> set[str]:
    """Words in Latin letters, without names and units."""
    return set(LATIN.findall(visit.page.locator("main").inner_text())) - NAMES
