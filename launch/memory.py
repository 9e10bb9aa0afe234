"""The memory plan: the context and the number of concurrent pairs that fit into the free memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from launch.catalogue import Model
from launch.errors import LaunchError
from launch.hardware import Memory

GIB = 1 << 30

# Memory of vLLM beside weights and KV cache. On a GPU: CUDA context, graphs and the activations of one batch. On a CPU:
# interpreter and activations (1.5 GiB in all were measured for a model of 4 MB).
_OVERHEAD_BYTES = {"cuda": 2 * GIB, "cpu": 2 * GIB}
# A rest stays free: other programs need some, and vLLM refuses to start with less than it was promised.
_USABLE = 0.92
# A larger KV cache makes nothing faster, because a pair is prefilled once and then gone.
_WANTED_KV_TOKENS = {"cuda": 262_144, "cpu": 32_768}
_TYPICAL_PAIR_TOKENS = 512
_SMALLEST_CONTEXT = 1024
_KV_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes on an engine's command line. The KV cache is a share of the memory on a GPU, and bytes on a CPU."""

    max_model_len: int
    max_num_seqs: int
    gpu_memory_utilization: float | None = None
    kv_cache_bytes: int | None = None


class DoesNotFitError(LaunchError):
    """The model needs more memory than is free."""


def plan(model: Model, memory: Memory) -> Plan:
    """The plan for `model` in `memory`. Raises DoesNotFitError if not even the shortest context fits."""
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
    # Rounded up, so that the cache is whole, but never past the free memory.
    ceiling = memory.free_bytes * _USABLE / memory.total_bytes
    return Plan(context, seqs, gpu_memory_utilization=min(int(share * 100) + 1, int(ceiling * 100)) / 100)


def shares(models: Sequence[Model], memory: Memory) -> list[Memory]:
    """One memory split among several engines. Raises DoesNotFitError if they do not fit together.

    Every engine gets its weights and overhead. The rest is split by the size of the KV cache that each can use.
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
    """The plan for a machine whose memory cannot be read: the model's own context and vLLM's own utilisation."""
    return Plan(model.max_tokens, max_num_seqs=128, gpu_memory_utilization=0.9)


def step_downs(first: Plan) -> tuple[Plan, ...]:
    """Smaller plans for an engine that runs out of memory at its start: half the context, then a quarter."""
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
    """The plan in words."""
    share = plan.gpu_memory_utilization
    of_gpu = f", {share:.0%} of the GPU" if share else ""
    return f"a context of {plan.max_model_len} tokens, {plan.max_num_seqs} pairs at once{of_gpu}"


def needed_gib(model: Model) -> float:
    """Memory to serve `model` at its default context, one pair of full length at a time."""
    cache = model.max_tokens * model.kv_bytes_per_token
    overhead = 0 if model.engine == "embedded" else _OVERHEAD_BYTES["cuda"]
    return (model.weights_bytes + cache + overhead) / GIB


def alternatives(model: Model, models: Iterable[Model], memory: Memory | None) -> tuple[Model, ...]:
    """Models of the same family that need less memory and fit, largest first."""
    limit = min(memory.free_bytes * _USABLE / GIB if memory else needed_gib(model), needed_gib(model) - 0.1)
    fitting = (other for other in models if other.family == model.family and needed_gib(other) < limit)
    return tuple(sorted(fitting, key=needed_gib, reverse=True))
