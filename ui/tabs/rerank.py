"""Rerank: a query and candidates of any kind, ranked live."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from ui import examples, exports
from ui.examples import Example
from ui.inputs import MAX_MEDIA, VIDEO_SUFFIXES, QueryBox, items_of, kind_of, paths_of, query_of
from ui.lists import shown
from ui.page import OFF, ON, QUICK, Page
from ui.ranking import MAX_ROWS, Ask, Board
from ui.texts import Language, count, say

FILE_TYPES = ["image", *VIDEO_SUFFIXES]


class Inputs(NamedTuple):
    """The components that hold what is asked, in the order in which handlers take them."""

    query: gr.MultimodalTextbox
    texts: gr.Textbox
    media: gr.Gallery
    instruction: gr.Textbox
    top_n: gr.Slider
    min_score: gr.Slider


def build(page: Page) -> Inputs:
    with page.says(gr.Tab(say("tab_rerank"), id="rerank"), label="tab_rerank"), gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=280, elem_classes="inputs"):
            query = _query(page)
            go, stop = page.start_and_stop("rerank")
            with page.says(gr.Accordion(say("options"), open=False), label="options"):
                instruction = page.says(gr.Textbox(label=say("instruction"), lines=2), label="instruction")
                top_n = page.says(gr.Slider(1, MAX_ROWS, 50, step=1, label=say("top_n")), label="top_n")
                min_score = page.says(gr.Slider(0, 1, 0, step=0.05, label=say("min_score")), label="min_score")
            page.says(gr.HTML(say("examples"), padding=False, elem_classes="caption"), value="examples")
            with gr.Row(elem_classes="chips"):
                chips = [page.chip(example.label) for example in examples.RERANK]
        with gr.Column(scale=5, min_width=280, elem_classes="inputs"):
            texts, media, counter = _candidates(page)
        with gr.Column(scale=7, min_width=290, elem_classes="sheet"):
            page.unfolds()
            with gr.Row(elem_classes="exports"):
                as_json = page.says(gr.DownloadButton(say("json"), size="sm", interactive=False), label="json")
                as_csv = page.says(gr.DownloadButton(say("csv"), size="sm", interactive=False), label="csv")
                link = page.says(gr.Button(say("copy_link"), size="sm", elem_id="copy-link"), value="copy_link")
            results, current = page.results(elem_id="results")

    inputs = Inputs(query, texts, media, instruction, top_n, min_score)
    for chip, example in zip(chips, examples.RERANK, strict=True):
        chip.click(partial(_filled, example), None, [query, texts, media], **QUICK)

    async def run(
        box: QueryBox | None, texts: str, gallery: Sequence[Any] | None, instruction: str | None, top_n: int,
        min_score: float, engine: str | None, language: Language, previous: dict[str, Any], request: gr.Request,
    ) -> AsyncIterator[tuple[Any, ...]]:  # fmt: skip
        files = paths_of(gallery)
        page.uploads.used(request.session_hash or "", [*files, *(box["files"] if box else [])])

        def ask() -> Ask:
            return Ask(engine or "default", query_of(box), items_of(texts, files), instruction, top_n, min_score)

        async for value, is_last, board in shown(page.client, ask, previous, language):
            if not is_last:
                yield value, value, OFF, ON, OFF, OFF
            elif board:
                yield value, value, ON, OFF, *_files(board, as_json)
            else:
                kept = ON if value.get("results") else OFF
                yield value, value, ON, OFF, kept, kept

    page.runs(
        run,
        [*inputs, page.engine, page.language, current],
        (results, current),
        [go, stop, as_json, as_csv],
        [go.click, query.submit],
        api_name="rerank",
    )
    gr.on(
        [texts.change, media.change, page.language.change],
        _count,
        [texts, media, page.language],
        counter,
        trigger_mode="always_last",
        **QUICK,
    )

    def noticed(gallery: Sequence[Any] | None, request: gr.Request) -> None:
        page.uploads.used(request.session_hash or "", paths_of(gallery))

    media.change(noticed, media, None, **QUICK)
    # A link holds what was typed, after the #: no server keeps or sees it.
    link.click(None, [query, texts, instruction], None, js="(...typed) => studio.copyLink(...typed)")
    return inputs


def from_link(fragment: str) -> tuple[Any, ...]:
    """What a copied link held: JSON of [query, texts, instruction]. Anything else changes nothing."""
    try:
        query, texts, instruction = map(str, json.loads(fragment))
    except (ValueError, TypeError):
        return gr.update(), gr.update(), gr.update()
    return {"text": query, "files": []}, texts, instruction


def _query(page: Page) -> gr.MultimodalTextbox:
    box: gr.MultimodalTextbox = page.says(
        gr.MultimodalTextbox(
            label=say("query"),
            placeholder=say("query_hint"),
            file_types=FILE_TYPES,
            file_count="multiple",
            sources=["upload"],
            submit_btn=False,
            lines=4,
            max_lines=8,
            autofocus=True,
            elem_id="query",
        ),
        label="query",
        placeholder="query_hint",
    )
    return box


def _candidates(page: Page) -> tuple[gr.Textbox, gr.Gallery, gr.HTML]:
    texts = page.says(
        gr.Textbox(label=say("texts"), placeholder=say("texts_hint"), lines=8, max_lines=14, elem_id="texts"),
        label="texts",
        placeholder="texts_hint",
    )
    with gr.Row(elem_classes="caption"):
        page.says(gr.HTML(say("media"), padding=False), value="media")
        counter = gr.HTML(_count("", None, "en"), padding=False, elem_id="counter")
    media = page.says(
        gr.Gallery(
            label=say("media"),
            show_label=False,
            columns=3,
            height=260,
            object_fit="cover",
            interactive=True,
            type="filepath",
            file_types=FILE_TYPES,
            sources=["upload", "clipboard"],
            buttons=[],
            elem_id="media",
        ),
        label="media",
    )
    return texts, media, counter


def _count(texts: str, gallery: Sequence[Any] | None, language: Language) -> str:
    """How many candidates of each kind there are, and how many files of those allowed; it holds numbers only."""
    kinds = Counter[str](kind_of(path) for path in paths_of(gallery))
    files = kinds.total()
    kinds["text"] = sum(1 for line in texts.splitlines() if line.strip())
    told = [count(f"n_{kind}", kinds[kind], language) for kind in ("text", "image", "video")]
    return " · ".join([*told, f"{files}/{MAX_MEDIA}{' ⚠' if files > MAX_MEDIA else ''}"])


def _filled(example: Example) -> tuple[Any, ...]:
    query = {"text": example.query, "files": [examples.path(name) for name in example.query_files]}
    return query, "\n".join(example.texts), [examples.path(name) for name in example.media]


def _files(board: Board, button: gr.DownloadButton) -> list[Any]:
    """The buttons with the files they give."""
    rows = board.rows()
    return [
        gr.update(value=save_bytes_to_cache(data, name, button.GRADIO_CACHE), interactive=True)
        for name, data in (("rerank.json", exports.as_json(rows)), ("rerank.csv", exports.as_csv(rows)))
    ]
