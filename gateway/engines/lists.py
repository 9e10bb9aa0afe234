"""An engine that ranks the documents of a request beside one another, in one prompt."""

from collections.abc import Sequence

from gateway.domain import Outcome, Pair, Refused, Score, ScoringOptions
from gateway.engines.outcomes import shares
from gateway.engines.vllm import VllmEngine
from gateway.engines.wires import PromptRefused
from gateway.errors import Unreadable
from gateway.families.base import ListPrompt, Rendered


class ListEngine(VllmEngine):
    """`score` takes the pairs of one query and of all its documents, in their order."""

    listwise = True

    async def score(self, pairs: Sequence[Pair], options: ScoringOptions) -> list[Outcome]:
        (rendered,) = await self.family.render(pairs, {}, options)
        assert isinstance(rendered, Rendered)
        (prompt,) = rendered.prompts
        assert isinstance(prompt, ListPrompt)
        try:
            cosines, _ = await self.scored([prompt])
        except PromptRefused as refusal:
            return [Refused(str(refusal), Unreadable.code)] * len(pairs)
        values, tokens = self.family.calibrate(cosines), shares(prompt.tokens, len(pairs))
        return [
            Score(value, count, 1, cut, rendered.query_cut)
            for value, count, cut in zip(values, tokens, prompt.cut, strict=True)
        ]
