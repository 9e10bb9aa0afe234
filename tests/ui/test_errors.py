"""An error is shown above the results with advice, and the previous results stay below it."""

from playwright.sync_api import expect

from tests.stub_engine import failure
from tests.ui.conftest import Stubbed
from tests.ui.servers import Bench
from tests.ui.visit import QUERY, TEXTS, Visit


def no_key(bench: Bench) -> None:
    bench.serve(api_keys=["another-key"])


def full(bench: Bench) -> None:
    bench.serve(limits={"max_pairs_waiting": 1})


def broken(bench: Bench) -> None:
    bench.engine.instead = lambda: failure(500, "CUDA error")


def nonsense(bench: Bench) -> None:
    bench.engine.distort = lambda scores: [float("nan")] * len(scores)


def offline(bench: Bench) -> None:
    bench.stop_engine()


def gone(bench: Bench) -> None:
    bench.lead(None)


BROKEN = {
    no_key: "The gateway asks for a key",
    full: "The gateway is busy",
    broken: "The engine does not answer",
    nonsense: "The gateway failed",
    offline: "The engine does not answer",
    gone: "The gateway cannot be reached",
}


def test_why_a_gateway_cannot_answer_is_said_above_the_previous_results_and_try_again_goes_on(
    stubbed: Stubbed, bench: Bench
) -> None:
    visit = stubbed()
    visit.run()
    for place, (breaks, title) in enumerate(BROKEN.items()):
        breaks(bench)
        visit.ask(f"something else {place}")
        visit.button("Rerank").click()
        expect(visit.alert.locator("strong")).to_have_text(title)
        expect(visit.items).to_have_count(3)
        expect(visit.results.locator(".notes")).to_have_text("Below: the previous results")
        expect(visit.button("Rerank")).to_be_enabled()
        expect(visit.button("Stop")).to_be_disabled()
        bench.mend()
        visit.alert.get_by_role("button", name="Try again").click()
        expect(visit.alert).to_be_hidden()
        visit.done(3)


def test_what_is_missing_is_said_and_try_again_goes_on(visit: Visit) -> None:
    visit.ask("", TEXTS)
    visit.button("Rerank").click()
    expect(visit.alert.locator("strong")).to_have_text("Please enter a query")
    visit.ask(QUERY, [])
    visit.button("Rerank").click()
    expect(visit.alert.locator("strong")).to_have_text("Please add candidates")
    expect(visit.items).to_have_count(0)
    visit.ask()
    visit.alert.get_by_role("button", name="Try again").click()
    visit.done(3)
    expect(visit.alert).to_be_hidden()
