"""Whether an engine's scores can be trusted: a wrong prompt answers with status 200 too, so ask before serving."""

import asyncio
import re
from collections.abc import Awaitable
from dataclasses import dataclass

from gateway.domain import Pair, Refused, Score, ScoringOptions
from gateway.engines.base import Engine
from gateway.errors import EngineBadResponse, RerankError
from gateway.families.prompts import VIDEO_MARKS
from gateway.media.preprocess import examples

# bf16 engines move a score by up to 0.0165 with the batch (measured against float32); more is another prompt.
STABLE_WITHIN = 0.03
# A reranker puts the related text far above; one served without its override or its template does not.
SEPARATES_BY = 0.1
QUERY = "what is the capital of France"
RELATED = Pair(QUERY, "Paris is the capital and the largest city of France.")
UNRELATED = Pair(QUERY, "Add two eggs and the flour, then stir until smooth.")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold before scores can be trusted; `detail` says in words what was found."""

    check: str
    passed: bool
    detail: str


class Readiness:
    """Examines one engine. The deep checks cost it real work: once passed, they hold until it goes away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._passed: tuple[int, list[Check]] | None = None

    async def checks(self) -> list[Check]:
        """Never raises: an engine that is gone is a check that failed."""
        alive = await _check("engine", self._alive())
        if not alive.passed:
            return [alive]
        epoch = self._engine.epoch
        if self._passed is None or self._passed[0] != epoch:
            deep = [
                await _check("version", self._version()),
                await _check("token ids", self._token_ids()),
                await _check("scores", self._scores()),
                *([await _check("pictures", self._pictures())] if self._engine.sees else []),
            ]
            if not all(check.passed for check in deep):
                return [alive, *deep]
            self._passed = (epoch, deep)
        return [alive, *self._passed[1]]

    async def _alive(self) -> str:
        await self._engine.alive()
        return "answers"

    async def _version(self) -> str:
        version = await self._engine.version()
        numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version or "")
        if numbers and tuple(map(int, numbers.groups())) < self._engine.min_version:
            needed = ".".join(map(str, self._engine.min_version))
            raise EngineBadResponse(f"vLLM {version} cannot read this family's prompts: it takes {needed} or newer")
        return version or "not told"

    async def _token_ids(self) -> str:
        if self._engine.probe is None:
            return "the engine writes this model's prompt"
        text, ids = self._engine.probe
        tokens, sent = await self._engine.tokenize(text), self._engine.max_tokens
        if tokens.ids != ids:
            raise EngineBadResponse("the engine's tokenizer is not the gateway's: set tokenizer to the served model's")
        if tokens.max_tokens is not None and tokens.max_tokens < sent:
            raise EngineBadResponse(
                f"the engine reads {tokens.max_tokens} tokens (--max-model-len), max_tokens says {sent}"
            )
        return f"{len(ids)} of a rendered prompt are equal"

    async def _scores(self) -> str:
        related: list[float] = []
        unrelated: list[float] = []
        for batch in ([RELATED, UNRELATED], [UNRELATED, RELATED], [RELATED], [UNRELATED, UNRELATED, RELATED]):
            for pair, outcome in zip(batch, await self._engine.score(batch, ScoringOptions()), strict=True):
                (related if pair is RELATED else unrelated).append(_value(outcome))
        spread = max(max(values) - min(values) for values in (related, unrelated))
        if spread > STABLE_WITHIN:
            raise EngineBadResponse(f"the same pair's score moves by {spread:.3f} with its place in a batch")
        margin = related[0] - unrelated[0]
        if self._engine.real_weights and margin < SEPARATES_BY:
            raise EngineBadResponse(
                f"a related text scores {margin:.3f} above an unrelated one, not {SEPARATES_BY} or more: "
                "wrong weights, classification override or template"
            )
        return f"stable within {spread:.4f}, related above unrelated by {margin:.3f}"

    async def _pictures(self) -> str:
        """Other limits of pixels or frames than the gateway's give other scores, and show in the tokens."""
        counted = [
            await self._engine.count(Pair("a red picture", tuple(ready)), ready)
            for ready in await asyncio.to_thread(examples)
        ]
        for ours, engines, _ in counted:
            if engines not in (ours, ours - VIDEO_MARKS):
                raise EngineBadResponse(
                    f"the engine reads {engines} tokens where a picture or video and its prompt have {ours}: "
                    "start it with `rerank engine`, whose flags and template the scores depend on"
                )
        (_, _, red), (_, _, blue), *_rest = counted
        if red == blue:
            raise EngineBadResponse("a red picture and a blue one score alike: the engine does not see them")
        return f"tokens of {len(counted)} pictures and videos are equal"


async def _check(name: str, run: Awaitable[str]) -> Check:
    try:
        return Check(name, True, await run)
    except RerankError as error:
        return Check(name, False, str(error))


def _value(outcome: Score | Refused) -> float:
    if isinstance(outcome, Refused):
        raise EngineBadResponse(f"a plain pair of sentences: {outcome.reason}")
    return outcome.value
