"""Use from code: the input of the Rerank tab as Python, curl and JavaScript."""

from typing import Literal, Unpack

import gradio as gr

from ui.inputs import Item, QueryBox, items_of, kind_of, paths_of
from ui.page import QUICK, Page
from ui.snippets import SNIPPETS, Ask, Content, File
from ui.tabs.rerank import Inputs, Typed
from ui.texts import say

_SYNTAX: dict[str, Literal["python", "shell", "javascript"]] = {
    "Python": "python",
    "curl": "shell",
    "JavaScript": "javascript",
}
_EXAMPLE = Ask(
    "", "", "How do I reset my password?", ["Our office is closed.", "Choose Security, then Forgot password."]
)


def build(page: Page, inputs: Inputs) -> None:
    with page.says(gr.Tab(say("tab_code"), id="code"), label="tab_code") as tab:
        page.says(gr.HTML(say("code_note"), padding=False, elem_classes="caption"), value="code_note")
        blocks = [
            gr.Code(language=_SYNTAX[name], label=name, interactive=False, elem_id=f"code-{name.lower()}")
            for name in SNIPPETS
        ]

    def written(**typed: Unpack[Typed]) -> list[str]:
        """Snippets of the input. A query or candidates that are still empty are those of a small example."""
        texts, gallery = typed["texts"], typed["gallery"]
        items = items_of(texts, paths_of(gallery)) if texts.strip() or gallery else []
        ask = Ask(
            url=page.client.url,
            model=typed["engine"] or "rerank-v3.5",
            query=_query(typed["box"]) or _EXAMPLE.query,
            documents=[_document(item) for item in items] or _EXAMPLE.documents,
            top_n=typed["top_n"] if typed["top_n"] < len(items) else None,
            instruction=typed["instruction"] or "",
        )
        return [snippet(ask) for snippet in SNIPPETS.values()]

    tab.select(written, outputs=blocks, inputs_kwargs={**inputs._asdict(), "engine": page.engine}, **QUICK)


def _query(box: QueryBox | None) -> Content:
    files = [File(kind_of(path), path.rpartition("/")[2]) for path in box["files"]] if box else []
    text = box["text"].strip() if box else ""
    return (text, *files) if files else text


def _document(item: Item) -> Content:
    return item.text if item.kind == "text" else (File(item.kind, item.name),)
