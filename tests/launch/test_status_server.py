"""The launcher's status server answers to callers with the token and to nobody else."""

import httpx
import pytest

from launch.lifecycle import Phase
from launch.status_server import StatusServer, status


@pytest.mark.parametrize("headers", [{}, {"X-Launcher-Token": "wrong"}, {"X-Launcher-Token": ""}], ids=str)
def test_without_the_token_nothing_is_told_or_done(headers: dict[str, str]) -> None:
    asked: list[str] = []
    with StatusServer() as status_server:
        status_server.serve(lambda: {"m": {"state": "stopped"}}, asked.append)
        with httpx.Client(base_url=status_server.settings["url"], headers=headers, trust_env=False) as client:
            assert client.get("/engines").status_code == client.post("/engines/m/load").status_code == 403
    assert asked == []


def test_with_the_token_states_are_told_and_a_start_is_asked_for() -> None:
    asked: list[str] = []
    with StatusServer() as status_server:
        status_server.serve(lambda: {"a/b": {"state": "stopped"}}, asked.append)
        headers = {"X-Launcher-Token": status_server.settings["token"]}
        with httpx.Client(base_url=status_server.settings["url"], headers=headers, trust_env=False) as client:
            told = client.get("/engines").json()
            assert told["engines"] == {"a/b": {"state": "stopped"}}
            assert isinstance(told["gpus"], list)
            answer = client.post("/engines/a%2Fb/load")
            assert (answer.status_code, answer.json()) == (202, {"name": "a/b", "state": "loading"})
            assert client.post("/engines/c/load").status_code == 404
    assert asked == ["a/b"]


def test_a_loading_engine_is_reported_with_its_progress_and_a_failed_one_with_the_cause() -> None:
    loading = status(Phase.STARTING, ["Loading weights took 0.42 seconds"])
    assert loading == {"state": "loading", "progress": 0.6, "detail": "compiling"}
    failed = status(Phase.FAILED, ["ValueError: no such model", *[f"line {number}" for number in range(50)]])
    assert failed == {"state": "failed", "progress": None, "detail": "ValueError: no such model"}
    assert status(Phase.READY, ["x"]) == {"state": "ready", "progress": None, "detail": ""}
