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


DEAD = ["[gone](gone.md)", "[gone](api.md#nowhere)", "[gone](/api/)", "![gone](gone.png)"]


def built(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", source / "mkdocs.yml"]
    return subprocess.run([*command, "-d", site], capture_output=True, text=True, timeout=120, check=False)


def test_it_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    run = built(REPOSITORY, tmp_path)
    assert run.returncode == 0, run.stderr
    pages = [*tmp_path.rglob("*.html"), *tmp_path.rglob("*.css")]
    assert len(pages) > 8
    assert [str(page) for page in pages if FETCHED.search(page.read_text(encoding="utf-8"))] == []


def test_a_dead_link_and_a_page_without_a_place_fail_the_build(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "docs", tmp_path / "docs")
    shutil.copy(REPOSITORY / "mkdocs.yml", tmp_path)
    (tmp_path / "docs" / "lost.md").write_text("\n".join(["# Lost", *DEAD]))
    run = built(tmp_path, tmp_path / "site")
    assert run.returncode != 0
    assert run.stderr.count("WARNING -") == len(DEAD) + 1
    for named in ("lost.md", "gone.md", "#nowhere", "/api/", "gone.png"):
        assert named in run.stderr
