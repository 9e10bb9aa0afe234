"""Rerank: a query and candidates of any kind, ranked live."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypedDict, Unpack

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from ui import examples, exports
from ui.examples import Example
from ui.inputs import MAX_MEDIA, VIDEO_SUFFIXES, QueryBox, items_of, kind_of, paths_of, query_of
from ui.lists import shown
from ui.page import OFF, ON, QUICK, Outputs, Page
from ui.ranking import MAX_ROWS, Ask, Board
from ui.texts import Language, count, say

FILE_TYPES = ["image", *VIDEO_SUFFIXES]


class Inputs(NamedTuple):
    """Components of the request, in the order of the API's arguments. Their names are those of `Typed`."""

    box: gr.MultimodalTextbox
    texts: gr.Textbox
    gallery: gr.Gallery
    instruction: gr.Textbox
    top_n: gr.Slider
    min_score: gr.Slider


class Typed(TypedDict):
    """Values of Inputs, and the chosen engine."""

    box: QueryBox | None
    texts: str
    gallery: Sequence[Any] | None
    instruction: str | None
    top_n: int
    min_score: float
    engine: str | None


class Run(Typed):
    """Arguments of a run."""

    language: Language
    previous: dict[str, Any]


def build(page: Page) -> Inputs:
    with page.says(gr.Tab(say("tab_rerank"), id="rerank"), label="tab_rerank"), gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=280, elem_classes="inputs"):
            box = _query(page)
            start, stop = page.start_and_stop("rerank")
            instruction, top_n, min_score = _options(page)
            chips = _chips(page)
        with gr.Column(scale=5, min_width=280, elem_classes="inputs"):
            texts, gallery = _candidates(page)
        with gr.Column(scale=7, min_width=290, elem_classes="sheet"):
            page.unfolds()
            as_json, as_csv, link = _exports(page)
            results, current = page.results(elem_id="results")

    inputs = Inputs(box, texts, gallery, instruction, top_n, min_score)
    outputs = Outputs(results, current, start, stop, (as_json, as_csv))
    for chip, example in zip(chips, examples.RERANK, strict=True):
        chip.click(partial(_filled, example), None, [box, texts, gallery], **QUICK)
    _bind_run(page, inputs, outputs)

    def noticed(gallery: Sequence[Any] | None, request: gr.Request) -> None:
        page.uploads.used(request.session_hash or "", paths_of(gallery))

    gallery.change(noticed, gallery, None, **QUICK)
    # A link holds the typed words after its #, which no server is sent.
    link.click(None, [box, texts, instruction], None, js="(...typed) => studio.copyLink(...typed)")
    return inputs


def _bind_run(page: Page, inputs: Inputs, outputs: Outputs) -> None:
    folder = inputs.gallery.GRADIO_CACHE

    async def run(request: gr.Request, **asked: Unpack[Run]) -> AsyncIterator[tuple[Any, ...]]:
        box, files = asked["box"], paths_of(asked["gallery"])
        page.uploads.used(request.session_hash or "", [*files, *(box["files"] if box else [])])

        def ask() -> Ask:
            query, items = query_of(box), items_of(asked["texts"], files)
            model = asked["engine"] or "default"
            return Ask(model, query, items, asked["instruction"], asked["top_n"], asked["min_score"])

        async for value, is_last, board in shown(page.client, ask, asked["previous"], asked["language"]):
            if not is_last:
                yield value, value, OFF, ON, OFF, OFF
            elif board:
                yield value, value, ON, OFF, *_files(board, folder)
            else:
                kept = ON if value.get("results") else OFF
                yield value, value, ON, OFF, kept, kept

    more = {"engine": page.engine, "language": page.language, "previous": outputs.current}
    triggers = [outputs.start.click, inputs.box.submit]
    page.runs(run, {**inputs._asdict(), **more}, outputs, triggers, api_name="rerank")


def from_link(fragment: str) -> tuple[Any, ...]:
    """Inputs of a copied link, which holds JSON of [query, texts, instruction]. Anything else changes nothing."""
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


def _options(page: Page) -> tuple[gr.Textbox, gr.Slider, gr.Slider]:
    with page.says(gr.Accordion(say("options"), open=False), label="options"):
        instruction = page.says(gr.Textbox(label=say("instruction"), lines=2), label="instruction")
        top_n = page.says(gr.Slider(1, MAX_ROWS, 50, step=1, label=say("top_n")), label="top_n")
        min_score = page.says(gr.Slider(0, 1, 0, step=0.05, label=say("min_score")), label="min_score")
    return instruction, top_n, min_score


def _chips(page: Page) -> list[gr.Button]:
    """Buttons of the examples, in their order."""
    page.says(gr.HTML(say("examples"), padding=False, elem_classes="caption"), value="examples")
    with gr.Row(elem_classes="chips"):
        return [page.chip(example.label) for example in examples.RERANK]


def _candidates(page: Page) -> tuple[gr.Textbox, gr.Gallery]:
    """Candidates, with a line between them that counts them."""
    texts = page.says(
        gr.Textbox(label=say("texts"), placeholder=say("texts_hint"), lines=8, max_lines=14, elem_id="texts"),
        label="texts",
        placeholder="texts_hint",
    )
    with gr.Row(elem_classes="caption"):
        page.says(gr.HTML(say("media"), padding=False), value="media")
        counter = gr.HTML(_count("", None, "en"), padding=False, elem_id="counter")
    gallery = page.says(
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
    gr.on(
        [texts.change, gallery.change, page.language.change],
        _count,
        [texts, gallery, page.language],
        counter,
        trigger_mode="always_last",
        **QUICK,
    )
    return texts, gallery


def _exports(page: Page) -> tuple[gr.DownloadButton, gr.DownloadButton, gr.Button]:
    """Buttons for JSON, CSV and the link."""
    with gr.Row(elem_classes="exports"):
        as_json = page.says(gr.DownloadButton(say("json"), size="sm", interactive=False), label="json")
        as_csv = page.says(gr.DownloadButton(say("csv"), size="sm", interactive=False), label="csv")
        link = page.says(gr.Button(say("copy_link"), size="sm", elem_id="copy-link"), value="copy_link")
    return as_json, as_csv, link


def _count(texts: str, gallery: Sequence[Any] | None, language: Language) -> str:
    """Line that counts the candidates by kind, and the files out of MAX_MEDIA. It holds nothing that was typed."""
    kinds = Counter[str](kind_of(path) for path in paths_of(gallery))
    files = kinds.total()
    kinds["text"] = sum(1 for line in texts.splitlines() if line.strip())
    told = [count(f"n_{kind}", kinds[kind], language) for kind in ("text", "image", "video")]
    return " · ".join([*told, f"{files}/{MAX_MEDIA}{' ⚠' if files > MAX_MEDIA else ''}"])


def _filled(example: Example) -> tuple[Any, ...]:
    query = {"text": example.query, "files": [examples.path(name) for name in example.query_files]}
    return query, "\n".join(example.texts), [examples.path(name) for name in example.media]


def _files(board: Board, folder: str) -> list[Any]:
    """Updates of the export buttons, with files written in this folder of Gradio's."""
    rows = board.rows()
    return [
        gr.update(value=save_bytes_to_cache(data, name, folder), interactive=True)
        for name, data in (("rerank.json", exports.as_json(rows)), ("rerank.csv", exports.as_csv(rows)))
    ]
