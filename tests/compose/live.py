"""The composition on a real Docker engine, for tests/compose/run.sh: in this order, each test leaves it running."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import cohere
import httpx
import pytest

from launch.embedded.packaged import packaged_folder
from tests.compose.files import REPOSITORY, queries

API = f"http://127.0.0.1:{os.environ['RERANK_PORT']}"
STUDIO = f"http://127.0.0.1:{os.environ['STUDIO_PORT']}"
DOCUMENTS = [
    "Our office is closed on Sundays.",
    "Open Settings, choose Security and click on Forgot password.",
    "The soup of the day is tomato.",
]
QUERY = "How do I reset my password?"
ASK = {"query": QUERY, "documents": DOCUMENTS}
FRESH = {"cache-control": "no-store"}
DEADLINE_S = 30.0
MB = 1_000_000


def docker(
    *words: str | Path, timeout_s: float = 120, environ: dict[str, str] | None = None, stdin: Path = Path(os.devnull)
) -> str:
    ran = subprocess.run(
        ["docker", *words],
        cwd=REPOSITORY,
        env={**os.environ, **(environ or {})},
        input=stdin.read_text(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert ran.returncode == 0, f"docker {' '.join(map(str, words))}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def compose(*words: str | Path, **options: Any) -> str:
    return docker("compose", *words, **options)


def up(*words: str, scale: str = "gateway=1", wait: bool = True, environ: dict[str, str] | None = None) -> None:
    waiting = ("--wait", "--wait-timeout", "90") if wait else ()
    compose(*words, "up", "--detach", "--no-build", *waiting, "--scale", scale, environ=environ)


def ask(client: httpx.Client, **changes: Any) -> httpx.Response:
    return client.post(f"{API}/v2/rerank", json={**ASK, **changes}, headers=FRESH)


def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds; a connection that is refused meanwhile is not yet."""
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        try:
            if condition():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("it did not come to pass in time")


def served_by(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["meta"]["served_by"])


@pytest.fixture(scope="module", autouse=True)
def running(request: pytest.FixtureRequest) -> Iterator[None]:
    started_s = time.monotonic()
    up()
    print(f"\neverything healthy {time.monotonic() - started_s:.1f} s after `up`")
    yield
    if request.session.testsfailed:
        print(compose("--profile", "*", "logs", "--no-color", "--tail", "8"))
    compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=DEADLINE_S) as client:
        yield client


@pytest.mark.parametrize("profiles", [[], ["gpu"], ["vision"], ["observe"], ["vision", "observe"]], ids=str)
def test_the_files_hold_for_every_profile(profiles: list[str]) -> None:
    for files in ([], ["-f", "docker-compose.yml", "-f", "docker/scale.yml"]):
        words = [*files, *(word for profile in profiles for word in ("--profile", profile))]
        config = json.loads(compose(*words, "config", "--format", "json"))
        services = config["services"]
        assert {"gateway", "ui", "redis", "engine-embedded"} <= set(services)
        assert ("engine" in services) == bool({"gpu", "vision"} & set(profiles))
        assert ("engine-vision" in services) == ("vision" in profiles)
        front = "proxy" if files else "gateway"
        published = {name for name, service in services.items() if service.get("ports")}
        assert published == {front, "ui", *(["grafana"] if "observe" in profiles else [])}
        assert all(port["host_ip"] == "127.0.0.1" for name in published for port in services[name]["ports"])


def test_cohere_s_sdk_ranks_through_the_published_port() -> None:
    with httpx.Client(timeout=DEADLINE_S) as transport:
        sdk = cohere.ClientV2(api_key="any-key-will-do", base_url=API, httpx_client=transport)
        answer = sdk.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS)
    assert answer.results[0].index == 1
    assert answer.results[0].relevance_score > 0.5


def test_the_readme_s_curl_answers_as_written() -> None:
    line = next(line for line in (REPOSITORY / "README.md").read_text().splitlines() if line.startswith("curl -s http"))
    command = line.replace("http://127.0.0.1:8000", API)
    ran = subprocess.run(["bash", "-c", command], capture_output=True, timeout=DEADLINE_S)
    assert json.loads(ran.stdout)["results"][0]["index"] == 1


def test_the_studio_opens(client: httpx.Client) -> None:
    page = client.get(STUDIO, follow_redirects=True)
    assert page.status_code == 200
    assert "Rerank Studio" in page.text


def test_nothing_else_can_be_reached() -> None:
    containers = [json.loads(line) for line in compose("ps", "--format", "json").splitlines()]
    published = {one["Service"]: [p for p in one["Publishers"] or [] if p["PublishedPort"]] for one in containers}
    assert {name for name, ports in published.items() if ports} == {"gateway", "ui"}
    assert all(port["URL"] == "127.0.0.1" for ports in published.values() for port in ports)


@pytest.mark.parametrize("service", ["gateway", "ui", "engine-embedded"])
def test_a_container_may_do_next_to_nothing(service: str) -> None:
    status = compose("exec", "-T", service, "cat", "/proc/self/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == ["10001"] * 4
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    assert "ro," in compose("exec", "-T", service, "grep", " / ", "/proc/mounts")
    assert "init" in compose("exec", "-T", service, "cat", "/proc/1/comm")


def test_the_gateway_s_image_is_slim() -> None:
    def size(image: str) -> int:
        return int(docker("image", "inspect", image, "--format", "{{.Size}}"))

    (base,) = {
        line.split()[1]
        for line in (REPOSITORY / "Dockerfile").read_text().splitlines()
        if line.startswith("FROM python")
    }
    sizes = {name: (size(f"rerank-{name}") - size(base)) // MB for name in ("gateway", "engine-embedded", "ui")}
    print(f"\nMB above {base} ({size(base) // MB} MB): {sizes}")
    assert sizes["gateway"] <= 250
    found = "import importlib.util as u; print([n for n in ('torch', 'gradio', 'numpy', 'pip') if u.find_spec(n)])"
    assert compose("exec", "-T", "gateway", "python", "-c", found).strip() == "[]"


def test_a_change_of_the_code_is_built_in_seconds(tmp_path: Path) -> None:
    kept = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in [*kept, "Dockerfile", ".dockerignore"]:
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    with (tmp_path / "gateway/__init__.py").open("a") as file:
        file.write(f"# {tmp_path}\n")
    started_s = time.monotonic()
    docker("build", "--quiet", "--target", "gateway", tmp_path)
    took_s = time.monotonic() - started_s
    print(f"\nrebuilt in {took_s:.1f} s")
    assert took_s <= 15


def test_without_its_engine_it_says_come_back_and_then_recovers(client: httpx.Client) -> None:
    compose("kill", "engine-embedded")
    refused = ask(client)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    compose("start", "engine-embedded")
    until(lambda: ask(client).status_code == 200)


def test_an_engine_that_crashes_comes_back_by_itself(client: httpx.Client) -> None:
    container = compose("ps", "--quiet", "engine-embedded").strip()
    # All of the container's processes but its first, which then ends too.
    subprocess.run(
        ["docker", "exec", container, "python", "-c", "import os; os.kill(-1, 9)"], capture_output=True, timeout=30
    )
    until(lambda: int(docker("inspect", container, "--format", "{{.RestartCount}}")) > 0)
    until(lambda: ask(client).status_code == 200)


def test_ranking_goes_on_without_redis(client: httpx.Client) -> None:
    assert client.post(f"{API}/v2/rerank", json=ASK).status_code == 200
    until(lambda: client.post(f"{API}/v2/rerank", json=ASK).json()["meta"]["cached_pairs"] == 3)
    compose("stop", "--timeout", "3", "redis")
    for _ in range(5):
        answer = client.post(f"{API}/v2/rerank", json=ASK)
        assert answer.json()["results"][0]["index"] == 1
        assert answer.json()["meta"]["cached_pairs"] == 0
    compose("start", "redis")
    until(lambda: client.post(f"{API}/v2/rerank", json=ASK).json()["meta"]["cached_pairs"] == 3)


def test_stop_under_load_loses_no_request_under_way(client: httpx.Client) -> None:
    documents = [f"{place}: " + "a few words of a longer document " * 30 for place in range(150)]
    with ThreadPoolExecutor(8) as pool:
        under_way = [pool.submit(ask, client, documents=documents) for _ in range(8)]
        until(lambda: "rerank_requests_in_flight 8.0" in client.get(f"{API}/metrics").text)
        compose("stop")
        assert not any(one.done() and one.exception() for one in under_way)
        assert [one.result().status_code for one in under_way] == [200] * 8
    with pytest.raises(httpx.TransportError):
        ask(client)
    up()


def test_prometheus_answers_every_query_of_dashboard_and_alerts(client: httpx.Client) -> None:
    compose("--profile", "observe", "up", "--detach", "--no-build", "prometheus")
    assert "SUCCESS" in compose(
        "exec", "-T", "prometheus", "promtool", "check", "config", "/etc/prometheus/prometheus.yml"
    )

    def asked(path: str) -> Any:
        code = f"from urllib.request import urlopen; print(urlopen('http://prometheus:9090/api/v1/{path}').read().decode())"
        return json.loads(compose("exec", "-T", "gateway", "python", "-c", code))["data"]

    def jobs_up() -> set[str]:
        return {one["labels"]["job"] for one in asked("targets")["activeTargets"] if one["health"] == "up"}

    until(lambda: jobs_up() == {"gateway", "engine"})
    alerts = {rule["name"]: rule["health"] for group in asked("rules")["groups"] for rule in group["rules"]}
    waiting = {name: query for name, query in queries().items() if name not in alerts}
    assert len(waiting) > 10

    def all_answered() -> bool:
        assert (
            client.post(f"{API}/v2/rerank", json={**ASK, "documents": ["too long to be read " * 200]}).status_code
            == 200
        )
        for name, query in list(waiting.items()):
            if asked(f"query?{urlencode({'query': query})}")["result"]:
                del waiting[name]
        return not waiting

    until(all_answered)
    until(lambda: {rule["health"] for group in asked("rules")["groups"] for rule in group["rules"]} == {"ok"})
    compose("--profile", "observe", "rm", "--stop", "--force", "prometheus")


def test_keys_come_from_a_file(tmp_path: Path, client: httpx.Client) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# of the shop\nsecret-1\n")
    for path in (tmp_path, keys):
        path.chmod(0o755)
    up(environ={"API_KEYS_FILE": str(keys)})
    assert ask(client).status_code == 401
    assert client.post(f"{API}/v2/rerank", json=ASK, headers={"authorization": "Bearer secret-1"}).status_code == 200
    assert "secret-1" not in compose("config", environ={"API_KEYS_FILE": str(keys)})
    up()


def test_published_beyond_loopback_without_keys_it_refuses_to_be_reached(client: httpx.Client) -> None:
    up(wait=False, environ={"RERANK_BIND": "0.0.0.0"})  # noqa: S104 - refused, as tested here
    until(lambda: "not listening on 0.0.0.0" in compose("logs", "gateway"))
    with pytest.raises(httpx.TransportError):
        ask(client)
    up()


def test_three_gateways_are_replaced_under_load_unseen() -> None:
    scaled = ("-f", "docker-compose.yml", "-f", "docker/scale.yml")
    up(*scaled, scale="gateway=3")
    gateways = compose(*scaled, "ps", "--quiet", "gateway").split()
    assert len(gateways) == 3
    statuses: list[int] = []
    ended = threading.Event()

    def keep_asking() -> None:
        while not ended.is_set():
            with httpx.Client(timeout=DEADLINE_S) as client:
                statuses.extend(ask(client).status_code for _ in range(10))

    with httpx.Client(timeout=DEADLINE_S) as client, ThreadPoolExecutor(3) as pool:
        until(lambda: ask(client).status_code == 200)
        asking = [pool.submit(keep_asking) for _ in range(3)]
        try:
            for gateway in gateways:
                docker("restart", "--time", "40", gateway)
                until(lambda gateway=gateway: _health(gateway) == "healthy")  # type: ignore[misc]
        finally:
            ended.set()
        for one in asking:
            one.result(DEADLINE_S)
    assert len(statuses) > 100
    assert set(statuses) == {200}
    compose(*scaled, "rm", "--stop", "--force", "proxy")
    up()


def test_with_a_gpu_profile_the_gateway_takes_those_engines_and_waits_for_them(
    tmp_path: Path, client: httpx.Client
) -> None:
    shutil.copy(REPOSITORY / "tests/launch/fake_vllm.py", tmp_path)
    docker("build", "--quiet", "-t", "rerank-standin-vllm", "-f", "tests/compose/vllm.Dockerfile", tmp_path)
    text, vision = "bge-reranker-v2-m3", "jina-reranker-v2-base-multilingual"
    for hub in ("BAAI/bge-reranker-v2-m3", "jinaai/jina-reranker-v2-base-multilingual"):
        _cache_tokenizer(tmp_path / "hub", hub)
    files = ("-f", "docker-compose.yml", "-f", "tests/compose/gpu.yml", "--profile", "vision")
    environ = {"TEXT_MODEL": text, "VISION_MODEL": vision, "TOKENIZERS": str(tmp_path)}
    up(*files, wait=False, environ=environ)

    until(lambda: client.get(f"{API}/healthz").status_code == 200)
    until(lambda: served_by(ask(client)) == text if ask(client).status_code == 200 else False)
    until(lambda: ask(client, model=vision).status_code == 200)
    assert served_by(ask(client, model=vision)) == vision
    assert served_by(ask(client, model="all-MiniLM-L6-v2")) == "all-MiniLM-L6-v2"

    # Started again while its engine is down, it says so, and does not give the scores of a smaller model.
    compose(*files, "stop", "--timeout", "5", "engine", environ=environ)
    compose(*files, "restart", "gateway", environ=environ)
    until(lambda: client.get(f"{API}/healthz").status_code == 200)
    assert ask(client).status_code == 503
    compose(*files, "start", "engine", environ=environ)
    until(lambda: ask(client).status_code == 200)
    assert served_by(ask(client)) == text


def _health(container: str) -> str:
    return docker("inspect", container, "--format", "{{.State.Health.Status}}").strip()


def _cache_tokenizer(cache: Path, hub: str) -> None:
    """A tokenizer under the hub's name, as huggingface_hub keeps it: no hub is asked."""
    packaged = packaged_folder()
    assert packaged
    folder = cache / f"models--{hub.replace('/', '--')}"
    snapshot = folder / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    shutil.copy(packaged / "tokenizer.json", snapshot)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0")
    for path in (cache.parent, *cache.parent.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
