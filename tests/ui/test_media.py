"""Pictures and videos on the page: pasted, uploaded, ranked and played."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.gateway.made import film
from tests.launch.processes_alive import wait_for
from tests.ui.conftest import Stubbed
from tests.ui.servers import REPOSITORY, Bench
from tests.ui.visit import TEXTS, Visit
from ui import examples

VIDEO = Path(examples.path("dog_beach.mp4"))
PASTE = """(node, [name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([bytes], name, { type: 'image/png' }));
  node.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
}"""
COPY = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  await navigator.clipboard.write([new ClipboardItem({ 'image/png': new Blob([bytes], { type: 'image/png' }) })]);
}"""


def png(color: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), color).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """red.png, blue.png and green.png."""
    for color in ("red", "blue", "green"):
        (tmp_path / f"{color}.png").write_bytes(png(color))
    return [tmp_path / f"{color}.png" for color in ("red", "blue", "green")]


def upload(visit: Visit, files: Sequence[Path]) -> None:
    visit.page.locator("#media input[type=file]").first.set_input_files(files)


def thumbnails(visit: Visit) -> Locator:
    return visit.page.locator("#media").get_by_role("button", name="Thumbnail")


@pytest.fixture
def seeing(stubbed: Stubbed, bench: Bench) -> Visit:
    """The page in front of a multimodal engine."""
    bench.serve("qwen3-vl-reranker")
    return stubbed()


def test_pictures_and_a_video_are_ranked_the_video_plays_and_its_frames_are_shown(
    seeing: Visit, pictures: list[Path]
) -> None:
    upload(seeing, [*pictures, VIDEO])
    expect(thumbnails(seeing)).to_have_count(4)
    seeing.ask("red frames many colors", ["red is the word"])
    expect(seeing.page.locator("#counter")).to_have_text("1 text · 3 images · 1 video · 4/10")
    seeing.button("Rerank").click()
    seeing.done(5)
    expect(seeing.items.first).to_have_attribute("data-kind", "video")
    video = seeing.items.first
    expect(video.locator(".tile img")).to_be_visible()
    video.locator(".words").click()
    frames = video.locator(".strip figure")
    expect(frames.nth(1)).to_be_visible()
    expect(frames.first.locator("figcaption")).to_have_text("0:00")
    player = video.locator("video")
    player.evaluate("node => node.play()")
    player.evaluate("node => new Promise(done => { node.ontimeupdate = () => node.currentTime > 0 && done() })")
    red = seeing.items.filter(has_text="red.png")
    red.locator(".words").click()
    picture = red.locator(".detail img")
    expect(picture).to_be_visible()
    assert picture.evaluate("node => node.decode().then(() => node.naturalWidth)") == 64


def test_a_pasted_picture_is_a_query_and_one_from_the_clipboard_a_candidate(
    seeing: Visit, pictures: list[Path]
) -> None:
    red = base64.b64encode(png("red")).decode()
    seeing.query.evaluate(PASTE, ["pasted.png", red])
    expect(seeing.page.locator("#query img")).to_be_visible()
    seeing.page.evaluate(COPY, red)
    upload(seeing, pictures[1:])
    expect(thumbnails(seeing)).to_have_count(2)
    seeing.page.locator("#media").get_by_role("button", name="Paste from Clipboard").click()
    expect(thumbnails(seeing)).to_have_count(3)
    seeing.button("Rerank").click()
    seeing.done(3)
    # The query is a red picture, and so is the last candidate.
    assert seeing.scores()[0] == 1
    expect(seeing.items.first.locator(".moved")).to_have_text("▲ 2")


def test_a_picture_can_be_removed_and_the_eleventh_is_refused(seeing: Visit, pictures: list[Path]) -> None:
    upload(seeing, pictures)
    expect(thumbnails(seeing)).to_have_count(3)
    seeing.page.locator("#media").get_by_role("button", name="Delete image").nth(1).click()
    expect(thumbnails(seeing)).to_have_count(2)
    expect(seeing.page.locator("#counter")).to_have_text("0 texts · 2 images · 0 videos · 2/10")
    seeing.query.fill("red")
    seeing.button("Rerank").click()
    seeing.done(2)
    assert seeing.words() == ["red.png", "green.png"]
    upload(seeing, [*pictures * 3])
    expect(thumbnails(seeing)).to_have_count(11)
    seeing.button("Rerank").click()
    expect(seeing.alert.locator("strong")).to_have_text("Too many images and videos")
    expect(seeing.items).to_have_count(2)


def test_a_file_that_cannot_be_ranked_says_why_and_the_others_are(
    seeing: Visit, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(VIDEO.read_bytes()[:5000])
    (tmp_path / "long.mp4").write_bytes(film(40, rate=1))
    seeing.query.fill("red")
    for name, title in (("broken.mp4", "The file cannot be read"), ("long.mp4", "The video is too long")):
        upload(seeing, [tmp_path / name])
        expect(thumbnails(seeing)).to_have_count(1)
        seeing.button("Rerank").click()
        expect(seeing.alert.locator("strong")).to_have_text(title)
        expect(seeing.button("Rerank")).to_be_enabled()
        seeing.page.locator("#media").get_by_role("button", name="Clear").click()
        expect(thumbnails(seeing)).to_have_count(0)
    upload(seeing, [tmp_path / "broken.mp4", *pictures])
    expect(thumbnails(seeing)).to_have_count(4)
    seeing.button("Rerank").click()
    seeing.done(4)
    expect(seeing.alert).to_be_hidden()
    expect(seeing.items.first).to_contain_text("red.png")
    expect(seeing.items.last).to_contain_text("not scored")


def test_pictures_that_all_score_near_one_half_are_warned_of(seeing: Visit, bench: Bench, pictures: list[Path]) -> None:
    bench.engine.distort = lambda scores: [0.5] * len(scores)
    upload(seeing, pictures)
    expect(thumbnails(seeing)).to_have_count(3)
    seeing.query.fill("red")
    seeing.button("Rerank").click()
    seeing.done(3)
    expect(seeing.results.locator(".notes")).to_contain_text("Every image scores near 0.5")


def test_uploads_are_removed_when_the_page_closes_and_nothing_is_written_beside_the_code(
    seeing: Visit, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    def kept() -> list[Path]:
        return list(tmp_path_factory.getbasetemp().glob("programs*/rerank-ui-*/**/*.png"))

    assert not kept()
    upload(seeing, pictures)
    expect(thumbnails(seeing)).to_have_count(3)
    seeing.query.fill("red")
    seeing.button("Rerank").click()
    seeing.done(3)
    assert {path.name for path in kept()} == {"red.png", "blue.png", "green.png"}
    seeing.page.close()
    wait_for(lambda: not kept(), "the uploads are removed")
    assert not [*(REPOSITORY / "ui").rglob("*.pyi"), *REPOSITORY.glob(".gradio")]


def test_without_an_engine_that_sees_the_page_says_which_to_start_and_ranks_the_texts(
    visit: Visit, pictures: list[Path]
) -> None:
    upload(visit, pictures[:1])
    expect(thumbnails(visit)).to_have_count(1)
    visit.ask()
    visit.button("Rerank").click()
    visit.done(4)
    expect(visit.alert).to_contain_text("rerank up Qwen3-VL-Reranker-2B")
    assert visit.words()[0] == TEXTS[2]
    assert len(visit.scores()) == 3
    # The results are new: no note calls them the previous ones.
    expect(visit.results.locator(".notes")).to_be_empty()
