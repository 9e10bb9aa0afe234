"""The launcher's own small HTTP service: how its engines do, and `load` for one that waits to be asked for.

    GET /engines              POST /engines/NAME/load

On loopback, for whoever knows the token: the gateway, which reads both in its configuration.
"""

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from launch import memory
from launch.lifecycle import Phase

TOKEN_HEADER = "X-Launcher-Token"  # noqa: S105 -- a header's name

# As `GET /v1/engines` says it.
STATES = {
    Phase.IDLE: "stopped",
    Phase.WAITING: "loading",
    Phase.STARTING: "loading",
    Phase.READY: "ready",
    Phase.STOPPING: "loading",  # nobody ends an engine but to start it again, or everything
    Phase.STOPPED: "stopped",
    Phase.FAILED: "failed",
}

# What `supervise` hands out: each engine's state in words, by name, and a way to ask for its start.
Report = Callable[[], Mapping[str, Mapping[str, Any]]]
Start = Callable[[str], None]


class StatusServer:
    """Listens from the start, answers once it knows of programs. A context manager: at its end the port is closed."""

    def __init__(self) -> None:
        self._token = secrets.token_urlsafe(32)
        self._report: Report = dict
        self._start: Start = lambda _name: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def settings(self) -> dict[str, str]:
        """The gateway's `launcher`."""
        return {"url": f"http://127.0.0.1:{self._server.server_port}", "token": self._token}

    def of(self, report: Report, start: Start) -> None:
        """What to answer from now on; both are called from other threads."""
        self._report, self._start = report, start

    def __enter__(self) -> "StatusServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        engines = self._report()
        match method, [unquote(part) for part in path.strip("/").split("/")]:
            case "GET", ["engines"]:
                return 200, {"engines": engines, "gpus": memory.gpus(), "memory": memory.host()}
            case "POST", ["engines", name, "load"] if name in engines:
                self._start(name)
                state = engines[name]["state"]  # of before: it starts a moment after this answer
                return 202, {"name": name, "state": "loading" if state in ("stopped", "failed") else state}
        return 404, {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        status_server = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                self._respond("GET")

            def do_POST(self) -> None:
                self._respond("POST")

            def _respond(self, method: str) -> None:
                known = compare_digest(self.headers.get(TOKEN_HEADER, "").encode(), status_server._token.encode())
                status, value = status_server.answer(method, self.path) if known else (403, {})
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
