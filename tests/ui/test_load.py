"""The Load model button, and the pills with the engine's state."""

from pathlib import Path

from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.gateway.serving import LocalServer
from tests.ui.conftest import Stubbed
from tests.ui.servers import Bench, program
from tests.ui.visit import TEXTS

GB = 2**30


def test_a_stopped_engine_is_loaded_from_the_page_and_then_ranks(
    stubbed: Stubbed, bench: Bench, tmp_path: Path
) -> None:
    words = ("launch", "up", "all-MiniLM-L6-v2", "--lazy", "--no-ui")
    with program(tmp_path, *words, RERANK_PORT="0") as up:
        bench.lead(up.said(r"answers at (\S+) "))
        visit = stubbed()
        pill = visit.page.locator("#state [role=status]")
        expect(pill).to_have_text("Not loaded")
        visit.ask()
        visit.button("Rerank").click()
        expect(visit.alert).to_contain_text("The model is not loaded")
        visit.alert.get_by_role("button", name="Load model").click()
        expect(pill).to_have_text("Ready")
        expect(visit.alert).to_be_hidden()
        visit.button("Rerank").click()
        visit.done(3)
        assert visit.words()[0] == TEXTS[2]
        bench.lead(None)


def test_the_pills_tell_every_state_with_its_progress_and_the_memory(stubbed: Stubbed, bench: Bench) -> None:
    state: dict[str, object] = {"state": "stopped"}
    loaded: list[str] = []

    async def engines(_: Request) -> JSONResponse:
        gpus = [{"name": "A GPU", "used_bytes": 30 * GB, "total_bytes": 80 * GB}]
        memory = {"used_bytes": 3 * GB, "total_bytes": 16 * GB}
        return JSONResponse({"engines": {"stub-cross-encoder": state}, "gpus": gpus, "memory": memory})

    async def load(request: Request) -> JSONResponse:
        loaded.append(request.path_params["name"])
        state.update(state="loading", progress=0.4)
        return JSONResponse({"name": request.path_params["name"], "state": "loading"}, 202)

    routes = [Route("/engines", engines), Route("/engines/{name}/load", load, methods=["POST"])]
    launcher = LocalServer(Starlette(routes=routes))
    bench.start(launcher)
    bench.serve(launcher={"url": launcher.url, "token": "t0ken"})
    visit = stubbed()
    pills = visit.page.locator("#state")
    status = pills.get_by_role("status")
    expect(status).to_have_text("Not loaded")
    expect(pills).to_contain_text("GPU 30.0 / 80 GB")
    expect(pills).to_contain_text("RAM 3.0 / 16 GB")
    visit.button("Load model").click()
    expect(status).to_have_text("Loading 40 %")
    expect(status.locator(".status-bar i")).to_have_attribute("style", "width: 40%;")
    assert loaded == ["stub-cross-encoder"]
    state.update(progress=0.8)
    expect(status).to_have_text("Loading 80 %")
    state.update(state="ready", progress=None)
    expect(status).to_have_text("Ready")
    state.update(state="failed")
    visit.look_again()
    expect(status).to_have_text("Failed")
    bench.lead(None)
    visit.look_again()
    expect(status).to_have_text("Gateway offline")


def test_a_page_opened_before_its_gateway_finds_the_engines_when_that_is_there(stubbed: Stubbed, bench: Bench) -> None:
    bench.lead(None)
    visit = stubbed(ready=False)
    expect(visit.page.locator("#state [role=status]")).to_have_text("Gateway offline")
    expect(visit.page.locator("#engine input")).to_have_value("")
    bench.mend()
    visit.look_again()
    expect(visit.page.locator("#engine input")).to_have_value("stub-cross-encoder")
    visit.run()


def test_an_engine_that_nobody_here_can_load_says_so(stubbed: Stubbed, bench: Bench) -> None:
    visit = stubbed()
    bench.stop_engine()
    visit.button("Load model").click()
    expect(visit.alert).to_contain_text("The model cannot be loaded from here")
    visit.look_again()
    expect(visit.page.locator("#state [role=status]")).to_have_text("Offline")
