"""The page on a phone and in the dark, and what axe-core finds on it."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.ui.conftest import Open

PHONE = {"width": 390, "has_touch": True}
# Gradio's own, each by rule and a part of the node's selector or source.
GRADIOS: dict[str, str] = {}


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_serious_of_ours(look: dict[str, Any], open_page: Open, address: str) -> None:
    seen = open_page(address, **look)
    seen.button("Why leaves turn red").click()
    expect(seen.texts).not_to_have_value("")
    seen.button("Rerank").click()
    seen.done(6)
    expect(seen.results.locator("mark").first).to_be_visible()
    seen.items.first.locator(".words").click()
    found = Axe().run(seen.page).response["violations"]
    ours = [
        f"{finding['id']}: {node['html'][:300]} ({node.get('failureSummary', '')[:200]})"
        for finding in found
        if finding["impact"] in {"serious", "critical"}
        for node in finding["nodes"]
    ]
    assert not ours, "\n".join(ours)


def test_on_a_phone_nothing_is_cut_the_button_stays_and_the_inputs_fold(open_page: Open, address: str) -> None:
    phone = open_page(address, **PHONE)
    page = phone.page

    def overflow() -> int:
        return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    assert overflow() <= 0
    phone.run()
    expect(phone.texts).to_be_hidden()
    expect(phone.query).to_be_hidden()
    assert overflow() <= 0
    for scroll in (0, 10_000):
        page.mouse.wheel(0, scroll)
        box = phone.button("Rerank").bounding_box()
        assert box
        assert 780 < box["y"] < 900 - box["height"]
    phone.button("Query and candidates").click()
    expect(phone.texts).to_be_visible()
    phone.items.first.locator(".words").click()
    expect(phone.items.first.locator(".full")).to_be_visible()
    for name in ("Product search", "Compare", "Use from code"):
        phone.tab(name)
        assert overflow() <= 0, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_as_dark_as_the_browser_asks(scheme: str, open_page: Open, address: str) -> None:
    visit = open_page(address, color_scheme=scheme)
    visit.run()
    for node in (visit.page.locator("body"), visit.page.locator(".sheet").first, visit.items.first.locator(".row")):
        ground, letters = node.evaluate(
            "node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]"
        )
        assert (brightness(ground) < 60 < 150 < brightness(letters)) == (scheme == "dark"), (ground, letters)


def brightness(color: str) -> float:
    """Of an rgb(...), 0 to 255."""
    numbers = [float(part) for part in color.partition("(")[2].rstrip(")").split(",")[:3]]
    return sum(numbers) / 3
