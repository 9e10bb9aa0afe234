"""The list of results: its value is plain data, which ui/results.js draws; no text of a user's meets a template."""

from importlib.resources import files
from typing import Any, Literal, NotRequired, TypedDict

import gradio as gr

from ui import texts

# Static, all three: Gradio evaluates html_template and css_template as JavaScript.
_HTML = '<div class="results"></div>'
_CSS, _JS = (files("ui").joinpath(f"results.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))


class Span(TypedDict):
    """A part of a text, in Unicode code points."""

    start: int
    end: int
    score: NotRequired[float]


class Frame(TypedDict):
    seconds: float
    image: str


class Row(TypedDict, total=False):
    """`id` is the place in the order given, `moved` how far up from it; `failed` stands in for a score."""

    id: int
    rank: int
    kind: Literal["text", "image", "video"]
    text: str
    name: str
    spans: list[Span]
    score: float
    moved: int | None
    thumb: str
    source: str
    frames: list[Frame]
    failed: str


class Fault(TypedDict):
    """`key` is one of texts.FAULTS; with `load` the model can be loaded from the list."""

    key: str
    detail: NotRequired[str]
    load: NotRequired[bool]


class Shown(TypedDict, total=False):
    """`kept` results are an earlier run's; `more` rows are not in `results`, `hidden` ones score too low."""

    language: texts.Language
    state: Literal["empty", "loading", "ready", "stopped"]
    title: str
    results: list[Row]
    scored: int
    total: int
    more: int
    hidden: int
    ms: float | None
    engine: str
    fault: Fault | None
    kept: bool
    flat: bool


def results_list(value: Shown, **kwargs: Any) -> gr.HTML:
    """Its own events are `retry` and `load_model`, the buttons of a fault: Gradio fires `load` when a page opens.

    What a browser sends as its value is its own word: nothing that it names may be opened. No class of our own: for
    those Gradio writes a .pyi file beside the source.
    """
    return gr.HTML(
        value=value,
        html_template=_HTML,
        css_template=_CSS,
        js_on_load=_JS,
        apply_default_css=False,
        words=texts.for_scripts(),
        **kwargs,
    )
