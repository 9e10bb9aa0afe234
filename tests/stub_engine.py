"""An engine for tests: speaks vLLM's wire over real HTTP, scores by shared words, and misbehaves when told to."""

import asyncio
import base64
import io
import json
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import av
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tokenizers import Tokenizer

from gateway.engines.examination import MARKER, PAIRS, PICTURE_QUERY
from gateway.families import FAMILIES
from tests.gateway.official import PREFIX, QWEN3_VL
from tests.gateway.serving import LocalServer, until

MODEL = "stub"
POISON = "unreadable-for-the-engine"
# Where a Qwen3-Reranker prompt holds the caller's texts.
PROMPT = re.compile(r"<Query>: ?(.*)\n<Document>: ?(.*)<\|im_end\|>\n<\|im_start\|>assistant", re.DOTALL)
COLORS = {b"\xff\0\0": "red", b"\0\0\xff": "blue", b"\0\x80\0": "green"}

# Logits whose sigmoid is 1.0 and 0.0 in float64.
CERTAIN = 800.0

Scores = Sequence[float]


class StubEngine:
    """Answers as vLLM does, so: one prompt it cannot read fails the whole call with 400, without saying which.

    calls: what each scoring call held, pairs of texts or token ids; most_at_once: how many of them overlapped.
    examinations: the same of calls that only examine it. They are answered honestly, unless `bluffs` is False.
    root: of its weights. tells_start: its metrics tell when its process started; questions: how often they
    were asked for.
    names: of the model; where there are none, its name and the markers of `rerank engine` for any family.
    gate: while cleared, scoring calls hang. distort: what to answer instead of the honest scores.
    instead: a whole other answer to a scoring call, or None for the usual one.
    prompt: finds the query and the document in the text of token ids.
    tokenize_status, health_status: what those answer when not 200.
    activation: of its own scores, for whoever does not ask for logits. adds_tokens: to each prompt, behind our back.
    always_activates: it does not know `use_activation`, and gives probabilities where logits are asked for.
    instructions: of each call with pictures, which are seen as words: "64x32 red", "4 frames 64x64 green".
    max_pixels: what it scales a picture down to, as an engine with flags of its own does.
    """

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        self.tokenizer = tokenizer
        self.prompt = PROMPT
        self.version: str | None = "0.32.0"
        self.max_tokens = 1_000_000
        self.names: list[str] = []
        self.root = "/models/stub"
        self.tells_start = True
        self.questions = 0
        self.calls: list[list[Any]] = []
        self.examinations: list[list[Any]] = []
        self.bluffs = True
        self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.distort: Callable[[Scores], Sequence[object]] = list
        self.instead: Callable[[], Response | None] = lambda: None
        self.tokenize_status = 200
        self.health_status = 200
        self.always_activates = False
        self.activation: Callable[[float], object] = float
        self.adds_tokens = 0
        self.instructions: list[str] = []
        self.max_pixels = 1800 * 32 * 32
        self._at_once = 0
        self._server = LocalServer(
            Starlette(
                routes=[
                    Route("/score", self._score, methods=["POST"]),
                    Route("/rerank", self._rerank, methods=["POST"]),
                    Route("/classify", self._classify, methods=["POST"]),
                    Route("/tokenize", self._tokenize, methods=["POST"]),
                    Route("/health", self._health),
                    Route("/version", self._version),
                    Route("/v1/models", self._models),
                    Route("/metrics", self._metrics),
                ]
            )
        )
        self.stop = self._server.stop

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def prompts(self) -> list[Any]:
        """Everything it was asked to score, over all calls."""
        return [prompt for call in self.calls for prompt in call]

    async def asked(self, calls: int = 1) -> None:
        """Returns when so many scoring calls have come."""
        await until(lambda: len(self.calls) >= calls)

    def hang_up(self) -> Response:
        """For `instead`: the connection ends where an answer should be."""
        self._server.break_connections()
        return Response()

    async def _score(self, http: Request) -> Response:
        body = await http.json()
        if "documents" in body:
            return await self._score_scenes(body)
        documents = body["text_2"]
        queries = body["text_1"] if isinstance(body["text_1"], list) else [body["text_1"]] * len(documents)
        pairs = list(zip(queries, documents, strict=True))
        lengths = [self._count_pair(query, document) for query, document in pairs]
        return await self._answer(body, pairs, pairs, lengths, lambda score: {"object": "score", "score": score})

    async def _rerank(self, http: Request) -> Response:
        """Ranks a list: each document scores less for each other one, and less for those before it. Gives cosines."""
        body = await http.json()
        pairs = [(body["query"], document) for document in body["documents"]]
        if len(pairs) == 1 and examines(pairs[0]):
            self.examinations.append(pairs)
        else:
            self.calls.append(pairs)
            await self.gate.wait()
        cosines = [overlap(*pair) - (len(pairs) + place) / 1000 for place, pair in enumerate(pairs)]
        results = [{"index": place, "relevance_score": cosine} for place, cosine in enumerate(cosines)]
        results.sort(key=lambda result: -result["relevance_score"])
        return answer({"id": "1", "model": MODEL, "results": results})

    async def _score_scenes(self, body: dict[str, Any]) -> Response:
        """Scores like vLLM with our template: each side is text or content parts, the media first."""
        documents = body["documents"]
        queries = body["queries"] if isinstance(body["queries"], list) else [body["queries"]] * len(documents)
        try:
            seen = [(self._see(query), self._see(document)) for query, document in zip(queries, documents, strict=True)]
        except (OSError, ValueError, KeyError) as error:
            return failure(400, f"Failed to load image: {error}")
        pairs = [(query, document) for (query, _), (document, _) in seen]
        template = PREFIX + QWEN3_VL.head.format(instruction=body["instruction"], query="") + QWEN3_VL.label
        around = self._count(template + QWEN3_VL.suffix)
        lengths = [around + query + document for (_, query), (_, document) in seen]
        return await self._answer(body, pairs, pairs, lengths, lambda score: {"object": "score", "score": score})

    def _see(self, side: str | dict[str, Any]) -> tuple[str, int]:
        """A side in words, and its tokens."""
        if isinstance(side, str):
            return side, self._count(side)
        words, tokens = [], 0
        for part in side["content"]:
            kind = part["type"]
            if kind == "text":
                seen, count = part["text"], self._count(part["text"])
            else:
                data = base64.b64decode(part[kind]["url"].partition(";base64,")[2], validate=True)
                seen, count = self._see_picture(data) if kind == "image_url" else self._see_video(data)
            words.append(seen)
            tokens += count
        return " ".join(words), tokens

    def _see_picture(self, data: bytes) -> tuple[str, int]:
        with Image.open(io.BytesIO(data), formats=["BMP"]) as image:
            width, height = image.size
            seen = color(image)
        assert width % 32 == height % 32 == 0, "it would be scaled again"
        return f"{width}x{height} {seen}", min(width * height, self.max_pixels) // 1024 + 2

    def _see_video(self, data: bytes) -> tuple[str, int]:
        with av.open(io.BytesIO(data), "r", format="avi") as container:
            rate = container.streams.video[0].average_rate or 1
            images: list[Image.Image] = [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]
        width, height = images[0].size
        times = [float((first + first + 1) / rate / 2) for first in range(0, len(images), 2)]
        squares = min(width * height, self.max_pixels) // 1024 + 2
        tokens = sum(squares + self._count(f"<{time:.1f} seconds>") for time in times)
        return f"{len(images)} frames {width}x{height} {color(images[0])}", tokens

    def _count_pair(self, query: str, document: str) -> int:
        if self.tokenizer is None:
            return len(f"{query} {document}".split())
        return len(self.tokenizer.encode(query, document).ids)

    def _count(self, text: str) -> int:
        return len(self._tokens(text)[0])

    async def _classify(self, http: Request) -> Response:
        body = await http.json()
        prompts = body["input"]
        pairs = [self._read(prompt) for prompt in prompts]
        lengths = [len(prompt) for prompt in prompts]
        return await self._answer(body, prompts, pairs, lengths, lambda score: {"label": "yes", "probs": [score]})

    def _read(self, ids: list[int]) -> tuple[str, str]:
        assert self.tokenizer is not None
        found = self.prompt.search(self.tokenizer.decode(ids, skip_special_tokens=False))
        assert found is not None
        return found[1], found[2]

    async def _answer(
        self,
        body: dict[str, Any],
        asked: list[Any],
        pairs: Sequence[tuple[str, str]],
        lengths: Sequence[int],
        item: Callable[[object], dict[str, object]],
    ) -> Response:
        if self.bluffs and all(map(examines, pairs)):
            self.examinations.append(asked)
            activated = body["use_activation"] is not False
            honest = [overlap(*pair) for pair in pairs]
            return self._reply(honest if activated else list(map(logit, honest)), lengths, item)
        self.calls.append(asked)
        if "instruction" in body:
            self.instructions.append(body["instruction"])
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await self.gate.wait()
        finally:
            self._at_once -= 1
        if (other := self.instead()) is not None:
            return other
        if body.get("model") not in (None, MODEL):
            return failure(404, f"The model `{body['model']}` does not exist.")
        if max(lengths) > self.max_tokens:
            return failure(400, f"This model's maximum context length is {self.max_tokens} tokens. However, ...")
        if any(POISON in text for pair in pairs for text in pair):
            return failure(400, f"cannot read {pairs!r}")
        scores = self.distort([overlap(*pair) for pair in pairs])
        if body["use_activation"] is False and not self.always_activates:
            scores = [logit(score) for score in scores]
        elif body["use_activation"] is not False:
            scores = [self.activation(score) for score in scores]  # type: ignore[arg-type]
        lengths = [length + self.adds_tokens for length in lengths]
        return self._reply(scores, lengths, item)

    @staticmethod
    def _reply(
        scores: Sequence[object], lengths: Sequence[int], item: Callable[[object], dict[str, object]]
    ) -> Response:
        usage = {"prompt_tokens": sum(lengths), "total_tokens": sum(lengths), "completion_tokens": 0}
        data = [{"index": index, **item(score)} for index, score in enumerate(scores)]
        return answer({"id": "1", "object": "list", "created": 1, "model": MODEL, "data": data, "usage": usage})

    async def _tokenize(self, http: Request) -> Response:
        if self.tokenize_status != 200:
            return failure(self.tokenize_status, "cannot")
        body = await http.json()
        ids, strings = self._tokens(body["prompt"])
        shown = strings if body.get("return_token_strs") else None
        return answer({"count": len(ids), "max_model_len": self.max_tokens, "tokens": ids, "token_strs": shown})

    def _tokens(self, text: str) -> tuple[list[int], list[str]]:
        if self.tokenizer is None:
            words = text.split()
            return list(range(len(words))), words
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.tokens

    async def _health(self, _: Request) -> Response:
        return Response(status_code=self.health_status)

    async def _version(self, _: Request) -> Response:
        return answer({"version": self.version}) if self.version else failure(404, "Not Found")

    async def _models(self, _: Request) -> Response:
        names = self.names or [MODEL, *(f"{MARKER}{family}:0" for family in FAMILIES)]
        models = [{"id": name, "object": "model", "root": self.root} for name in names]
        return answer({"object": "list", "data": models})

    async def _metrics(self, _: Request) -> Response:
        self.questions += 1
        return Response(f"process_start_time_seconds {self._started}\n" if self.tells_start else "")

    def exchange(self, *, keeps_connections: bool = False) -> None:
        """Another process answers from now on, as behind a load balancer."""
        self._started = time.time()
        if not keeps_connections:
            self.break_connections()

    def break_connections(self) -> None:
        self._server.break_connections()

    async def start(self) -> None:
        """Each start is that of another process."""
        self._started = time.time()
        await self._server.start()


def color(image: Image.Image) -> str:
    """The color in the middle, where it is one we draw with."""
    middle = image.convert("RGB").crop(
        (image.width // 2, image.height // 2, image.width // 2 + 1, image.height // 2 + 1)
    )
    return COLORS.get(middle.tobytes(), "many colors")


def overlap(query: str, document: str) -> float:
    """The share of the query's words that the document has: 0..1, the same at any place of any batch."""
    wanted = set(query.lower().split())
    return len(wanted & set(document.lower().split())) / max(1, len(wanted))


def examines(pair: tuple[str, str]) -> bool:
    """True for the pairs of an examination, which a model with little room reads in part."""
    query, document = pair
    return query == PICTURE_QUERY or any(
        query and str(known.query).startswith(query) and str(known.document).startswith(document) for known in PAIRS
    )


def logit(score: object) -> object:
    """The number whose sigmoid the score is. What is no probability stays as it is."""
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        return score
    return CERTAIN * (2 * score - 1) if score in (0, 1) else math.log(score / (1 - score))


def answer(body: object, status: int = 200) -> Response:
    # json.dumps and not Starlette's: it writes NaN, as broken engines do.
    return Response(json.dumps(body), status, media_type="application/json")


def failure(status: int, message: str) -> Response:
    """vLLM's error body."""
    return answer({"error": {"message": message, "type": "BadRequestError", "param": None, "code": status}}, status)
