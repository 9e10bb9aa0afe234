"""The output of a child process: appended to its log file, its last lines kept for progress and error messages."""

import os
import re
import threading
from collections import deque
from pathlib import Path
from typing import IO

# vLLM names the cause of a failure some ninety lines before its last one: two tracebacks of other processes follow.
_KEPT_LINES = 400
_LOG_BYTES = 16 << 20
_LONGEST_LINE = 4096


class Output:
    """Log file and last lines of one program. All methods may be called from any thread."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._lock = threading.Lock()

    def lines(self) -> list[str]:
        """The last lines, oldest first."""
        with self._lock:
            return list(self._lines)

    def add(self, *lines: str) -> None:
        with self._lock:
            self._lines.extend(line for line in lines if line.strip())

    def clear(self) -> None:
        """Forget the lines of an earlier process. The log file keeps them."""
        with self._lock:
            self._lines.clear()

    def drain(self, pipe: IO[bytes]) -> None:
        """Read the pipe to its end. Blocks, so it runs in a thread."""
        rest = ""
        with pipe:
            while chunk := os.read(pipe.fileno(), 65536):
                self._write(chunk)
                # A carriage return redraws a progress bar. Each drawing counts as a line.
                *lines, rest = re.split(r"[\r\n]+", rest + chunk.decode(errors="replace"))
                self.add(*lines)
                rest = rest[-_LONGEST_LINE:]
        self.add(rest)

    def _write(self, chunk: bytes) -> None:
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.replace(self.log.with_suffix(".old"))
        with self.log.open("ab") as file:
            file.write(chunk)
