"""The page: a header with the engines, and four tabs beneath it."""

from importlib.resources import files
from typing import Any

import gradio as gr
from gradio.themes.utils.fonts import LocalFont

from ui.client import Client
from ui.page import QUICK, Page
from ui.status import pills
from ui.tabs import code, compare, products, rerank
from ui.texts import LANGUAGES, say

TITLE = "Rerank Studio"
# Gradio looks every five minutes, and removes uploads older than an hour.
_KEEP_UPLOADS_S = (300, 3600)

_CJK = ("PingFang SC", "Noto Sans CJK SC", "Microsoft YaHei", "system-ui", "sans-serif")
THEME = gr.themes.Default(
    primary_hue="indigo",
    secondary_hue="indigo",
    neutral_hue="slate",
    radius_size="lg",
    font=[LocalFont("IBM Plex Sans", weights=(400, 600, 700)), *_CJK],
    font_mono=[LocalFont("IBM Plex Mono"), "ui-monospace", "monospace"],
).set(
    body_background_fill="*neutral_50",
    body_background_fill_dark="*neutral_950",
    block_shadow="0 1px 2px rgba(15,23,42,.05)",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_secondary_background_fill="white",
    button_secondary_border_color="*neutral_300",
    button_border_width="1px",
    block_label_text_weight="600",
    block_title_text_weight="600",
    block_title_text_color="*body_text_color",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_400",
)


def build(client: Client) -> gr.Blocks:
    blocks: gr.Blocks
    with gr.Blocks(title=TITLE, fill_width=True, delete_cache=_KEEP_UPLOADS_S, analytics_enabled=False) as blocks:
        page, load = _header(client)
        with gr.Tabs(elem_id="tabs"):
            inputs = rerank.build(page)
            products.build(page)
            compare.build(page)
            code.build(page, inputs)
        results, shown = page.lists[0]
        load.click(page.load, [page.engine, shown, page.language], [results, shown, page.status], **QUICK)
        page.engine.change(_look_at, [page.language, page.engine], page.status, **QUICK)
        blocks.load(_language_of, None, page.language, **QUICK)
        linked = [inputs.box, inputs.texts, inputs.instruction]
        blocks.load(rerank.from_link, inputs.texts, linked, js="() => [studio.linked()]", **QUICK)
        for happens in (blocks.load, page.status.engines):
            happens(page.choices, page.engine, page.engine, **QUICK)
        page.speak()

        def closed(request: gr.Request) -> None:
            page.uploads.closed(request.session_hash or "")

        blocks.unload(closed)
    return blocks


def head() -> str:
    """Contents of the page's head. Rules given to Gradio as css= would lose those for phones."""
    css, script = (files("ui").joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{css}</style><script>{script}</script>"
    )


def _header(client: Client) -> tuple[Page, gr.Button]:
    """The page with its header, and the header's button that loads the engine."""
    with gr.Row(elem_id="top"):
        with gr.Column(elem_id="brand", min_width=150):
            gr.HTML(f"<h1>{TITLE}</h1>", padding=False)
            tagline = gr.HTML(say("tagline"), padding=False, elem_id="tagline")
        engine = gr.Dropdown(
            [], label=say("engine"), show_label=False, container=False, min_width=236, elem_id="engine"
        )
        load = gr.Button(say("load"), size="md", min_width=110, elem_id="load")
        with gr.Column(elem_id="state", min_width=200):
            status = pills(client)
        language = gr.Radio(
            list(LANGUAGES.items()),
            value="en",
            label="Language · 语言",
            show_label=False,
            container=False,
            min_width=110,
            elem_id="language",
        )
    page = Page(client, engine, language, status)
    page.says(tagline, value="tagline")
    page.says(engine, label="engine")
    page.says(load, value="load")
    return page, load


def _look_at(language: str, engine: str | None) -> dict[str, Any]:
    return {"language": language, "engine": engine}


def _language_of(request: gr.Request) -> str:
    """The browser's first language if the page speaks it, else English."""
    return "zh" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"
