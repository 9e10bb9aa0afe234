"""The recipe that an author publishes as files: Sentence Transformers' LogitScore module with its chat template.

Its own code is the reference: CrossEncoder and Transformer of sentence-transformers 6.2.0. The template is rendered
once with marks in the places of the texts; what the marks divide is a recipe like any other.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import jinja2.ext
import jinja2.nodes
import msgspec
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.families.recipe import Control, Recipe, RecipeFamily, Run, Slot, Text
from gateway.families.tokenizer import added_tokens, file_of, optional_file_of, tokenizers_of
from gateway.settings import ModelSettings, SettingsError

# Characters of no script, which no template looks for.
MARKS = {Slot.INSTRUCTION: "\ue000i\ue001", Slot.QUERY: "\ue000q\ue001", Slot.DOCUMENT: "\ue000d\ue001"}
# Texts that a template could change: trim, escape, shorten, or treat as absent.
SAMPLES = (
    "a",
    " a ",
    "\n b\n\n",
    "",
    "0",
    "'\"<&>\\{{ a }}{% b %}",
    "A \u4e2d\u6587\u3002\r\n\tE\u0301",
    "none",
    "x " * 3000,
)
ACTIVATIONS = {None, "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid"}
# Sentence Transformers' own sign of a template that wants the content in parts.
_STRUCTURED = ("content[0]", ".type", "'type'", '"type"', "item.type", "message.content[")


class _Module(msgspec.Struct):
    type: str
    path: str = ""


class _LogitScore(msgspec.Struct):
    true_token_id: int
    false_token_id: int | None = None


class _Prompts(msgspec.Struct):
    """config_sentence_transformers.json."""

    prompts: dict[str, str | None] = {}
    default_prompt_name: str | None = None
    activation_fn: str | None = None


class _Processing(msgspec.Struct):
    """sentence_bert_config.json."""

    modality_config: dict[str, dict[str, Any]] = {}
    processing_kwargs: dict[str, dict[str, Any]] = {}
    max_seq_length: int | None = None
    do_lower_case: bool = False


class _TokenizerConfig(msgspec.Struct):
    """tokenizer_config.json."""

    chat_template: str | list[dict[str, str]] | None = None
    model_max_length: float | None = None
    bos_token: Any = None
    eos_token: Any = None
    unk_token: Any = None
    sep_token: Any = None
    pad_token: Any = None
    cls_token: Any = None
    mask_token: Any = None

    def special_tokens(self) -> dict[str, str]:
        """Their names for the template."""
        tokens = {name: getattr(self, name) for name in self.__struct_fields__ if name.endswith("_token")}
        plain = {name: token["content"] if isinstance(token, dict) else token for name, token in tokens.items()}
        return {name: token for name, token in plain.items() if isinstance(token, str)}


class _Template(NamedTuple):
    """A chat template, ready to render a pair. structured: each content is a list of parts."""

    compiled: jinja2.Template
    variables: dict[str, Any]
    structured: bool

    def render(self, texts: Mapping[Slot, str]) -> str:
        """The prompt; without an instruction it has no system message. Raises SettingsError."""
        roles = {"system": Slot.INSTRUCTION, "query": Slot.QUERY, "document": Slot.DOCUMENT}
        messages = [
            {"role": role, "content": [{"type": "text", "text": texts[slot]}] if self.structured else texts[slot]}
            for role, slot in roles.items()
            if slot in texts
        ]
        given = {"tools": None, "documents": None, "add_generation_prompt": False} | self.variables
        try:
            return self.compiled.render(messages=messages, **given)
        except Exception as error:  # a template may raise anything
            raise SettingsError(f"tokenizer: its chat template cannot be rendered ({_one_line(error)})") from None


class _GenerationBlocks(jinja2.ext.Extension):
    """`{% generation %}`, which marks what an assistant wrote, and is written as it is."""

    tags = {"generation"}  # noqa: RUF012 -- the base class calls it an instance's

    def parse(self, parser: Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def published(model: ModelSettings) -> RecipeFamily:
    """The family of the files that `tokenizer`, else `hub`, names. Raises SettingsError for what it cannot hold."""
    score = _score(model)
    prompts = _read(model, "config_sentence_transformers.json", _Prompts, _Prompts())
    processing = _read(model, "sentence_bert_config.json", _Processing, _Processing())
    config = _read(model, "tokenizer_config.json", _TokenizerConfig, _TokenizerConfig())
    if prompts.activation_fn not in ACTIVATIONS and model.logit_sigma is None:
        raise SettingsError(f"logit_sigma: the model's activation {prompts.activation_fn!r} is unknown, set it")
    template = _template(model, processing, config)
    tokenizers = tokenizers_of(model)
    recipe = _recipe(template, added_tokens(tokenizers.control), model.instruction or _default_prompt(prompts))
    recipe = recipe._replace(score_tokens=(score.true_token_id, score.false_token_id))
    limit = min([model.max_tokens, *_limits(processing, config)])
    family = RecipeFamily(msgspec.structs.replace(model, max_tokens=limit), recipe, tokenizers)
    _check_ids(family, template, recipe)
    return family


def _score(model: ModelSettings) -> _LogitScore:
    modules = _read(model, "modules.json", list[_Module], None)
    kinds = [module.type.rpartition(".")[2] for module in modules]
    if kinds != ["Transformer", "LogitScore"]:
        raise SettingsError(
            f"family: modules.json lists {', '.join(kinds)}, and `published` is Transformer, LogitScore"
        )
    folder = modules[1].path
    if not re.fullmatch(r"[\w-]+", folder):
        raise SettingsError("family: modules.json names no folder for LogitScore")
    score: _LogitScore = _read(model, f"{folder}/config.json", _LogitScore, None)
    return score


def _default_prompt(prompts: _Prompts) -> str | None:
    name = prompts.default_prompt_name
    if name is None:
        return None
    if name not in prompts.prompts:
        raise SettingsError(f"family: config_sentence_transformers.json has no prompt {name!r}")
    return prompts.prompts[name] or None


def _limits(processing: _Processing, tokenizer: _TokenizerConfig) -> list[int]:
    """The author's limits of a prompt's length, in tokens."""
    kwargs = processing.processing_kwargs
    found = [kwargs.get(bucket, {}).get("max_length") for bucket in ("chat_template", "text", "common")]
    found += [processing.max_seq_length, tokenizer.model_max_length]
    return [int(limit) for limit in found if isinstance(limit, int | float) and 0 < limit < math.inf]


def _template(model: ModelSettings, processing: _Processing, tokenizer: _TokenizerConfig) -> _Template:
    message = processing.modality_config.get("message")
    if message is None or processing.do_lower_case:
        raise SettingsError("family: sentence_bert_config.json tells of no `message`, so its pairs have no template")
    variables = dict(processing.processing_kwargs.get("chat_template", {}))
    name = variables.pop("chat_template", None)
    for size in ("padding", "truncation", "max_length", "return_tensors", "restore_suffix"):
        variables.pop(size, None)
    source = _template_source(model, tokenizer, name)
    layout = message.get("format", "auto")
    if layout == "auto":
        layout = "structured" if any(sign in source for sign in _STRUCTURED) else "flat"
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlocks, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _raise, "strftime_now": _no_date}
    try:
        compiled = environment.from_string(source)
    except jinja2.TemplateError as error:
        raise SettingsError(f"tokenizer: its chat template is no Jinja ({_one_line(error)})") from None
    return _Template(compiled, tokenizer.special_tokens() | variables, layout == "structured")


def _template_source(model: ModelSettings, tokenizer: _TokenizerConfig, name: object) -> str:
    """The chat template of that name, or the default one, as transformers looks for it."""
    listed = tokenizer.chat_template
    named = {one["name"]: one["template"] for one in listed if len(one) == 2} if isinstance(listed, list) else {}
    file = "chat_template.jinja" if name is None else f"additional_chat_templates/{name}.jinja"
    path = optional_file_of(model, file) if name is None or re.fullmatch(r"[\w-]+", str(name)) else None
    if path is not None:
        return path.read_text(encoding="utf-8")
    if isinstance(name, str) and name not in named:
        return name
    source = named.get(str(name or "default")) or listed
    if not isinstance(source, str):
        raise SettingsError(f"tokenizer: no chat template{f' {name}' if name else ''} among its files")
    return source


def _recipe(template: _Template, added: Sequence[str], instruction: str | None) -> Recipe:
    """The recipe of a chat template. Raises SettingsError for a template that does more than put texts in places."""
    instructed = _runs(template.render(MARKS), added)
    taken = any(isinstance(run, Text) and Slot.INSTRUCTION in run.parts for run in instructed)
    slots = [Slot.QUERY, Slot.DOCUMENT, *([Slot.INSTRUCTION] if taken else [])]
    trimmed = frozenset(slot for slot in slots if _equal(template, slot, " a ", "a"))
    if taken:
        _check_texts(template, instructed, slots, trimmed)
        if instruction:  # never asked without one: some templates then fail
            return Recipe(instructed, instructed, instruction, trimmed=trimmed)
    runs = _runs(template.render({slot: MARKS[slot] for slot in slots[:2]}), added)
    _check_texts(template, runs, slots[:2], trimmed)
    return Recipe(runs, instructed if taken else None, trimmed=trimmed)


def _equal(template: _Template, slot: Slot, text: str, other: str) -> bool:
    return template.render(MARKS | {slot: text}) == template.render(MARKS | {slot: other})


def _check_texts(template: _Template, runs: Sequence[Run], slots: Sequence[Slot], trimmed: frozenset[Slot]) -> None:
    """Raises SettingsError where the template does more than put texts in places."""
    for place in range(len(SAMPLES)):
        texts = {slot: SAMPLES[(place + shift) % len(SAMPLES)] for shift, slot in enumerate(slots)}
        if Slot.INSTRUCTION in texts:
            texts[Slot.INSTRUCTION] = texts[Slot.INSTRUCTION] or "a"  # an empty one is none
        if template.render(texts) != _written(runs, texts, trimmed):
            raise SettingsError("tokenizer: its chat template changes the texts, or leaves some out")


def _runs(prompt: str, added: Sequence[str]) -> tuple[Run, ...]:
    """A prompt with marks, divided at the tokenizer's added tokens."""
    slots = {mark: slot for slot, mark in MARKS.items()}
    for slot in (Slot.QUERY, Slot.DOCUMENT):
        if prompt.count(MARKS[slot]) != 1:
            raise SettingsError(f"tokenizer: its chat template must write {slot.value} once")
    tokens = "|".join(map(re.escape, sorted(added, key=len, reverse=True))) or "(?!)"
    runs: list[Run] = []
    for piece in re.split(f"({tokens})", prompt):
        parts = [slots.get(part, part) for part in re.split("(\ue000.\ue001)", piece) if part]
        if any(isinstance(part, Slot) for part in parts):
            runs.append(Text(tuple(parts)))
        elif runs and isinstance(runs[-1], Control):
            runs[-1] = Control(runs[-1].text + piece)
        elif piece:
            runs.append(Control(piece))
    return tuple(runs)


def _written(runs: Sequence[Run], texts: Mapping[Slot, str], trimmed: frozenset[Slot]) -> str:
    texts = {slot: text.strip() if slot in trimmed else text for slot, text in texts.items()}
    return "".join(
        run.text if isinstance(run, Control) else run.filled(texts) for run in runs if isinstance(run, Control | Text)
    )


def _check_ids(family: RecipeFamily, template: _Template, recipe: Recipe) -> None:
    """Raises SettingsError where pieces encoded alone have other ids than the whole prompt."""
    for place, query in enumerate(SAMPLES[:-1]):
        texts = {Slot.QUERY: query, Slot.DOCUMENT: SAMPLES[place - 1]}
        if recipe.instructed is not None:
            texts[Slot.INSTRUCTION] = "Find it."
        if not family.reads(texts, template.render(texts)):
            raise SettingsError("tokenizer: it reads the pieces of the chat template otherwise than the whole")


def _read(model: ModelSettings, name: str, kind: Any, default: Any) -> Any:
    """A JSON file of the model. default: for a file that is not there; None where it must be."""
    path = file_of(model, name) if default is None else optional_file_of(model, name)
    if path is None:
        return default
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError(f"tokenizer: {name} cannot be read ({_one_line(error)})") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _to_json(value: Any, **form: Any) -> str:
    return json.dumps(value, **({"ensure_ascii": False} | form))


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _no_date(_: str) -> None:
    raise jinja2.TemplateError("it writes the date, so that a score would change from day to day")
