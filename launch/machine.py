"""The machine as a place for engines: the vLLM installed here and the memory that it may use."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launch import hardware, vllm
from launch.errors import LaunchError
from launch.hardware import Memory
from launch.vllm import Vllm


@dataclass(frozen=True, slots=True)
class Machine:
    """vllm: None if none is installed. memory: None if it cannot be measured."""

    vllm: Vllm | None
    memory: Memory | None

    @property
    def has_gpu(self) -> bool:
        return self.memory is not None and self.memory.device == "cuda"


def measure(executable: Path | None, environment: Mapping[str, str]) -> Machine:
    """This machine, with the vLLM at `executable` or the first that is found. Raises LaunchError."""
    found = vllm.find(str(executable) if executable else None, environment.get("PATH"))
    return Machine(found, _free_memory(found, environment))


def install_vllm(environment: Mapping[str, str]) -> Machine:
    """This machine with the tested vLLM installed. Raises LaunchError without an NVIDIA GPU."""
    if hardware.free_gpu_memory(environment.get("CUDA_VISIBLE_DEVICES")) is None:
        raise LaunchError("--install-vllm installs the build for NVIDIA GPUs, and none is here")
    installed = vllm.install()
    return Machine(installed, _free_memory(installed, environment))


def _free_memory(found: Vllm | None, environment: Mapping[str, str]) -> Memory | None:
    if found and found.cpu:
        return hardware.free_host_memory()
    return hardware.free_gpu_memory(environment.get("CUDA_VISIBLE_DEVICES"))
