"""Values of a list of results, from the press of the button to the end of the run."""

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from ui.client import Client
from ui.faults import Fault
from ui.ranking import Ask, Board, live
from ui.texts import Language

log = logging.getLogger("ui")


class Shown(NamedTuple):
    """Value of the list. The last one of a run that went well has the board, for the exports."""

    value: dict[str, Any]
    is_last: bool = False
    board: Board | None = None


async def shown(
    client: Client, ask_of: Callable[[], Ask], previous: dict[str, Any], language: Language
) -> AsyncIterator[Shown]:
    """Rank, and give the list each time that it changes. A run that fails ends with the previous list and the fault."""
    yield Shown({"language": language, "state": "loading"})
    try:
        board = Board(ask_of())
        async for _ in live(client, board):
            yield Shown(board.value("loading", language))
        yield Shown(board.value("ready", language), is_last=True, board=board)
    except Fault as fault:
        yield Shown(failed(fault, previous, language), is_last=True)
    except Exception:
        log.exception("a run failed")
        yield Shown(failed(Fault("unexpected"), previous, language), is_last=True)


def failed(fault: Fault, previous: dict[str, Any], language: Language) -> dict[str, Any]:
    """The previous list, with a fault above it."""
    state = "ready" if previous.get("results") else "empty"
    return {**previous, "language": language, "state": state, "fault": fault.shown(), "kept": True}


def stopped(current: dict[str, Any], language: Language) -> dict[str, Any]:
    """The list so far, as that of a run that was stopped."""
    return {**current, "language": language, "state": "stopped"}
