"""The studio explains a gateway's errors by their code, and other servers' errors by their status."""

import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.ui_units.gateway import Answer, AnsweringServer
from ui.client import Client
from ui.faults import Fault
from ui.inputs import Item
from ui.ranking import Ask, Board, live
from ui.texts import FAULTS

Call = Callable[[Client], Awaitable[object]]


def rerank(client: Client) -> Awaitable[object]:
    return client.rerank("model", "query", ["document"])


def engines(client: Client) -> Awaitable[object]:
    return client.engines()


def preview(client: Client) -> Awaitable[object]:
    return client.preview("video", "data:video/mp4;base64,AAAA", model="model")


def load(client: Client) -> Awaitable[object]:
    return client.load("model")


CALLS = [rerank, engines, preview]
# Status and code of a gateway's error, and the fault that the page shows.
CODES = [
    (400, "text_only", "no_vision"),
    (400, "media_unreadable", "unreadable"),
    (400, "video_too_long", "video_too_long"),
    (400, "media_too_large", "too_large"),
    (400, "body_too_large", "too_large"),
    (400, "prompt_refused", "refused"),
    (400, "invalid_request", "refused"),
    (400, "a_code_of_tomorrow", "refused"),
    (401, "no_api_key", "unauthorized"),
    (401, "invalid_api_key", "unauthorized"),
    (401, "admin_only", "unauthorized"),
    (404, "model_not_found", "no_model"),
    (429, "overloaded", "busy"),
    (500, "internal_error", "failed"),
    (502, "engine_bad_response", "failed"),
    (503, "engine_stopped", "not_loaded"),
    (503, "engine_loading", "not_loaded"),
    (503, "engine_failed", "not_loaded"),
    (503, "engine_unavailable", "no_engine"),
    (503, "engine_untrusted", "untrusted"),
    (504, "engine_timeout", "timeout"),
]
# Status without a code, as a proxy or another server answers.
STATUSES = [
    (400, "refused"),
    (401, "unauthorized"),
    (403, "unauthorized"),
    (404, "no_model"),
    (413, "too_large"),
    (422, "refused"),
    (429, "busy"),
    (500, "failed"),
    (502, "failed"),
    (503, "no_engine"),
    (504, "timeout"),
]
PAGE = "<html><body>the model reads text only, it is not loaded</body></html>"
LOADS = [
    (Answer(400, {"code": "engine_not_launched"}), "no_load"),
    (Answer(401, {"code": "admin_only"}), "unauthorized"),
    (Answer(404, {"code": "model_not_found"}), "no_model"),
    (Answer(503, {"code": "engine_unavailable"}), "no_engine"),
    (Answer(400, {"message": "started elsewhere"}), "no_load"),
    (Answer(404, PAGE), "no_load"),
    (Answer(405, PAGE), "no_load"),
    (Answer(501, PAGE), "no_load"),
    (Answer(502, PAGE), "failed"),
]


def error(code: str, message: str = "invalid request: said by the gateway") -> dict[str, str]:
    return {"id": "1", "message": message, "detail": "", "code": code}


async def met(call: Call, client: Client) -> Fault:
    with pytest.raises(Fault) as found:
        await call(client)
    assert found.value.key in FAULTS
    return found.value


@pytest.fixture(scope="module")
def server() -> Iterator[AnsweringServer]:
    server = AnsweringServer()
    yield server
    server.close()


@pytest.mark.parametrize(("status", "code", "key"), CODES)
async def test_an_error_is_told_by_its_code_with_the_gateways_own_words(
    server: AnsweringServer, status: int, code: str, key: str
) -> None:
    client = Client(server.url, None)
    server.answer = Answer(status, error(code))
    for call in CALLS:
        fault = await met(call, client)
        assert (fault.key, fault.detail) == (key, "invalid request: said by the gateway")
        # Loading helps only a model that is not loaded.
        assert fault.load == (key == "not_loaded")


async def test_a_code_counts_for_more_than_the_status(server: AnsweringServer) -> None:
    server.answer = Answer(400, error("overloaded"))
    assert (await met(rerank, Client(server.url, None))).key == "busy"


@pytest.mark.parametrize(("status", "key"), STATUSES)
async def test_without_a_code_the_status_tells_and_no_word_of_the_message(
    server: AnsweringServer, status: int, key: str
) -> None:
    client = Client(server.url, None)
    for body in (
        PAGE,
        {"message": PAGE},
        {"error": {"message": PAGE, "code": 1}, "code": 400},
        ["not", "an", "object"],
    ):
        server.answer = Answer(status, body)
        for call in CALLS:
            fault = await met(call, client)
            assert (fault.key, fault.load) == (key, False)
            assert fault.detail == (PAGE if body == {"message": PAGE} else str(status))


async def test_why_a_model_cannot_be_loaded_from_here_is_told(server: AnsweringServer) -> None:
    client = Client(server.url, None)
    for answer, key in LOADS:
        server.answer = answer
        assert (await met(load, client)).key == key


async def test_a_gateway_that_is_not_there_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        client = Client(f"http://127.0.0.1:{closed_soon.getsockname()[1]}", None)
    for call in (*CALLS, load):
        assert (await met(call, client)).key == "unreachable"


async def test_a_gateway_that_says_nothing_took_too_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", None, timeout_s=0.2)
        assert (await met(rerank, client)).key == "timeout"


def picture(query: Any) -> Board:
    return Board(Ask("model", query, [Item("image", path=__file__)]))


async def test_a_model_that_reads_text_only_is_told_above_the_list(server: AnsweringServer) -> None:
    server.answer = Answer(400, error("text_only", "invalid request: documents[0].image: reads text only"))
    board = picture("a query of words")
    async for _ in live(Client(server.url, None), board):
        pass
    assert board.fault
    assert (board.fault.key, board.fault.detail) == ("no_vision", "reads text only")


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        # A row shows the reason alone. Above the list the field tells that the query is meant.
        ("invalid request: documents[0].image: not a picture", "not a picture"),
        ("documents[0].image[1]: not a picture: of a query", "not a picture: of a query"),
        ("invalid request: query.image: not a picture", "invalid request: query.image: not a picture"),
        ("the body has over 9 bytes", "the body has over 9 bytes"),
    ],
)
async def test_a_fault_of_the_query_is_not_the_rows(server: AnsweringServer, message: str, detail: str) -> None:
    server.answer = Answer(400, error("media_unreadable", message))
    board = picture({"image": "data:image/png;base64,AAAA"})
    with pytest.raises(Fault) as found:
        async for _ in live(Client(server.url, None), board):
            pass
    assert (found.value.key, found.value.detail) == ("unreadable", detail)
    assert bool(board.failed) == ("query.image" not in message)
