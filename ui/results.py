"""The list of results. Its value is plain data that ui/results.js draws: no visitor's text ever meets a template."""

from importlib.resources import files
from typing import Any, Literal, NotRequired, TypedDict

import gradio as gr

from ui import texts

# All three are constants: Gradio evaluates html_template and css_template as JavaScript.
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
    """`id` is the index in the order given, `moved` the ranks gained from it. `failed` tells why there is no score."""

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
    """`key` is a key of texts.FAULTS. With `load` the model can be loaded from the list."""

    key: str
    detail: NotRequired[str]
    load: NotRequired[bool]


class Shown(TypedDict, total=False):
    """`kept`: the results are an earlier run's. `more` counts further rows, `hidden` those with too low a score."""

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
    """A list whose events are `retry` and `load_model`, the buttons of a fault. Gradio fires `load` when a page opens.

    A browser may send any value, so no file that a value names may be opened. It is no subclass of gr.HTML, because
    Gradio writes a .pyi file beside the source of each subclass.
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
