"""The command line of an engine: a pure function of model, vLLM version and memory plan."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from launch.catalogue import TEMPLATES, LaunchError, Model
from launch.memory import Plan

Version = tuple[int, int, int]

# The newest vLLM this was tested with; `--install-vllm` installs it and `--dry-run` assumes it.
TESTED_VLLM = "0.32.0"

# Added to an engine's environment. Not VLLM_CPU_KVCACHE_SPACE: it beats --kv-cache-memory-bytes, in gigabytes.
ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class _Row:
    """Arguments that vLLM wants, `since` <= version < `before`; [] for models they do not concern."""

    since: Version
    before: Version
    arguments: Callable[[Model, Plan], Sequence[str]]


_ANY: Version = (0, 0, 0)
_NEVER: Version = (999, 0, 0)

_ROWS = (
    # --task was the only form until 0.10.0 and is gone since 0.13.
    _Row(_ANY, (0, 10, 1), lambda _model, _plan: ["--task", "score"]),
    _Row((0, 10, 1), _NEVER, lambda _model, _plan: ["--runner", "pooling"]),
    _Row(_ANY, _NEVER, lambda model, _plan: ["--dtype", model.dtype]),
    _Row(_ANY, _NEVER, lambda _model, plan: ["--max-model-len", str(plan.max_model_len)]),
    _Row(_ANY, _NEVER, lambda _model, plan: ["--max-num-seqs", str(plan.max_num_seqs)]),
    _Row(_ANY, _NEVER, lambda _model, plan: _utilisation(plan)),
    # Earlier CPU builds take 4 GiB of cache unless told otherwise, and have no such flag.
    _Row((0, 11, 0), _NEVER, lambda _model, plan: _kv_cache(plan)),
    _Row(_ANY, (0, 33, 0), lambda model, _plan: _overrides(model, with_tie=True)),
    _Row((0, 33, 0), _NEVER, lambda model, _plan: _overrides(model, with_tie=False)),
    # Scoring ignores the template before 0.14: there a caller must send complete prompts.
    _Row((0, 14, 0), _NEVER, lambda model, _plan: _template(model)),
    _Row(_ANY, _NEVER, lambda model, _plan: model.vllm_args),
)


def vllm_command(
    model: Model,
    version: str,
    plan: Plan,
    *,
    port: int,
    host: str = "127.0.0.1",
    executable: str = "vllm",
    extra: Sequence[str] = (),
) -> list[str]:
    """The `vllm serve` command for this version of vLLM; `extra` comes last, so it wins.

    Raises LaunchError where the version cannot give the model's right scores.
    """
    if parse_version(version) < parse_version(model.min_vllm):
        raise LaunchError(f"{model.name} needs vLLM {model.min_vllm} or later, and this is {version}")
    number = parse_version(version)
    revision = ["--revision", model.revision] if model.revision else []
    fitted = [word for row in _ROWS if row.since <= number < row.before for word in row.arguments(model, plan)]
    address = ["--host", host, "--port", str(port)]
    names = ["--served-model-name", *dict.fromkeys((model.name, model.hub))]
    return [executable, "serve", model.hub, *revision, *address, *names, *fitted, *extra]


def embedded_command(*, port: int, host: str = "127.0.0.1", extra: Sequence[str] = ()) -> list[str]:
    """The engine that ships in this package."""
    return [sys.executable, "-m", "launch.embedded", "--host", host, "--port", str(port), *extra]


def engine_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without the gateway's settings: its keys are no business of an engine."""
    return {
        **{name: value for name, value in environment.items() if not name.startswith("RERANK_")},
        **ENVIRONMENT,
    }


def parse_version(text: str) -> Version:
    """`0.32.0+cpu`, `0.11.1rc4`, `0.33` -> three numbers; raises LaunchError for anything else."""
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not match:
        raise LaunchError(f"not a version of vLLM: {text!r}")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def _utilisation(plan: Plan) -> list[str]:
    share = plan.gpu_memory_utilization
    return [] if share is None else ["--gpu-memory-utilization", f"{share:g}"]


def _kv_cache(plan: Plan) -> list[str]:
    size = plan.kv_cache_bytes
    return [] if size is None else ["--kv-cache-memory-bytes", str(size)]


def _overrides(model: Model, *, with_tie: bool) -> list[str]:
    overrides = dict(model.hf_overrides)
    if with_tie and model.tie_word_embeddings is not None:
        # With transformers 5 the nested config lacks this key, and vLLM before 0.33 reads it there.
        overrides["text_config"] = {"tie_word_embeddings": model.tie_word_embeddings}
    return ["--hf-overrides", json.dumps(overrides, separators=(",", ":"))] if overrides else []


def _template(model: Model) -> list[str]:
    return ["--chat-template", str(TEMPLATES / model.template)] if model.template else []
