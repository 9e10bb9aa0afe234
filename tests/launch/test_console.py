"""What is seen on a terminal, in a log, and of a program that failed."""

import io

from launch.console import Console
from launch.supervisor import telling


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_progress_is_redrawn_and_lines_stay() -> None:
    terminal = Terminal()
    console = Console(terminal)
    console.progress("engine: 1 s")
    console.progress("engine: 2 s")
    console.say("engine: ready")
    assert terminal.getvalue() == "engine: 1 s\r\x1b[Kengine: 2 s\r\x1b[Kengine: ready\n"


def test_in_a_log_progress_does_not_scroll_everything_away() -> None:
    log = io.StringIO()
    console = Console(log)
    for second in range(100):
        console.progress(f"engine: {second} s")
    console.say("engine: ready")
    assert log.getvalue() == "engine: ready\n"


def test_of_a_failure_the_cause_is_shown_though_vllm_buries_it() -> None:
    lines = [
        "(EngineCore pid=7) ERROR 11-20 18:55:51 [core.py:1510]     raise ValueError(",
        "(EngineCore pid=7) ERROR 11-20 18:55:51 [core.py:1510] ValueError: No available memory for the cache blocks.",
        *[f'  File "x.py", line {number}' for number in range(90)],
        "ValueError: No available memory for the cache blocks.",
        *[f'  File "y.py", line {number}' for number in range(90)],
        "RuntimeError: Engine core initialization failed. See root cause above.",
    ]
    shown = telling(lines)
    assert shown[0] == "ValueError: No available memory for the cache blocks."
    assert shown[-1] == lines[-1]
    assert len(shown) <= 12


def test_a_failure_without_named_errors_shows_the_last_lines() -> None:
    assert telling(str(number) for number in range(30)) == [str(number) for number in range(18, 30)]
