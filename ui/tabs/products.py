"""Product search: a shopper's query over a list of products in any form that people paste."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import gradio as gr

from ui import examples
from ui.faults import Fault
from ui.inputs import Item
from ui.lists import shown
from ui.page import OFF, ON, QUICK, Outputs, Page
from ui.products import NotProducts, parse
from ui.ranking import Ask
from ui.texts import Language, say


def build(page: Page) -> None:
    _, first_query, first_list = examples.PRODUCTS[0]
    with page.says(gr.Tab(say("tab_products"), id="products"), label="tab_products"), gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=280, elem_classes="inputs"):
            query = page.says(gr.Textbox(first_query, label=say("product_query")), label="product_query")
            pasted = page.says(gr.Textbox(first_list, label=say("products"), lines=12, max_lines=20), label="products")
            go, stop = page.start_and_stop("search")
            with gr.Row(elem_classes="chips"):
                for label, *filled in examples.PRODUCTS:
                    page.chip(label).click(partial(tuple, filled), None, [query, pasted], **QUICK)
        with gr.Column(scale=7, min_width=290, elem_classes="sheet"):
            page.unfolds()
            results, current = page.results(elem_id="product-results")

    async def run(
        query: str, pasted: str, engine: str | None, language: Language, previous: dict[str, Any]
    ) -> AsyncIterator[tuple[Any, ...]]:
        def ask() -> Ask:
            if not query.strip():
                raise Fault("no_query")
            try:
                items = [Item("text", text=product.text) for product in parse(pasted)]
            except NotProducts as error:
                raise Fault("not_products", str(error)) from error
            if not items:
                raise Fault("no_candidates")
            return Ask(engine or "default", query.strip(), items)

        async for value, is_last, _ in shown(page.client, ask, previous, language):
            yield value, value, *((ON, OFF) if is_last else (OFF, ON))

    inputs = {
        "query": query, "pasted": pasted, "engine": page.engine, "language": page.language, "previous": current
    }  # fmt: skip
    outputs = Outputs(results, current, go, stop)
    page.runs(run, inputs, outputs, [go.click, query.submit], api_name="products")
