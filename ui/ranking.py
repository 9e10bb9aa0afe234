"""Live ranking: candidates are scored in parts, and the list is whole and in order after each part that arrives.

That is right for rerankers, which score each pair by itself, and wrong for BM25, with its statistics of a whole list.
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

# Parts of the texts; pictures and videos go one by one.
TEXT_PARTS = 12
LEAST_PART = 8
PARTS_AT_ONCE = 4
# Rows that a browser draws without a pause; the exports have all of them.
MAX_ROWS = 100
MAX_MARKED = 50
# How often a list is redrawn while scores arrive, and how long it may go without: a closed page is noticed when drawn.
DRAW_S = 0.15
BEAT_S = 1.0
# Pictures that all score so are the sign of an engine with a wrong prompt.
FLAT_CENTRE, FLAT_SPREAD = 0.5, 0.05

# A message of the gateway's opens with the path of the field that it is about.
_FIELD = re.compile(r"^(?:invalid request: )?(query|documents)\b\S*: ")
# Faults of a single file: they are shown in its row, and the other candidates are ranked.
_OF_A_FILE = {"refused", "unreadable", "video_too_long", "too_large", "file_gone"}


@dataclass(frozen=True, slots=True)
class Ask:
    """One press of the button."""

    model: str
    query: Content
    items: Sequence[Item]
    instruction: str | None = None
    top_n: int = MAX_ROWS
    min_score: float = 0.0


@dataclass(slots=True)
class Board:
    """What is known of a ranking so far; ids are places in the order given."""

    ask: Ask
    scores: dict[int, float] = field(default_factory=dict)
    failed: dict[int, Fault] = field(default_factory=dict)
    spans: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    frames: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    fault: Fault | None = None
    ms: float = 0.0

    @property
    def known(self) -> int:
        """Grows with whatever there is to draw."""
        return len(self.scores) + len(self.failed) + len(self.spans) + len(self.frames)

    @property
    def order(self) -> list[int]:
        """Best first; ties keep the order given."""
        return sorted(self.scores, key=lambda index: (-self.scores[index], index))

    def within(self, order: Sequence[int]) -> list[int]:
        """The rows that are shown of an order: those within the limits asked for."""
        best = order[: min(self.ask.top_n, MAX_ROWS)]
        return [index for index in best if self.scores[index] >= self.ask.min_score]

    def value(self, state: str, language: Language) -> dict[str, Any]:
        """As the results list reads it."""
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
        """Whether every picture and video, of at least two, scores near 0.5."""
        seen = [score for index, score in self.scores.items() if self.ask.items[index].kind != "text"]
        if len(seen) < 2:
            return False
        return max(seen) - min(seen) < FLAT_SPREAD and all(abs(score - FLAT_CENTRE) < FLAT_SPREAD for score in seen)

    def rows(self) -> list[dict[str, Any]]:
        """Every candidate for an export, best first, those that could not be scored last."""
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
        # What is the same for all is said at length above the list.
        return title(fault.key, language) if fault.key == "no_vision" else fault.detail


async def live(client: Client, board: Board) -> AsyncIterator[None]:
    """Fills the board, and says each time that it is worth drawing; at the end it is whole.

    Leaving early ends every call under way. Raises Fault for what concerns more than one file.
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
    """Runs the work, and says when to draw; raises what it raises. To leave ends it."""
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
    # A query of files goes along with every part, so then there is only one.
    size = max(LEAST_PART, -(-len(texts) // (TEXT_PARTS if isinstance(ask.query, str) else 1)))
    parts = [texts[start : start + size] for start in range(0, len(texts), size)]
    await _together([*map(score, parts), *map(score_file, files)])


async def _look_closer(client: Client, board: Board) -> None:
    """Where the best texts are relevant, and what the model saw of videos; a list without them is still a list."""
    ask, shown = board.ask, board.within(board.order)
    texts = [index for index in shown if ask.items[index].kind == "text"][:MAX_MARKED]
    videos = [index for index in shown if ask.items[index].kind == "video"]

    async def mark() -> None:
        documents: list[Content] = [ask.items[index].text for index in texts]
        for result in await client.rerank(ask.model, ask.query, documents, instruction=ask.instruction, spans=True):
            index = texts[result.place]
            whole = len(ask.items[index].text)
            # A mark over all of a text says no more than its score.
            board.spans[index] = [span for span in result.spans if span["end"] - span["start"] < whole]

    async def look(index: int) -> None:
        with suppress(Fault):
            url = await asyncio.to_thread(data_url, ask.items[index].path)
            board.frames[index] = await client.preview("video", url, model=ask.model)

    with suppress(Fault):
        await _together([*([mark()] if texts and isinstance(ask.query, str) else []), *map(look, videos)])


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All at once; the first Fault ends the others, as does whoever leaves."""
    tasks = [asyncio.ensure_future(one) for one in work]
    if not tasks:
        return
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
