"""One model behind one server that speaks vLLM's wire: the family says what it reads, `wires` how that travels."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from gateway.domain import Blob, Outcome, Pair, Refused, Score, ScoringOptions
from gateway.engines import media
from gateway.engines.client import EngineClient
from gateway.engines.wires import WIRES, PromptRefused, Usage, decoding, post
from gateway.errors import EngineBadResponse, Unreadable
from gateway.families.base import Family, MultimodalPrompt, Prompt, Rendered
from gateway.media.vision import Prepared
from gateway.settings import ModelSettings

if TYPE_CHECKING:
    from gateway.media.preprocess import Preprocessor


class VllmEngine:
    """The model's name is left out of every call: the server has one, under a name only its operator knows.

    preprocessor: for families that see pictures and videos.
    """

    def __init__(
        self,
        name: str,
        model: ModelSettings,
        family: Family,
        client: EngineClient,
        preprocessor: "Preprocessor | None",
    ) -> None:
        self.settings = model
        self.family = family
        self.client = client
        self.preprocessor = preprocessor
        self.identity = repr((name, model.hub, model.revision, model.dtype, family.fingerprint))

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        return self.family.canonical(options)

    async def score(self, pairs: Sequence[Pair], options: ScoringOptions) -> list[Outcome]:
        profile, preprocessor = self.family.multimodal, self.preprocessor
        if profile is None or preprocessor is None or all(pair.is_text for pair in pairs):
            return await self._score(pairs, {}, options)
        texts = [pair for pair in pairs if pair.is_text]
        outcomes = dict(zip(texts, await self._score(texts, {}, options), strict=True)) if texts else {}
        for call in media.calls([pair for pair in pairs if not pair.is_text]):
            prepared, refused = await media.prepare(call, preprocessor, profile.options(options))
            outcomes |= refused
            readable = [pair for pair in call if pair not in refused]
            outcomes |= zip(readable, await self._score(readable, prepared, options), strict=True)
        return [outcomes[pair] for pair in pairs]

    async def _score(
        self, pairs: Sequence[Pair], prepared: Mapping[Blob, Prepared], options: ScoringOptions
    ) -> list[Outcome]:
        if not pairs:
            return []
        rendered = await self.family.render(pairs, prepared, options)
        prompts = [prompt for one in rendered if isinstance(one, Rendered) for prompt in one.prompts]
        results = iter(await self._ask(prompts) if prompts else ())
        return [
            _best_chunk(one, list(islice(results, len(one.prompts)))) if isinstance(one, Rendered) else one
            for one in rendered
        ]

    async def _ask(self, prompts: Sequence[Prompt]) -> list[Outcome]:
        """A score per prompt. vLLM fails a whole call for one prompt it cannot read, so a 400 is halved until found."""
        try:
            scores, usage = await self.call(prompts)
        except PromptRefused as refusal:
            if len(prompts) == 1:
                return [Refused(str(refusal), Unreadable.code)]
            middle = len(prompts) // 2
            return [*await self._ask(prompts[:middle]), *await self._ask(prompts[middle:])]
        return [Score(score, tokens) for score, tokens in zip(scores, _tokens(prompts, usage), strict=True)]

    async def call(self, prompts: Sequence[Prompt]) -> tuple[list[float], Usage | None]:
        """Scores of prompts of one type, in order, and what the engine counted. Raises PromptRefused."""
        wire = WIRES[self.family.wire[type(prompts[0])]]
        with decoding():
            scores, usage = wire.read(await post(self.client, wire.path, wire.body(prompts, False)))
        scores.sort()
        if [index for index, _ in scores] != list(range(len(prompts))):
            raise EngineBadResponse(f"the engine was asked for {len(prompts)} scores and did not give each once")
        return self.family.calibrate([score for _, score in scores]), usage


def _best_chunk(rendered: Rendered, results: Sequence[Outcome]) -> Outcome:
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


def _tokens(prompts: Sequence[Prompt], usage: Usage | None) -> list[int]:
    """Per prompt: exact for token ids; for text an equal share of what the engine counted, exact in the sum."""
    if not isinstance(prompts[0], Pair):
        return [prompt.tokens if isinstance(prompt, MultimodalPrompt) else len(prompt) for prompt in prompts]  # type: ignore[arg-type]
    total = (usage.prompt_tokens or usage.total_tokens or 0) if usage else 0
    share, rest = divmod(total, len(prompts))
    return [share + (place < rest) for place in range(len(prompts))]
