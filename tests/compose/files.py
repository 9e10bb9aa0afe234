"""The composition as Docker Compose reads it, as far as a test needs: variables replaced, anchors and merges done."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
# The second form holds the first: `${A:+--share ${A:-}}`.
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-+])((?:[^{}]|\{[^{}]*\})*))?\}")


def composition(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(replaced((REPOSITORY / "docker-compose.yml").read_text(), environ or {}))
    return content


def replaced(text: str, environ: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, operator, word = match[1], match[2], match[3] or ""
        given = environ.get(name, "")
        chosen = {"-": given or word, "+": word if given else ""}.get(operator, given)
        return replaced(chosen, environ)

    return _VARIABLE.sub(value, text)


def variables() -> dict[str, str]:
    """Every variable of the composition, with what holds without it."""
    return dict(re.findall(r"\$\{(\w+):-([^{}]*)\}", (REPOSITORY / "docker-compose.yml").read_text()))


def queries() -> dict[str, str]:
    """Every PromQL expression we ship, by the panel or alert it belongs to."""
    dashboard = json.loads((REPOSITORY / "docker/grafana/dashboards/rerank.json").read_text())
    panels = {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "1m")
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }
    return panels | {rule["alert"]: rule["expr"] for rule in alerts()}


def alerts() -> list[dict[str, Any]]:
    content = yaml.safe_load((REPOSITORY / "docker/prometheus/alerts.yml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]
