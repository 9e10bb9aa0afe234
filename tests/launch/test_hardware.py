"""Memory of GPUs and of the machine, measured by whatever is there to ask."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from launch import hardware
from launch.hardware import Memory, free_gpu_memory, free_host_memory, gpu_usage

MIB = 2**20


@pytest.fixture
def no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


@pytest.fixture
def nvidia_smi(no_nvml: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A nvidia-smi that tells the words of a file, and writes down with which arguments it was asked."""
    script = tmp_path / "nvidia-smi"
    script.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\ncat {tmp_path}/told\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def nvml(monkeypatch: pytest.MonkeyPatch, *sizes: tuple[int, int]) -> None:
    """NVML as a machine with these GPUs has it: total and free bytes of each."""
    module = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(sizes),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda index: f"GPU {index}",
        nvmlDeviceGetMemoryInfo=lambda index: SimpleNamespace(
            total=sizes[index][0], free=sizes[index][1], used=sizes[index][0] - sizes[index][1]
        ),
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)


def test_the_first_visible_gpu_is_measured_by_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch, (80, 70), (48, 40))
    assert free_gpu_memory(None) == Memory("cuda", 80, 70)
    assert free_gpu_memory("1,0") == Memory("cuda", 48, 40)


@pytest.mark.parametrize("hidden", ["", " ", "-1", "-1,0"])
def test_a_gpu_that_is_hidden_is_not_there(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    nvml(monkeypatch, (80, 70))
    assert free_gpu_memory(hidden) is None


def test_every_gpu_is_listed_with_its_use(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch, (80, 70), (48, 40))
    assert gpu_usage() == [
        {"name": "GPU 0", "used_bytes": 10, "total_bytes": 80},
        {"name": "GPU 1", "used_bytes": 8, "total_bytes": 48},
    ]


def test_without_nvml_nvidia_smi_is_asked_for_the_same_gpu(nvidia_smi: Path) -> None:
    (nvidia_smi / "told").write_text("81559, 80000\n")
    assert free_gpu_memory("3") == Memory("cuda", 81559 * MIB, 80000 * MIB)
    assert "--id=3 --query-gpu=memory.total,memory.free" in (nvidia_smi / "asked").read_text()


@pytest.mark.parametrize("told", ["No devices were found\n", ""])
def test_an_answer_without_numbers_is_no_gpu(nvidia_smi: Path, told: str) -> None:
    (nvidia_smi / "told").write_text(told)
    assert free_gpu_memory(None) is None


def test_without_nvml_and_nvidia_smi_there_is_no_gpu(
    no_nvml: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert free_gpu_memory(None) is None
    assert gpu_usage() == []


def test_the_machines_memory_is_what_linux_calls_available() -> None:
    memory, usage = free_host_memory(), hardware.host_usage()
    if not Path("/proc/meminfo").exists():
        assert memory is None
        assert usage is None
        return
    assert memory
    assert usage
    assert memory.device == "cpu"
    assert 0 < memory.free_bytes < memory.total_bytes == usage["total_bytes"]
    assert 0 < usage["used_bytes"] < usage["total_bytes"]
