"""A visitor with a browser: actions of a person on the page, and the contents that they see."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Dialog, Error, Locator, Request, expect

TIMEOUT_MS = 15_000
QUERY = "How do I reset my password?"
TEXTS = ["Our office is closed on Sundays.", "The soup of the day is tomato.",
         "To reset your password choose Forgot password."]  # fmt: skip
CUT = "ERR_NETWORK_CHANGED"
FAILING = """for (const event of ['error', 'unhandledrejection'])
  addEventListener(event, () => { window.isFailing = true; }, true);"""
OPENED = "() => window.isFailing || document.querySelector('#engine input')?.value"


class Visit:
    """One page in a context of its own. `faults` lists its dialogs, errors and requests to other servers."""

    def __init__(
        self, browser: Browser, url: str, *, width: int = 1440, fragment: str = "", ready: bool = True, **options: Any
    ) -> None:
        self.url, self.faults = url, list[str]()
        self.context = browser.new_context(
            **{
                "viewport": {"width": width, "height": 900},
                "reduced_motion": "reduce",
                "locale": "en-US",
                "permissions": ["clipboard-read", "clipboard-write"],
                "accept_downloads": True,
                **options,
            }
        )
        self.context.set_default_timeout(TIMEOUT_MS)
        self.context.on("request", self._asked)
        self.context.on("weberror", lambda event: self.faults.append(f"error: {event.error}"))
        self.page = self.context.new_page()
        self.page.on("dialog", self._spoke)
        if ready:
            self._open(url + fragment)
        else:
            self.page.goto(url)
        self.results = self.page.locator("#results")

    def _open(self, address: str) -> None:
        """Open the page and wait for its engines, so that its first requests do not overwrite what a test types.

        Chromium drops all loads when a network interface of this machine comes or goes. The page is then opened again.
        """
        is_cut = list[str]()
        self.context.add_init_script(FAILING)
        self.page.on("requestfailed", lambda request: is_cut.append(request.failure or ""))
        for _ in range(6):
            is_cut.clear()
            self.faults.clear()
            try:
                self.page.goto(address)
                self.page.wait_for_function(OPENED)
            except Error as error:
                is_cut.append(str(error))
            if not any(CUT in failure for failure in is_cut):
                break
            self.page.goto("about:blank")
        expect(self.page.locator("#engine input")).not_to_have_value("")

    def close(self) -> None:
        self.context.close()

    def _asked(self, request: Request) -> None:
        where = urlsplit(request.url)
        if where.scheme not in {"data", "blob"} and where.netloc != urlsplit(self.url).netloc:
            self.faults.append(f"asked elsewhere: {request.url}")

    def _spoke(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    @property
    def query(self) -> Locator:
        return self.page.locator("#query textarea")

    @property
    def texts(self) -> Locator:
        return self.page.locator("#texts textarea")

    @property
    def items(self) -> Locator:
        return self.results.locator("li.item")

    @property
    def alert(self) -> Locator:
        return self.results.get_by_role("alert")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def look_again(self) -> None:
        """Have the page poll the engine's state now, as on a return to its tab. Otherwise it polls every 5 s."""
        self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    def tab(self, name: str) -> None:
        """Go to a tab. A narrow page has some of them in a menu behind three dots."""
        tab = self.page.get_by_role("tab", name=name, exact=True)
        if not tab.is_visible():
            self.button("More tabs").click()
            tab = self.page.locator(".overflow-dropdown").get_by_role("button", name=name, exact=True)
        tab.click()

    def ask(self, query: str = QUERY, texts: Sequence[str] = TEXTS) -> None:
        self.query.fill(query)
        self.texts.fill("\n".join(texts))

    def run(self, query: str = QUERY, texts: Sequence[str] = TEXTS) -> None:
        """Rank these, and wait for the end of the run."""
        self.ask(query, texts)
        self.button("Rerank").click()
        self.done(len(texts))

    def done(self, count: int) -> None:
        self.scored(count)
        expect(self.button("Rerank")).to_be_enabled()

    def scored(self, count: int, of: int | None = None) -> None:
        chip = f"{count}/{of or count} scored"
        expect(self.results.locator(".chip", has_text=chip)).to_be_visible()

    def exported(self, kind: str, folder: Path) -> str:
        with self.page.expect_download() as download:
            self.button(f"⤓ {kind}").click()
        assert download.value.suggested_filename == f"rerank.{kind.lower()}"
        download.value.save_as(folder / kind)
        return (folder / kind).read_bytes().decode("utf-8-sig")

    def words(self) -> list[str]:
        """Texts of the rows, best first."""
        return self.results.locator("li.item .words").all_text_contents()

    def scores(self) -> list[float]:
        return [float(text) for text in self.results.locator("li.item .number").all_text_contents()]
