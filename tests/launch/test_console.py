"""The console on a terminal, and in pipes, CI and with NO_COLOR, where its lines are plain."""

import io
import re

import pytest

from launch.console import Console

COMMAND = 'curl -s http://127.0.0.1:8000/v2/rerank -d \'{"documents": ["[bold]a[/bold] :smile: ' + "x" * 300 + "\"]}'"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def without_codes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


PLAIN: dict[str, tuple[io.StringIO, dict[str, str]]] = {
    "pipe": (io.StringIO(), {}),
    "pipe with FORCE_COLOR": (io.StringIO(), {"FORCE_COLOR": "1"}),
    "NO_COLOR": (Terminal(), {"NO_COLOR": "1"}),
    "CI": (Terminal(), {"CI": "true"}),
    "dumb terminal": (Terminal(), {"TERM": "dumb"}),
}


@pytest.mark.parametrize(("stream", "environment"), PLAIN.values(), ids=PLAIN.keys())
def test_plain_lines_hold_no_codes_and_no_progress(
    stream: io.StringIO, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    console = Console(stream, environment)
    for second in range(100):
        console.progress(f"engine: {second} s")
    console.say(COMMAND)
    console.error("no [such] model")
    console.table(["NAME", "RESULT"], [["a", "FAILED"], ["longer", "x" * 200]])
    table = ["NAME    RESULT", "a       FAILED", f"longer  {'x' * 200}"]
    assert stream.getvalue().splitlines() == [COMMAND, "rerank: no [such] model", *table]


def test_on_a_terminal_lines_are_neither_wrapped_nor_read_as_markup() -> None:
    terminal = Terminal()
    console = Console(terminal)
    console.progress("engine: starting")
    console.say(COMMAND)
    console.progress("")
    assert COMMAND in terminal.getvalue()


def test_on_a_terminal_one_line_of_progress_is_redrawn_below_the_others() -> None:
    terminal = Terminal()
    console = Console(terminal)
    console.progress("engine: 1 s")
    console.progress("engine: 2 s " + "x" * 500)
    console.say("gateway: ready")
    console.progress("")
    shown = terminal.getvalue()
    last = without_codes(shown[shown.index("gateway: ready") :]).splitlines()[1]
    assert "engine: 2 s" in last
    assert last.endswith("…")
    assert len(last) < 80
    assert shown.endswith("\x1b[1A\x1b[2K")
    assert shown.count("\x1b[1A") == 1


def test_a_table_marks_a_failure_on_a_terminal() -> None:
    terminal = Terminal()
    Console(terminal).table(["CHECK", "RESULT"], [["version", "FAILED"]])
    assert "FAILED" in terminal.getvalue()
    assert terminal.getvalue() != without_codes(terminal.getvalue())
