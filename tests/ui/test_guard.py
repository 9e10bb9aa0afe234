"""Security of the studio, tested without a browser: refused requests, and files left behind."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.launch.processes_alive import wait_for
from tests.ui.servers import answers, studio

BIG = 9 * 2**20
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a studio whose gateway does not exist."""
    with studio(tmp_path_factory.mktemp("guard"), NOBODY, "--name", "studio.example") as url:
        wait_for(lambda: answers(url), "the studio", 60)
        yield url


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:80", "[::1]:7860", "192.0.2.7", "studio.example", "STUDIO.example:1"]
)
def test_it_answers_to_its_names_and_to_addresses(url: str, host: str) -> None:
    assert httpx.get(url, headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["rebound.example", "localhost.evil.example", "studio.example.evil", "", "[", "a@localhost.x"]
)
def test_a_name_that_was_made_to_lead_here_is_refused(url: str, host: str) -> None:
    for path in ("/", "/config", "/gradio_api/upload"):
        assert httpx.get(f"{url}{path}", headers={"host": host}).status_code == 421


def test_a_foreign_page_cannot_ask(url: str) -> None:
    for origin, status in (("https://evil.example", 403), ("null", 403), (url, 422)):
        assert httpx.post(f"{url}/gradio_api/queue/join", json={}, headers={"origin": origin}).status_code == status


def test_a_body_without_end_is_refused(url: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"data": ["'
        for _ in range(BIG // 2**16):
            yield b"x" * 2**16

    for body in (b"x" * BIG, chunks()):
        answer = httpx.post(f"{url}/gradio_api/queue/join", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 413


def test_an_upload_has_its_limit(url: str) -> None:
    answer = httpx.post(f"{url}/gradio_api/upload", files={"files": ("big.png", b"x" * (33 * 2**20))})
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/etc/hostname", __file__, "ui/app.py", "../ui/app.py", "ui/examples/../app.py"])
def test_no_file_of_the_machine_is_served(url: str, path: str) -> None:
    assert httpx.get(f"{url}/gradio_api/file={path}").status_code in {403, 404}


def test_what_is_no_picture_is_never_shown_as_a_page(url: str) -> None:
    page = b"<script>alert(1)</script>"
    (kept,) = httpx.post(f"{url}/gradio_api/upload", files={"files": ("a.html", page)}).json()
    answer = httpx.get(f"{url}/gradio_api/file={kept}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_address_in_place_of_an_upload_is_not_fetched(url: str) -> None:
    asked = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        file = {"path": f"http://127.0.0.1:{server.server_port}/a.png", "meta": {"_type": "gradio.FileData"}}
        body = {"data": [{"text": "a", "files": [file]}, "b", None, "", 10, 0, None, "en", None], "session_hash": "s"}
        answer = httpx.post(f"{url}/gradio_api/call/rerank", json=body)
        told = httpx.get(f"{url}/gradio_api/call/rerank/{answer.json()['event_id']}", timeout=30).text
        server.shutdown()
    assert "event: error" in told
    assert "not fetched" in told
    assert not asked


def test_every_answer_keeps_the_page_to_itself(url: str) -> None:
    for path in ("/", "/config", "/nothing"):
        headers = httpx.get(f"{url}{path}").headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_when_it_ends_no_upload_is_left(tmp_path: Path) -> None:
    with studio(tmp_path, NOBODY) as url:
        wait_for(lambda: answers(url), "the studio", 60)
        (kept,) = httpx.post(f"{url}/gradio_api/upload", files={"files": ("a.png", b"a picture")}).json()
        assert Path(kept).read_bytes() == b"a picture"
        assert tmp_path in Path(kept).parents
    assert not Path(kept).exists()
    assert [path.suffix for path in tmp_path.iterdir()] == [".log"]
