"""A Hugging Face hub of one model on loopback, whose connection can be cut in the middle of a file."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = "team/tiny"


class Hub(ThreadingHTTPServer):
    """Serves the files of a folder. cut_after: bytes after which a download of the weights breaks off, if not 0."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.folder, self.cut_after = folder, 0
        self.ranges: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
        """Say nothing."""

    def _answer(self, *, with_body: bool) -> None:
        if self.path.startswith(f"/api/models/{MODEL}/"):
            self._send(json.dumps(self._listing()).encode(), with_body=with_body)
            return
        path = self.server.folder / self.path.rpartition("/")[2]
        if self.path != f"/{MODEL}/resolve/{COMMIT}/{path.name}" or not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(path.read_bytes(), with_body=with_body, weights=path.suffix == ".safetensors")

    def _listing(self) -> object:
        """The hub's answer about a revision, or about the tree of its files."""
        paths = list(self.server.folder.iterdir())
        if "/tree/" in self.path:
            return [{"type": "file", "path": path.name, "size": path.stat().st_size, "oid": "0" * 40} for path in paths]
        return {"id": MODEL, "sha": COMMIT, "siblings": [{"rfilename": path.name} for path in paths]}

    def _send(self, content: bytes, *, with_body: bool, weights: bool = False) -> None:
        start = 0
        if asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            self.server.ranges.append(asked)
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if with_body:
            cut = self.server.cut_after if weights else 0
            self.wfile.write(content[start : cut or None])
            self.close_connection = bool(cut)


@contextlib.contextmanager
def local_hub(folder: Path) -> Iterator[Hub]:
    """A hub that serves the files of `folder` as the model `team/tiny`."""
    hub = Hub(folder)
    thread = threading.Thread(target=hub.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
