"""Measures memory: of NVIDIA GPUs by NVML or nvidia-smi, of the machine by /proc/meminfo."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory that an engine may use, in bytes. `device` is "cuda" or "cpu"."""

    device: str
    total_bytes: int
    free_bytes: int


def free_gpu_memory(visible: str | None) -> Memory | None:
    """Memory of the first GPU in `visible`, the value of CUDA_VISIBLE_DEVICES. None if there is no GPU."""
    first = ("0" if visible is None else visible).split(",")[0].strip()
    if first in ("", "-1"):  # CUDA sees no GPU then
        return None
    index = int(first) if first.isdigit() else 0
    try:
        import pynvml
    except ImportError:
        return _ask_nvidia_smi(index)
    try:
        pynvml.nvmlInit()
        info = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(index))
    except pynvml.NVMLError:
        return None
    return Memory("cuda", int(info.total), int(info.free))


def free_host_memory() -> Memory | None:
    """Memory of this machine, of which Linux calls `free_bytes` available. None on other systems."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kib = {key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines) if rest}
    return Memory("cpu", kib["MemTotal"] << 10, kib["MemAvailable"] << 10)


def gpu_usage() -> list[dict[str, Any]]:
    """Name, used and total bytes of every GPU, by NVML. Empty if NVML cannot be asked."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        found = [(pynvml.nvmlDeviceGetName(gpu), pynvml.nvmlDeviceGetMemoryInfo(gpu)) for gpu in handles]
    except Exception:  # the library or the driver is missing, each in its own way
        return []
    return [{"name": str(name), "used_bytes": int(info.used), "total_bytes": int(info.total)} for name, info in found]


def host_usage() -> dict[str, int] | None:
    """Used and total bytes of this machine; None if they cannot be read."""
    found = free_host_memory()
    if found is None:
        return None
    return {"used_bytes": found.total_bytes - found.free_bytes, "total_bytes": found.total_bytes}


def _ask_nvidia_smi(index: int) -> Memory | None:
    query = [
        "nvidia-smi",
        f"--id={index}",
        "--query-gpu=memory.total,memory.free",
        "--format=csv,noheader,nounits",
    ]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        total_mib, free_mib = (int(part) for part in answer.split(","))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Memory("cuda", total_mib << 20, free_mib << 20)
