"""A stand-in for vLLM, as far as launcher and gateway use it: `fake_vllm.py --version | serve MODEL --port N ...`.

It runs out of memory with a context of more than FAKE_VLLM_MEMORY_TOKENS. The more of the query's words a document has,
the higher is its logit.
"""

import json
import math
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VERSION = "0.32.0"


def logit(query: str, document: str) -> float:
    words = set(query.lower().split())
    return 8 * len(words & set(document.lower().split())) / max(1, len(words)) - 4


def served_names() -> list[str]:
    words = sys.argv[sys.argv.index("--served-model-name") + 1 :]
    return words[: next(place for place, word in enumerate(words) if word.startswith("--"))]


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        models = [{"id": name, "object": "model", "root": sys.argv[2]} for name in served_names()]
        self._answer({"object": "list", "data": models} if self.path == "/v1/models" else {"version": VERSION})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        documents = asked["text_2"]
        queries = [asked["text_1"]] * len(documents) if isinstance(asked["text_1"], str) else asked["text_1"]
        scores = [logit(query, document) for query, document in zip(queries, documents, strict=True)]
        if asked.get("use_activation", True):
            scores = [1 / (1 + math.exp(-score)) for score in scores]
        data = [{"index": place, "object": "score", "score": value} for place, value in enumerate(scores)]
        # Without usage: it has no tokenizer, and the gateway would compare the count with its own.
        self._answer({"object": "list", "data": data})

    def _answer(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if sys.argv[1] == "--version":
    print(VERSION)
    sys.exit()
flags = dict(zip(sys.argv[3:], sys.argv[4:], strict=False))
if int(flags["--max-model-len"]) > int(os.environ.get("FAKE_VLLM_MEMORY_TOKENS", "1000000")):
    print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", flush=True)
    sys.exit(1)
print("serving", flush=True)
ThreadingHTTPServer((flags["--host"], int(flags["--port"])), Answer).serve_forever()
