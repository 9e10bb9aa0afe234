"""The output for the person at the keyboard: lines, one line of progress, tables, errors.

A terminal gets colours and a progress line that is redrawn. Pipes, CI and NO_COLOR get plain lines. Text is never
wrapped and its brackets are never markup, so that printed commands can be copied as they are.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

import rich.console
from rich.status import Status
from rich.table import Table
from rich.text import Text

# Without a terminal the progress line is printed only after this long a silence.
_SPARSE_S = 15.0
_SPINNER_COLUMNS = 3
_STYLES = {"passed": "green", "FAILED": "bold red"}


class Console:
    """A terminal or a plain stream. `environment` is searched for the variables NO_COLOR, CI and TERM."""

    def __init__(self, stream: TextIO | None = None, environment: Mapping[str, str] | None = None) -> None:
        environment = environment or {}
        stream = stream or sys.stdout
        asked_for_plain = environment.get("NO_COLOR") or environment.get("CI") or environment.get("TERM") == "dumb"
        self._plain = bool(asked_for_plain) or not stream.isatty()
        self._console = rich.console.Console(
            file=stream,
            force_terminal=not self._plain,
            color_system=None if self._plain else "auto",
            width=sys.maxsize if self._plain else None,
            highlight=False,
        )
        self._status: Status | None = None
        self._spoke_s = time.monotonic()

    def say(self, text: str) -> None:
        """Print one or more lines as they are."""
        self._console.out(text, highlight=False)
        self._flush()

    def error(self, text: str) -> None:
        """Print one line in the form `rerank: text`."""
        self._console.print(Text.assemble(("rerank: ", "bold red"), text), soft_wrap=True)
        self._flush()

    def progress(self, text: str) -> None:
        """Show the progress line below all other lines; an empty text removes it."""
        if self._plain:
            if text and time.monotonic() - self._spoke_s >= _SPARSE_S:
                self.say(text)
        elif text:
            line = Text.from_ansi(text)  # the last line of a log may hold colour codes
            line.truncate(self._console.width - _SPINNER_COLUMNS, overflow="ellipsis")
            if self._status is None:
                self._status = Status(line, console=self._console)
                self._status.start()
            else:
                self._status.update(line)
        elif self._status:
            self._status.stop()
            self._status = None

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print columns. A narrow terminal folds the last column; plain lines are as long as they need to be."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for place, name in enumerate(head):
            table.add_column(name, no_wrap=place < len(head) - 1, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        if not self._plain:
            self._console.print(table)
            return
        with self._console.capture() as captured:
            self._console.print(table)
        # rich pads the last column too.
        self.say("\n".join(line.rstrip() for line in captured.get().splitlines()))

    def _flush(self) -> None:
        self._spoke_s = time.monotonic()
        self._console.file.flush()
