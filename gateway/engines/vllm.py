"""One model behind one server that speaks vLLM's wire: the family says what it reads, `wires` how that travels."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from gateway.domain import Blob, Outcome, Pair, Refused, Score, ScoringOptions
from gateway.engines import media
from gateway.engines.client import EngineClient
from gateway.engines.outcomes import best_chunk, check_count, expected_scores, tokens_of
from gateway.engines.wires import WIRES, PromptRefused, Usage, decoding, post
from gateway.errors import EngineBadResponse, EngineUntrusted, Unreadable
from gateway.families.base import Family, Prompt, Rendered
from gateway.media.vision import Prepared
from gateway.settings import ModelSettings

if TYPE_CHECKING:
    from gateway.media.preprocess import Preprocessor


class VllmEngine:
    """The model's name is left out of every call: the server has one, under a name only its operator knows.

    preprocessor: for families that see pictures and videos. names: all that the operator says of the model, and the
    recipe. mismatch: in words, how the last scores differed in their count of tokens, if they did.
    """

    listwise = False

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
        self.names = repr((name, model.hub, model.revision, model.dtype, family.fingerprint))
        self.mismatch = ""

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
        rendered = await self.family.render(pairs, prepared, options)
        prompts = [prompt for one in rendered if isinstance(one, Rendered) for prompt in one.prompts]
        results = iter(await self._score_prompts(prompts) if prompts else ())
        return [
            best_chunk(one, list(islice(results, len(one.prompts)))) if isinstance(one, Rendered) else one
            for one in rendered
        ]

    async def _score_prompts(self, prompts: Sequence[Prompt]) -> list[Outcome]:
        """A score per prompt. vLLM fails a whole call for one prompt it cannot read, so a 400 is halved until found."""
        try:
            logits, usage = await self.scored(prompts)
        except PromptRefused as refusal:
            if len(prompts) == 1:
                return [Refused(str(refusal), Unreadable.code)]
            middle = len(prompts) // 2
            return [*await self._score_prompts(prompts[:middle]), *await self._score_prompts(prompts[middle:])]
        scores = self.family.calibrate(logits)
        return [Score(score, tokens) for score, tokens in zip(scores, tokens_of(prompts, usage), strict=True)]

    async def scored(self, prompts: Sequence[Prompt]) -> tuple[list[float], Usage | None]:
        """The same as `logits`, and `mismatch` tells of this call."""
        try:
            found = await self.logits(prompts)
        except EngineUntrusted as error:
            self.mismatch = str(error)
            raise
        self.mismatch = ""
        return found

    async def logits(self, prompts: Sequence[Prompt], *, activated: bool = False) -> tuple[list[float], Usage | None]:
        """Logits of prompts of one type, in order, and what the engine counted.

        activated: the server applies its activation, so that they are what it thinks are scores. Raises PromptRefused,
        and EngineUntrusted when the engine read other tokens than the gateway counted: another prompt.
        """
        numbers, usage = await self.ask(prompts, activated=activated)
        check_count(prompts, usage)
        return numbers, usage

    async def ask(self, prompts: Sequence[Prompt], *, activated: bool = False) -> tuple[list[float], Usage | None]:
        """The same, and nothing is compared. Raises PromptRefused."""
        wire = WIRES[self.family.wire[type(prompts[0])]]
        with decoding():
            numbers, usage = wire.read(await post(self.client, wire.path, wire.body(prompts, activated)))
        numbers.sort()
        if [index for index, _ in numbers] != list(range(count := expected_scores(prompts))):
            raise EngineBadResponse(f"the engine was asked for {count} scores and did not give each once")
        return [number for _, number in numbers], usage
