"""Compare: the engine beside BM25 over the same texts, with a line from each text's rank in one list to the other."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from ui import examples
from ui.compare import Place, bm25, drawn, places
from ui.faults import Fault
from ui.inputs import items_of
from ui.lists import failed
from ui.page import RUN, Page
from ui.texts import Language, say

MAX_TEXTS = 50
_BM25 = "BM25 (bm25s)"


def build(page: Page) -> None:
    with page.says(gr.Tab(say("tab_compare"), id="compare"), label="tab_compare"):
        query, texts, go = _inputs(page)
        page.unfolds()
        with gr.Row(elem_classes="versus", equal_height=False):
            with gr.Column(scale=8, min_width=280):
                words, words_shown = page.results(elem_classes="compared")
            moves = gr.HTML("", padding=False, elem_classes="moves")
            with gr.Column(scale=8, min_width=280):
                meaning, meaning_shown = page.results(elem_classes="compared")

    async def run(
        query: str, texts: str, engine: str | None, language: Language, before: dict[str, Any]
    ) -> tuple[Any, ...]:
        """Values of both lists and their states, and the drawing between them."""
        try:
            if not query.strip():
                raise Fault("no_query")
            lines = [item.text for item in items_of(texts, [])][:MAX_TEXTS]
            found = await page.client.rerank(engine or "default", query.strip(), lines)
        except Fault as fault:
            value = failed(fault, before, language)
            return gr.skip(), gr.skip(), gr.skip(), value, value
        scores = {result.place: result.score for result in found}
        by_meaning = [scores[place] for place in range(len(lines))]
        by_words = bm25(query, lines)
        left = _value(_BM25, lines, places(by_words, by_meaning), language, moving=False)
        right_places = places(by_meaning, by_words)
        right = _value(engine or "", lines, right_places, language)
        return left, left, drawn(right_places), right, right

    gr.on(
        [go.click, query.submit],
        run,
        [query, texts, page.engine, page.language, meaning_shown],
        [words, words_shown, moves, meaning, meaning_shown],
        trigger_mode="once",
        api_name="compare",
        show_progress="hidden",
        **RUN,
    )


def _inputs(page: Page) -> tuple[gr.Textbox, gr.Textbox, gr.Button]:
    """Query, texts, and the button that starts."""
    example = examples.RERANK[0]
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=280, elem_classes="inputs"):
            query = page.says(gr.Textbox(example.query, label=say("query")), label="query")
            with gr.Row(elem_classes="go-bar"):
                go = page.says(gr.Button(say("compare"), variant="primary", elem_classes="go"), value="compare")
        with gr.Column(scale=7, min_width=280, elem_classes="inputs"):
            texts = page.says(
                gr.Textbox("\n".join(example.texts), label=say("texts"), lines=5, max_lines=8), label="texts"
            )
    return query, texts, go


def _value(
    title: str, texts: Sequence[str], order: Sequence[Place], language: Language, *, moving: bool = True
) -> dict[str, Any]:
    rows = [
        {
            "id": place.item,
            "rank": place.rank,
            "kind": "text",
            "text": texts[place.item],
            "score": place.score,
            "moved": place.moved if moving else None,
        }
        for place in order
    ]
    return {
        "language": language,
        "state": "ready",
        "title": title,
        "results": rows,
        "scored": len(rows),
        "total": len(rows),
    }
