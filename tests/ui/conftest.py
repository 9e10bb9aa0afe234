"""Fixtures of the browser's tests: one Chromium, a context for each test, and studios in front of real gateways."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.launch.processes_alive import wait_for
from tests.ui.servers import DEADLINE_S, BackgroundLoop, Bench, TcpProxy, answers, program, studio
from tests.ui.visit import TIMEOUT_MS, Visit

# Without --no-zygote Chromium has hung in the kernel. The other switches keep it from the network.
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
]
Open = Callable[..., Visit]
Stubbed = Callable[..., Visit]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(120))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def background() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def proxy(background: BackgroundLoop) -> Iterator[TcpProxy]:
    proxy = TcpProxy()
    background(proxy.start())
    yield proxy
    background(proxy.stop())


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory, proxy: TcpProxy) -> Iterator[tuple[str, str]]:
    """URLs of the studio that `rerank up` starts, and of a studio in front of the proxy."""
    folder = tmp_path_factory.mktemp("programs")
    ports = {"RERANK_PORT": "0", "RERANK_UI_PORT": "0"}
    with program(folder, "launch", "up", "all-MiniLM-L6-v2", **ports) as up, studio(folder, proxy.url) as on_proxy:
        wait_for(lambda: answers(on_proxy), "the studio in front of the proxy", DEADLINE_S)
        yield up.said(r"in a browser: (http://\S+?)/?\n"), on_proxy


@pytest.fixture(scope="session")
def address(programs: tuple[str, str]) -> str:
    """URL of the studio in front of the real gateway and the embedded engine."""
    return programs[0]


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """`open_page(url, width=390)` opens a page in a new context. At the end no page may have asked another server."""
    visits: list[Visit] = []

    def open_at(url: str, **options: Any) -> Visit:
        visits.append(Visit(chromium, url, **options))
        return visits[-1]

    yield open_at
    for visit in visits:
        visit.close()
    for visit in visits:
        assert not visit.faults


@pytest.fixture
def visit(open_page: Open, address: str) -> Visit:
    return open_page(address)


@pytest.fixture
def bench(background: BackgroundLoop, proxy: TcpProxy, programs: tuple[str, str], tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(background, proxy, tmp_path)
    bench.serve()
    yield bench
    bench.close()


@pytest.fixture
def stubbed(open_page: Open, bench: Bench, programs: tuple[str, str]) -> Stubbed:
    """`stubbed()` opens the page in front of the bench's gateway."""
    return lambda **options: open_page(programs[1], **options)
