"""Live ranking: candidates are scored in parts, and the list is put in order after each part that arrives.

Most rerankers score each pair by itself, so a part has the scores of the whole. BM25 has statistics of the whole list,
and a few models read it whole: these are not ranked so.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ui.client import Client, Content
from ui.faults import Fault
from ui.inputs import Item, content_of, data_url
from ui.texts import Language, title

# Most parts that texts are divided into, and the fewest texts in a part. Pictures and videos are scored one by one.
TEXT_PARTS = 12
LEAST_PART = 8
PARTS_AT_ONCE = 4
# As many rows as a browser draws without a pause. The exports have all of them.
MAX_ROWS = 100
MAX_MARKED = 50
# Seconds between two looks at new scores, and the longest time without a drawing: Gradio notices a closed page by it.
DRAW_S = 0.15
BEAT_S = 1.0
# Pictures that all score near 0.5 are the sign of an engine with a wrong prompt.
FLAT_CENTRE, FLAT_SPREAD = 0.5, 0.05

# A message of the gateway's opens with the path of the field that it is about.
_FIELD = re.compile(r"^(?:invalid request: )?(query|documents)\b\S*: ")
# Faults of a single file: they are shown in its row, and the other candidates are ranked.
_OF_A_FILE = {"refused", "unreadable", "video_too_long", "too_large", "file_gone"}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of the page: one press of the button."""

    model: str
    query: Content
    items: Sequence[Item]
    instruction: str | None = None
    top_n: int = MAX_ROWS
    min_score: float = 0.0


@dataclass(slots=True)
class Board:
    """Scores and faults of a ranking so far, by the candidates' indices in the order given."""

    ask: Ask
    scores: dict[int, float] = field(default_factory=dict)
    failed: dict[int, Fault] = field(default_factory=dict)
    spans: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    frames: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    fault: Fault | None = None
    ms: float = 0.0

    @property
    def known(self) -> int:
        """Count of all entries. It grows with everything that can be drawn."""
        return len(self.scores) + len(self.failed) + len(self.spans) + len(self.frames)

    @property
    def order(self) -> list[int]:
        """Indices of the scored candidates, best first. Ties keep the order given."""
        return sorted(self.scores, key=lambda index: (-self.scores[index], index))

    def within(self, order: Sequence[int]) -> list[int]:
        """Indices that are shown: the best `top_n` with at least `min_score`."""
        best = order[: min(self.ask.top_n, MAX_ROWS)]
        return [index for index in best if self.scores[index] >= self.ask.min_score]

    def value(self, state: str, language: Language) -> dict[str, Any]:
        """Value of the list of results."""
        order = self.order
        shown = self.within(order)
        rank_of = {index: rank for rank, index in enumerate(order, 1)}
        last = len(order) + 1
        reaching = sum(score >= self.ask.min_score for score in self.scores.values())
        return {
            "language": language,
            "state": state,
            "results": [self._row(index, rank_of[index], language) for index in shown]
            + [self._row(index, last + place, language) for place, index in enumerate(sorted(self.failed))],
            "scored": len(self.scores) + len(self.failed),
            "total": len(self.ask.items),
            "more": reaching - len(shown),
            "hidden": len(order) - reaching,
            "ms": self.ms or None,
            "engine": self.ask.model,
            "fault": self.fault.shown() if self.fault else None,
            "flat": self.flat,
        }

    @property
    def flat(self) -> bool:
        """True if there are at least two pictures and videos, and all of them score near 0.5."""
        seen = [score for index, score in self.scores.items() if self.ask.items[index].kind != "text"]
        if len(seen) < 2:
            return False
        return max(seen) - min(seen) < FLAT_SPREAD and all(abs(score - FLAT_CENTRE) < FLAT_SPREAD for score in seen)

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the exports: all candidates, best first, those that could not be scored last."""
        items = self.ask.items
        return [
            {
                "rank": rank,
                "index": index,
                "relevance_score": self.scores.get(index),
                "kind": items[index].kind,
                "content": items[index].text or items[index].name,
                "engine": self.ask.model,
                "note": self._why_not(index),
            }
            for rank, index in enumerate([*self.order, *sorted(self.failed)], 1)
        ]

    def _row(self, index: int, rank: int, language: Language) -> dict[str, Any]:
        item = self.ask.items[index]
        source = f"/gradio_api/file={item.path}" if item.path else ""
        frames = self.frames.get(index, [])
        return {
            "id": index,
            "rank": rank,
            "kind": item.kind,
            "text": item.text,
            "name": item.name,
            "spans": self.spans.get(index, []),
            "score": self.scores.get(index, 0.0),
            "moved": None if index in self.failed else index + 1 - rank,
            "source": source,
            "thumb": source if item.kind == "image" else next((frame["image"] for frame in frames), ""),
            "frames": frames,
            "failed": self._why_not(index, language),
        }

    def _why_not(self, index: int, language: Language = "en") -> str:
        fault = self.failed.get(index)
        if fault is None:
            return ""
        # The detail of this fault is the same for all rows, and stands above the list.
        return title(fault.key, language) if fault.key == "no_vision" else fault.detail


async def live(client: Client, board: Board) -> AsyncIterator[None]:
    """Fill the board, and yield each time that it should be drawn.

    Closing the generator early cancels all calls under way. Raises Fault for a failure of more than one file.
    """
    started_s = time.perf_counter()
    async for _ in _drawn(_score_all(client, board), board):
        board.ms = (time.perf_counter() - started_s) * 1000
        yield
    if board.failed and not board.scores and board.fault is None:
        raise board.failed[min(board.failed)]
    async for _ in _drawn(_look_closer(client, board), board):
        yield


async def _drawn(work: Coroutine[Any, Any, None], board: Board) -> AsyncIterator[None]:
    """Run the work, and yield when the board should be drawn. Raises what the work raises. To close it cancels it."""
    task, drawn, drawn_s = asyncio.ensure_future(work), board.known, time.monotonic()
    try:
        while not task.done():
            await asyncio.wait([task], timeout=DRAW_S)
            if board.known != drawn or time.monotonic() - drawn_s >= BEAT_S:
                drawn, drawn_s = board.known, time.monotonic()
                yield
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _score_all(client: Client, board: Board) -> None:
    ask, turns = board.ask, asyncio.Semaphore(PARTS_AT_ONCE)

    async def score(part: Sequence[int]) -> None:
        async with turns:
            documents = [await asyncio.to_thread(content_of, ask.items[index]) for index in part]
            for result in await client.rerank(ask.model, ask.query, documents, instruction=ask.instruction):
                board.scores[part[result.place]] = result.score

    async def score_file(index: int) -> None:
        try:
            await score([index])
        except Fault as fault:
            named = _FIELD.match(fault.detail)
            of_row = Fault(fault.key, fault.detail[named.end() :] if named else fault.detail)
            if fault.key == "no_vision" and isinstance(ask.query, str):
                board.fault = of_row
            elif fault.key not in _OF_A_FILE or (named and named[1] == "query"):
                raise
            board.failed[index] = of_row

    texts = [index for index, item in enumerate(ask.items) if item.kind == "text"]
    files = [index for index, item in enumerate(ask.items) if item.kind != "text"]
    # A query of files is sent with every part, so then there is a single part. A list that is ranked whole is one too.
    whole = not isinstance(ask.query, str) or await client.ranks_lists(ask.model)
    size = max(LEAST_PART, -(-len(texts) // (1 if whole else TEXT_PARTS)))
    parts = [texts[start : start + size] for start in range(0, len(texts), size)]
    await _together([*map(score, parts), *map(score_file, files)])


async def _look_closer(client: Client, board: Board) -> None:
    """Fetch the relevant spans of the best texts and the frames of videos. The list does without those that fail."""
    ask, shown = board.ask, board.within(board.order)
    texts = [index for index in shown if ask.items[index].kind == "text"][:MAX_MARKED]
    videos = [index for index in shown if ask.items[index].kind == "video"]

    async def mark() -> None:
        documents: list[Content] = [ask.items[index].text for index in texts]
        for result in await client.rerank(ask.model, ask.query, documents, instruction=ask.instruction, spans=True):
            index = texts[result.place]
            whole = len(ask.items[index].text)
            # A mark over the whole text would tell no more than its score.
            board.spans[index] = [span for span in result.spans if span["end"] - span["start"] < whole]

    async def look(index: int) -> None:
        with suppress(Fault):
            url = await asyncio.to_thread(data_url, ask.items[index].path)
            board.frames[index] = await client.preview("video", url, model=ask.model)

    with suppress(Fault):
        await _together([*([mark()] if texts and isinstance(ask.query, str) else []), *map(look, videos)])


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once. The first Fault cancels the others, and so does a cancellation."""
    tasks = [asyncio.ensure_future(part) for part in work]
    if not tasks:
        return
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
