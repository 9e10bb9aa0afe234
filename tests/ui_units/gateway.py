"""A real HTTP server that gives every request the same answer, which a test can change."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Answer(NamedTuple):
    """An HTTP answer. A `body` that is a string is sent as HTML, any other as JSON."""

    status: int
    body: object


class AnsweringServer:
    """A server on a free loopback port. It runs until `close`."""

    def __init__(self) -> None:
        self.answer = Answer(200, {})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._request_class())
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _request_class(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Request(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                status, body = server.answer
                is_page = isinstance(body, str)
                content = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                self.send_header("content-type", "text/html" if is_page else "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST  # noqa: N815 - the name that the server looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the overridden one
                """Log nothing, so that stderr shows failures only."""

        return Request
