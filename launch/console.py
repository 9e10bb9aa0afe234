"""What the person at the keyboard sees: lines that stay, and one line of progress that does not."""

import shutil
import sys
import time
from typing import TextIO

# Without a terminal (a log, CI) progress is a line now and then.
_SPARSE_S = 15.0


class Console:
    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._redraws = self._stream.isatty()
        self._drawn = ""
        self._spoke_s = time.monotonic()

    def say(self, text: str) -> None:
        """A line (or several) that stays."""
        self._clear()
        self._write(text + "\n")

    def progress(self, text: str) -> None:
        """The state of things: redrawn in place on a terminal, printed sparsely elsewhere."""
        if self._redraws:
            text = text[: shutil.get_terminal_size().columns - 1]
            if text != self._drawn:
                self._clear()
                self._write(text)
                self._drawn = text
        elif time.monotonic() - self._spoke_s >= _SPARSE_S:
            self._write(text + "\n")

    def _clear(self) -> None:
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = ""

    def _write(self, text: str) -> None:
        self._spoke_s = time.monotonic()
        self._stream.write(text)
        self._stream.flush()
