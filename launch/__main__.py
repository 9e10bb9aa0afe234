"""The command `rerank`: reads arguments and environment and calls the part that does the work.

The parts are imported by the commands that need them: `--help` and completion stay fast, and `rerank engine` runs
where gateway/ is absent.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from launch.errors import LaunchError
from launch.vllm import TESTED_VLLM

# Panels and colours for a terminal, plain text for a pipe.
_ON_TERMINAL = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _examples(*lines: str) -> str:
    """Examples for the end of a help text. The backspace keeps the line breaks."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


app = typer.Typer(
    name="rerank",
    help="Run rerankers and the gateway in front of them.",
    epilog=_examples("rerank up", "rerank models", "rerank up Qwen3-Reranker-4B --install-vllm"),
    rich_markup_mode="rich" if _ON_TERMINAL else None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    from launch.console import Console

    try:
        status = app(arguments, prog_name="rerank", standalone_mode=False)
        return int(status or 0)
    except LaunchError as error:
        text, status = str(error), 1
    except typer.TyperException as error:
        text, status = " ".join(error.format_message().split()), error.exit_code
    except KeyboardInterrupt:
        return 130
    if text:
        Console(sys.stderr, os.environ).error(text)
    return status


def _known_models(incomplete: str) -> Iterator[str]:
    from launch import catalogue

    return (model.name for model in catalogue.read().models if model.name.lower().startswith(incomplete.lower()))


def _known_families(incomplete: str) -> Iterator[str]:
    from launch import catalogue

    return (family for family in catalogue.read().families if family.startswith(incomplete))


def _known_profiles(incomplete: str) -> Iterator[str]:
    from launch import catalogue

    return (profile for profile in catalogue.read().profiles if profile.startswith(incomplete))


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"rerank {version('rerank-gateway')}")
        except PackageNotFoundError:  # a checkout that is not installed, as in vLLM's image
            print("rerank, not installed")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _rerank(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


_Name = typer.Argument(
    metavar="NAME",
    help="A name of `rerank models`, an id on the Hugging Face hub, or a folder.",
    autocompletion=_known_models,
)
_Names = typer.Argument(
    metavar="MODEL",
    help="Names of `rerank models`, ids on the Hugging Face hub, or folders.",
    autocompletion=_known_models,
)
_Family = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The family of a model that is not listed, one of `rerank models`. Default: the one that its files tell.",
        autocompletion=_known_families,
    ),
]
_MaxTokens = Annotated[
    int | None, typer.Option(metavar="N", help="Longest prompt to serve. A shorter one takes less memory.")
]
_Vllm = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="The vllm to use. Default: beside this Python, in .venv-vllm, or on the PATH."),
]
_EngineArgs = Annotated[
    list[str] | None,
    typer.Option(metavar="WORDS", help="More arguments for the engine, which win: --engine-args='--dtype float32'."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(
    epilog=_examples(
        "rerank up",
        "rerank up Qwen3-Reranker-0.6B all-MiniLM-L6-v2",
        "rerank up --profile both --install-vllm",
        "rerank up ./my-model --family cross-encoder --config gateway.yaml",
    )
)
def up(
    models: Annotated[list[str] | None, _Names] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The models for text, for pictures and videos (vision), or both.",
            autocompletion=_known_profiles,
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings of the gateway. RERANK_* variables override them.")
    ] = None,
    install_vllm: Annotated[
        bool, typer.Option("--install-vllm", help=f"Install vLLM {TESTED_VLLM} in .venv-vllm first.")
    ] = False,
    lazy: Annotated[bool, typer.Option("--lazy", help="Start an engine when the gateway is asked to load it.")] = False,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="No studio in the browser.")] = False,
    family: _Family = None,
    max_tokens: _MaxTokens = None,
    vllm: _Vllm = None,
    engine_args: _EngineArgs = None,
) -> int:
    """Start engines, the gateway and the studio, and show how to ask them."""
    from launch import catalogue, engine, machine, selection
    from launch.console import Console
    from launch.gateway_config import read_config
    from launch.up import Composition
    from launch.up import up as run
    from launch.workspace import run_in_workspace

    known, environment = catalogue.read(), dict(os.environ)
    console = Console(sys.stdout, environment)
    if profile and profile not in known.profiles:
        raise typer.BadParameter(f"{profile!r} is none of {', '.join(known.profiles)}", param_hint="--profile")
    if profile and models:
        raise LaunchError("name models or a --profile, not both")
    settings = read_config(config)
    here = machine.install_vllm(environment) if install_vllm else machine.measure(vllm, environment)
    names = known.profiles[profile] if profile else models or [selection.default_name(known, here, console)]
    chosen = selection.select_all(known, names, selection.Wish(family, max_tokens))
    engines = engine.prepare_all(chosen, known, here, _words(engine_args))
    composition = Composition(engines, settings, with_studio=not no_ui, lazy=lazy)
    return run_in_workspace(lambda folder, stop: run(composition, environment, folder, console, stop))


@app.command(
    epilog=_examples(
        "rerank engine Qwen3-Reranker-4B --port 8001",
        "rerank engine Qwen3-Reranker-4B --dry-run",
        "rerank engine Qwen3-VL-Reranker-2B --port 8002 --after http://127.0.0.1:8001",
    )
)
def engine(
    model: Annotated[str, _Name],
    host: Annotated[str, typer.Option(help="vLLM's /score asks for no key: keep it on this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the engine.")] = 8001,
    after: Annotated[
        str | None, typer.Option(metavar="URL", help="Start when the engine there is ready: for two on one GPU.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command and stop.")] = False,
    vllm_version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="With --dry-run: the command for that version.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")] = False,
    family: _Family = None,
    max_tokens: _MaxTokens = None,
    vllm: _Vllm = None,
    engine_args: _EngineArgs = None,
) -> int:
    """Run one engine in the foreground."""
    from launch import catalogue, machine, selection
    from launch.address import Address
    from launch.engine import prepare

    known, environment, address = catalogue.read(), dict(os.environ), Address(host, port)
    chosen = selection.select(known, model, selection.Wish(family, max_tokens))
    if json and not dry_run:
        raise typer.BadParameter("--json goes with --dry-run", param_hint="--json")
    if dry_run:
        from launch.dry_run import dry_run_machine, print_command

        here = dry_run_machine(vllm, vllm_version, environment)
        print_command(prepare(chosen, known, here, address, _words(engine_args)), as_json=json)
        return 0
    if after:
        from launch.console import Console
        from launch.readiness import wait_for_engine

        wait_for_engine(after, Console(sys.stdout, environment))
    from launch.foreground import run

    here = machine.measure(vllm, environment)
    return run(prepare(chosen, known, here, address, _words(engine_args)), environment)


@app.command(epilog=_examples("rerank models", "rerank models --json"))
def models(json: _Json = False) -> int:
    """List the models known by name."""
    from launch import catalogue, listing
    from launch.console import Console

    known = catalogue.read().models
    if json:
        _print_json([listing.entry(model) for model in known])
        return 0
    console = Console(sys.stdout, os.environ)
    console.table(listing.HEAD, [listing.row(model) for model in known])
    console.say(f"\n{listing.NOTE}")
    return 0


@app.command(epilog=_examples("rerank doctor", "rerank doctor --gateway https://rerank.example.com --api-key KEY"))
def doctor(
    gateway: Annotated[str, typer.Option(metavar="URL", help="The gateway to examine.")] = "http://127.0.0.1:8000",
    api_key: Annotated[str | None, typer.Option(metavar="KEY", help="Default: the variable RERANK_API_KEY.")] = None,
    json: _Json = False,
) -> int:
    """Check that a running gateway gives the right numbers."""
    from launch.console import Console
    from launch.doctor import HEAD, examine, rows

    report = examine(gateway, api_key or os.environ.get("RERANK_API_KEY"))
    if json:
        _print_json(report)
    else:
        Console(sys.stdout, os.environ).table(HEAD, rows(report))
    return 0 if report["ready"] else 1


def _words(groups: Sequence[str] | None) -> list[str]:
    """The words of all --engine-args, split as a shell does."""
    import shlex

    return [word for group in groups or () for word in shlex.split(group)]


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
