"""The package holds all that its programs read, and nothing else; .ci/wheel installs it and runs it."""

import email
import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
PROGRAMS = ["gateway", "launch", "ui"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True, timeout=120)
    (file,) = folder.iterdir()
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def tracked(folder: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", folder], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.splitlines() if (REPOSITORY / name).exists()}


def test_it_holds_every_file_of_the_programs_and_the_catalogue(wheel: zipfile.ZipFile) -> None:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("only a checkout knows which files belong to the programs")
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held >= {"launch/models.yaml"}.union(*map(tracked, PROGRAMS))
    assert not {name for name in held if name.partition("/")[0] not in PROGRAMS}


def test_its_catalogue_is_the_checkouts(wheel: zipfile.ZipFile) -> None:
    assert wheel.read("launch/models.yaml") == (REPOSITORY / "models.yaml").read_bytes()


@pytest.mark.parametrize("program", PROGRAMS)
def test_its_types_are_there_to_be_read(wheel: zipfile.ZipFile, program: str) -> None:
    assert wheel.read(f"{program}/py.typed") == b""


def test_it_asks_for_exactly_what_pyproject_names(metadata: Message) -> None:
    without_extra = [str(line) for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in str(line)]
    assert len(without_extra) == len(PROJECT["dependencies"])
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])


def test_its_version_is_the_newest_of_the_changelog(metadata: Message) -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)
    assert metadata["Version"] == released[0]


def test_before_a_commit_runs_what_ci_lints_with() -> None:
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    assert [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]] == ["make lint"]
    assert "\nmake lint\n" in (REPOSITORY / ".ci/run").read_text()
