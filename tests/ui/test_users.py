"""Several people at once, in front of the real gateway and the embedded engine."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

TEXTS = [f"{subject} number {number}" for number in range(20) for subject in ("a cat", "a dog", "a boat", "rain")]


@pytest.mark.parametrize("people", [5, 20])
def test_everybody_is_answered_or_told_that_the_queue_is_full(address: str, people: int, tmp_path: Path) -> None:
    def ask(person: int) -> Any:
        client = Client(address, verbose=False, download_files=str(tmp_path), analytics_enabled=False)
        try:
            box = {"text": f"which dog is number {person % 20}?", "files": []}
            shown, *_ = client.predict(box, "\n".join(TEXTS), [], "", 10, 0, None, "en", api_name="/rerank")
        except AppError as error:
            return str(error)
        finally:
            client.close()
        return shown

    with ThreadPoolExecutor(people) as pool:
        answers = list(pool.map(ask, range(people)))
    served = [answer for answer in answers if isinstance(answer, dict)]
    refused = [answer for answer in answers if isinstance(answer, str)]
    for answer in served:
        assert (answer["state"], answer.get("fault"), len(answer.get("results", []))) == ("ready", None, 10)
    assert all("dog" in answer["results"][0]["text"] for answer in served)
    assert all("full" in answer for answer in refused)
    assert len(served) >= min(people, 8)
    assert people > 8 or not refused
