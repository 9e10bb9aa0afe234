"""The launcher's own small HTTP service: reports the engines and starts an engine on request.

    GET /engines              POST /engines/NAME/load

It listens on loopback and asks for a token. `rerank up` writes both into the gateway's configuration.
"""

import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from launch import hardware
from launch.engine_log import excerpt, progress
from launch.lifecycle import Phase

TOKEN_HEADER = "X-Launcher-Token"  # noqa: S105 -- a header's name

# The words of `GET /v1/engines`.
_STATES = {
    Phase.IDLE: "stopped",
    Phase.WAITING: "loading",
    Phase.STARTING: "loading",
    Phase.READY: "ready",
    Phase.STOPPING: "loading",  # an engine ends only to start again, or with everything else
    Phase.STOPPED: "stopped",
    Phase.FAILED: "failed",
}
_DETAIL_CHARACTERS = 300

Report = Callable[[], Mapping[str, Mapping[str, Any]]]  # the status of each engine, by model name
Start = Callable[[str], None]  # requests the start of an engine, by model name


def status(phase: Phase, lines: Sequence[str]) -> dict[str, Any]:
    """The status of one engine: its state, its loading progress (0 to 1) and a line of detail."""
    loading = progress(lines) if phase is Phase.STARTING else None
    detail = loading.stage if loading else ""
    if phase is Phase.FAILED:
        detail = next(iter(excerpt(lines)), "")
    return {
        "state": _STATES[phase],
        "progress": loading.share if loading else None,
        "detail": detail[:_DETAIL_CHARACTERS],
    }


class StatusServer:
    """A context manager. The port is open from the constructor on and closed at the end of the block."""

    def __init__(self) -> None:
        self._token = secrets.token_urlsafe(32)
        self._report: Report = dict
        self._start: Start = lambda _name: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def settings(self) -> dict[str, str]:
        """The gateway's setting `launcher`."""
        return {"url": f"http://127.0.0.1:{self._server.server_port}", "token": self._token}

    def serve(self, report: Report, start: Start) -> None:
        """Answer with these two functions from now on. They are called from threads of the server."""
        self._report, self._start = report, start

    def __enter__(self) -> "StatusServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        """HTTP status and JSON body of a request with the right token."""
        engines = self._report()
        match method, [unquote(part) for part in path.strip("/").split("/")]:
            case "GET", ["engines"]:
                return 200, {"engines": engines, "gpus": hardware.gpu_usage(), "memory": hardware.host_usage()}
            case "POST", ["engines", name, "load"] if name in engines:
                self._start(name)
                state = engines[name]["state"]  # read before the start, which happens a moment after this answer
                return 202, {"name": name, "state": "loading" if state in ("stopped", "failed") else state}
        return 404, {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                self._respond("GET")

            def do_POST(self) -> None:
                self._respond("POST")

            def _respond(self, method: str) -> None:
                known = compare_digest(self.headers.get(TOKEN_HEADER, "").encode(), server._token.encode())
                status, value = server.answer(method, self.path) if known else (403, {})
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
