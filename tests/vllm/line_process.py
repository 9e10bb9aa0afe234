"""A program of the tests that runs in `.venv-vllm`, where torch is, and answers questions from outside."""

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.vllm.provision import PYTHON, REPOSITORY


class LineProcess:
    """A module run as a program. It answers each line of JSON on its stdin with a line of JSON."""

    def __init__(self, module: str, *arguments: str | Path) -> None:
        self._process = subprocess.Popen(
            [PYTHON, "-m", module, *arguments],
            cwd=REPOSITORY,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # closes its stdin, which ends it

    def ask(self, question: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        return json.loads(stdout.readline())
