"""An engine shared by the tests that only ask it, and the folder of its graph."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.embedded import minilm
from tests.embedded.engine_process import Engine, started


@pytest.fixture(scope="session")
def checkpoint() -> minilm.Checkpoint:
    return minilm.find(Path("no-hub-cache"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="session")
def engine(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with started(cache, tmp_path_factory.mktemp("engine") / "log") as running:
        yield running
