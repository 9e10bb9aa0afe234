"""The shape of the code, kept: who may import whom inside gateway/, and which module may know which library."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PROGRAMS = ["gateway", "launch", "ui"]

# From the top: a module imports only from rows above its own. Parts of one row do not know each other.
ORDER = [
    {"errors", "validation"},
    {"domain", "settings"},
    {"dialects", "caches", "telemetry", "media"},
    {"families"},
    {"engines"},
    {"scoring"},
    {"steps", "models"},
    {"rerank"},
    {"http"},
    {"app"},
    {"__main__"},
]
ROW = {name: place for place, names in enumerate(ORDER) for name in names}
PLUG_INS = {"dialects", "engines", "caches"}

# Whoever reads gateway/ need know a library only for these modules.
LIBRARIES = {
    "msgspec": {"settings", "dialects", "engines", "http"},
    "yaml": {"settings", "dialects"},
    "starlette": {"http", "app", "__main__"},
    "httpx": {"app", "engines"},
    "httpx_aiohttp": {"app"},
    "aiohttp": {"engines", "media"},
    "yarl": {"media"},
    "PIL": {"media"},
    "pi_heif": {"media"},
    "av": {"media"},
    "tokenizers": {"families"},
    "huggingface_hub": {"families"},
    "prometheus_client": {"telemetry"},
    "redis": {"caches"},
    "uvicorn": {"__main__"},
}


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
    """`gateway.engines.vllm` as `engines`: the word by which the tables above know it."""
    return module.split(".")[1] if "." in module else ""


GATEWAY = [path for path in sources("gateway") if part_of(name_of(path))]


def test_every_module_has_its_row() -> None:
    assert {part_of(name_of(path)) for path in GATEWAY} <= set(ROW)


@pytest.mark.parametrize("path", GATEWAY, ids=name_of)
def test_a_module_imports_only_from_rows_above_it(path: Path) -> None:
    own = part_of(name_of(path))
    for module in imported(path):
        if module.startswith("gateway.") and part_of(module) != own:
            assert ROW[part_of(module)] < ROW[own], f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", [path for path in GATEWAY if part_of(name_of(path)) in PLUG_INS], ids=name_of)
def test_in_a_plug_in_folder_base_is_below_the_kinds_and_they_below_the_table(path: Path) -> None:
    folder = name_of(path) if path.stem == "__init__" else name_of(path).rpartition(".")[0]
    siblings = {module for module in imported(path) if module.startswith("gateway." + part_of(folder))}
    if path.stem == "base":
        assert not siblings
    elif path.stem != "__init__":
        assert siblings <= {f"{folder}.base"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_known_only_where_it_is_needed(library: str) -> None:
    knowing = {
        part_of(name_of(path)) for path in GATEWAY for module in imported(path) if module.split(".")[0] == library
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
def test_the_programs_meet_over_http_only_and_know_nothing_of_the_tests(program: str) -> None:
    forbidden = {*PROGRAMS, "tests"} - {program}
    for path in sources(program):
        for module in imported(path):
            assert module.split(".")[0] not in forbidden, f"{path} imports {module}"
