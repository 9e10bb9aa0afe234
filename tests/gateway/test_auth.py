"""With keys set, who brings one of them gets in, in whichever header clients put it; without keys, everybody."""

import httpx
import pytest

from gateway.errors import Unauthorized
from gateway.http.auth import Auth
from tests.gateway.asking import ASK, indices, message_of
from tests.gateway.conftest import Serve
from tests.stub_engine import StubEngine

KEYS = ["first-key", "second-key"]
PRIVATE = [
    ("POST", "/v2/rerank"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/words"),
    ("POST", "/v1/tokenize"),
    ("POST", "/v1/check-api-key"),
]
PUBLIC = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/"]


@pytest.fixture
async def guarded(serve: Serve) -> httpx.AsyncClient:
    return await serve(api_keys=KEYS)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer first-key"},
        {"Authorization": "BEARER first-key"},
        {"authorization": "bearer second-key"},
        {"Authorization": "Bearer   first-key"},
        {"Authorization": "second-key"},
        {"x-api-key": "first-key"},
        {"X-API-Key": "second-key"},
        {"Api-Key": "first-key"},
        {"Authorization": "Bearer unused", "x-api-key": "first-key"},
    ],
    ids=str,
)
async def test_a_key_is_good_wherever_clients_put_it(guarded: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert indices(await guarded.post("/v2/rerank", json=ASK, headers=headers)) == [1, 2, 0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer first-ke"},
        {"Authorization": "Bearer first-key-and-more"},
        {"Authorization": "Bearer First-Key"},
        {"Authorization": "Bearer first-key,second-key"},
        {"x-api-key": "wrong"},
    ],
    ids=str,
)
async def test_a_wrong_key_is_401(guarded: httpx.AsyncClient, engine: StubEngine, headers: dict[str, str]) -> None:
    assert message_of(await guarded.post("/v2/rerank", json=ASK, headers=headers), 401) == "invalid api token"
    assert not engine.calls


async def test_a_key_beyond_ascii_is_401(guarded: httpx.AsyncClient) -> None:
    headers = httpx.Headers({"authorization": "Bearer café"}, encoding="utf-8")
    message_of(await guarded.post("/v2/rerank", json=ASK, headers=headers), 401)


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"x-api-key": ""}], ids=str)
@pytest.mark.parametrize(("method", "path"), PRIVATE)
async def test_no_key_is_401(guarded: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]) -> None:
    response = await guarded.request(method, path, headers=headers)
    assert message_of(response, 401) == "no api key supplied"


async def test_a_missing_key_is_told_before_a_bad_body(guarded: httpx.AsyncClient) -> None:
    message_of(await guarded.post("/v2/rerank", content=b"{"), 401)


@pytest.mark.parametrize("path", PUBLIC)
async def test_what_tells_nothing_is_open(guarded: httpx.AsyncClient, path: str) -> None:
    assert (await guarded.get(path)).status_code == 200


async def test_without_keys_any_key_or_none_will_do(client: httpx.AsyncClient) -> None:
    for headers in ({}, {"Authorization": "Bearer whatever"}):
        assert indices(await client.post("/v2/rerank", json=ASK, headers=headers)) == [1, 2, 0]
        assert (await client.post("/v1/check-api-key", headers=headers)).json() == {"valid": True}


async def test_an_admin_key_opens_everything_and_a_callers_key_not_what_is_the_admins(serve: Serve) -> None:
    client = await serve(api_keys=KEYS, admin_keys=["admin-key"])
    admin, caller = {"Authorization": "Bearer admin-key"}, {"Authorization": "Bearer first-key"}
    assert indices(await client.post("/v2/rerank", json=ASK, headers=admin)) == [1, 2, 0]
    assert (await client.delete("/v1/cache", headers=admin)).status_code == 200
    assert message_of(await client.delete("/v1/cache", headers=caller), 401) == "invalid api token"
    assert message_of(await client.delete("/v1/cache"), 401) == "no api key supplied"


async def test_admin_keys_alone_close_nothing_to_callers(serve: Serve) -> None:
    client = await serve(admin_keys=["admin-key"])
    assert indices(await client.post("/v2/rerank", json=ASK)) == [1, 2, 0]
    message_of(await client.delete("/v1/cache"), 401)


def with_key(key: str) -> httpx.Headers:
    return httpx.Headers({"x-api-key": key} if key else {})


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ""])
def test_without_admin_keys_this_machine_administers(address: str) -> None:
    Auth(KEYS, []).check_admin(with_key("").get, address)


def test_without_admin_keys_no_other_machine_administers() -> None:
    with pytest.raises(Unauthorized, match="from the gateway's own machine") as error:
        Auth(KEYS, []).check_admin(with_key("first-key").get, "10.0.0.1")
    assert error.value.code == "admin_only"


def test_with_admin_keys_one_of_them_administers_from_everywhere_and_nothing_else_does() -> None:
    auth = Auth(KEYS, ["admin-key"])
    auth.check_admin(with_key("admin-key").get, "10.0.0.1")
    for key, code in (("", "no_api_key"), ("first-key", "invalid_api_key")):
        with pytest.raises(Unauthorized) as error:
            auth.check_admin(with_key(key).get, "127.0.0.1")
        assert error.value.code == code
