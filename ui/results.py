"""The list of results: its value is plain data, which ui/results.js draws; no text of a user's meets a template."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import gradio as gr

from ui import texts

_HERE = Path(__file__)
# Static, all three: Gradio evaluates html_template and css_template as JavaScript.
_HTML = '<div class="results"></div>'
_CSS = _HERE.with_suffix(".css").read_text(encoding="utf-8")
_JS = _HERE.with_suffix(".js").read_text(encoding="utf-8")


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
    seconds: float | None
    frames: list[Frame]
    note: str
    failed: str


class Fault(TypedDict):
    """`key` is one of texts.FAULTS; with `load` the model can be loaded from the list."""

    key: str
    detail: NotRequired[str]
    load: NotRequired[bool]


class Shown(TypedDict, total=False):
    """`more` rows are not in `results`, `hidden` ones below the score asked for; `ahead` requests wait before ours."""

    language: texts.Language
    state: Literal["empty", "queued", "loading", "ready", "stopped"]
    title: str
    results: list[Row]
    scored: int
    total: int
    more: int
    hidden: int
    ahead: int
    ms: float | None
    engine: str
    fault: Fault | None
    flat: bool


class Results(gr.HTML):
    """Its own events are `retry` and `load_model`, the buttons of a fault: Gradio fires `load` when a page opens."""

    def __init__(self, value: Shown | None = None, **kwargs: Any) -> None:
        super().__init__(
            value=value,
            html_template=_HTML,
            css_template=_CSS,
            js_on_load=_JS,
            apply_default_css=False,
            words=texts.for_scripts(),
            **kwargs,
        )

    def preprocess(self, payload: Shown | None) -> Shown:  # type: ignore[override]
        # A browser's word, whatever the page was last sent: nothing it names may be opened.
        return payload or {}

    def postprocess(self, value: Shown | None) -> Shown:  # type: ignore[override]
        return value or {}

    def api_info(self) -> dict[str, Any]:
        return {"type": "object", "description": "the results, best first, and how far the scoring has come"}


# Gradio writes a stub beside the source of each component, and a type checker would read it in place of the source.
with suppress(OSError):
    _HERE.with_suffix(".pyi").unlink()
