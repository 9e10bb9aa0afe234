"""Both generations of the SDK, each in its own interpreter, against a gateway over a stub engine."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.conftest import engine, serve
from tests.gateway.serving import DEADLINE_S
from tests.sdk.provision import SDK5

__all__ = ["ask", "engine", "serve"]

ASK = Path(__file__).with_name("ask.py")
WHY_SKIPPED = f"{SDK5.package} is not installed: run `make test`, or `python -m tests.sdk.provision` alone"
Ask = Callable[[list[dict[str, Any]]], Awaitable[list[dict[str, Any]]]]


@pytest.fixture(params=[sys.executable, str(SDK5.executable("python"))], ids=["newest", SDK5.package])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Have the SDK make these calls. Returns the results in order. tests/sdk/ask.py describes both."""
    if request.param == str(SDK5.executable("python")) and not SDK5.is_provisioned:
        pytest.skip(WHY_SKIPPED)

    async def run(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        process = await asyncio.create_subprocess_exec(
            *(request.param, ASK), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(DEADLINE_S):
            output, _ = await process.communicate(json.dumps(calls).encode())
        assert process.returncode == 0
        answers: list[dict[str, Any]] = json.loads(output)
        return answers

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not SDK5.is_provisioned:
        terminalreporter.write_line(f"!!! SKIPPED: the tests with an older SDK did not run: {WHY_SKIPPED}", red=True)
