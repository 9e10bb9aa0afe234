"""An engine's scores are examined before they are trusted: a wrong prompt answers with status 200 too."""

import asyncio
import re
from collections.abc import Awaitable, Mapping

from msgspec import Struct

from gateway.domain import Blob, Mixed, Outcome, Pair, Refused, ScoringOptions
from gateway.engines.probes import check_health, tokenize, version_of
from gateway.engines.vllm import VllmEngine
from gateway.engines.wires import WIRES, PromptRefused
from gateway.errors import EngineBadResponse, RerankError
from gateway.families.base import MultimodalPrompt, Rendered
from gateway.media.vision import Prepared

# bf16 engines move a score by up to 0.0165 with the batch (measured against float32); more is another prompt.
STABLE_WITHIN = 0.03
# A reranker puts the related text far above; one served without its override or its template does not.
SEPARATES_BY = 0.1
QUERY = "what is the capital of France"
RELATED = Pair(QUERY, "Paris is the capital and the largest city of France.")
UNRELATED = Pair(QUERY, "Add two eggs and the flour, then stir until smooth.")
PICTURE_QUERY = "a red picture"


class Check(Struct, frozen=True):
    """A condition of trust in an engine's scores; `detail` says in words what was found."""

    check: str
    passed: bool
    detail: str


class Readiness:
    """Examines one engine. The deep checks cost it real work: once passed, they hold until it stops answering."""

    def __init__(self, engine: VllmEngine) -> None:
        self._engine = engine
        self._passed: tuple[int, list[Check]] | None = None

    async def checks(self) -> list[Check]:
        """Never raises: an engine that is gone is a check that failed."""
        alive = await _check("engine", self._alive())
        if not alive.passed:
            return [alive]
        epoch = self._engine.client.epoch
        if self._passed is None or self._passed[0] != epoch:
            deep = [
                await _check("version", self._version()),
                await _check("token ids", self._token_ids()),
                await _check("scores", self._scores()),
                *([await _check("pictures", self._pictures())] if self._engine.preprocessor else []),
            ]
            if not all(check.passed for check in deep):
                return [alive, *deep]
            self._passed = (epoch, deep)
        return [alive, *self._passed[1]]

    async def _alive(self) -> str:
        await check_health(self._engine.client)
        return "answers"

    async def _version(self) -> str:
        version = await version_of(self._engine.client)
        least = max(WIRES[wire].min_version for wire in self._engine.family.wire.values())
        numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version or "")
        if numbers and tuple(map(int, numbers.groups())) < least:
            needed = ".".join(map(str, least))
            raise EngineBadResponse(f"vLLM {version} cannot read this family's prompts: it takes {needed} or newer")
        return version or "not told"

    async def _token_ids(self) -> str:
        probe = self._engine.family.probe
        if probe is None:
            return "the engine writes this model's prompt"
        reply, sent = await tokenize(self._engine.client, probe.text), self._engine.settings.max_tokens
        if reply.tokens != probe.ids:
            raise EngineBadResponse("the engine's tokenizer is not the gateway's: set tokenizer to the served model's")
        if reply.max_model_len is not None and reply.max_model_len < sent:
            raise EngineBadResponse(
                f"the engine reads {reply.max_model_len} tokens (--max-model-len), max_tokens says {sent}"
            )
        return f"{len(probe.ids)} of a rendered prompt are equal"

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
        # Without a hub id nobody knows what the weights should find relevant.
        if self._engine.settings.hub is not None and margin < SEPARATES_BY:
            raise EngineBadResponse(
                f"a related text scores {margin:.3f} above an unrelated one, not {SEPARATES_BY} or more: "
                "wrong weights, classification override or template"
            )
        return f"stable within {spread:.4f}, related above unrelated by {margin:.3f}"

    async def _pictures(self) -> str:
        """Other limits of pixels or frames than the gateway's give other scores, and show in the tokens."""
        from gateway.media.examples import examples

        profile = self._engine.family.multimodal
        assert profile is not None
        counted = [await self._count(prepared) for prepared in await asyncio.to_thread(examples, profile)]
        for ours, engines, _ in counted:
            if engines not in (ours, ours - profile.video_marks):
                raise EngineBadResponse(
                    f"the engine reads {engines} tokens where a picture or video and its prompt have {ours}: "
                    "start it with `rerank engine`, whose flags and template the scores depend on"
                )
        (_, _, red), (_, _, blue), *_rest = counted
        if red == blue:
            raise EngineBadResponse("a red picture and a blue one score alike: the engine does not see them")
        return f"tokens of {len(counted)} pictures and videos are equal"

    async def _count(self, prepared: Mapping[Blob, Prepared]) -> tuple[int, int, float]:
        """Tokens of an example as the gateway counts them and as the engine does, and its score."""
        pair = Pair(PICTURE_QUERY, Mixed("", tuple(prepared)))
        (rendered,) = await self._engine.family.render([pair], prepared, ScoringOptions())
        assert isinstance(rendered, Rendered)
        try:
            (score,), usage = await self._engine.call(rendered.prompts)
        except PromptRefused as refusal:
            raise EngineBadResponse(f"a plain picture: {refusal}") from None
        ours = sum(prompt.tokens for prompt in rendered.prompts if isinstance(prompt, MultimodalPrompt))
        return ours, (usage.prompt_tokens or 0) if usage else 0, score


async def _check(name: str, run: Awaitable[str]) -> Check:
    try:
        return Check(name, True, await run)
    except RerankError as error:
        return Check(name, False, str(error))


def _value(outcome: Outcome) -> float:
    if isinstance(outcome, Refused):
        raise EngineBadResponse(f"a plain pair of sentences: {outcome.reason}")
    return outcome.value
