"""`python -m bench.stub PORT`: an engine that answers at once.

It counts the documents of a body and sends the prepared reply for that count. It parses no JSON, so that it is faster
than the server in front of it.
"""

import asyncio
import functools
import json
import re
import sys
from typing import cast

import uvloop

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
DOCUMENT_CHARS = 300
END_OF_HEAD = b"\r\n\r\n"


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
    if path.endswith(b"/score") and b'"documents"' in request:  # pictures: each document is a list of parts
        return reply("score", request.count(b'"content":'))
    if path.endswith(b"/score"):  # one comma between quotes after text_1, one between any two documents
        return reply("score", request.count(b'","'))
    if path.endswith(b"/classify"):
        return reply("classify", request.count(b"],[") + 1)
    if path.endswith(b"rerank"):
        return reply("rerank", request[request.index(b'"documents"') :].count(b'", "') + 1)
    return reply("other", 0)


@functools.cache
def reply(kind: str, documents: int) -> bytes:
    """Whole HTTP response with the fields of vLLM's. vLLM's `/rerank` returns the documents in any case."""
    text = {"text": "x" * DOCUMENT_CHARS, "multi_modal": None}
    scores = [(index, (index * 37 % 100) / 100) for index in range(documents)]
    usage = {"prompt_tokens": 80 * documents, "total_tokens": 80 * documents, "completion_tokens": 0}
    body = {
        "score": {"data": [{"index": i, "object": "score", "score": s} for i, s in scores]},
        "classify": {"data": [{"index": i, "label": "yes", "probs": [s], "num_classes": 1} for i, s in scores]},
        "rerank": {"results": [{"index": i, "document": text, "relevance_score": s} for i, s in scores]},
        "other": {},
    }[kind] | {"id": "stub-1", "created": 1, "model": "m", "usage": usage}
    content = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(StubEngine, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
