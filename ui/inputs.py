"""What is on the page, as a query and candidates: files become data URLs, and what cannot be ranked is a Fault."""

import base64
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

from ui.client import Content
from ui.faults import Fault

MAX_TEXTS = 10_000
MAX_MEDIA = 10
VIDEO_SUFFIXES = (".mp4", ".webm", ".mov")


class QueryBox(TypedDict):
    """What Gradio's MultimodalTextbox holds."""

    text: str
    files: list[str]


@dataclass(frozen=True, slots=True)
class Item:
    """A candidate: a text, or the path of an uploaded picture or video."""

    kind: Literal["text", "image", "video"]
    text: str = ""
    path: str = ""

    @property
    def name(self) -> str:
        return Path(self.path).name


def items_of(texts: str, files: Sequence[str]) -> list[Item]:
    """A candidate per line, then one per file. Raises Fault where there are none or too many."""
    lines = [line.strip() for line in (texts or "").splitlines() if line.strip()]
    if not lines and not files:
        raise Fault("no_candidates")
    if len(lines) > MAX_TEXTS:
        raise Fault("too_many_texts", str(len(lines)))
    if len(files) > MAX_MEDIA:
        raise Fault("too_many_media", str(len(files)))
    return [*(Item("text", text=line) for line in lines), *(Item(kind_of(path), path=path) for path in files)]


def query_of(box: QueryBox | None) -> Content:
    """Raises Fault where nothing is asked."""
    text, files = (box["text"] or "").strip() if box else "", box["files"] if box else []
    if not text and not files:
        raise Fault("no_query")
    if len(files) > MAX_MEDIA:
        raise Fault("too_many_media", str(len(files)))
    if not files:
        return text
    content: dict[str, Any] = {"text": text} if text else {}
    for kind in ("image", "video"):
        if urls := [data_url(path) for path in files if kind_of(path) == kind]:
            content[kind] = urls
    return content


def content_of(item: Item) -> Content:
    """As the gateway reads it. Raises Fault where an upload is no longer there."""
    return item.text if item.kind == "text" else {item.kind: data_url(item.path)}


def data_url(path: str) -> str:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise Fault("file_gone", Path(path).name) from error
    mime = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def kind_of(path: str) -> Literal["image", "video"]:
    """By the name alone, for the page; the gateway looks at the bytes."""
    return "video" if path.lower().endswith(VIDEO_SUFFIXES) else "image"


def paths_of(gallery: Sequence[Any] | None) -> list[str]:
    """The files of a Gallery, which pairs each with its caption."""
    return [entry[0] if isinstance(entry, tuple | list) else entry for entry in gallery or []]
