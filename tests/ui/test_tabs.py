"""Product search and Compare, with the embedded engine."""

import json
import re

from playwright.sync_api import expect

from tests.ui.visit import QUERY, TEXTS, Visit

CSV = """title,brand,price,category
Garden chair,Sitwell,30,Outdoor
"Insulated mug, 500 ml",Warmo,25,Kitchen
Football,Kick,20,Sport"""
JSON = json.dumps(
    [
        {"title": "Garden chair", "brand": "Sitwell", "price": 30},
        {"title": "Insulated mug, 500 ml", "brand": "Wärmo", "price": 25},
        {"title": "Football", "brand": "Kick", "price": 20},
    ]
)


def test_products_are_ranked_however_their_list_is_pasted_and_one_that_is_almost_json_says_so(visit: Visit) -> None:
    visit.tab("Product search")
    results, products = visit.page.locator("#product-results"), visit.page.get_by_label("Products:")
    best = results.locator("li.item").first
    visit.page.get_by_label("What does the shopper want?").fill("a cup for hot coffee")
    for pasted, brand in ((CSV, "brand: Warmo"), (JSON, "brand: Wärmo")):
        products.fill(pasted)
        visit.button("Search").click()
        expect(best).to_contain_text(brand)
        expect(results.locator(".chip", has_text="3/3 scored")).to_be_visible()
        best.locator(".words").click()
        for part in ("Insulated mug, 500 ml", brand, "price: 25"):
            expect(best.locator(".full")).to_contain_text(part)
    expect(visit.button("Search")).to_be_enabled()
    products.fill(JSON.replace("]", ",]"))
    visit.button("Search").click()
    expect(results.get_by_role("alert")).to_contain_text("The list cannot be read")
    visit.button("Mugs, one per line").click()
    expect(products).to_have_value(re.compile("^Plastic"))
    results.get_by_role("button", name="Try again").click()
    expect(results.locator(".chip", has_text="8/8 scored")).to_be_visible()
    expect(best).to_contain_text("travel mug")
    expect(results.get_by_role("alert")).to_be_hidden()


def test_compare_shows_both_rankings_and_draws_a_line_per_text(visit: Visit) -> None:
    visit.tab("Compare")
    visit.page.get_by_label("Query").last.fill(QUERY)
    visit.page.get_by_label("Candidate texts").last.fill("\n".join(TEXTS))
    visit.button("Compare").click()
    bm25, engine = visit.page.locator(".versus .results").all()
    for results in (bm25, engine):
        expect(results.locator("li.item")).to_have_count(3)
        expect(results.locator("li.item").first).to_contain_text("To reset your password")
    expect(bm25.locator("h2")).to_have_text("BM25 (bm25s)")
    lines = visit.page.locator(".moves line")
    expect(lines).to_have_count(3)
    places = [(line.get_attribute("y1"), line.get_attribute("y2")) for line in lines.all()]
    assert sorted(start for start, _ in places if start) == sorted(end for _, end in places if end)
    visit.page.get_by_label("Query").last.fill("")
    visit.button("Compare").click()
    expect(engine.get_by_role("alert")).to_contain_text("Please enter a query")
