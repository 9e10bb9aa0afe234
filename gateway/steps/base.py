"""A step takes a scored ranking and gives another: with spans, blended, cut off."""

from typing import Protocol

from gateway.domain import Ranking, RerankRequest
from gateway.scoring.scorer import Scorer


class Step(Protocol):
    """Adding one is a file in this folder and a row in STEPS."""

    async def apply(self, request: RerankRequest, ranking: Ranking, scorer: Scorer) -> Ranking:
        """The ranking after this step; the same one where the request does not ask for it.

        request: with its media loaded. scorer: of the model that ranked, for steps that score more pairs.
        """
