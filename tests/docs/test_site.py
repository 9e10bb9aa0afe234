"""The documentation as a site: it builds without a warning, and loads nothing from elsewhere."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY

pytestmark = pytest.mark.skipif(find_spec("mkdocs") is None, reason="mkdocs is not installed: run `make docs`")
# Whatever a browser fetches by itself; a link that is clicked may lead anywhere.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link[^>]*\bhref=["']?(?:https?:)?//|@import\s*["']?(?:https?:)?//"""
)


def built(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "-f",
        source / "mkdocs.yml",
        "-d",
        site,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the documentation, to be spoilt."""
    shutil.copytree(REPOSITORY / "docs", tmp_path / "docs")
    shutil.copy(REPOSITORY / "mkdocs.yml", tmp_path)
    return tmp_path


def test_it_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    run = built(REPOSITORY, tmp_path)
    assert run.returncode == 0, run.stderr
    pages = [*tmp_path.rglob("*.html"), *tmp_path.rglob("*.css")]
    assert len(pages) > 8
    assert [str(page) for page in pages if FETCHED.search(page.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("link", ["[gone](gone.md)", "[gone](api.md#gone)", "[gone](/api/)", "![gone](gone.png)"])
def test_a_dead_link_fails_the_build(source: Path, tmp_path: Path, link: str) -> None:
    with (source / "docs" / "index.md").open("a") as index:
        index.write(f"\n{link}\n")
    assert built(source, tmp_path / "site").returncode != 0


def test_a_page_that_no_menu_shows_fails_the_build(source: Path, tmp_path: Path) -> None:
    (source / "docs" / "lost.md").write_text("# Lost\n")
    assert built(source, tmp_path / "site").returncode != 0
