"""The command `rerank`: reads arguments and environment, and hands them to the part that does the work."""

import argparse
import asyncio
import dataclasses
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from launch import catalogue, engine, memory, vllm
from launch.catalogue import Catalogue, LaunchError, Model
from launch.command import ENVIRONMENT, TESTED_VLLM
from launch.console import Console
from launch.doctor import doctor, table
from launch.supervisor import supervise
from launch.up import read_config, up

_DEFAULT_ON_GPU = "Qwen3-Reranker-4B"
_PROFILES = {
    "text": ("Qwen3-Reranker-4B",),
    "vision": ("Qwen3-VL-Reranker-8B",),
    "both": ("Qwen3-Reranker-4B", "Qwen3-VL-Reranker-8B"),
}
_DEFAULT_ELSEWHERE = "all-MiniLM-L6-v2"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options, dict(os.environ)))
    except LaunchError as error:
        print(f"rerank: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _up(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    console, models = Console(), catalogue.read()
    config = read_config(options.config)
    visible_gpus = environment.get("CUDA_VISIBLE_DEVICES")
    if options.install_vllm:
        if memory.free_gpu_memory(visible_gpus) is None:
            raise LaunchError("--install-vllm installs the build for NVIDIA GPUs, and none is here")
        installed: vllm.Vllm | None = vllm.install()
    else:
        installed = vllm.find(options.vllm, environment.get("PATH"))
    free = engine.available_memory(installed, visible_gpus)
    if options.profile and options.models:
        raise LaunchError("name models or a --profile, not both")
    names = _PROFILES[options.profile] if options.profile else options.models
    chosen = [_model(models, name, options) for name in names] or [_default(models, installed, free, console)]
    if len({model.name.lower() for model in chosen}) < len(chosen):
        raise LaunchError("the same model twice")
    for model in chosen:
        engine.refuse_what_the_gateway_cannot_serve(model, installed)
    engines = engine.prepare_all(chosen, models, installed, free, _words(options.engine_args))
    return _in_workspace(
        lambda folder: up(
            engines, config, environment, folder, console, with_studio=not options.no_ui, lazy=options.lazy
        )
    )


def _engine(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    console, models = Console(), catalogue.read()
    model = _model(models, options.model, options)
    extra = _words(options.engine_args)
    if options.dry_run:
        return _dry_run(models, model, options, extra, environment)
    if options.after:
        engine.wait_for(options.after, console)
    installed = vllm.find(options.vllm, environment.get("PATH"))
    free = engine.available_memory(installed, environment.get("CUDA_VISIBLE_DEVICES"))
    chosen = engine.prepare(model, models, installed, free, host=options.host, port=options.port, extra=extra)
    engine.refuse_if_taken(options.host, options.port, change_with="--port")

    async def introduce() -> None:
        console.say(f"{model.name} serves vLLM's API at {chosen.url}. Ctrl-C ends it.")

    return _in_workspace(
        lambda folder: supervise([chosen.program(folder / "engine.log", environment)], console, once_ready=introduce)
    )


def _dry_run(
    models: Catalogue, model: Model, options: argparse.Namespace, extra: Sequence[str], environment: Mapping[str, str]
) -> int:
    """Prints the command instead of running it; without an installed vLLM, that of the tested version."""
    found = None if options.vllm_version else vllm.find(options.vllm, environment.get("PATH"))
    assumed = found or vllm.Vllm(options.vllm or "vllm", options.vllm_version or TESTED_VLLM, cpu=False)
    free = engine.available_memory(found, environment.get("CUDA_VISIBLE_DEVICES")) if found else None
    chosen = engine.prepare(model, models, assumed, free, host=options.host, port=options.port, extra=extra)
    variables = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    print(" ".join([*variables, shlex.join(chosen.commands[0])]))
    return 0


def _models(_options: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    rows = [
        [
            model.name + (" *" if model.community else ""),
            model.family,
            ",".join(model.modalities),
            str(model.context),
            f"{memory.needed_gib(model):.1f} GiB",
            "embedded" if model.engine == "embedded" else engine.oldest_vllm(model),
            ", ".join(model.aliases),
        ]
        for model in catalogue.read().models
    ]
    print(table(["NAME", "FAMILY", "TAKES", "CONTEXT", "MEMORY", "VLLM FROM", "ALSO CALLED"], rows))
    print("\n* quantised by the community, not measured by us")
    return 0


def _doctor(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    report, healthy = doctor(options.gateway, options.api_key or environment.get("RERANK_API_KEY"))
    print(report)
    return 0 if healthy else 1


def _model(models: Catalogue, name: str, options: argparse.Namespace) -> Model:
    folder = Path(name)
    if folder.is_dir():
        if not options.family:
            raise LaunchError(f"{folder} is a folder: say which --family it is ({', '.join(models.families)})")
        return models.folder(folder.absolute(), options.family, options.max_tokens)
    model = models.find(name)
    return dataclasses.replace(model, max_tokens=min(options.max_tokens or model.max_tokens, model.context))


def _default(models: Catalogue, installed: vllm.Vllm | None, free: memory.Memory | None, console: Console) -> Model:
    """The 4B reranker where a GPU and vLLM are, else the one that runs anywhere."""
    has_gpu = free is not None and free.device == "cuda"
    if has_gpu and installed:
        return models.find(_DEFAULT_ON_GPU)
    missing = "vLLM is not installed (--install-vllm does that)" if has_gpu else "No NVIDIA GPU here"
    console.say(f"{missing}: serving {_DEFAULT_ELSEWHERE}, small and English first, good for trying things out")
    return models.find(_DEFAULT_ELSEWHERE)


def _in_workspace(run: Callable[[Path], Coroutine[Any, Any, int]]) -> int:
    """Runs with a private folder for logs and the merged configuration; kept when something failed."""
    folder = Path(tempfile.mkdtemp(prefix="rerank-"))
    status = 0
    try:
        status = asyncio.run(run(folder))
    finally:
        if status == 0:
            shutil.rmtree(folder, ignore_errors=True)
    return status


def _words(groups: Sequence[str]) -> list[str]:
    return [word for group in groups for word in shlex.split(group)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rerank", description="Runs rerankers and the gateway in front of them.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("up", help="start engines, the gateway and the studio, and show how to ask them")
    command.set_defaults(run=_up)
    command.add_argument(
        "models", nargs="*", metavar="MODEL", help="a name of `rerank models`, or a folder with --family"
    )
    command.add_argument("--profile", choices=_PROFILES, help="the models for text, for pictures and video, or both")
    command.add_argument("--config", type=Path, metavar="FILE", help="settings of the gateway; RERANK_* variables win")
    command.add_argument("--install-vllm", action="store_true", help=f"install vLLM {TESTED_VLLM} in .venv-vllm first")
    command.add_argument("--lazy", action="store_true", help="start an engine when the gateway is asked to load it")
    command.add_argument("--no-ui", action="store_true", help="no studio in the browser")
    _add_engine_options(command)

    command = commands.add_parser("engine", help="run one engine in the foreground")
    command.set_defaults(run=_engine)
    command.add_argument("model", metavar="NAME", help="a name of `rerank models`, or a folder with --family")
    command.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: vLLM leaves /score open to everybody")
    command.add_argument("--port", type=int, default=8001, help="default 8001")
    command.add_argument("--after", metavar="URL", help="start when the engine there is ready: for two on one GPU")
    command.add_argument("--dry-run", action="store_true", help="print the command and stop")
    command.add_argument("--vllm-version", metavar="VERSION", help="with --dry-run: the form for that version")
    _add_engine_options(command)

    command = commands.add_parser("models", help="list the models known by name")
    command.set_defaults(run=_models)

    command = commands.add_parser("doctor", help="check that a running gateway gives the right numbers")
    command.set_defaults(run=_doctor)
    command.add_argument("--gateway", default="http://127.0.0.1:8000", metavar="URL", help="default %(default)s")
    command.add_argument("--api-key", metavar="KEY", help="default: the variable RERANK_API_KEY")
    return parser


def _add_engine_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--family", help="of the model in a folder: cross-encoder, qwen3-reranker, qwen3-vl-reranker")
    command.add_argument("--max-tokens", type=int, metavar="N", help="longest prompt to serve; less takes less memory")
    command.add_argument("--vllm", metavar="PATH", help="the vllm to use; default: here, in .venv-vllm, or on the PATH")
    command.add_argument(
        "--engine-args",
        action="append",
        default=[],
        metavar="WORDS",
        help="more arguments for the engine; they win. Write --engine-args='--dtype float32'",
    )


if __name__ == "__main__":
    sys.exit(main())
