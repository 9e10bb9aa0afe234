"""`python -m bench.stub PORT TOKENIZER`: an engine that answers at once, and passes the gateway's examination.

It counts the documents of a body and sends the prepared reply for that count. It parses no JSON of a scoring call, so
that it is faster than the server in front of it.
"""

import asyncio
import functools
import json
import math
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import uvloop
from tokenizers import Tokenizer

from gateway.domain import Mixed, Pair, ScoringOptions
from gateway.engines.examination import PICTURE_QUERY
from gateway.families.base import MultimodalPrompt, Rendered
from gateway.families.qwen3_vl import Qwen3Vl
from gateway.media.examples import examples
from gateway.settings import ModelSettings

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
DOCUMENT_CHARS = 300
END_OF_HEAD = b"\r\n\r\n"
# The first scores of a call are equal, since an examination asks for the same pair in several places.
ALIKE = 8
LOGIT = 2.0
NAMES = ["m", "recipe:cross-encoder:bench", "recipe:qwen3-reranker:bench", "recipe:qwen3-vl-reranker:bench"]
COUNTED_HERE = b'"prompt_tokens":1000000000'


class StubEngine(asyncio.Protocol):
    """Protocol of one connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not inherit from it
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head_ends := self._received.find(END_OF_HEAD)) >= 0:
            length = LENGTH.search(self._received, 0, head_ends)
            ends = head_ends + len(END_OF_HEAD) + (int(length[1]) if length else 0)
            if len(self._received) < ends:
                return
            self._transport.write(answer(self._received[:ends]))
            self._received = self._received[ends:]


def answer(request: bytearray) -> bytes:
    path = request.split(b" ", 2)[1]
    raw = b'"use_activation":false' in request
    if path.endswith(b"/score") and b'"documents"' in request:  # pictures: each document is a list of parts
        if PICTURE_QUERY.encode() in request:
            return examined(json.loads(request.partition(END_OF_HEAD)[2])["documents"][0])
        return reply("score", request.count(b'"content":'), raw)
    if path.endswith(b"/score"):  # one comma between quotes after text_1, one between any two documents
        commas = request.count(b'","')
        return reply("score", commas // 2 + 1 if b'"text_1":[' in request else commas, raw)
    if path.endswith(b"/classify"):  # a comma between any two ids, and one behind the last where a field follows
        ids = request.count(b",", request.index(END_OF_HEAD)) + (b"use_activation" not in request)
        whole = reply("classify", request.count(b"],[") + 1, raw)
        return whole.replace(COUNTED_HERE, b'"prompt_tokens":%10d' % ids)
    if path.endswith(b"rerank"):
        return reply("rerank", request[request.index(b'"documents"') :].count(b'", "') + 1)
    if path.endswith(b"/tokenize"):
        return tokenize(json.loads(request.partition(END_OF_HEAD)[2])["prompt"])
    if path.endswith(b"/models"):
        return response({"data": [{"id": name, "root": "bench"} for name in NAMES]})
    if path.endswith(b"/metrics"):
        return plain(b"process_start_time_seconds 1.0\n")
    return reply("other", 0)


@functools.cache
def reply(kind: str, documents: int, raw: bool = False) -> bytes:
    """Whole HTTP response with the fields of vLLM's. vLLM's `/rerank` returns the documents in any case."""
    text = {"text": "x" * DOCUMENT_CHARS, "multi_modal": None}
    alike = LOGIT if raw else 1 / (1 + math.exp(-LOGIT))
    scores = [(index, alike if index < ALIKE else (index * 37 % 100) / 100) for index in range(documents)]
    tokens = 1_000_000_000 if kind == "classify" else 80 * documents
    usage = {"prompt_tokens": tokens, "total_tokens": 80 * documents, "completion_tokens": 0}
    body = {
        "score": {"data": [{"index": i, "object": "score", "score": s} for i, s in scores]},
        "classify": {"data": [{"index": i, "label": "yes", "probs": [s], "num_classes": 1} for i, s in scores]},
        "rerank": {"results": [{"index": i, "document": text, "relevance_score": s} for i, s in scores]},
        "other": {},
    }[kind] | {"id": "stub-1", "created": 1, "model": "m", "usage": usage}
    return response(body)


def examined(document: object) -> bytes:
    """The answer for a picture of an examination: its tokens, and a logit of its own."""
    place, tokens = next((place, tokens) for place, (known, tokens) in enumerate(pictures()) if known == document)
    return response({"data": [{"index": 0, "score": LOGIT + place}], "usage": {"prompt_tokens": tokens}})


@functools.cache
def pictures() -> list[tuple[object, int]]:
    """The pictures of an examination as they arrive, and the tokens that the gateway counts for each."""
    family = Qwen3Vl(ModelSettings("qwen3-vl-reranker", "", tokenizer=sys.argv[2]))
    assert family.multimodal is not None
    found: list[tuple[object, int]] = []
    for prepared in examples(family.multimodal):
        pair = Pair(PICTURE_QUERY, Mixed("", tuple(prepared)))
        rendering = family.render([pair], prepared, ScoringOptions())
        (rendered,) = ThreadPoolExecutor(1).submit(asyncio.run, rendering).result()  # this thread's loop serves
        assert isinstance(rendered, Rendered)
        (prompt,) = rendered.prompts
        assert isinstance(prompt, MultimodalPrompt)
        found.append((json.loads(json.dumps(prompt.document)), prompt.tokens))
    return found


def tokenize(prompt: str) -> bytes:
    ids = Tokenizer.from_file(sys.argv[2]).encode(prompt, add_special_tokens=False).ids
    return response({"count": len(ids), "max_model_len": None, "tokens": ids})


def response(body: object) -> bytes:
    return plain(json.dumps(body, separators=(",", ":")).encode())


def plain(content: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(StubEngine, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
