"""Tables of the documentation that are made from the code. `python -m tests.docs.tables` writes them into the pages.

A page holds each table between `<!-- NAME: ... -->` and `<!-- end -->`; everything between the two is replaced.
"""

import asyncio
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import httpx
import msgspec

from gateway import app
from gateway.settings import PREFIX, LauncherSettings, ModelSettings, Settings, load
from launch import catalogue
from launch.memory import needed_gib
from tests.docs.code import GATEWAY
from tests.test_imports import ORDER
from tests.test_shape import SPINE, code_lines

REPOSITORY = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(<!-- (?P<name>[a-z-]+): made by .*? -->\n).*?(<!-- end -->)", re.DOTALL)
# Sizes are told to the nearest fifty lines, so that not every change of the code is one of the documentation.
ROUND_TO = 50


def settings() -> str:
    """The settings at the top level of the file and of its sections."""
    return _table(("setting", "variable", "type", "default", "meaning"), _settings(Settings, "", PREFIX))


def models_settings() -> str:
    """The settings of one model, under `models: NAME:`."""
    rows = ((name, kind, default, meaning) for name, _, kind, default, meaning in _settings(ModelSettings, "", ""))
    return _table(("setting", "type", "default", "meaning"), rows)


def models() -> str:
    """The catalogue, with the memory that `rerank models` prints and all that it leaves out."""
    rows = [
        (
            f"{model.name}{' *' if model.community else ''}",
            f"`{model.family}`",
            ", ".join(model.modalities),
            f"{model.context:,}",
            f"{needed_gib(model):.1f} GiB",
            "embedded" if model.engine == "embedded" else max(model.min_vllm, model.min_vllm_gateway or "", key=_dots),
            model.licence,
            model.languages,
            model.proved,
            ", ".join(f"`{alias}`" for alias in model.aliases),
        )
        for model in catalogue.read().models
    ]
    head = (
        "name",
        "family",
        "takes",
        "context",
        "memory",
        "vLLM from",
        "licence",
        "languages",
        "proved",
        "also called",
    )
    return _table(head, rows)


def metrics() -> str:
    """Every metric of `/metrics`, as Prometheus names it."""
    told = asyncio.run(_answer("/metrics"))
    kinds = dict(re.findall(r"# TYPE (\S+) (\S+)", told))
    rows = [
        (f"`{name}`", kinds[name], meaning)
        for name, meaning in re.findall(r"# HELP (\S+) (.+)", told)
        if not name.endswith("_created")
    ]
    return _table(("metric", "type", "meaning"), rows)


def order() -> str:
    """The order of imports inside gateway/, as the test has it."""
    rows = (" ".join(sorted(names, key=lambda name: name.strip("_"))) for names in ORDER)
    return "```\n" + "\n< ".join(rows) + "\n```\n"


def sizes() -> str:
    """Lines of code of the text spine and of all of gateway/."""
    files = ([REPOSITORY / name for name in SPINE], GATEWAY)
    spine, whole = (_rounded(sum(len(code_lines(path)) for path in paths)) for paths in files)
    return f"The text spine has about {spine:,} lines of code, all of gateway/ about {whole:,}.\n"


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": settings,
    "model-settings": models_settings,
    "models": models,
    "metrics": metrics,
    "order": order,
    "sizes": sizes,
}


def filled(page: str) -> str:
    """The page with every table made anew. Raises KeyError for a table nobody makes."""
    return BLOCK.sub(lambda block: block[1] + TABLES[block["name"]]() + block[3], page)


def pages() -> list[Path]:
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def main() -> None:
    """Writes the pages whose tables are out of date, and names them."""
    for path in pages():
        text = path.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(REPOSITORY), file=sys.stderr)


async def _answer(path: str) -> str:
    """Answer of a gateway to a GET of this path."""
    gateway = app.build(load("models: {m: {family: cross-encoder, engine: 'http://127.0.0.1:9'}}", {}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://gateway") as client:
        return (await client.get(path)).text


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def _settings(kind: type[msgspec.Struct], path: str, variable: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Path, variable, type, default and meaning of each field, a section's fields in its place."""
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        hint, name = hints[field.name], f"{path}{field.name}"
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from _settings(hint, f"{name}.", f"{variable}{field.name.upper()}_")
        elif LauncherSettings not in get_args(hint):  # written by `rerank up` for its own gateway, not by people
            yield f"`{name}`", f"`{variable}{field.name.upper()}`", _type(hint), _default(field), _meaning(hint)


def _meaning(hint: Any) -> str:
    notes = (note.description for note in getattr(hint, "__metadata__", ()) if isinstance(note, msgspec.Meta))
    return next((note for note in notes if note), "")


def _type(hint: Any) -> str:
    """A type in an operator's words."""
    if get_origin(hint) is Annotated:
        return _type(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return _type(next(kind for kind in get_args(hint) if kind is not NoneType))
    if get_origin(hint) is dict:
        return "mapping"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return "list of texts" if get_origin(hint) is tuple else words[hint]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    return "" if field.default in (None, "", ()) else f"`{field.default}`"


def _dots(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)


def _rounded(count: int) -> int:
    return round(count / ROUND_TO) * ROUND_TO


if __name__ == "__main__":
    main()
