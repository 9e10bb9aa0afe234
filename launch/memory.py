"""The memory plan: how long a context and how many pairs at once fit into what is free."""

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launch.catalogue import LaunchError, Model

GIB = 1 << 30

# What vLLM needs beside weights and KV cache: CUDA context, graphs and one batch's activations on a GPU;
# interpreter and activations on a CPU (measured there: 1.5 GiB in all for a model of 4 MB).
_OVERHEAD_BYTES = {"cuda": 2 * GIB, "cpu": 2 * GIB}
# Never all of it: other programs breathe, and vLLM does not start when less is free than it was promised.
_USABLE = 0.92
# More KV cache than this speeds up nothing: pairs are prefilled once and gone.
_WANTED_KV_TOKENS = {"cuda": 262_144, "cpu": 32_768}
_TYPICAL_PAIR_TOKENS = 512
_SMALLEST_CONTEXT = 1024
_KV_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """What an engine may use, in bytes; device is "cuda" or "cpu"."""

    device: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes on the command line. On a GPU the cache is given by utilisation, on a CPU in bytes."""

    max_model_len: int
    max_num_seqs: int
    gpu_memory_utilization: float | None = None
    kv_cache_bytes: int | None = None


class DoesNotFitError(LaunchError):
    """The model needs more memory than is free."""


def plan(model: Model, memory: Memory) -> Plan:
    """The plan for `model`; raises DoesNotFitError when not even the shortest context fits."""
    room = int(memory.free_bytes * _USABLE) - model.weights_bytes - _OVERHEAD_BYTES[memory.device]
    per_token = model.kv_bytes_per_token
    wanted = _WANTED_KV_TOKENS[memory.device]
    kv_tokens = min(wanted, room // per_token) if per_token else (wanted if room > 0 else 0)
    context = model.max_tokens
    while context > kv_tokens and context // 2 >= _SMALLEST_CONTEXT:
        context //= 2
    if kv_tokens < context:
        free_gib = memory.free_bytes / GIB
        raise DoesNotFitError(f"{model.name} needs about {needed_gib(model):.1f} GiB; {free_gib:.1f} GiB are free")
    kv_bytes = kv_tokens * per_token
    seqs = max(8, min(256, kv_tokens // _TYPICAL_PAIR_TOKENS))
    if memory.device == "cpu":
        blocks = -(-kv_bytes // _KV_BLOCK_BYTES)
        return Plan(context, min(seqs, 64), kv_cache_bytes=max(4, blocks) * _KV_BLOCK_BYTES)
    share = (model.weights_bytes + _OVERHEAD_BYTES["cuda"] + kv_bytes) / memory.total_bytes
    # Rounded up for the cache to be whole, but never past what is free.
    ceiling = memory.free_bytes * _USABLE / memory.total_bytes
    return Plan(context, seqs, gpu_memory_utilization=min(int(share * 100) + 1, int(ceiling * 100)) / 100)


def shares(models: Sequence[Model], memory: Memory) -> list[Memory]:
    """What each of several engines may take of one memory, so that all of them fit; raises DoesNotFitError.

    Each gets what it needs in any case; the rest goes where a cache has use for it.
    """
    fixed = [model.weights_bytes + _OVERHEAD_BYTES[memory.device] for model in models]
    caches = [_WANTED_KV_TOKENS[memory.device] * model.kv_bytes_per_token for model in models]
    rest = int(memory.free_bytes * _USABLE) - sum(fixed)
    if rest < sum(_SMALLEST_CONTEXT * model.kv_bytes_per_token for model in models):
        needed, free = sum(map(needed_gib, models)), memory.free_bytes / GIB
        names = " and ".join(model.name for model in models)
        raise DoesNotFitError(f"{names} together need about {needed:.1f} GiB; {free:.1f} GiB are free")
    return [
        replace(memory, free_bytes=int((base + rest * cache / max(1, sum(caches))) / _USABLE))
        for base, cache in zip(fixed, caches, strict=True)
    ]


def default_plan(model: Model) -> Plan:
    """For a machine whose memory cannot be read: the model's own context and vLLM's own utilisation."""
    return Plan(model.max_tokens, max_num_seqs=128, gpu_memory_utilization=0.9)


def step_downs(first: Plan) -> tuple[Plan, ...]:
    """What to try when an engine dies of memory at start: half the context, then a quarter and less."""
    return tuple(
        replace(
            first,
            max_model_len=max(first.max_model_len // divisor, min(first.max_model_len, _SMALLEST_CONTEXT)),
            max_num_seqs=max(8, first.max_num_seqs // divisor),
            gpu_memory_utilization=first.gpu_memory_utilization and round(first.gpu_memory_utilization * share, 2),
        )
        for divisor, share in ((2, 1.0), (4, 0.85))
    )


def describe(plan: Plan) -> str:
    share = plan.gpu_memory_utilization
    of_gpu = f", {share:.0%} of the GPU" if share else ""
    return f"a context of {plan.max_model_len} tokens, {plan.max_num_seqs} pairs at once{of_gpu}"


def needed_gib(model: Model) -> float:
    """Memory to serve `model` at its default context, one full-length pair at a time."""
    cache = model.max_tokens * model.kv_bytes_per_token
    overhead = 0 if model.engine == "embedded" else _OVERHEAD_BYTES["cuda"]
    return (model.weights_bytes + cache + overhead) / GIB


def alternatives(model: Model, models: Iterable[Model], memory: Memory | None) -> tuple[Model, ...]:
    """Models of the same family that need less: those that fit, largest first."""
    limit = min(memory.free_bytes * _USABLE / GIB if memory else needed_gib(model), needed_gib(model) - 0.1)
    fitting = (other for other in models if other.family == model.family and needed_gib(other) < limit)
    return tuple(sorted(fitting, key=needed_gib, reverse=True))


def died_of_memory(lines: Iterable[str]) -> bool:
    """Whether these last lines of an engine say it ran out of memory."""
    return any(sign in line for line in lines for sign in _SIGNS)


_SIGNS = (
    "CUDA out of memory",
    "OutOfMemoryError",
    "No available memory for the cache blocks",
    "larger than the maximum number of tokens that can be stored in KV cache",
    "larger than the available KV cache memory",
    "less than desired GPU memory utilization",
    "less than desired CPU memory utilization",
    "DefaultCPUAllocator: can't allocate memory",
    "Cannot allocate memory",
)


def free_gpu_memory(visible: str | None) -> Memory | None:
    """The first GPU of CUDA_VISIBLE_DEVICES (`visible`), by NVML or nvidia-smi; None where there is none."""
    first = (visible or "0").split(",")[0]
    index = int(first) if first.isdigit() else 0
    if visible is not None and not visible.strip("- "):
        return None
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


def gpus() -> list[dict[str, Any]]:
    """Every GPU's name and use, by NVML; none where that cannot be asked."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        found = [(pynvml.nvmlDeviceGetName(one), pynvml.nvmlDeviceGetMemoryInfo(one)) for one in handles]
    except Exception:  # the library or the driver is missing, each in its own way
        return []
    return [{"name": str(name), "used_bytes": int(info.used), "total_bytes": int(info.total)} for name, info in found]


def host() -> dict[str, int] | None:
    """The machine's own memory, as gpus() tells theirs."""
    found = free_cpu_memory()
    if found is None:
        return None
    return {"used_bytes": found.total_bytes - found.free_bytes, "total_bytes": found.total_bytes}


def free_cpu_memory() -> Memory | None:
    """What Linux calls available; None elsewhere."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kib = {key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines) if rest}
    return Memory("cpu", kib["MemTotal"] << 10, kib["MemAvailable"] << 10)


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
