"""The command line of an engine: a pure function of model, vLLM version and memory plan."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from launch.address import Address
from launch.catalogue import TEMPLATES, Model
from launch.errors import LaunchError
from launch.memory import Plan
from launch.vllm import Version, Vllm, parse_version

# Added to an engine's environment. VLLM_CPU_KVCACHE_SPACE is not among them: it overrides --kv-cache-memory-bytes, and
# counts in gigabytes.
ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1"}


# Flags of `vllm serve` that change scores. An engine that is started with one of them follows a recipe nobody knows.
_SCORE_FLAGS = (
    *("--hf-overrides", "--pooler-config", "--override-pooler-config", "--convert", "--runner", "--task"),
    *("--chat-template", "--revision", "--quantization", "--mm-processor-kwargs", "--media-io-kwargs"),
    *("--config", "--hf-config-path", "--tokenizer", "--tokenizer-revision"),
)


@dataclass(frozen=True, slots=True)
class _Row:
    """Arguments for versions with `since` <= version < `before`. They are empty for models that do not need them."""

    since: Version
    before: Version
    arguments: Callable[[Model, Plan], Sequence[str]]


_ANY: Version = (0, 0, 0)
_NEVER: Version = (999, 0, 0)

_ROWS = (
    # --task was the only form up to 0.10.0 and was removed in 0.13.
    _Row(_ANY, (0, 10, 1), lambda _model, _plan: ["--task", "score"]),
    _Row((0, 10, 1), _NEVER, lambda _model, _plan: ["--runner", "pooling"]),
    _Row(_ANY, _NEVER, lambda model, _plan: ["--dtype", model.dtype]),
    _Row(_ANY, _NEVER, lambda _model, plan: ["--max-model-len", str(plan.max_model_len)]),
    _Row(_ANY, _NEVER, lambda _model, plan: ["--max-num-seqs", str(plan.max_num_seqs)]),
    _Row(_ANY, _NEVER, lambda _model, plan: _utilisation(plan)),
    # Earlier CPU builds lack the flag and take 4 GiB of cache.
    _Row((0, 11, 0), _NEVER, lambda _model, plan: _kv_cache(plan)),
    _Row(_ANY, (0, 33, 0), lambda model, _plan: _overrides(model, with_tie=True)),
    _Row((0, 33, 0), _NEVER, lambda model, _plan: _overrides(model, with_tie=False)),
    # Before 0.14 scoring ignores the template, so that callers must send complete prompts.
    _Row((0, 14, 0), _NEVER, lambda model, _plan: _template(model)),
    _Row(_ANY, _NEVER, lambda model, _plan: model.vllm_args),
)


def vllm_command(model: Model, vllm: Vllm, plan: Plan, address: Address, extra: Sequence[str] = ()) -> list[str]:
    """The `vllm serve` command for this version of vLLM. `extra` comes last, so that it wins.

    Raises LaunchError if the version cannot give the model's right scores.
    """
    number = parse_version(vllm.version)
    if number < parse_version(model.min_vllm):
        raise LaunchError(f"{model.name} needs vLLM {model.min_vllm} or later, and this is {vllm.version}")
    revision = ["--revision", model.revision] if model.revision else []
    fitted = [word for row in _ROWS if row.since <= number < row.before for word in row.arguments(model, plan)]
    names = ["--served-model-name", *dict.fromkeys((model.name, model.hub)), *_marker(model, vllm, extra)]
    return [vllm.executable, "serve", model.hub, *revision, *_listen(address), *names, *fitted, *extra]


def embedded_command(model: Model, address: Address, extra: Sequence[str] = ()) -> list[str]:
    """The command of the engine that ships in this package. Its own model needs no name."""
    named: list[str] = []
    if model.embeddable:
        revision = ["--revision", model.revision] if model.revision else []
        named = ["--model", model.hub, *revision, "--served-model-name", *dict.fromkeys((model.name, model.hub))]
    return [sys.executable, "-m", "launch.embedded", *_listen(address), *named, *extra]


def engine_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without the gateway's settings, among them its API keys."""
    return {
        **{name: value for name, value in environment.items() if not name.startswith("RERANK_")},
        **ENVIRONMENT,
    }


def _listen(address: Address) -> list[str]:
    return ["--host", address.host, "--port", str(address.port)]


def _utilisation(plan: Plan) -> list[str]:
    share = plan.gpu_memory_utilization
    return [] if share is None else ["--gpu-memory-utilization", f"{share:g}"]


def _kv_cache(plan: Plan) -> list[str]:
    size = plan.kv_cache_bytes
    return [] if size is None else ["--kv-cache-memory-bytes", str(size)]


def _marker(model: Model, vllm: Vllm, extra: Sequence[str]) -> list[str]:
    """A name that tells the gateway the recipe that the engine was started for.

    It has a digest of all that makes the scores, so that another start is another name. An engine whose further
    arguments change the recipe gets none.
    """
    if any(_changes_scores(word) for word in extra):
        return []
    template = (TEMPLATES / model.template).read_text(encoding="utf-8") if model.template else ""
    start = [model.hf_overrides, template, [*model.vllm_args, *extra], model.dtype, vllm.version]
    digest = sha256(json.dumps(start, sort_keys=True).encode()).hexdigest()
    return [f"recipe:{model.family}:{digest[:12]}"]


def _changes_scores(word: str) -> bool:
    """True for such a flag in any spelling of vLLM's: --a_b, --a-b=1, --a-b.key 1, -q, or the flag's beginning."""
    name = word.partition("=")[0].partition(".")[0].replace("_", "-")
    return name[:2] == "-q" or (len(name) > 2 and any(flag.startswith(name) for flag in _SCORE_FLAGS))


def _overrides(model: Model, *, with_tie: bool) -> list[str]:
    overrides = dict(model.hf_overrides)
    if with_tie and model.tie_word_embeddings is not None:
        # transformers 5 leaves this key out of the nested config, where vLLM before 0.33 reads it.
        overrides["text_config"] = {"tie_word_embeddings": model.tie_word_embeddings}
    return ["--hf-overrides", json.dumps(overrides, separators=(",", ":"))] if overrides else []


def _template(model: Model) -> list[str]:
    return ["--chat-template", str(TEMPLATES / model.template)] if model.template else []
