"""The page on a phone and in dark mode, and its accessibility by axe-core."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, expect

from tests.ui.conftest import Open
from tests.ui.visit import Visit

PHONE = {"width": 390, "has_touch": True}
# Serious findings in Gradio's own components, by axe's rule and a part of the node's HTML.
GRADIOS = {
    # A gallery's button to upload more holds another one.
    "nested-interactive": 'aria-label="Click to Upload"',
    # The colours of gr.Code on a light ground, all in spans with CodeMirror's classes.
    "color-contrast": '<span class="ͼ',
    # Lines of gr.Code that are wider than a phone.
    "scrollable-region-focusable": 'class="cm-scroller"',
}


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_serious_of_ours_on_any_tab(look: dict[str, Any], open_page: Open, address: str) -> None:
    visit = open_page(address, **look)
    looked_at(visit)
    for example, count in (("Why leaves turn red", 6), ("A dog on the beach", 10)):
        if look == PHONE and visit.items.count():
            visit.button("Query and candidates").click()
        before = visit.query.input_value()
        visit.button(example).click()
        expect(visit.query).not_to_have_value(before)
        visit.button("Rerank").click()
        visit.done(count)
        visit.items.first.locator(".words").click()
        looked_at(visit)
    visit.tab("Product search")
    visit.button("Search").click()
    expect(visit.page.locator("#product-results").get_by_text("8/8 scored")).to_be_visible()
    expect(visit.button("Search")).to_be_enabled()
    looked_at(visit)
    visit.tab("Compare")
    visit.button("Compare").click()
    expect(visit.page.locator(".versus li.item")).to_have_count(16)
    expect(visit.button("Compare")).to_be_enabled()
    looked_at(visit)
    visit.tab("Use from code")
    expect(visit.page.locator("#code-python .cm-content")).to_contain_text("cohere")
    looked_at(visit)


def looked_at(visit: Visit) -> None:
    # A button that was just enabled still fades from pale to dark.
    visit.page.evaluate("document.getAnimations().forEach((one) => one.playState === 'running' && one.cancel())")
    found = [
        f"{finding['id']}: {node['html'][:300]} {node['failureSummary'][:300]}"
        for finding in Axe().run(visit.page).response["violations"]
        if finding["impact"] in {"serious", "critical"}
        for node in finding["nodes"]
        if GRADIOS.get(finding["id"], "\0") not in node["html"]
    ]
    assert not found, "\n".join(found)


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
        assert at_the_bottom(phone.button("Rerank"))
    phone.button("Query and candidates").click()
    expect(phone.texts).to_be_visible()
    phone.items.first.locator(".words").click()
    expect(phone.items.first.locator(".full")).to_be_visible()
    for name in ("Product search", "Compare", "Use from code"):
        phone.tab(name)
        assert overflow() <= 0, name
        if name == "Compare":
            phone.button("Compare").click()
            expect(page.locator(".versus li.item").first).to_be_visible()
            assert at_the_bottom(phone.button("Compare"))


def at_the_bottom(button: Locator) -> bool:
    box = button.bounding_box()
    return box is not None and 780 < box["y"] < 900 - box["height"]


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
    """Brightness of an rgb(...) colour, 0 to 255."""
    numbers = [float(part) for part in color.partition("(")[2].rstrip(")").split(",")[:3]]
    return sum(numbers) / 3
