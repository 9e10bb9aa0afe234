"""A gateway as the first page starts it, for snippets that must run as printed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.docs.pages import REPOSITORY
from tests.gateway.conftest import client, engine, serve

__all__ = ["client", "engine", "serve"]


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Address of a gateway over the embedded engine, started by `rerank up`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RERANK_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "launch", "up", "all-MiniLM-L6-v2", "--no-ui"],
        cwd=REPOSITORY,
        env={**clean, "RERANK_PORT": "0", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:  # ends with the process, if it ends before it is ready
        said.append(line)
        if "Ctrl-C ends it" in line:
            break
    found = re.search(r"answers at (http://\S+)", "".join(said))
    try:
        assert found, "".join(said)
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
