"""Inputs of the page as a query and candidates. Files become data URLs; input that cannot be ranked raises Fault."""

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
    """Value of Gradio's MultimodalTextbox."""

    text: str
    files: list[str]


@dataclass(frozen=True, slots=True)
class Item:
    """A candidate, which is a text, or an uploaded picture or video by its path."""

    kind: Literal["text", "image", "video"]
    text: str = ""
    path: str = ""

    @property
    def name(self) -> str:
        return Path(self.path).name


def items_of(texts: str, files: Sequence[str]) -> list[Item]:
    """Candidates: the lines that are not empty, then the files. Raises Fault for none or too many."""
    lines = [line.strip() for line in (texts or "").splitlines() if line.strip()]
    if not lines and not files:
        raise Fault("no_candidates")
    if len(lines) > MAX_TEXTS:
        raise Fault("too_many_texts", str(len(lines)))
    if len(files) > MAX_MEDIA:
        raise Fault("too_many_media", str(len(files)))
    return [*(Item("text", text=line) for line in lines), *(Item(kind_of(path), path=path) for path in files)]


def query_of(box: QueryBox | None) -> Content:
    """Query of the box. Raises Fault if it is empty."""
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
    """Content of a candidate in the gateway's form. Raises Fault if the upload is gone."""
    return item.text if item.kind == "text" else {item.kind: data_url(item.path)}


def data_url(path: str) -> str:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise Fault("file_gone", Path(path).name) from error
    mime = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def kind_of(path: str) -> Literal["image", "video"]:
    """Kind of a file by its name, for the page. The gateway looks at the bytes."""
    return "video" if path.lower().endswith(VIDEO_SUFFIXES) else "image"


def paths_of(gallery: Sequence[Any] | None) -> list[str]:
    """Paths of a Gallery's files. Gradio pairs each path with a caption."""
    return [entry[0] if isinstance(entry, tuple | list) else entry for entry in gallery or []]
