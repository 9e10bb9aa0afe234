"""A bad setting stops the start with one line that names it; a variable overrides what the file says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import app
from gateway.settings import Settings, SettingsError, load

MODEL = {"family": "cross-encoder", "engine": "http://127.0.0.1:9"}
QWEN = {"family": "qwen3-reranker", "engine": "http://127.0.0.1:9"}


def loaded(environ: Mapping[str, str] | None = None, **settings: Any) -> Settings:
    return load(yaml.safe_dump({"models": {"m": MODEL}, **settings}), environ or {})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"models": {}}, "models: "),
        ({"models": None}, "models"),
        ({"models": ["m"]}, "models: "),
        ({"models": {"m": None}}, "models"),
        ({"models": {"m": {"family": "cross-encoder"}}}, "engine: required"),
        ({"models": {"m": {"engine": "http://127.0.0.1:9"}}}, "family: required"),
        ({"models": {"m": MODEL | {"family": "gpt"}}}, "'gpt'"),
        ({"models": {"m": MODEL | {"engine": "127.0.0.1:9"}}}, "models.m.engine: "),
        ({"models": {"m": MODEL | {"engine": 5}}}, "engine: "),
        ({"models": {"m": MODEL | {"max_tokens": 0}}}, "models.m.max_tokens: "),
        ({"models": {"m": MODEL | {"max_tokens": "many"}}}, "max_tokens: "),
        ({"models": {"m": MODEL | {"alias": ["a"]}}}, "alias"),
        ({"models": {"m": MODEL | {"aliases": "a"}}}, "aliases: "),
        ({"models": {"m": QWEN}}, "models.m.tokenizer: "),
        ({"default_model": "other"}, "default_model: "),
        ({"unknown_model": "perhaps"}, "unknown_model: "),
        ({"api_keys": "abc"}, "api_keys: "),
        ({"api_keys": ["a", ""]}, "api_keys: "),
        ({"api_keys": [None]}, "api_keys[0]: "),
        ({"host": None}, "host: "),
        ({"port": "http"}, "port: "),
        ({"port": -1}, "port: "),
        ({"port": 65536}, "port: "),
        ({"workers": 0}, "workers: "),
        ({"prot": 8000}, "prot"),
        ({"limits": {"max_documents": 0}}, "limits.max_documents: "),
        ({"limits": {"max_body_bytes": -5}}, "limits.max_body_bytes: "),
        ({"limits": {"max_pairs_waiting": 1.5}}, "limits.max_pairs_waiting: "),
        ({"limits": {"engine_timeout_s": 0}}, "limits.engine_timeout_s: "),
        ({"limits": {"engine_timeout_s": "long"}}, "limits.engine_timeout_s: "),
        ({"limits": {"engine_timeout_s": float("nan")}}, "limits.engine_timeout_s: "),
        ({"limits": {"engine_timeout_s": float("inf")}}, "limits.engine_timeout_s: "),
        ({"limits": {"max_document": 5}}, "limits.max_document"),
        *(({"limits": limits}, "limits: ") for limits in (5, "many", [1])),
    ],
    ids=str,
)
def test_a_wrong_setting_is_one_line_that_names_it(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        app.build(loaded(**settings))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "\t", "- a\n- b", "word", "a: b: c"])
def test_a_file_that_is_no_mapping_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^the file [^\n]*$"):
        load(text, {})


@pytest.mark.parametrize(
    ("variable", "text", "named"),
    [
        ("RERANK_PORT", "http", "port: "),
        ("RERANK_WORKERS", "", "workers: "),
        ("RERANK_UNKNOWN_MODEL", "maybe", "unknown_model: "),
        ("RERANK_LIMITS_MAX_DOCUMENTS", "0", "limits.max_documents: "),
        ("RERANK_LIMITS_ENGINE_TIMEOUT_S", "1m", "limits.engine_timeout_s: "),
        ("RERANK_MODELS", "{", "RERANK_MODELS: "),
        ("RERANK_MODELS", "[]", "models: "),
        ("RERANK_DEFAULT_MODEL", "other", "default_model: "),
    ],
)
def test_a_wrong_variable_is_one_line_that_names_it(variable: str, text: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded({variable: text})
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "where", "value"),
    [
        ("RERANK_HOST", "0.0.0.0", "host", "0.0.0.0"),  # noqa: S104 - not listened on
        ("RERANK_PORT", "9000", "port", 9000),
        ("RERANK_WORKERS", "4", "workers", 4),
        ("RERANK_DEFAULT_MODEL", "n", "default_model", "n"),
        ("RERANK_UNKNOWN_MODEL", "error", "unknown_model", "error"),
        ("RERANK_API_KEYS", "one, two,", "api_keys", ("one", "two")),
        ("RERANK_API_KEYS", "", "api_keys", ()),
        ("RERANK_LIMITS_MAX_DOCUMENTS", "7", "limits.max_documents", 7),
        ("RERANK_LIMITS_MAX_BODY_BYTES", "8", "limits.max_body_bytes", 8),
        ("RERANK_LIMITS_MAX_PAIRS_WAITING", "9", "limits.max_pairs_waiting", 9),
        ("RERANK_LIMITS_ENGINE_TIMEOUT_S", "1.5", "limits.engine_timeout_s", 1.5),
    ],
)
def test_a_variable_wins_over_the_file(variable: str, text: str, where: str, value: object) -> None:
    written = {"host": "::1", "port": 1, "workers": 2, "api_keys": ["k"], "unknown_model": "default"}
    limits = {"max_documents": 1, "max_body_bytes": 1, "max_pairs_waiting": 1, "engine_timeout_s": 1}
    found: Any = loaded(
        {variable: text, "RERANK_OTHER": "x"}, models={"m": MODEL, "n": MODEL}, limits=limits, **written
    )
    for name in where.split("."):
        found = getattr(found, name)
    assert found == value


def test_models_can_come_from_the_environment_alone() -> None:
    settings = load("", {"RERANK_MODELS": "{m: {family: cross-encoder, engine: 'http://h:1', aliases: [a]}}"})
    assert settings.models["m"].aliases == ("a",)
    assert settings.default_model == "m"


def test_the_first_model_is_the_default_where_none_is_named() -> None:
    assert (
        load(
            "models: {b: {family: cross-encoder, engine: 'http://h'}, a: {family: cross-encoder, engine: 'http://h'}}",
            {},
        ).default_model
        == "b"
    )


def test_without_a_word_on_them_the_limits_are_the_documented_ones() -> None:
    settings = loaded()
    assert (settings.host, settings.port, settings.workers, settings.api_keys) == ("127.0.0.1", 8000, 1, ())
    assert settings.limits.max_documents == 10_000
    assert settings.limits.max_body_bytes == 64 * 2**20
    assert settings.limits.max_pairs_waiting == 20_000
    assert settings.limits.engine_timeout_s == 60


def test_a_tokenizer_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^models\.m\.tokenizer: [^\n]*$"):
        app.build(loaded(models={"m": QWEN | {"tokenizer": str(tmp_path / "nothing")}}))


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"\xff"])
def test_a_file_that_is_no_tokenizer_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(SettingsError, match=r"^models\.m\.tokenizer: [^\n]*$"):
        app.build(loaded(models={"m": QWEN | {"tokenizer": str(tmp_path)}}))


def test_keys_of_a_file_count_beside_those_that_are_named(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# the shop\nfirst\n\n  second  \n")
    settings = loaded({"RERANK_API_KEYS": "named", "RERANK_API_KEYS_FILE": str(file)})
    assert (settings.api_keys, settings.admin_keys) == (("named", "first", "second"), ())


def test_a_file_of_keys_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^admin_keys_file: cannot read .*No such file"):
        loaded({"RERANK_ADMIN_KEYS_FILE": str(tmp_path / "none")})
