"""A run that is stopped, or whose page is closed, costs the engine nothing more."""

from playwright.sync_api import expect

from tests.launch.processes_alive import wait_for
from tests.ui.conftest import Stubbed
from tests.ui.servers import Bench
from tests.ui.visit import Visit

MANY = [f"red car {place}" for place in range(240)]


def begun(stubbed: Stubbed, bench: Bench) -> Visit:
    """A run with its first parts scored, and the others waiting at the engine."""
    bench.hold(after=2)
    visit = stubbed()
    visit.ask("red car", MANY)
    visit.button("Rerank").click()
    expect(visit.items.first).to_be_visible()
    expect(visit.results.get_by_role("progressbar")).to_be_visible()
    wait_for(lambda: bench.in_flight() == 4, "four parts at the gateway")
    return visit


def ended(bench: Bench) -> None:
    """Assert that the gateway is idle, and sends the engine nothing more of the run once that answers again."""
    wait_for(lambda: bench.in_flight() == 0, "the gateway saw the disconnect")
    before = len(bench.engine.prompts)
    assert before < len(MANY)
    bench.release()
    bench.asked_elsewhere()
    assert len(bench.engine.prompts) == before + 1


def test_stop_keeps_what_had_arrived_frees_the_buttons_and_ends_the_work(stubbed: Stubbed, bench: Bench) -> None:
    visit = begun(stubbed, bench)
    expect(visit.button("Rerank")).to_be_disabled()
    visit.button("Stop").click()
    expect(visit.button("Rerank")).to_be_enabled()
    expect(visit.button("Stop")).to_be_disabled()
    expect(visit.results.locator(".notes")).to_have_text("Stopped")
    expect(visit.items).to_have_count(40)
    expect(visit.results.get_by_role("progressbar")).to_be_hidden()
    ended(bench)
    visit.run("red car", MANY[:5])


def test_a_page_closed_during_its_run_ends_the_work(stubbed: Stubbed, bench: Bench) -> None:
    visit = begun(stubbed, bench)
    visit.page.close()
    ended(bench)
