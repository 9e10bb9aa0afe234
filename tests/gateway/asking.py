"""The requests of most tests, and their reading of an error."""

import httpx

# By shared words: 0, 1 and 2 of 3.
QUERY = "fast red car"
DOCUMENTS = ["slow green boat", "fast red car", "old red car"]
ASK = {"query": QUERY, "documents": DOCUMENTS}
# Whatever was asked before, the engine must answer this.
FRESH = {**ASK, "cache": "no-store"}


def message_of(response: httpx.Response, status: int) -> str:
    """The message of an error, after a look at what every error promises."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"id", "message", "detail", "code"}
    assert body["code"].replace("_", "").islower()
    assert body["id"]
    assert isinstance(body["message"], str)
    assert body["message"] == body["detail"] != ""
    message: str = body["message"]
    return message


def indices(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [result["index"] for result in response.json()["results"]]


def scores(response: httpx.Response) -> list[float]:
    assert response.status_code == 200, response.text
    return [result["relevance_score"] for result in response.json()["results"]]
