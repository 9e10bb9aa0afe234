"""`rerank doctor`: asks a running gateway whether its engines give the right numbers."""

from typing import Any

import httpx

from launch.errors import LaunchError

HEAD = ("MODEL", "CHECK", "RESULT", "DETAIL")

_TIMEOUT_S = 60.0


def examine(url: str, api_key: str | None) -> dict[str, Any]:
    """The gateway's report: `ready`, and for each of `models` its `checks`. Raises LaunchError if nobody answers."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        with httpx.Client(trust_env=False, timeout=_TIMEOUT_S) as client:
            answer = client.get(f"{url.rstrip('/')}/readyz", headers=headers)
        report: dict[str, Any] = answer.json()
        rows(report)
        bool(report["ready"])
    except httpx.HTTPError as error:
        raise LaunchError(f"no gateway answers at {url} ({type(error).__name__})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LaunchError(f"{url} is not this gateway: {answer.status_code} to /readyz") from error
    return report


def rows(report: dict[str, Any]) -> list[list[str]]:
    """The report as rows of a table, one per check."""
    return [
        [model["name"], check["check"], "passed" if check["passed"] else "FAILED", check["detail"]]
        for model in report["models"]
        for check in model["checks"]
    ]
