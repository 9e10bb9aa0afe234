"""A stand-in for the Hugging Face hub on loopback: repositories of small files, as its own client asks for them."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def fake_hub(repositories: Mapping[str, Mapping[str, bytes]]) -> Iterator[str]:
    """The URL of a hub with these repositories: by id, the contents of their files by path."""

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            for name, files in repositories.items():
                if path.startswith(f"/api/models/{name}/tree/"):
                    tree = [
                        {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}  # noqa: S324 -- git's own
                        for file, content in files.items()
                    ]
                    return self._send(200, json.dumps(tree).encode(), with_body=with_body)
                if path.startswith(f"/api/models/{name}"):
                    siblings = [{"rfilename": file, "size": len(content)} for file, content in files.items()]
                    body = json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode()
                    return self._send(200, body, with_body=with_body)
                file = path.removeprefix(f"/{name}/resolve/{COMMIT}/")
                if file in files:
                    return self._send(200, files[file], with_body=with_body)
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, with_body=with_body)

        def _send(self, status: int, body: bytes, more: Mapping[str, str] | None = None, *, with_body: bool) -> None:
            self.send_response(status)
            tag = hashlib.sha256(body).hexdigest()
            headers = {"Content-Length": str(len(body)), "ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, **(more or {})}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
