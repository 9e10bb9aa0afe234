"""The direction of imports inside gateway/, and the modules that may know a library."""

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# From the top: a module imports only from rows above its own. Parts of one row do not know each other.
ORDER = [
    {"errors", "validation"},
    {"domain", "settings"},
    {"dialects", "caches", "telemetry", "media"},
    {"families"},
    {"engines"},
    {"scoring"},
    {"steps", "models"},
    {"notices"},
    {"rerank"},
    {"http"},
    {"app"},
    {"__main__"},
]
ROW = {name: place for place, names in enumerate(ORDER) for name in names}

# The modules of gateway/ that import a library; nobody else need know it.
LIBRARIES = {
    "msgspec": {
        *("domain", "settings", "dialects.cohere", "scoring.cache_values", "steps.relevant_spans"),
        *("families.qwen3_vl", "families.recipes", "families.published"),
        *("engines.examination", "engines.identity", "engines.probes", "engines.wires", "engines.status"),
        *("media.resolve", "http.base", "http.openapi", "http.rerank_api", "http.service_api", "http.media_api"),
    },
    "jinja2": {"families.published"},
    "yaml": {"settings", "dialects.content"},
    "starlette": {
        *("app", "__main__"),
        *("http.app", "http.base", "http.rerank_api", "http.service_api", "http.media_api"),
    },
    "httpx": {"engines.client", "engines.transport", "engines.wires", "engines.status"},
    "httpx_aiohttp": {"engines.transport"},
    "aiohttp": {"engines.client", "engines.transport", "media.loader"},
    "yarl": {"media.loader"},
    "PIL": {"media.images", "media.videos"},
    "pi_heif": {"media.images"},
    "av": {"media.videos"},
    "tokenizers": {"families.tokenizer"},
    "huggingface_hub": {"families.tokenizer"},
    "prometheus_client": {"telemetry.metrics"},
    "redis": {"caches.redis"},
    "uvicorn": {"__main__"},
}
# What one program may know of another: the launcher reads the configuration that it writes with the gateway's own code.
SHARED = {"launch": {"gateway.settings"}, "ui": {"offline"}}
PROGRAMS = [name for name in ("gateway", "launch", "ui", "offline") if (REPOSITORY / name).is_dir()]


def sources(folder: str) -> list[Path]:
    return sorted((REPOSITORY / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    """`gateway/engines/vllm.py` as `gateway.engines.vllm`."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """The dotted name of every module that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides which module it means"
            module = node.module or ""
            for alias in node.names:
                submodule = REPOSITORY.joinpath(*module.split("."), alias.name)
                is_module = submodule.with_suffix(".py").exists() or submodule.is_dir()
                yield f"{module}.{alias.name}" if is_module else module


def part_of(module: str) -> str:
    """`gateway.engines.vllm` as `engines`: the word by which ORDER knows it."""
    return module.split(".")[1] if "." in module else ""


def inside(module: str) -> str:
    """`gateway.engines.vllm` as `engines.vllm`: the word by which LIBRARIES knows it."""
    return module.partition(".")[2]


GATEWAY = [path for path in sources("gateway") if part_of(name_of(path))]


def test_every_part_has_its_row() -> None:
    assert {part_of(name_of(path)) for path in GATEWAY} == set(ROW)


@pytest.mark.parametrize("path", GATEWAY, ids=name_of)
def test_a_module_imports_only_from_rows_above_it(path: Path) -> None:
    own = part_of(name_of(path))
    for module in imported(path):
        if module.startswith("gateway.") and part_of(module) != own:
            assert ROW[part_of(module)] < ROW[own], f"{name_of(path)} imports {module}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {name_of(path) for path in GATEWAY}
    graph = {name_of(path): names & set(imported(path)) - {name_of(path)} for path in GATEWAY}
    list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_known_only_where_it_is_needed(library: str) -> None:
    knowing = {
        inside(name_of(path)) for path in GATEWAY for module in imported(path) if module.split(".")[0] == library
    }
    assert knowing == LIBRARIES[library]


def test_no_other_library_is_imported() -> None:
    outside = {module.split(".")[0] for path in GATEWAY for module in imported(path)}
    assert outside - sys.stdlib_module_names - {"gateway"} == set(LIBRARIES)


@pytest.mark.parametrize("path", GATEWAY, ids=name_of)
def test_only_main_reads_the_environment(path: Path) -> None:
    if path.stem == "__main__":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"environ", "getenv"}, f"{path}:{node.lineno}"
    assert "os" not in imported(path)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_meet_over_http_and_know_nothing_of_the_tests(program: str) -> None:
    strangers = {*PROGRAMS, "tests"} - {program}
    for path in sources(program):
        for module in imported(path):
            if module.split(".")[0] in strangers:
                assert module in SHARED.get(program, set()), f"{path} imports {module}"
