"""Calls of Cohere's SDK, in the generation that is installed: a list of calls on stdin, a list of results on stdout.

A call: {"client": "ClientV2", "base_url": ..., "key": ..., "method": "models.list", "arguments": {...}}.
A result: {"answer": ...} or {"error": the exception's class, "status": ..., "body": ...}.
"""

import asyncio
import inspect
import json
import sys
from functools import reduce
from typing import Any

import cohere
from cohere.core.api_error import ApiError


async def made(call: dict[str, Any]) -> dict[str, Any]:
    client = getattr(cohere, call["client"])(call["key"], base_url=call["base_url"])
    method = reduce(getattr, call["method"].split("."), client)
    try:
        answer = method(**call["arguments"])
        if inspect.isawaitable(answer):
            answer = await answer
    except ApiError as error:
        return {"error": type(error).__name__, "status": error.status_code, "body": error.body}
    return {"answer": json.loads(answer.json())}


async def main() -> None:
    calls = json.load(sys.stdin)
    json.dump([await made(call) for call in calls], sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
