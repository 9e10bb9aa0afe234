"""The current input as code to copy, in Python, curl and JavaScript. Any characters are escaped."""

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple


class File(NamedTuple):
    """A picture or video. The code names the caller's own file."""

    kind: Literal["image", "video"]
    name: str


# Text, a file, or a text with files.
Content = str | tuple[str | File, ...]

_MIMES = {"png": "image/png", "webp": "image/webp", "gif": "image/gif", "avif": "image/avif", "heic": "image/heic",
          "bmp": "image/bmp", "mp4": "video/mp4", "webm": "video/webm", "mov": "video/quicktime"}  # fmt: skip
KEY = "YOUR_KEY"
# Around a file's name, in place of its data URL. No input holds it: no text that was sent has a lone surrogate.
_MARK = "\udfff"
_MARKED = re.compile(f"{_MARK}(.*?){_MARK}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Ask:
    """Input of the page. `top_n` None means all documents."""

    url: str
    model: str
    query: Content
    documents: Sequence[Content]
    top_n: int | None = None
    instruction: str = ""


def python(ask: Ask) -> str:
    files = _files(ask)
    lines = ["import base64", "", "import cohere", ""] if files else ["import cohere", ""]
    if files:
        lines += [
            "",
            "def data_url(mime, path):",
            '    with open(path, "rb") as file:',
            '        return f"data:{mime};base64,{base64.b64encode(file.read()).decode()}"',
            "",
            "",
        ]
    extra = f",\n    request_options={{'additional_body_parameters': {{'instruction': {_text(ask.instruction)!r}}}}}"
    return "\n".join(
        [
            *lines,
            f"client = cohere.ClientV2(api_key={KEY!r}, base_url={_text(ask.url)!r})",
            "answer = client.rerank(",
            f"    model={_text(ask.model)!r},",
            f"    query={_literal(ask.query, repr, _python_file)},",
            "    documents=[",
            *(f"        {_literal(document, repr, _python_file)}," for document in ask.documents),
            f"    ]{f', top_n={ask.top_n}' if ask.top_n else ''}{extra if ask.instruction else ''},",
            ")",
            "for result in answer.results:",
            "    print(result.index, result.relevance_score)",
            "",
        ]
    )


def javascript(ask: Ask) -> str:
    lines = ['import { readFileSync } from "node:fs";', ""] if _files(ask) else []
    if lines:
        lines += [
            'const dataUrl = (mime, path) => `data:${mime};base64,${readFileSync(path).toString("base64")}`;',
            "",
        ]
    return "\n".join(
        [
            *lines,
            f"const response = await fetch({_js(_endpoint(ask))}, {{",
            '  method: "POST",',
            f'  headers: {{ "Content-Type": "application/json", Authorization: {_js(f"Bearer {KEY}")} }},',
            "  body: JSON.stringify({",
            f"    model: {_js(ask.model)},",
            f"    query: {_literal(ask.query, _js, _js_file)},",
            "    documents: [",
            *(f"      {_literal(document, _js, _js_file)}," for document in ask.documents),
            "    ],",
            *([f"    top_n: {ask.top_n},"] if ask.top_n else []),
            *([f"    instruction: {_js(ask.instruction)},"] if ask.instruction else []),
            "  }),",
            "});",
            "if (!response.ok) throw new Error(await response.text());",
            "for (const { index, relevance_score } of (await response.json()).results)",
            "  console.log(index, relevance_score);",
            "",
        ]
    )


def curl(ask: Ask) -> str:
    body: dict[str, object] = {
        "model": _text(ask.model),
        "query": _plain(ask.query),
        "documents": [_plain(document) for document in ask.documents],
    }
    if ask.top_n:
        body["top_n"] = ask.top_n
    if ask.instruction:
        body["instruction"] = _text(ask.instruction)
    written = json.dumps(body, ensure_ascii=False, indent=2)
    head = (
        f"curl -sS {shlex.quote(_endpoint(ask))} \\\n  -H {shlex.quote(f'Authorization: Bearer {KEY}')} \\\n"
        "  -H 'Content-Type: application/json' \\\n  --data-binary "
    )
    pieces = _MARKED.split(written)
    if len(pieces) == 1:
        return f"{head}{shlex.quote(written)}\n"
    # A pipe, because a picture is too long for an argument. Every second piece is a file's name.
    commands = [
        f"printf %s {shlex.quote(piece)}" if place % 2 == 0 else _curl_file(json.loads(f'"{piece}"'))
        for place, piece in enumerate(pieces)
    ]
    return "\n  ".join(["{", *commands]) + f"\n}} | {head}@-\n"


SNIPPETS: dict[str, Callable[[Ask], str]] = {"Python": python, "curl": curl, "JavaScript": javascript}


def _endpoint(ask: Ask) -> str:
    return f"{_text(ask.url).rstrip('/')}/v2/rerank"


def _files(ask: Ask) -> list[File]:
    contents = [content for content in (ask.query, *ask.documents) if not isinstance(content, str)]
    return [part for content in contents for part in content if isinstance(part, File)]


def _literal(content: Content, text: Callable[[str], str], file: Callable[[File], str]) -> str:
    """A string, or an object with `text` and files. Python and JavaScript write both alike."""
    if isinstance(content, str):
        return text(_text(content))
    entries = [f"{text('text')}: {text(_text(part))}" for part in content if isinstance(part, str) and part]
    for kind in ("image", "video"):
        of_kind = [file(part) for part in content if isinstance(part, File) and part.kind == kind]
        if of_kind:
            entries.append(f"{text(kind)}: {of_kind[0] if len(of_kind) == 1 else '[' + ', '.join(of_kind) + ']'}")
    return "{" + ", ".join(entries) + "}"


def _plain(content: Content) -> object:
    """Content for a JSON body, with marked file names in place of data URLs."""
    return json.loads(_literal(content, lambda text: json.dumps(text, ensure_ascii=False), _marked))


def _marked(file: File) -> str:
    return json.dumps(f"{_MARK}{_text(file.name)}{_MARK}", ensure_ascii=False)


def _text(text: str) -> str:
    """Text without lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode()


def _mime(name: str) -> str:
    return _MIMES.get(name.rpartition(".")[2].lower(), "image/jpeg")


def _python_file(file: File) -> str:
    return f"data_url({_mime(file.name)!r}, {_text(file.name)!r})"


def _js(text: str) -> str:
    """JavaScript string. U+2028 and U+2029 end a line before ES2019, and `</` would end a script in a page."""
    written = json.dumps(_text(text), ensure_ascii=False)
    return written.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("</", "<\\/")


def _js_file(file: File) -> str:
    return f"dataUrl({_js(_mime(file.name))}, {_js(file.name)})"


def _curl_file(name: str) -> str:
    return f"printf %s 'data:{_mime(name)};base64,'; base64 < {shlex.quote(name)} | tr -d '\\n'"
