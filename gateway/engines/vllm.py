"""vLLM's JSON: the only file that changes when vLLM does. Token ids go to `/classify`, text and scenes to `/score`."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
import msgspec

from gateway.domain import Blob, Outcome, Pair, Refused, Score, ScoringOptions, blobs_of
from gateway.engines.base import Tokens
from gateway.errors import BadMedia, BadRequest, EngineBadResponse, EngineTimeout, EngineUnavailable
from gateway.families.prompts import MultimodalPrompt, Prompt, Qwen3VlPrompts, Rendered, prompts_of
from gateway.media.preprocess import Frame, Prepared, Preprocessor
from gateway.settings import ModelSettings

log = logging.getLogger("gateway")

JSON = {"content-type": "application/json"}
NO_OVERRIDE = "it is served without the classification override, start it with `rerank engine`"
PROBE_TIMEOUT_S = 5.0
# A call's whole time is bounded where it is made; this is for an engine whose machine is gone.
EXTENSIONS = {"timeout": {"connect": 5.0}}
# A longer body is written in pieces, between which other requests have their turn.
PIECE_BYTES = 512 * 1024
# Scenes of one call: a picture takes up to 7 MB in it, a video some 20, and the engine holds all of them at once.
SCENES_PER_CALL = 16
MEGABYTES = {"image": 7, "video": 20}
MEGABYTES_PER_CALL = 64


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _ScoreItem(msgspec.Struct):
    index: int
    score: float


class _ScoreReply(msgspec.Struct):
    data: list[_ScoreItem]
    usage: _Usage | None = None


class _ClassifyItem(msgspec.Struct):
    index: int
    probs: list[float]


class _ClassifyReply(msgspec.Struct):
    data: list[_ClassifyItem]
    usage: _Usage | None = None


class _TokenizeReply(msgspec.Struct):
    tokens: list[int]
    token_strs: list[str] | None = None
    max_model_len: int | None = None


class _VersionReply(msgspec.Struct):
    version: str


class _PromptRefused(Exception):
    """The engine answered 400: at least one prompt of the call is one it will not read."""


_score_reply = msgspec.json.Decoder(_ScoreReply)
_classify_reply = msgspec.json.Decoder(_ClassifyReply)


def _score_body(prompts: Sequence[Prompt]) -> dict[str, Any]:
    pairs = [prompt for prompt in prompts if isinstance(prompt, Pair)]
    queries = [pair.query for pair in pairs]
    return {
        # One query for many documents is sent once.
        "text_1": queries[0] if len(set(queries)) == 1 else queries,
        "text_2": [pair.document for pair in pairs],
    }


def _scene_body(prompts: Sequence[Prompt]) -> dict[str, Any]:
    scenes = [prompt for prompt in prompts if isinstance(prompt, MultimodalPrompt)]
    queries = [scene.query for scene in scenes]
    return {
        "instruction": scenes[0].instruction,
        "queries": queries[0] if all(query == queries[0] for query in queries) else queries,
        "documents": [scene.document for scene in scenes],
    }


def _classify_body(prompts: Sequence[Prompt]) -> dict[str, Any]:
    return {"input": prompts}


def _scores(body: bytes) -> tuple[list[tuple[int, float]], _Usage | None]:
    reply = _score_reply.decode(body)
    return [(item.index, item.score) for item in reply.data], reply.usage


def _probabilities(body: bytes) -> tuple[list[tuple[int, float]], _Usage | None]:
    reply = _classify_reply.decode(body)
    if any(len(item.probs) != 1 for item in reply.data):  # one class: its probability is P(yes), the recipe's score
        raise EngineBadResponse(f"the engine answers with several classes: {NO_OVERRIDE}")
    return [(item.index, item.probs[0]) for item in reply.data], reply.usage


@dataclass(frozen=True, slots=True)
class _Wire:
    """How one family's prompts travel: the path, the body, the reply, and the first vLLM that understands it."""

    path: str
    body: Callable[[Sequence[Prompt]], dict[str, Any]]
    read: Callable[[bytes], tuple[list[tuple[int, float]], _Usage | None]]
    min_version: tuple[int, int, int]


# By the type of a prompt. `instruction` came to /score with 0.22: before, it is ignored and the scores are others.
WIRES: dict[type, _Wire] = {
    Pair: _Wire("/score", _score_body, _scores, (0, 0, 0)),
    list: _Wire("/classify", _classify_body, _probabilities, (0, 15, 1)),
    MultimodalPrompt: _Wire("/score", _scene_body, _scores, (0, 22, 0)),
}
SPEAKS = {"cross-encoder": (Pair,), "qwen3-reranker": (list,), "qwen3-vl-reranker": (list, MultimodalPrompt)}


class VllmEngine:
    """One model behind one server that speaks vLLM's wire.

    The model's name is left out of every call: the server has one, under a name only its operator knows.
    """

    def __init__(
        self,
        name: str,
        model: ModelSettings,
        transport: httpx.AsyncBaseTransport,
        workshop: Preprocessor,
        *,
        timeout_s: float,
    ) -> None:
        self._name = name
        self._url = model.engine.rstrip("/").removesuffix("/v1")  # which OpenAI's clients want there, and vLLM does not
        self._transport = transport
        self._workshop = workshop
        self._timeout_s = timeout_s
        self._prompts = prompts_of(model)
        self._answers = True
        self.epoch = 0
        self.real_weights = model.hub is not None
        self.min_version = max(WIRES[kind].min_version for kind in SPEAKS[model.family])
        self.max_tokens = model.max_tokens
        self.probe = self._prompts.probe
        self.takes_instruction = self._prompts.takes_instruction
        self.sees = self._prompts.sees
        self.identity = repr((name, model.hub, model.revision, model.dtype, self._prompts.fingerprint))

    def canonical(self, reading: ScoringOptions) -> ScoringOptions:
        return self._prompts.canonical(reading)

    async def score(self, pairs: Sequence[Pair], reading: ScoringOptions) -> list[Outcome]:
        if not self.sees or all(pair.is_text for pair in pairs):
            return await self._score_texts(pairs, reading)
        texts = [pair for pair in pairs if pair.is_text]
        outcomes = dict(zip(texts, await self._score_texts(texts, reading), strict=True)) if texts else {}
        for group in _groups([pair for pair in pairs if not pair.is_text]):
            outcomes |= await self._score_scenes(group, reading)
        return [outcomes[pair] for pair in pairs]

    async def preview(self, blob: Blob, reading: ScoringOptions) -> tuple[Prepared, list[Frame]]:
        assert isinstance(self._prompts, Qwen3VlPrompts)
        ready = await self._workshop.ready(blob, self._prompts.sizes(reading))
        return ready, await self._workshop.shown(ready)

    async def count(self, pair: Pair, ready: Mapping[Blob, Prepared]) -> tuple[int, int, float]:
        """A scene's tokens as the gateway counts them and as the engine does, and its score. Raises BadRequest."""
        assert isinstance(self._prompts, Qwen3VlPrompts)
        rendered = self._prompts.scene(pair, ready, ScoringOptions())
        assert isinstance(rendered, Rendered)
        try:
            scores, usage = await self._called(rendered.prompts)
        except _PromptRefused as refusal:
            raise EngineBadResponse(f"a plain picture: {refusal}") from None
        ours = sum(prompt.tokens for prompt in rendered.prompts if isinstance(prompt, MultimodalPrompt))
        return ours, (usage.prompt_tokens or 0) if usage else 0, scores[0][1]

    async def _score_scenes(self, pairs: Sequence[Pair], reading: ScoringOptions) -> dict[Pair, Outcome]:
        assert isinstance(self._prompts, Qwen3VlPrompts)
        blobs = list(dict.fromkeys(blob for pair in pairs for side in pair for blob in blobs_of(side)))
        sizes = self._prompts.sizes(reading)
        made = await asyncio.gather(*(self._workshop.ready(blob, sizes) for blob in blobs), return_exceptions=True)
        ready: dict[Blob, Prepared] = {}
        bad: dict[Blob, str] = {}
        for blob, one in zip(blobs, made, strict=True):
            if isinstance(one, Prepared):
                ready[blob] = one
            elif isinstance(one, BadMedia):
                bad[blob] = str(one)
            else:
                raise one
        outcomes: dict[Pair, Outcome] = {pair: refused for pair in pairs if (refused := _unreadable(pair, bad))}
        left = [pair for pair in pairs if pair not in outcomes]
        scene = self._prompts.scene
        scenes = await asyncio.to_thread(lambda: [scene(pair, ready, reading) for pair in left])
        outcomes |= {pair: one for pair, one in zip(left, scenes, strict=True) if isinstance(one, Refused)}
        written = {pair: one for pair, one in zip(left, scenes, strict=True) if isinstance(one, Rendered)}
        if written:
            results = await self._ask([prompt for one in written.values() for prompt in one.prompts])
            outcomes |= {
                pair: _outcome(one, [result]) for (pair, one), result in zip(written.items(), results, strict=True)
            }
        return outcomes

    async def _score_texts(self, pairs: Sequence[Pair], reading: ScoringOptions) -> list[Outcome]:
        if self._prompts.tokenizes(pairs, reading):
            rendered = await asyncio.to_thread(self._prompts.render, pairs, reading)
        else:
            rendered = self._prompts.render(pairs, reading)
        results = iter(await self._ask([prompt for one in rendered for prompt in one.prompts]))
        return [_outcome(one, list(itertools.islice(results, len(one.prompts)))) for one in rendered]

    async def tokenize(self, text: str) -> Tokens:
        body = {"prompt": text, "add_special_tokens": False, "return_token_strs": True}
        try:
            content = await self._post("/tokenize", body)
        except _PromptRefused as refusal:
            raise BadRequest(f"text: {refusal}") from None
        with _sensible():
            reply = msgspec.json.decode(content, type=_TokenizeReply)
        return Tokens(reply.tokens, reply.token_strs or [], reply.max_model_len)

    async def alive(self) -> None:
        reply = await self._send("GET", "/health", b"", PROBE_TIMEOUT_S)
        if reply.status_code != 200:
            raise EngineUnavailable(f"the engine is not ready (health: {reply.status_code})")

    async def version(self) -> str | None:
        reply = await self._send("GET", "/version", b"", PROBE_TIMEOUT_S)
        try:
            return msgspec.json.decode(reply.content, type=_VersionReply).version
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    async def _ask(self, prompts: Sequence[Prompt]) -> list[Score | Refused]:
        """A score per prompt. vLLM fails a whole call for one prompt it cannot read, so a 400 is halved until found."""
        try:
            return [*await self._call(prompts)]
        except _PromptRefused as refusal:
            if len(prompts) == 1:
                return [Refused(str(refusal))]
            middle = len(prompts) // 2
            return [*await self._ask(prompts[:middle]), *await self._ask(prompts[middle:])]

    async def _call(self, prompts: Sequence[Prompt]) -> list[Score]:
        scores, usage = await self._called(prompts)
        return [
            Score(min(max(score, 0.0), 1.0), tokens)
            for (_, score), tokens in zip(scores, _tokens(prompts, usage), strict=True)
        ]

    async def _called(self, prompts: Sequence[Prompt]) -> tuple[list[tuple[int, float]], _Usage | None]:
        """Each prompt's score by its place, and what the engine read. All prompts are of one type."""
        wire = WIRES[type(prompts[0])]
        with _sensible():
            scores, usage = wire.read(await self._post(wire.path, wire.body(prompts)))
        scores.sort()
        if [index for index, _ in scores] != list(range(len(prompts))):
            raise EngineBadResponse(f"the engine was asked for {len(prompts)} scores and did not give each once")
        if not all(-1.01 <= score <= 1.01 for _, score in scores):  # false for NaN too; bf16 overshoots 1 a little
            raise EngineBadResponse("the engine gave a score outside 0..1: it must apply the model's activation")
        return scores, usage

    async def _post(self, path: str, body: dict[str, Any]) -> bytes:
        if "documents" in body:  # pictures: some ms a megabyte
            content = await asyncio.to_thread(msgspec.json.encode, body)
        else:
            content = msgspec.json.encode(body)
        reply = await self._send("POST", path, content, self._timeout_s)
        if reply.status_code == 200:
            return reply.content
        raise _failure(path, reply)

    async def _send(self, method: str, path: str, content: bytes, timeout_s: float) -> httpx.Response:
        """One exchange, on a second connection if the engine had closed a kept one: it restarts, we need not fail."""
        try:
            with _translated():
                async with asyncio.timeout(timeout_s):
                    try:
                        reply = await self._exchange(method, path, content)
                    except httpx.TransportError as error:
                        if not isinstance(error.__cause__, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
                            raise
                        reply = await self._exchange(method, path, content)
        except EngineUnavailable:
            self._noticed(answers=False)
            raise
        self._noticed(answers=True)
        return reply

    async def _exchange(self, method: str, path: str, content: bytes) -> httpx.Response:
        url, headers = self._url + path, JSON
        if len(content) <= PIECE_BYTES:
            request = httpx.Request(method, url, content=content, headers=headers, extensions=EXTENSIONS)
        else:
            headers = {**JSON, "content-length": str(len(content))}
            request = httpx.Request(method, url, stream=_Pieces(content), headers=headers, extensions=EXTENSIONS)
        reply = await self._transport.handle_async_request(request)
        try:
            await reply.aread()
        finally:
            await reply.aclose()
        return reply

    def _noticed(self, *, answers: bool) -> None:
        if answers != self._answers:
            self._answers = answers
            log.warning("engine of %s %s", self._name, "answers again" if answers else "does not answer")
        if not answers:
            self.epoch += 1


class _Pieces(httpx.AsyncByteStream):
    """A body of pictures on its way."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), PIECE_BYTES):
            yield self._content[start : start + PIECE_BYTES]


def _groups(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Pairs in calls of a bounded size, each distinct picture and video counted once a call."""
    group: list[Pair] = []
    blobs: set[Blob] = set()
    for pair in pairs:
        more = blobs.union(*(blobs_of(side) for side in pair))
        if group and (len(group) == SCENES_PER_CALL or sum(MEGABYTES[blob.kind] for blob in more) > MEGABYTES_PER_CALL):
            yield group
            group, more = [], set().union(*(blobs_of(side) for side in pair))
        group.append(pair)
        blobs = more
    if group:
        yield group


def _unreadable(pair: Pair, bad: Mapping[Blob, str]) -> Refused | None:
    """Why a pair cannot be read: its first picture or video that cannot."""
    for side, in_query in ((pair.query, True), (pair.document, False)):
        for place, blob in enumerate(blobs_of(side)):  # media come first: their places are those of parts
            if blob in bad:
                return Refused(bad[blob], place, in_query)
    return None


def _outcome(rendered: Rendered, results: Sequence[Score | Refused]) -> Outcome:
    """A pair's prompts, one or one per chunk, as one outcome: the best chunk counts, all are paid for."""
    if len(results) == 1 and not rendered.cut and not rendered.query_cut:
        return results[0]
    scores = [result for result in results if isinstance(result, Score)]
    if not scores:
        return results[0]
    return Score(
        max(score.value for score in scores),
        sum(score.tokens for score in scores),
        len(scores),
        rendered.cut,
        rendered.query_cut,
    )


def _tokens(prompts: Sequence[Prompt], usage: _Usage | None) -> list[int]:
    """Per prompt: exact for token ids; for text an equal share of what the engine counted, exact in the sum."""
    if not isinstance(prompts[0], Pair):
        return [prompt.tokens if isinstance(prompt, MultimodalPrompt) else len(prompt) for prompt in prompts]
    total = (usage.prompt_tokens or usage.total_tokens or 0) if usage else 0
    share, rest = divmod(total, len(prompts))
    return [share + (place < rest) for place in range(len(prompts))]


def _failure(path: str, reply: httpx.Response) -> Exception:
    """In our own words: an engine's message may quote the document or its own address."""
    status = reply.status_code
    if status in (400, 413, 422):
        too_long = b"maximum context length" in reply.content or b"longer than" in reply.content
        return _PromptRefused("too long for the model" if too_long else "the engine refused to read it")
    if status in (404, 405):
        return EngineBadResponse(f"the engine does not serve {path}{f': {NO_OVERRIDE}' if path == '/classify' else ''}")
    if status in (401, 403):
        return EngineBadResponse("the engine wants a key: it must listen on loopback only, without one")
    if status == 429 or status >= 500:
        return EngineUnavailable(f"the engine is failing (status {status})")
    return EngineBadResponse(f"the engine answered with status {status}")


@contextmanager
def _sensible() -> Iterator[None]:
    try:
        yield
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise EngineBadResponse("the engine's answer is not the JSON of a score") from None


@contextmanager
def _translated() -> Iterator[None]:
    """httpx, and the aiohttp below it, to our errors. Their messages hold the engine's address and stay here."""
    try:
        yield
    except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout):
        raise EngineTimeout("the engine took too long to answer") from None
    except (aiohttp.ClientResponseError, httpx.DecodingError, httpx.RemoteProtocolError):
        raise EngineBadResponse("the engine's answer is not HTTP") from None
    except (httpx.TransportError, aiohttp.ClientError, OSError):
        # httpx-aiohttp 0.2 reports refused and broken connections alike as ConnectTimeout.
        raise EngineUnavailable("the engine does not answer: it is starting, restarting or gone") from None
