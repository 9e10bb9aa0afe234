"""The composition's files, checked without a Docker engine; tests/compose/run.sh runs them for real."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.telemetry.metrics import Metrics
from launch import catalogue
from launch.__main__ import main
from launch.address import Address
from launch.command import vllm_command
from launch.memory import default_plan
from launch.vllm import TESTED_VLLM, Vllm
from tests.compose.files import REPOSITORY, alerts, composition, queries, replaced, variables

SERVICES: dict[str, dict[str, Any]] = composition()["services"]
OURS = ["gateway", "ui", "engine-embedded"]
ENGINES = {"engine": "Qwen3-Reranker-4B", "engine-vision": "Qwen3-VL-Reranker-8B"}
OPERATIONS = (REPOSITORY / "docs/operations.md").read_text()

# What vLLM and the embedded engine both export (launch/embedded/server.py), and what Prometheus adds itself.
OF_ENGINES = {
    "vllm:num_requests_running",
    "vllm:prompt_tokens_total",
    "vllm:e2e_request_latency_seconds_bucket",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "up",
}
PROMQL = {"sum", "by", "rate", "increase", "histogram_quantile", "absent", "and", "or", "le"}


def test_the_linters_have_nothing_to_say() -> None:
    tools = Path(sys.executable).parent
    for command in (
        ["hadolint", "Dockerfile"],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
    ):
        ran = subprocess.run([tools / command[0], *command[1:]], cwd=REPOSITORY, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_variable_is_explained_with_what_holds_without_it() -> None:
    text = (REPOSITORY / ".env.example").read_text()
    explained = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
    assert explained.pop("COMPOSE_PROFILES") == ""  # Compose's own
    assert explained == variables()
    blocks = re.split(r"^(?:[A-Z_]+=.*\n)+", text, flags=re.MULTILINE)
    assert all("#" in block for block in blocks[:-1])


@pytest.mark.parametrize("name", SERVICES)
def test_only_the_gateway_the_studio_and_grafana_are_published_and_on_loopback(name: str) -> None:
    published = SERVICES[name].get("ports", [])
    assert bool(published) == (name in {"gateway", "ui", "grafana"})
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_published_beyond_loopback_the_gateway_is_told_so() -> None:
    gateway = composition({"RERANK_BIND": "0.0.0.0"})["services"]["gateway"]  # noqa: S104 - read, not bound
    assert gateway["ports"] == ["0.0.0.0:8000:8000"]
    assert gateway["environment"]["RERANK_PUBLISHED_ON"] == "0.0.0.0"  # noqa: S104


def test_without_a_profile_no_gpu_is_needed() -> None:
    started = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert started == {"gateway", "ui", "redis", "engine-embedded"}
    assert SERVICES["engine"]["profiles"] == ["gpu", "vision"]
    assert SERVICES["engine-vision"]["profiles"] == ["vision"]
    assert SERVICES["prometheus"]["profiles"] == SERVICES["grafana"]["profiles"] == ["observe"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"]
    assert service["restart"] == "unless-stopped"
    assert service.get("read_only") or name in ENGINES  # vLLM compiles into its own home


def test_our_images_run_as_a_user_without_a_name_on_the_host() -> None:
    text = (REPOSITORY / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    for name in OURS:
        assert re.search(rf"^FROM ours AS {name}$", text, re.MULTILINE)
        assert SERVICES[name]["build"]["target"] == name


def test_images_are_pinned() -> None:
    froms = re.findall(r"^FROM (\S+:\S+)", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    scale = yaml.safe_load((REPOSITORY / "docker/scale.yml").read_text().replace("!reset", ""))["services"]["proxy"]
    images = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    for image in [*froms, *images, scale["image"]]:
        assert re.search(r":v?\d+\.\d+\.\d+(-\w+)*$", image), image


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_is_vllms_image_in_the_version_we_test_with_a_gpu_and_time_to_download(name: str) -> None:
    service = SERVICES[name]
    assert service["image"] == f"vllm/vllm-openai:v{TESTED_VLLM}"
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}
    assert "hub:/root/.cache/huggingface" in service["volumes"]
    assert service["shm_size"] == "4gb"
    assert service["healthcheck"]["start_period"] == "2h"


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_runs_the_launchers_command_to_the_letter(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The composition's arguments, through the launcher's own reading of them, without a GPU to measure."""
    service = SERVICES[name]
    assert service["entrypoint"] == ["python3", "-m", "launch", "engine"]
    assert main(["engine", *service["command"], "--dry-run", "--vllm-version", TESTED_VLLM]) == 0
    words = [word for word in shlex.split(capsys.readouterr().out) if not re.match(r"[A-Z_]+=", word)]

    model = catalogue.read().find(ENGINES[name])
    plan = default_plan(model)
    vllm = Vllm("vllm", TESTED_VLLM, cpu=False)
    assert words == vllm_command(model, vllm, plan, Address("0.0.0.0", 8001))  # noqa: S104 - inside a container
    overrides = words[words.index("--hf-overrides") + 1]
    assert '"is_original_qwen3_reranker":true' in overrides
    assert words[words.index("--chat-template") + 1].endswith(model.template or "")


def test_the_text_engines_command_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    main(["engine", *SERVICES["engine"]["command"], "--dry-run", "--vllm-version", TESTED_VLLM])
    template = catalogue.TEMPLATES / "qwen3_reranker.jinja"
    assert capsys.readouterr().out.strip() == (
        "VLLM_NO_USAGE_STATS=1 PYTHONUNBUFFERED=1 vllm serve Qwen/Qwen3-Reranker-4B --host 0.0.0.0 --port 8001 "
        "--served-model-name Qwen3-Reranker-4B Qwen/Qwen3-Reranker-4B recipe:qwen3-reranker:026ebfbf3953 "
        "--runner pooling --dtype bfloat16 "
        "--max-model-len 8192 --max-num-seqs 128 --gpu-memory-utilization 0.9 "
        '--hf-overrides \'{"architectures":["Qwen3ForSequenceClassification"],"classifier_from_token":["no","yes"],'
        '"is_original_qwen3_reranker":true}\' '
        f"--chat-template {template} --enable-prefix-caching"
    )


def test_a_share_of_the_gpu_and_more_arguments_reach_the_engine(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"TEXT_GPU_SHARE": "0.35", "TEXT_ENGINE_ARGS": "--max-num-seqs 16", "TEXT_MODEL": "bge-reranker-v2-m3"}
    command = composition(environ)["services"]["engine"]["command"]
    main(["engine", *command, "--dry-run", "--vllm-version", TESTED_VLLM])
    said = capsys.readouterr().out.strip()
    assert said.endswith("--gpu-memory-utilization 0.35 --max-num-seqs 16")
    assert "BAAI/bge-reranker-v2-m3" in said


def test_the_gateway_prefers_the_gpu_engines_and_reads_as_much_as_they() -> None:
    command = SERVICES["gateway"]["command"]
    told = [command[place + 1 : place + 4] for place, word in enumerate(command) if word == "--engine"]
    assert told == [
        ["Qwen3-Reranker-4B", "http://engine:8001", "8192"],
        ["Qwen3-VL-Reranker-8B", "http://engine-vision:8001", "10240"],
        ["all-MiniLM-L6-v2", "http://engine-embedded:8001", "512"],
    ]
    for name, url, max_tokens in told[:2]:
        engine = SERVICES[url.removeprefix("http://").removesuffix(":8001")]["command"]
        assert engine[0] == name
        assert f"--max-tokens={max_tokens}" in engine


def test_the_gateway_is_stopped_before_its_engines_and_given_time_to_finish() -> None:
    from gateway.__main__ import DRAIN_S

    gateway = SERVICES["gateway"]
    assert int(gateway["stop_grace_period"].removesuffix("s")) > DRAIN_S
    assert set(gateway["depends_on"]) == {"redis", "engine-embedded", "engine", "engine-vision"}
    # Started is enough: the gateway answers 503 until they are ready.
    assert {need["condition"] for need in gateway["depends_on"].values()} == {"service_started"}


def test_redis_is_a_cache_and_nothing_more() -> None:
    command = " ".join(SERVICES["redis"]["command"].split())
    assert "--maxmemory 256mb --maxmemory-policy allkeys-lru" in command
    assert '--save "" --appendonly no' in command
    assert "volumes" not in SERVICES["redis"]


@pytest.mark.parametrize("name", queries())
def test_every_query_asks_for_what_is_exported(name: str) -> None:
    exported = OF_ENGINES | set(
        _exported(
            Metrics(
                "memory",
            )
            .report()
            .decode()
        )
    )
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)", " ", queries()[name])
    asked = set(re.findall(r"[a-zA-Z_][\w:]*", bare)) - PROMQL
    assert asked
    assert asked <= exported


def test_every_alert_is_explained() -> None:
    assert alerts()
    for alert in alerts():
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert alert["annotations"]["summary"]
        assert f"**{alert['alert']}**" in OPERATIONS


def test_every_panel_is_explained_where_it_is_seen() -> None:
    dashboard = yaml.safe_load((REPOSITORY / "docker/grafana/dashboards/rerank.json").read_text())
    assert all(panel["description"] for panel in dashboard["panels"] if panel["type"] != "row")
    source = yaml.safe_load((REPOSITORY / "docker/grafana/provisioning/datasources/prometheus.yml").read_text())
    sources = {panel["datasource"]["uid"] for panel in dashboard["panels"] if panel["type"] != "row"}
    assert sources == {source["datasources"][0]["uid"]}


def test_variables_are_replaced_as_compose_does() -> None:
    assert replaced("${A:-1} ${B:+--b ${B:-}}", {}) == "1 "
    assert replaced("${A:-1} ${B:+--b ${B:-}}", {"A": "", "B": "2"}) == "1 --b 2"


def _exported(report: str) -> list[str]:
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", report, re.MULTILINE)
    return [name + suffix for name, kind in kinds for suffix in (["_bucket", "_sum"] if kind == "histogram" else [""])]
