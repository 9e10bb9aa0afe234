"""A server that misbehaves as engines do: `python responder.py --port N [--ignore-sigterm] [--never-ready] ...`."""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--pids", type=Path, required=True, help="a folder: one file per process, named by its id")
parser.add_argument("--ready-after", type=float, default=0.0)
parser.add_argument("--never-ready", action="store_true")
parser.add_argument("--die-after", type=float)
parser.add_argument("--die-of-memory", action="store_true", help="unless --small is given too")
parser.add_argument("--small", action="store_true")
parser.add_argument("--ignore-sigterm", action="store_true")
parser.add_argument("--with-child", action="store_true", help="a second process, as vLLM's engine core is")
options = parser.parse_args()

print("loading weights", flush=True)
(options.pids / str(os.getpid())).touch()
if options.ignore_sigterm:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if options.die_of_memory and not options.small:
    print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", flush=True)
    sys.exit(1)
if options.with_child:
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    (options.pids / str(child.pid)).touch()
if options.die_after is not None:
    threading.Timer(options.die_after, lambda: (print("segfault, sort of", flush=True), os._exit(3))).start()

ready_at = time.monotonic() + options.ready_after


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = not options.never_ready and time.monotonic() >= ready_at
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", options.port), Answer).serve_forever()
