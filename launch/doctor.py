"""`rerank doctor`: asks a running gateway whether its engines give the right numbers, and prints what it checked."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from launch.catalogue import LaunchError

_TIMEOUT_S = 60.0


def doctor(url: str, api_key: str | None) -> tuple[str, bool]:
    """The table of checks, and whether all of them passed. Raises LaunchError when nobody answers."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        with httpx.Client(trust_env=False, timeout=_TIMEOUT_S) as client:
            answer = client.get(f"{url.rstrip('/')}/readyz", headers=headers)
        report = answer.json()
        return render(report), bool(report["ready"])
    except httpx.HTTPError as error:
        raise LaunchError(f"no gateway answers at {url} ({type(error).__name__})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LaunchError(f"{url} is not this gateway: {answer.status_code} to /readyz") from error


def render(report: Mapping[str, Any]) -> str:
    rows = [
        [model["name"], check["check"], "passed" if check["passed"] else "FAILED", check["detail"]]
        for model in report["models"]
        for check in model["checks"]
    ]
    return table(["MODEL", "CHECK", "RESULT", "DETAIL"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces between."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    return "\n".join(line.rstrip() for line in lines)
