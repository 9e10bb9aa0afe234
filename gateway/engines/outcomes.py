"""From an engine's numbers to outcomes: what was counted, and what several chunks come to."""

from collections.abc import Sequence

from gateway.domain import Outcome, Pair, Score
from gateway.engines.wires import Usage
from gateway.errors import EngineUntrusted
from gateway.families.base import ListPrompt, MultimodalPrompt, Prompt, Rendered

# Where pictures split a prompt's text, the engine may count so many tokens more or less than its pieces have apart.
SEAM_TOKENS = 8


def best_chunk(rendered: Rendered, results: Sequence[Outcome]) -> Outcome:
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


def check_count(prompts: Sequence[Prompt], usage: Usage | None) -> None:
    """Raises EngineUntrusted when the engine read other tokens than those that the gateway counted."""
    engines = usage.prompt_tokens if usage else None
    if engines is None or isinstance(prompts[0], Pair):  # where the server writes the prompt, only it can count
        return
    ours = sum(tokens_of(prompts, None))
    tolerated = len(prompts) * SEAM_TOKENS if isinstance(prompts[0], MultimodalPrompt) else 0
    if abs(engines - ours) > tolerated:
        raise EngineUntrusted(
            f"the engine read {engines} tokens where the gateway counted {ours}: it adds or cuts text"
        )


def expected_scores(prompts: Sequence[Prompt]) -> int:
    """Scores that an engine must give for prompts of one type: one each, or one per document of a list."""
    return sum(len(prompt.documents) if isinstance(prompt, ListPrompt) else 1 for prompt in prompts)


def shares(total: int, parts: int) -> list[int]:
    """A count in equal shares, exact in the sum."""
    share, rest = divmod(total, parts)
    return [share + (place < rest) for place in range(parts)]


def tokens_of(prompts: Sequence[Prompt], usage: Usage | None) -> list[int]:
    """Per prompt: exact for token ids; for text an equal share of what the engine counted, exact in the sum."""
    if not isinstance(prompts[0], Pair):
        return [len(prompt) if isinstance(prompt, list) else prompt.tokens for prompt in prompts]  # type: ignore[union-attr]
    total = (usage.prompt_tokens or usage.total_tokens or 0) if usage else 0
    return shares(total, len(prompts))
