"""The pages as the tests read them: their text, their snippets, their links."""

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
PAGES = [README, *sorted((REPOSITORY / "docs").glob("*.md"))]
# Where the pages say the gateway is.
URL = "http://127.0.0.1:8000"
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """A block of code. then: the block behind it, which shows what it prints."""

    language: str
    text: str
    then: str


def page(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def snippets(name: str, language: str) -> list[Snippet]:
    """The blocks of a page in one language, in order."""
    blocks = FENCED.findall(page(name))
    after = [*(text for _, text in blocks[1:]), ""]
    return [Snippet(kind, text, then) for (kind, text), then in zip(blocks, after, strict=True) if kind == language]


def without_code(text: str) -> str:
    return FENCED.sub("", text)


def links(text: str) -> list[str]:
    """Targets of links and pictures, outside of code."""
    return re.findall(r"\]\(([^)\s]+)\)", without_code(text))


def anchors(text: str) -> set[str]:
    """The names of a page's headings, as the site and the code host make them."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its head."""
    section = text.split(f"{heading}\n", 1)[1]
    table = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]
