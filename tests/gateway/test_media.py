"""Media are loaded only where a model sees, and fetched only where allowed: never from inside this network."""

import asyncio
import base64
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.errors import BadMedia
from gateway.media.loader import REFUSED, Media
from gateway.settings import MediaSettings
from tests.gateway.serving import REPOSITORY, LocalServer

PUBLIC = "93.184.215.14"
PICTURE = b"\x89PNG not really"


class Internet:
    """A real server on loopback, and a resolver of the test's. Every public address leads to that server.

    dialled: the checked addresses to which the client connected. asked: the paths that came through.
    """

    def __init__(self) -> None:
        self.names: dict[str, list[Sequence[str]]] = {"pictures.example": [[PUBLIC]]}
        self.dialled: list[str] = []
        self.ports: set[int] = set()
        self.asked: list[str] = []
        self.server = LocalServer(
            Starlette(
                routes=[
                    Route("/to", self._redirect),
                    Route("/endless", self._endless),
                    Route("/slow", self._slow),
                    Route("/zipped", self._zipped),
                    Route("/missing", self._missing),
                    Route("/{path:path}", self._picture),
                ]
            )
        )

    def media(self, **settings: object) -> Media:
        values = {"fetch": "public", "timeout_s": 5.0, "max_bytes": 100_000} | settings
        return Media(MediaSettings(**values), resolve=self.resolve, dial=self.dial)  # type: ignore[arg-type]

    async def resolve(self, name: str) -> Sequence[str]:
        """The next answer for a name. The last one is given again and again."""
        answers = self.names.get(name)
        if answers is None:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def dial(self, address: str, port: int) -> tuple[str, int]:
        self.dialled.append(address)
        self.ports.add(port)
        return "127.0.0.1", int(self.server.url.rpartition(":")[2])

    async def _picture(self, http: Request) -> Response:
        self.asked.append(http.url.path)
        return Response(PICTURE, media_type="text/html")

    async def _redirect(self, http: Request) -> Response:
        self.asked.append("/to")
        return RedirectResponse(http.query_params["url"])

    async def _endless(self, http: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            while not await http.is_disconnected():  # else a server that stops would never be done with it
                yield b"x" * 10_000

        return StreamingResponse(chunks())

    async def _slow(self, http: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.Event().wait()

        return StreamingResponse(chunks())

    async def _zipped(self, http: Request) -> Response:
        return Response(b"\x1f\x8b", headers={"content-encoding": "gzip"})

    async def _missing(self, http: Request) -> Response:
        return Response(status_code=404)


@pytest.fixture
async def internet() -> AsyncIterator[Internet]:
    internet = Internet()
    await internet.server.start()
    yield internet
    await internet.server.stop()


HOSTILE = [
    # this machine, in every spelling
    *("http://127.0.0.1/", "http://127.0.0.1:80/", "http://127.1/", "http://127.0.1/", "http://localhost/"),
    *("http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://017700000001/"),
    *("http://127.0.0.1./", "http://127.255.255.254/", "http://0.0.0.0/", "http://0/", "http://00000000/"),
    *("http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/"),
    *("http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/", "http://[::ffff:0:127.0.0.1]/", "http://[64:ff9b::7f00:1]/"),
    *("http://[2002:7f00:1::]/", "http://[2001:0:7f00:1::]/", "http://[fe80::1%25lo]/", "http://[fe80::1]/"),
    # digits that are not ASCII, and dots that are not dots
    *("http://\uff11\uff12\uff17.0.0.1/", "http://127\u30020\u30020\u30021/", "http://\u2460\u2461\u2466.0.0.1/"),
    # this network
    *("http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/", "http://100.64.0.1/"),
    *("http://[fc00::1]/", "http://[fd12:3456::1]/", "http://[fec0::1]/", "http://[::ffff:10.0.0.1]/"),
    *("http://[64:ff9b:1::a00:1]/", "http://198.18.0.1/", "http://192.0.0.1/", "http://192.88.99.1/"),
    # link-local, and the clouds' metadata
    *("http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://100.100.100.200/"),
    *("http://168.63.129.16/", "http://metadata.google.internal/", "http://0xa9fea9fe/", "http://[::ffff:a9fe:a9fe]/"),
    # nobody's
    *(
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://240.0.0.1/",
        "http://[ff02::1]/",
        "http://[2001:db8::1]/",
    ),
    *("http://203.0.113.5/", "http://inner.example/", "http://no-such-name.example/"),
    # other ports, schemes and shapes
    *("http://pictures.example:22/", "http://pictures.example:6379/", "https://pictures.example:8443/"),
    *("http://user@pictures.example/", "http://pictures.example:80@127.0.0.1/", "http://user:pw@pictures.example/"),
    *(
        "http://127.0.0.1#@pictures.example/",
        "http://pictures.example\\@127.0.0.1/",
        "http://127.0.0.1\\.pictures.example/",
    ),
    *(
        "http:///etc/passwd",
        "http://",
        "http://[",
        "http://[::1",
        "http://pictures.example:99999/",
        "http://a b.example/",
    ),
    *("http://pictures.example\t/", "http://pictures.example/\r\nHost: inner", "http://%31%32%37.0.0.1/"),
]
BEFORE_TRYING = (REFUSED, "not an http(s) URL", "only ports", "a URL with a user or password", "only data:, http:")
OTHER_SCHEMES = ["file:///etc/passwd", "ftp://pictures.example/a", "gopher://127.0.0.1:6379/_", "jar:http://a!/b"]


@pytest.mark.parametrize("url", [*HOSTILE, *OTHER_SCHEMES])
async def test_no_url_leads_into_this_network(internet: Internet, url: str) -> None:
    internet.names |= {
        "localhost": [["127.0.0.1"]],
        "inner.example": [["10.1.2.3"]],
        "metadata.google.internal": [["169.254.169.254"]],
        "127.1": [["127.0.0.1"]],
        # A resolver that knows numbers, and gives an address that would pass.
        **{number: [[PUBLIC]] for number in ("2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "0x7f.0.0.1")},
    }
    async with internet.media() as media:
        with pytest.raises(BadMedia) as refusal:
            await media.load(url)
    assert internet.dialled == []
    assert str(refusal.value).startswith(BEFORE_TRYING)
    assert refusal.value.code == "media_not_fetched"
    assert not any(digits in str(refusal.value) for digits in ("127.", "10.", "169.254", "::1"))


async def test_no_redirect_leads_there_either(internet: Internet) -> None:
    internet.names |= {"localhost": [["127.0.0.1"]], "inner.example": [["10.1.2.3"]]}
    reasons: dict[str, str] = {}
    async with internet.media() as media:
        for url in (*HOSTILE, *OTHER_SCHEMES):
            try:
                await media.load("http://pictures.example/to?url=" + quote(url, safe=""))
            except BadMedia as refusal:
                reasons[url] = str(refusal)
    # Some of these URLs are a path of the same server, behind a redirect.
    expected = (*BEFORE_TRYING, "redirected", "answered with status 404")
    assert [f"{url}: {reason}" for url, reason in reasons.items() if not reason.startswith(expected)] == []
    assert len(reasons) > 70
    assert set(internet.dialled) == {PUBLIC}
    assert internet.ports == {80}


async def test_a_public_picture_is_fetched_from_the_address_that_was_checked(internet: Internet) -> None:
    async with internet.media() as media:
        assert await media.load("http://pictures.example/a.png") == PICTURE
    assert internet.dialled == [PUBLIC]


async def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_checked(internet: Internet) -> None:
    """DNS rebinding: a name is public at the check, and this machine at the connection."""
    internet.names["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    async with internet.media() as media:
        assert await media.load("http://rebind.example/a") == PICTURE
        assert internet.dialled == [PUBLIC]
        with pytest.raises(BadMedia):
            await media.load("http://rebind.example/a")
    assert internet.dialled == [PUBLIC]


@pytest.mark.parametrize("answers", [[PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "::1"], []])
async def test_one_inner_address_among_a_names_refuses_it_all(internet: Internet, answers: list[str]) -> None:
    internet.names["both.example"] = [answers]
    async with internet.media() as media:
        with pytest.raises(BadMedia):
            await media.load("http://both.example/a")
    assert internet.dialled == []


async def test_three_redirects_are_followed_and_no_more(internet: Internet) -> None:
    def through(times: int) -> str:
        url = "http://pictures.example/a.png"
        for _ in range(times):
            url = "http://pictures.example/to?url=" + quote(url, safe="")
        return url

    async with internet.media() as media:
        assert await media.load(through(3)) == PICTURE
        with pytest.raises(BadMedia, match="redirected"):
            await media.load(through(4))


@pytest.mark.parametrize(
    ("path", "reason"),
    [("endless", "over 100000 bytes"), ("slow", "fetched"), ("zipped", "compressed"), ("missing", "404")],
)
async def test_what_a_server_may_do_is_bounded(internet: Internet, path: str, reason: str) -> None:
    # What never ends runs out of time; the others have enough of it on the busiest machine.
    async with internet.media(timeout_s=0.5 if path == "slow" else 60.0) as media:
        with pytest.raises(BadMedia, match=reason) as refusal:
            await media.load(f"http://pictures.example/{path}")
    assert refusal.value.code == ("media_too_large" if path == "endless" else "media_not_fetched")


async def test_a_listed_host_may_be_of_this_network_and_no_other_is_asked(internet: Internet) -> None:
    never = ["127.0.0.1", "::1", "169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200", "::"]
    evil: dict[str, list[Sequence[str]]] = {
        f"evil{number}.internal": [[address]] for number, address in enumerate(never)
    }
    internet.names |= {"cdn.internal": [["10.0.0.7"]], **evil}
    async with internet.media(fetch="listed", hosts=("cdn.internal", *evil)) as media:
        assert await media.load("http://CDN.internal/a") == PICTURE
        for url in ("http://pictures.example/a", "http://10.0.0.7/a", *(f"http://{name}/a" for name in evil)):
            with pytest.raises(BadMedia):
                await media.load(url)
    assert internet.dialled == ["10.0.0.7"]


async def test_nothing_is_fetched_unless_the_operator_says_so(internet: Internet) -> None:
    async with internet.media(fetch="off") as media:
        with pytest.raises(BadMedia, match=r"media\.fetch"):
            await media.load("http://pictures.example/a")
    assert internet.dialled == []


@pytest.mark.parametrize(
    "text",
    [
        "data:image/png;base64,aGVsbG8=",
        "DATA:image/png;charset=x;BASE64,aGVsbG8",
        "aGVsbG8=",
        "aGVs\nbG8",
        base64.urlsafe_b64encode(b"hello").decode(),
    ],
)
async def test_base64_is_read_bare_and_as_a_data_url(text: str) -> None:
    async with Media(MediaSettings()) as media:
        assert await media.load(text) == b"hello"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data:,hello", "base64 data URL"),
        ("data:image/png;base64", "base64 data URL"),
        ("data:image/png;base64,", "empty"),
        ("not base64!", "not base64"),
        ("aGVsbG8=" * 40, "over 100 bytes"),
        ("", "empty"),
    ],
)
async def test_what_is_no_base64_says_so(text: str, reason: str) -> None:
    async with Media(MediaSettings(max_bytes=100)) as media:
        text = text * 30 if reason == "over 100 bytes" else text
        with pytest.raises(BadMedia, match=reason) as refusal:
            await media.load(text)
    assert refusal.value.code == ("media_too_large" if reason == "over 100 bytes" else "media_unreadable")


def test_no_module_of_a_text_gateway_loads_a_picture_or_video_library() -> None:
    modules = ["caches", "media.containers", "media.loader", "media.resolve", "media.sniff", "media.vision"]
    script = f"""
import importlib, sys
for name in {modules}:
    importlib.import_module(f"gateway.{{name}}")
    for library in ("PIL", "av", "pi_heif"):
        if library in sys.modules:
            sys.exit(f"gateway.{{name}} loads {{library}}")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
