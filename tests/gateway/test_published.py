"""A recipe read from the files that its author published: the same ids as Sentence Transformers gives, or a refusal."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings

from gateway.domain import Pair, ScoringOptions
from gateway.families import family_of
from gateway.families.recipe import RecipeFamily
from gateway.settings import ModelSettings, SettingsError
from tests.gateway.asking import indices
from tests.gateway.conftest import Serve
from tests.gateway.test_recipes import TEXTS
from tests.gateway.tokenizer import SYMBOLS, gemma_like, qwen_like, save, without_control
from tests.stub_engine import StubEngine

QWEN, GEMMA = qwen_like(), gemma_like()
OF = '(messages | selectattr("role", "eq", "{}") | first)'
QUERY, DOCUMENT, SYSTEM = (OF.format(role) + ".content" for role in ("query", "document", "system"))
SYSTEM_OR_FIND = 'messages | selectattr("role", "eq", "system") | map(attribute="content") | first | default("Find")'
HAS_SYSTEM = 'messages | selectattr("role", "eq", "system") | list'


class Case(NamedTuple):
    """A published template, and what it writes: control tokens and texts, in turn, with an instruction and without."""

    template: str
    pieces: Sequence[str]
    instructed: Sequence[str] = ()
    more: dict[str, Any] = {}  # noqa: RUF012 -- never changed
    trims: bool = False
    tokenizer: Any = QWEN

    def official(self, query: str, document: str, instruction: str = "", max_tokens: int = 100_000) -> list[int]:
        """The pieces filled, then what Sentence Transformers does to a prompt of its limit and more."""
        ids = self._filled(query, document, instruction)
        if len(ids) < max_tokens:
            return ids
        first, second = (self._filled(filler, filler, instruction)[::-1] for filler in ("0", "1 2 3 4"))
        count = next(place for place, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
        suffix = first[:count][::-1]
        return ids[: max_tokens - count] + suffix

    def _filled(self, query: str, document: str, instruction: str) -> list[int]:
        plain = without_control(self.tokenizer, SYMBOLS if self.tokenizer is GEMMA else ())
        if self.trims:
            query, document = query.strip(), document.strip()
        texts = {"{q}": query, "{d}": document, "{i}": instruction}
        ids: list[int] = []
        for place, piece in enumerate(self.instructed if instruction else self.pieces):
            text = re.sub(r"\{[qdi]\}", lambda found: texts[found[0]], piece)
            ids += (plain if place % 2 else self.tokenizer).encode(text, add_special_tokens=False).ids
        return ids


END = "<|im_end|>\n<|im_start|>"
ANSWER = "<|im_end|>\n<|im_start|>assistant\n"
PREFIX = "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>"
CASES = {
    "query as system message": Case(
        f"<|im_start|>system\n{{{{ {QUERY} }}}}<|im_end|>\n<|im_start|>user\n{{{{ {DOCUMENT} }}}}<|im_end|>\n"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{{ '' }}{% endif %}",
        ["<|im_start|>", "system\n{q}", END, "user\n{d}", "<|im_end|>\n<|im_start|>assistant\n"],
    ),
    "instruction as system message": Case(
        f"{PREFIX}user\n<Instruct>: {{{{ {SYSTEM_OR_FIND} }}}}\n<Query>: {{{{ {QUERY} }}}}\n"
        f"<Document>: {{{{ {DOCUMENT} }}}}{ANSWER}<think>\n\n</think>\n\n{{{{ '' }}}}",
        [PREFIX, "user\n<Instruct>: Find\n<Query>: {q}\n<Document>: {d}", ANSWER + "<think>\n\n</think>\n\n"],
        [PREFIX, "user\n<Instruct>: {i}\n<Query>: {q}\n<Document>: {d}", ANSWER + "<think>\n\n</think>\n\n"],
    ),
    "text behind the document": Case(
        f"{{% if {HAS_SYSTEM} %}}instruction: {{{{ {SYSTEM} }}}}\n{{% endif %}}query: {{{{ {QUERY} }}}}\n"
        f"document: {{{{ {DOCUMENT} }}}}\nYou are an expert.\nRelevance:{ANSWER}{{{{ '' }}}}",
        ["", "query: {q}\ndocument: {d}\nYou are an expert.\nRelevance:", ANSWER],
        ["", "instruction: {i}\nquery: {q}\ndocument: {d}\nYou are an expert.\nRelevance:", ANSWER],
    ),
    "contents in parts, trimmed": Case(
        f"{{{{ bos_token }}}}A: {{{{ {QUERY}[0].text | trim }}}}\nB: {{{{ {DOCUMENT}[0]['text'].strip() }}}}<eos>",
        ["<bos>", "A: {q}\nB: {d}", "<eos>"],
        trims=True,
        tokenizer=GEMMA,
        more={
            "tokenizer_config.json": {"bos_token": {"content": "<bos>"}, "model_max_length": 1000000000019884624838656}
        },
    ),
}
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
ST = "sentence_transformers"
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": f"{ST}.base.modules.transformer.Transformer"},
    {"idx": 1, "name": "1", "path": "1_LogitScore", "type": f"{ST}.cross_encoder.modules.logit_score.LogitScore"},
]
FORWARD = {"method": "forward", "method_output_name": "logits"}
PROCESSING = {
    "transformer_task": "text-generation",
    "modality_config": {"text": FORWARD, "message": {**FORWARD, "format": "auto"}},
    "module_output_name": "causal_logits",
    "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
}


def publish(folder: Path, case: Case, **files: Any) -> Path:
    """The folder, with the files of a published reranker. files: others' contents, or None for none."""
    folder.mkdir(exist_ok=True)
    save(case.tokenizer, folder)
    contents = {
        "modules.json": MODULES,
        "1_LogitScore/config.json": {"true_token_id": 7, "false_token_id": None},
        "sentence_bert_config.json": PROCESSING,
        "config_sentence_transformers.json": {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None},
        "chat_template.jinja": case.template,
        **case.more,
        **files,
    }
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if content is not None:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def build(folder: Path, **more: Any) -> RecipeFamily:
    given: dict[str, Any] = {"max_tokens": 100_000, "tokenizer": str(folder)} | more
    family = family_of("m", ModelSettings("published", "http://h", **given))
    assert isinstance(family, RecipeFamily)
    return family


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RecipeFamily]:
    root = tmp_path_factory.mktemp("published")
    return {name: build(publish(root / str(place), case)) for place, (name, case) in enumerate(CASES.items())}


def prompts(family: RecipeFamily, query: str, document: str, **options: Any) -> list[list[int]]:
    (one,) = family.render_texts([Pair(query, document)], ScoringOptions(**options))
    return [prompt for prompt in one.prompts if isinstance(prompt, list)]


@pytest.mark.parametrize("name", CASES)
@given(query=TEXTS, document=TEXTS, instruction=TEXTS)
@settings(max_examples=60)
def test_the_prompt_is_the_templates_with_the_texts_read_as_text(
    families: dict[str, RecipeFamily], name: str, query: str, document: str, instruction: str
) -> None:
    case, family = CASES[name], families[name]
    assert family.takes_instruction == bool(case.instructed)
    if not case.instructed:
        instruction = ""
    expected = case.official(query, document, instruction)
    assert prompts(family, query, document, instruction=instruction or None) == [expected]


@pytest.mark.parametrize("spare", range(-5, 6))
@each
def test_a_cut_leaves_the_suffix_whole_as_sentence_transformers_does(tmp_path: Path, case: Case, spare: int) -> None:
    query, document = "which city is it?", "the river runs where the largest city is, " * 9
    max_tokens = len(case.official(query, document)) + spare
    family = build(publish(tmp_path, case), max_tokens=max_tokens)
    for end in ("", "密码🚗", "\n", "?", ".\n\n"):
        assert prompts(family, query, document + end) == [case.official(query, document + end, max_tokens=max_tokens)]


def test_the_authors_own_limit_holds_where_it_is_shorter(tmp_path: Path) -> None:
    case = CASES["query as system message"]
    folder = publish(tmp_path, case, **{"tokenizer_config.json": {"model_max_length": 60}})
    assert prompts(build(folder), "q", "the river " * 90) == [case.official("q", "the river " * 90, max_tokens=60)]


def test_a_saved_prompt_is_the_instruction_where_none_is_given(tmp_path: Path) -> None:
    case = CASES["instruction as system message"]
    saved = {"prompts": {"query": "Find boats", "other": "x"}, "default_prompt_name": "query"}
    family = build(publish(tmp_path, case, **{"config_sentence_transformers.json": saved}))
    assert prompts(family, "q", "d") == [case.official("q", "d", "Find boats")]
    assert prompts(family, "q", "d", instruction="Find cars") == [case.official("q", "d", "Find cars")]
    by_operator = build(tmp_path, instruction="Find trains")
    assert prompts(by_operator, "q", "d") == [case.official("q", "d", "Find trains")]
    assert len({family.fingerprint, by_operator.fingerprint}) == 2


def test_a_template_may_count_on_the_saved_prompt(tmp_path: Path) -> None:
    needs_system = CASES["text behind the document"]
    template = needs_system.template.replace(f"{{% if {HAS_SYSTEM} %}}", "{% if true %}")
    saved = {"prompts": {"query": "Find boats"}, "default_prompt_name": "query"}
    files = {"chat_template.jinja": template, "config_sentence_transformers.json": saved}
    family = build(publish(tmp_path, needs_system, **files))
    assert prompts(family, "q", "d") == [needs_system.official("q", "d", "Find boats")]


@pytest.mark.parametrize("where", ["named file", "tokenizer_config", "named there", "in the settings"])
def test_the_template_is_found_where_transformers_looks_for_it(tmp_path: Path, where: str) -> None:
    case = CASES["query as system message"]
    files: dict[str, Any] = {"chat_template.jinja": None}
    name = {"named file": "reranker", "named there": "reranker", "in the settings": case.template}.get(where)
    if where == "named file":
        files = {"chat_template.jinja": "{{ messages }}", "additional_chat_templates/reranker.jinja": case.template}
    elif where == "tokenizer_config":
        files["tokenizer_config.json"] = {"chat_template": case.template}
    elif where == "named there":
        templates = [{"name": "default", "template": "x"}, {"name": "reranker", "template": case.template}]
        files["tokenizer_config.json"] = {"chat_template": templates}
    if name is not None:
        variables = {"chat_template": name, "add_generation_prompt": True}
        files["sentence_bert_config.json"] = PROCESSING | {"processing_kwargs": {"chat_template": variables}}
    assert prompts(build(publish(tmp_path, case, **files)), "q", "d") == [case.official("q", "d")]


def test_other_tokens_of_the_score_are_another_fingerprint(tmp_path: Path) -> None:
    case = CASES["query as system message"]
    one = build(publish(tmp_path, case)).fingerprint
    other = publish(tmp_path, case, **{"1_LogitScore/config.json": {"true_token_id": 7, "false_token_id": 8}})
    assert build(other).fingerprint != one


PAIR = f"{{{{ {QUERY} }}}} {{{{ {DOCUMENT} }}}}"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"chat_template.jinja": f"{{{{ {QUERY} | lower }}}} {{{{ {DOCUMENT} }}}}"}, "changes the texts"),
        ({"chat_template.jinja": f"{{{{ {QUERY} }}}} {{{{ {DOCUMENT} | e }}}}"}, "changes the texts"),
        ({"chat_template.jinja": f"{{{{ {QUERY} }}}} {{{{ {DOCUMENT}[:2000] }}}}"}, "changes the texts"),
        ({"chat_template.jinja": f"{{{{ {QUERY} }}}} {{{{ {DOCUMENT} or 'NULL' }}}}"}, "changes the texts"),
        ({"chat_template.jinja": f"{{{{ {QUERY} }}}} {{{{ {QUERY} }}}}"}, "{query} once"),
        ({"chat_template.jinja": f"{{{{ {QUERY} }}}}"}, "{document} once"),
        ({"chat_template.jinja": "{{ messages[0].content }}{{ strftime_now('%Y') }}"}, "day to day"),
        ({"chat_template.jinja": "{{ raise_exception('roles must\\nalternate') }}"}, "roles must alternate"),
        ({"chat_template.jinja": "{{ messages.__class__.__mro__ }}"}, "unsafe"),
        ({"chat_template.jinja": "{% for"}, "no Jinja"),
        ({"chat_template.jinja": None}, "no chat template"),
        ({"modules.json": None}, "modules.json"),
        ({"modules.json": MODULES[:1]}, "lists Transformer,"),
        ({"modules.json": [*MODULES, {"type": "x.Dense"}]}, "LogitScore, Dense,"),
        ({"modules.json": [MODULES[0], MODULES[1] | {"path": "../1_LogitScore"}]}, "no folder"),
        ({"1_LogitScore/config.json": None}, "1_LogitScore/config.json"),
        ({"1_LogitScore/config.json": {"true_token_id": "yes"}}, "1_LogitScore/config.json cannot be read"),
        ({"sentence_bert_config.json": {"max_seq_length": 512}}, "no `message`"),
        ({"sentence_bert_config.json": "{"}, "sentence_bert_config.json cannot be read"),
        ({"config_sentence_transformers.json": {"default_prompt_name": "query"}}, "no prompt 'query'"),
        ({"config_sentence_transformers.json": {"activation_fn": "custom.Scaled"}}, "logit_sigma"),
    ],
)
def test_what_no_recipe_can_hold_is_refused_at_start(tmp_path: Path, files: dict[str, Any], reason: str) -> None:
    folder = publish(tmp_path, Case(PAIR, ()), **files)
    with pytest.raises(SettingsError, match=re.escape(reason)) as caught:
        build(folder)
    assert str(caught.value).startswith("models.m.")
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_reads_pieces_otherwise_is_refused(tmp_path: Path) -> None:
    swallowing = qwen_like()
    spec = json.loads(swallowing.to_str())
    for token in spec["added_tokens"]:
        token["lstrip"] = True
    folder = publish(tmp_path, CASES["query as system message"])
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(SettingsError, match="reads the pieces"):
        build(folder)


class Hub(BaseHTTPRequestHandler):
    """The Hugging Face hub, with one repository: the files of `folder`."""

    folder: Path
    failing = False

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.folder / self.path.partition("/resolve/main/")[2]
        content = path.read_bytes() if path.is_file() else b""
        self.send_response(403 if self.failing and not content else 200 if content else 404)
        self.send_header("x-repo-commit", "a" * 40)
        if content:
            self.send_header("etag", f'"{hashlib.sha256(content).hexdigest()}"')
        elif not self.failing:
            self.send_header("x-error-code", "EntryNotFound")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Quiet."""


LOAD = """
import sys
from gateway.families import family_of
from gateway.settings import ModelSettings, SettingsError
try:
    print(family_of("m", ModelSettings("published", "http://h", hub="org/name")).fingerprint)
except SettingsError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("failing", [False, True])
def test_a_recipe_is_read_from_the_hub_and_a_file_that_cannot_be_had_is_not_taken_for_none(
    tmp_path: Path, failing: bool
) -> None:
    folder = publish(tmp_path / "files", CASES["query as system message"])
    hub = type("OneRepository", (Hub,), {"folder": folder, "failing": failing})
    with ThreadingHTTPServer(("127.0.0.1", 0), hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        variables = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-c", LOAD]
        ran = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=60)
        server.shutdown()
    if failing:  # tokenizer_config.json may be there, with a limit of its own
        assert "tokenizer_config.json, and the hub did not give it" in ran.stderr
    else:
        model = ModelSettings("published", "http://h", tokenizer=str(folder))
        assert ran.stdout.strip() == family_of("m", model).fingerprint, ran.stderr


async def test_a_published_recipe_answers_through_the_front_door(
    serve: Serve, engine: StubEngine, tmp_path: Path
) -> None:
    case = CASES["query as system message"]
    engine.tokenizer = case.tokenizer
    engine.prompt = re.compile(r"system\n(.*)<\|im_end\|>\n<\|im_start\|>user\n(.*)<\|im_end\|>\n", re.DOTALL)
    client = await serve(model={"family": "published", "tokenizer": str(publish(tmp_path, case)), "hub": "org/name"})
    documents = ["the city", "which old city", "<|im_end|>"]
    response = await client.post("/v2/rerank", json={"query": "which city", "documents": documents})
    assert indices(response)[:2] == [1, 0]
    assert engine.prompts == [case.official("which city", document) for document in documents]
