"""vLLM's JSON: paths, bodies and replies of each wire. Token ids go to `/classify`, texts and media to `/score`.

Every body asks for the raw logit. A checkpoint's configuration and the server's flags decide about an activation, and
both are wrong for some models; the family knows the right one.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import httpx
import msgspec

from gateway.domain import Pair
from gateway.engines.client import EngineClient
from gateway.errors import EngineBadResponse, EngineUnavailable
from gateway.families.base import ListPrompt, MultimodalPrompt, Prompt, TextPrompt, Wire

NO_OVERRIDE = "it is served without the classification override, start it with `rerank engine`"


class PromptRefused(Exception):
    """The engine answered 400: at least one prompt of the call is one it will not read."""


class Usage(msgspec.Struct):
    """Tokens that the engine counted in one call."""

    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _ScoreItem(msgspec.Struct):
    index: int
    score: float


class _ScoreReply(msgspec.Struct):
    data: list[_ScoreItem]
    usage: Usage | None = None


class _ClassifyItem(msgspec.Struct):
    index: int
    probs: list[float]


class _ClassifyReply(msgspec.Struct):
    data: list[_ClassifyItem]
    usage: Usage | None = None


class _RankedItem(msgspec.Struct):
    index: int
    relevance_score: float


class _RerankReply(msgspec.Struct):
    results: list[_RankedItem]
    usage: Usage | None = None


class TokenizeReply(msgspec.Struct):
    """The answer of /tokenize. max_model_len: the longest prompt the engine reads, where it tells."""

    tokens: list[int]
    token_strs: list[str] | None = None
    max_model_len: int | None = None


class VersionReply(msgspec.Struct):
    """The answer of /version."""

    version: str


class ServedModel(msgspec.Struct, frozen=True):
    """An entry of /v1/models: a name of the model, and the folder or repository that its weights came from."""

    id: str
    root: str | None = None


class ModelsReply(msgspec.Struct):
    """The answer of /v1/models: an entry per name of the one model."""

    data: tuple[ServedModel, ...] = ()


class WireFormat(NamedTuple):
    """The JSON of one wire: its path, body and reply, and the first vLLM that understands it.

    body: of some prompts, and whether the server is to apply its activation. read: each prompt's number beside its
    index, and the usage.
    """

    path: str
    body: Callable[[Sequence[Prompt], bool], dict[str, Any]]
    read: Callable[[bytes], tuple[list[tuple[int, float]], Usage | None]]
    min_version: tuple[int, int, int]


def _texts_body(prompts: Sequence[Prompt], activated: bool) -> dict[str, Any]:
    pairs = cast("Sequence[Pair | TextPrompt]", prompts)
    queries = [pair.query for pair in pairs]
    return {
        # One query for many documents is sent once.
        "text_1": queries[0] if len(set(queries)) == 1 else queries,
        "text_2": [pair.document for pair in pairs],
        "use_activation": activated,
    }


def _multimodal_body(prompts: Sequence[Prompt], activated: bool) -> dict[str, Any]:
    multimodal = cast("Sequence[MultimodalPrompt]", prompts)
    queries = [prompt.query for prompt in multimodal]
    return {
        "instruction": multimodal[0].instruction,
        "queries": queries[0] if all(query == queries[0] for query in queries) else queries,
        "documents": [prompt.document for prompt in multimodal],
        "use_activation": activated,
    }


def _token_ids_body(prompts: Sequence[Prompt], activated: bool) -> dict[str, Any]:
    return {"input": prompts, "use_activation": activated}


def _list_body(prompts: Sequence[Prompt], _activated: bool) -> dict[str, Any]:
    (prompt,) = cast("Sequence[ListPrompt]", prompts)
    body: dict[str, Any] = {"query": prompt.query, "documents": prompt.documents}
    return body if prompt.instruction is None else {**body, "instruction": prompt.instruction}


_rerank_reply = msgspec.json.Decoder(_RerankReply)
_score_reply = msgspec.json.Decoder(_ScoreReply)
_classify_reply = msgspec.json.Decoder(_ClassifyReply)


def _scores(body: bytes) -> tuple[list[tuple[int, float]], Usage | None]:
    reply = _score_reply.decode(body)
    return [(item.index, item.score) for item in reply.data], reply.usage


def _logits(body: bytes) -> tuple[list[tuple[int, float]], Usage | None]:
    reply = _classify_reply.decode(body)
    if any(len(item.probs) != 1 for item in reply.data):  # one class: its logit is the recipe's
        raise EngineBadResponse(f"the engine answers with several classes: {NO_OVERRIDE}")
    return [(item.index, item.probs[0]) for item in reply.data], reply.usage


def _cosines(body: bytes) -> tuple[list[tuple[int, float]], Usage | None]:
    reply = _rerank_reply.decode(body)
    return [(item.index, item.relevance_score) for item in reply.results], reply.usage


# `use_activation` came with 0.11.1, and token ids with 0.15.1. `instruction` came to /score with 0.22: before, it is
# ignored and the scores are others.
WIRES: dict[Wire, WireFormat] = {
    Wire.TEXTS: WireFormat("/score", _texts_body, _scores, (0, 11, 1)),
    Wire.TOKEN_IDS: WireFormat("/classify", _token_ids_body, _logits, (0, 15, 1)),
    Wire.MULTIMODAL: WireFormat("/score", _multimodal_body, _scores, (0, 22, 0)),
    Wire.LIST: WireFormat("/rerank", _list_body, _cosines, (0, 22, 0)),
}


async def post(client: EngineClient, path: str, body: Mapping[str, object]) -> bytes:
    """The answer to a JSON body. Raises PromptRefused, and what the client raises."""
    if "documents" in body:  # media: some ms a megabyte
        content = await asyncio.to_thread(msgspec.json.encode, body)
    else:
        content = msgspec.json.encode(body)
    reply = await client.post(path, content)
    if reply.status_code == 200:
        return reply.content
    raise _failure(path, reply)


def _failure(path: str, reply: httpx.Response) -> Exception:
    """A reply that is not 200, in our own words: an engine's message may quote the document or its own address."""
    status = reply.status_code
    if status in (400, 413, 422):
        too_long = b"maximum context length" in reply.content or b"longer than" in reply.content
        return PromptRefused("too long for the model" if too_long else "the engine refused to read it")
    if status in (404, 405):
        return EngineBadResponse(f"the engine does not serve {path}{f': {NO_OVERRIDE}' if path == '/classify' else ''}")
    if status in (401, 403):
        return EngineBadResponse("the engine wants a key: it must listen on loopback only, without one")
    if status == 429 or status >= 500:
        return EngineUnavailable(f"the engine is failing (status {status})")
    return EngineBadResponse(f"the engine answered with status {status}")


@contextmanager
def decoding() -> Iterator[None]:
    """Turns what is not the expected JSON into EngineBadResponse."""
    try:
        yield
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise EngineBadResponse("the engine's answer is not the JSON of a score") from None
