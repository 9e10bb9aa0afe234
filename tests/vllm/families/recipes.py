"""The authors' recipes in transformers and float32, whose score every answer of the gateway must equal.

Each is written anew after the code that its author publishes, named beside it. Two things are ours. A caller's text is
encoded by a tokenizer without control tokens where the prompt travels as token ids: the authors' code turns a
document's `<|im_end|>` into such a token, so that a document could end its own prompt. And the document is cut so that
the whole prompt fits, where an author's own limit is a parameter. Where the server writes the prompt (BERT,
XLM-RoBERTa, ModernBERT, jina-reranker-v3) a text is read as the author's code reads it.

Runs in `.venv-vllm`, where torch is: `tests/vllm/families/reference.py` is the tests' end.
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

QUERY, DOCUMENT, INSTRUCTION = "\ue001", "\ue002", "\ue003"
# Added tokens that are text: Gemma keeps runs of newlines.
TEXT_SYMBOL = re.compile(r"\s+")


class Case(NamedTuple):
    """A pair of a caller's request. `max_tokens` limits the whole prompt; None is no limit."""

    query: str
    document: str
    instruction: str | None = None
    max_tokens: int | None = None


class Answer(NamedTuple):
    """`logit` is what the model gives for the token ids of the prompt; `uncut` counts those before it was cut."""

    score: float
    logit: float
    ids: list[int]
    uncut: int


class Recipe:
    """A recipe over the model in a folder: subclasses say the prompt, and the logit where it is not a token's."""

    mean = 0.0
    sigma = 1.0

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.folder = folder
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.plain = without_control_tokens(folder)
        self.model = self.load()

    def load(self) -> Any:
        raise NotImplementedError

    def ids(self, case: Case) -> tuple[list[int], int]:
        """Token ids of the prompt, and their count before it was cut."""
        raise NotImplementedError

    def logit(self, case: Case, ids: list[int]) -> float:
        raise NotImplementedError

    def answer(self, case: Case) -> Answer:
        ids, uncut = self.ids(case)
        logit = self.logit(case, ids)
        return Answer(sigmoid((logit - self.mean) / self.sigma), logit, ids, uncut)

    def encode(self, text: str) -> list[int]:
        """Ids of a template's text."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def read(self, text: str) -> list[int]:
        """Ids of a text in which no control token is obeyed."""
        ids: list[int] = self.plain.encode(text, add_special_tokens=False).ids
        return ids


class CausalRecipe(Recipe):
    """The logit of a token behind the prompt, less that of another where there are two."""

    true = ""
    false: str | None = None

    def load(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        self.wanted = self.score_tokens()
        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()

    def score_tokens(self) -> list[int]:
        return [self.encode(word)[0] for word in (self.true, self.false) if word is not None]

    def logit(self, case: Case, ids: list[int]) -> float:
        import torch

        with torch.inference_mode():
            logits = self.model(input_ids=torch.tensor([ids]), logits_to_keep=1).logits[0, -1]
        true, *false = logits[self.wanted].tolist()
        return float(true - sum(false))


class Mxbai(CausalRecipe):
    """mxbai_rerank 0.1.6, `MxbaiRerankV2`: seven pieces encoded apart, and its `normalize=True` for the base model."""

    true, false = "1", "0"
    mean = 4.5
    prefix = (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n"
    )
    task = (
        "You are a search relevance expert who evaluates how well documents match search queries. For each "
        "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
        "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
    )
    suffix = "<|im_end|>\n<|im_start|>assistant\n"

    def ids(self, case: Case) -> tuple[list[int], int]:
        query = f"query: {case.query}"
        if case.instruction:
            query = f"instruction: {case.instruction}\n{query}"
        prefix, newline, rest = self.encode(self.prefix), self.encode("\n"), self.encode(self.task)
        rest = newline + rest + self.encode(self.suffix)
        query_ids, document = self.read(query), newline + self.read(f"document: {case.document}")
        uncut = len(prefix) + len(query_ids) + len(document) + len(rest)
        if case.max_tokens is not None:
            # max_length there leaves out prefix, task, suffix and one newline.
            limit = case.max_tokens - len(prefix) - len(rest)
            query_ids = query_ids[: limit * 3 // 4]
            document = document[: limit - len(query_ids)]
        return prefix + query_ids + document + rest, uncut


class BgeGemma(CausalRecipe):
    """FlagEmbedding 1.4.2, `BaseLLMReranker`: two texts, newlines and the task encoded apart, `normalize=True`."""

    true = "Yes"
    task = (
        "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing "
        "a prediction of either 'Yes' or 'No'."
    )

    def ids(self, case: Case) -> tuple[list[int], int]:
        newline = self.encode("\n")
        rest = newline + self.encode(self.task)
        query, document = self.read(f"A: {case.query}"), self.read(f"B: {case.document}")
        uncut = 1 + len(query) + 1 + len(document) + len(rest)
        if case.max_tokens is not None:
            # max_length there limits each text; the pair may be longer by the newline and the task, which come again.
            limit = case.max_tokens - 2 * len(rest)
            query, document = query[: limit * 3 // 4], document[:limit]
            document = document[: limit + len(rest) - 1 - len(query) - len(newline)]
        return [self.tokenizer.bos_token_id, *query, *newline, *document, *rest], uncut


class Ctxl(CausalRecipe):
    """The model card of ctxl-rerank-v2-instruct: one text, and the logit of the token with the id 0."""

    task = "Check whether a given document contains information helpful to answer the query."

    def score_tokens(self) -> list[int]:
        return [0]

    def ids(self, case: Case) -> tuple[list[int], int]:
        wish = f" {case.instruction}" if case.instruction else ""
        before, after = f"{self.task}\n<Document> {case.document}", f"\n<Query> {case.query}{wish} ??"
        ids = self.read(before + after)
        if case.max_tokens is None or len(ids) <= case.max_tokens:
            return ids, len(ids)
        end = self.read(after)
        return self.read(before)[: case.max_tokens - len(end)] + end, len(ids)


class TemplateRecipe(CausalRecipe):
    """A chat template rendered with marks instead of the caller's texts, and cut in the run of the document.

    Runs between control tokens are encoded one by one, as the tokenizer itself does.
    """

    def template(self, case: Case) -> str:
        raise NotImplementedError

    def ids(self, case: Case) -> tuple[list[int], int]:
        runs = self._runs(case)
        whole = sum(len(run) for run, _ in runs)
        over = 0 if case.max_tokens is None else max(0, whole - case.max_tokens)
        return [token for run, cut in runs for token in (run[: len(run) - over] if cut else run)], whole

    def _runs(self, case: Case) -> list[tuple[list[int], bool]]:
        """Ids run by run, each with whether it ends in the document."""
        texts = {QUERY: case.query, DOCUMENT: case.document, INSTRUCTION: case.instruction or ""}
        control = sorted(self.tokenizer.get_added_vocab(), key=len, reverse=True)
        runs: list[tuple[list[int], bool]] = []
        for part in re.split(f"({'|'.join(map(re.escape, control))})", self.template(case)):
            if part in control:
                runs.append(([self.tokenizer.convert_tokens_to_ids(part)], False))
            elif part:
                text = re.sub(f"[{''.join(texts)}]", lambda mark: texts[mark[0]], part)
                runs.append((self.read(text), DOCUMENT in part))
        return runs


class Zerank(TemplateRecipe):
    """zerank-2's published files: the query as the system's message, the document as the user's, logit / 5."""

    true = "Yes"
    sigma = 5.0

    def template(self, case: Case) -> str:
        query = f"<query>{QUERY}</query>\n<instruction>{INSTRUCTION}</instruction>" if case.instruction else QUERY
        turns = f"<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user\n{DOCUMENT}<|im_end|>\n"
        return f"{turns}<|im_start|>assistant\n"


class Published(TemplateRecipe):
    """Sentence Transformers 6.2's CrossEncoder over the author's files, the template rendered by transformers."""

    def score_tokens(self) -> list[int]:
        tokens = json.loads((self.folder / "1_LogitScore" / "config.json").read_text())
        return [tokens[name] for name in ("true_token_id", "false_token_id") if tokens[name] is not None]

    def template(self, case: Case) -> str:
        encoder = json.loads((self.folder / "config_sentence_transformers.json").read_text())
        prompt = INSTRUCTION if case.instruction else encoder["prompts"][encoder["default_prompt_name"]]
        contents = {"system": prompt, "query": QUERY, "document": DOCUMENT}
        messages = [{"role": role, "content": content} for role, content in contents.items()]
        rendered: str = self.tokenizer.apply_chat_template(messages, tokenize=False)
        return rendered


class Qwen3SequenceClassifier(Recipe):
    """The prompt of Qwen3-Reranker and the single output of a copy converted to sequence classification."""

    def load(self) -> Any:
        import torch
        from transformers import Qwen3ForSequenceClassification

        from tests.vllm import reference

        self.prompts = reference.Prompts(self.tokenizer, self.plain)
        model = Qwen3ForSequenceClassification.from_pretrained(self.folder, dtype=torch.float32)
        return model.eval()

    def ids(self, case: Case) -> tuple[list[int], int]:
        from tests.vllm import reference

        instruction = case.instruction or reference.INSTRUCTION
        return self.prompts.ids(reference.Case(case.query, case.document, instruction, case.max_tokens))

    def logit(self, case: Case, ids: list[int]) -> float:
        import torch

        with torch.inference_mode():
            hidden = self.model.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
            return float(self.model.score(hidden)[0])


class Nemotron(Recipe):
    """NVIDIA's llama_bidirectional_model.py: no causal mask, the mean of all tokens, the logit by the temperature."""

    def load(self) -> Any:
        from safetensors.torch import load_file  # type: ignore[import-not-found]
        from transformers import LlamaConfig, LlamaForSequenceClassification

        fields = json.loads((self.folder / "config.json").read_text())
        self.sigma = fields["temperature"]
        ours = ("architectures", "model_type", "pooling", "temperature")
        config = LlamaConfig(**{name: value for name, value in fields.items() if name not in ours})
        model = LlamaForSequenceClassification(config).float().eval()
        model.load_state_dict(load_file(self.folder / "model.safetensors"))
        for layer in model.model.layers:
            layer.self_attn.is_causal = False
        return model

    def ids(self, case: Case) -> tuple[list[int], int]:
        # transformers puts the start of text before the ids; the plain tokenizer has no control tokens to put.
        ids = [self.tokenizer.bos_token_id, *self.read(f"question:{case.query} \n \n passage:{case.document}")]
        return ids[: case.max_tokens], len(ids)

    def logit(self, case: Case, ids: list[int]) -> float:
        import torch

        nothing_masked = torch.zeros(1, 1, len(ids), len(ids))
        with torch.inference_mode():
            output = self.model.model(input_ids=torch.tensor([ids]), attention_mask=nothing_masked)
            return float(self.model.score(output.last_hidden_state[0].mean(0))[0])


class CrossEncoder(Recipe):
    """Sentence Transformers' CrossEncoder and FlagEmbedding: the tokenizer joins the pair, the longer text is cut."""

    def load(self) -> Any:
        import torch
        from transformers import AutoModelForSequenceClassification

        return AutoModelForSequenceClassification.from_pretrained(self.folder, dtype=torch.float32).eval()

    def ids(self, case: Case) -> tuple[list[int], int]:
        uncut = len(self._inputs(case._replace(max_tokens=None))["input_ids"])
        return self._inputs(case)["input_ids"], uncut

    def logit(self, case: Case, ids: list[int]) -> float:
        import torch

        inputs = {name: torch.tensor([values]) for name, values in self._inputs(case).items()}
        with torch.inference_mode():
            return float(self.model(**inputs).logits[0, 0])

    def _inputs(self, case: Case) -> dict[str, list[int]]:
        if not any(self.tokenizer("a", "a").get("token_type_ids", ())):
            return {"input_ids": self._joined(case)}
        limit: dict[str, Any] = {} if case.max_tokens is None else {"truncation": True, "max_length": case.max_tokens}
        # Lists, as there: transformers takes a single empty document for none, and leaves out its separators.
        batch = self.tokenizer([case.query], [case.document], **limit)
        return {name: values[0] for name, values in batch.items()}

    def _joined(self, case: Case) -> list[int]:
        """A pair whose tokens tell where the second text begins: its texts are read as texts."""
        start, end = self.encode(self.tokenizer.cls_token), self.encode(self.tokenizer.sep_token)
        between = end * (len(self.tokenizer("a", "a")["input_ids"]) - 2 * len(self.encode("a")) - 2)
        ids = [*start, *self.read(case.query), *between, *self.read(case.document)]
        return [*(ids if case.max_tokens is None else ids[: case.max_tokens - len(end)]), *end]


class JinaM0(Recipe):
    """jina-reranker-m0's modeling.py for two texts: document first, token 100 at the end, logit - 2.65."""

    mean = 2.65
    score_token = 100

    def load(self) -> Any:
        import torch
        from safetensors.torch import load_file
        from transformers import Qwen2VLForConditionalGeneration

        weights = load_file(self.folder / "model.safetensors")
        self.head = {name: tensor for name, tensor in weights.items() if name.startswith("score.")}
        return Qwen2VLForConditionalGeneration.from_pretrained(self.folder, dtype=torch.float32).eval()

    def ids(self, case: Case) -> tuple[list[int], int]:
        label, rest = self.read("**Document**:\n"), self.read(f"\n**Query**:\n{case.query}")
        ids = [*self.read(f"**Document**:\n{case.document}\n**Query**:\n{case.query}"), self.score_token]
        if case.max_tokens is None or len(ids) <= case.max_tokens:
            return ids, len(ids)
        document = self.read(f"**Document**:\n{case.document}")[: case.max_tokens - len(rest) - 1]
        assert document[: len(label)] == label
        return [*document, *rest, self.score_token], len(ids)

    def logit(self, case: Case, ids: list[int]) -> float:
        import torch
        from torch.nn.functional import linear, relu

        with torch.inference_mode():
            hidden = self.model.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
            dense = relu(linear(hidden, self.head["score.0.weight"], self.head["score.0.bias"]))
            return float(linear(dense, self.head["score.2.weight"], self.head["score.2.bias"])[0])


class JinaV3:
    """jina-reranker-v3's modeling.py: one prompt for all documents of a list, cosine of two projected states.

    Its tokens for the embeddings are taken out of a caller's texts, as there. Other control tokens are broken by a
    zero-width space, where the author's code obeys them: the prompt is a text, so that they cannot be read as one.
    A list longer than 125 documents is scored in blocks, whose query vectors are averaged by weight.
    """

    block, document_tokens, query_tokens = 125, 2048, 512
    embed_id, rerank_id = 151670, 151671
    system = (
        "You are a search relevance expert who can determine a ranking of the passages based on how relevant they are "
        "to the query. If the query is a question, how relevant a passage is depends on how well it answers the "
        "question. If not, try to analyze the intent of the query and assess how well each passage satisfies the "
        "intent. If an instruction is provided, you should follow the instruction when determining the ranking."
    )

    def __init__(self, folder: Path) -> None:
        from safetensors.torch import load_file
        from transformers import AutoTokenizer, Qwen3Config, Qwen3Model

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        weights = load_file(folder / "model.safetensors")
        fields = json.loads((folder / "config.json").read_text())
        config = Qwen3Config(**{k: v for k, v in fields.items() if k not in ("architectures", "model_type")})
        self.model = Qwen3Model(config).float().eval()
        own = {name[len("model.") :]: tensor for name, tensor in weights.items() if name.startswith("model.")}
        self.model.load_state_dict(own)
        self.first, self.second = weights["projector.0.weight"], weights["projector.2.weight"]

    def scores(self, query: str, documents: Sequence[str], instruction: str | None = None) -> list[float]:
        """Cosines of a whole list, as (1 + cosine) / 2."""
        import torch
        from torch.nn.functional import cosine_similarity

        query = self._cut(query, self.query_tokens)
        cut = [self._cut(document, self.document_tokens) for document in documents]
        blocks = [cut[start : start + self.block] for start in range(0, len(cut), self.block)]
        vectors = [self._vectors(query, block, instruction) for block in blocks]
        weights = torch.stack([((1 + cosine_similarity(own, asked)) / 2).max() for asked, own in vectors])
        asked = (torch.stack([asked for asked, _ in vectors]) * weights[:, None]).sum(0) / weights.sum()
        return [float((1 + one) / 2) for _, own in vectors for one in cosine_similarity(own, asked)]

    def prompt(self, query: str, documents: Sequence[str], instruction: str | None) -> str:
        """The prompt of one block."""
        query, *documents = (self._sanitized(text) for text in (query, *documents))
        instruction = instruction and self._sanitized(instruction)
        passages = "\n".join(
            f'<passage id="{place}">\n{document}<|embed_token|>\n</passage>' for place, document in enumerate(documents)
        )
        wish = f"<instruct>\n{instruction}\n</instruct>\n" if instruction else ""
        asked = (
            f"I will provide you with {len(documents)} passages, each indicated by a numerical identifier. "
            f"Rank the passages based on their relevance to query: {query}\n"
        )
        user = f"{asked}{wish}{passages}\n<query>\n{query}<|rerank_token|>\n</query>"
        return (
            f"<|im_start|>system\n{self.system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n\n</think>\n\n"
        )

    def _vectors(self, query: str, documents: Sequence[str], instruction: str | None) -> tuple[Any, Any]:
        import torch
        from torch.nn.functional import linear, relu

        ids = torch.tensor([self.tokenizer(self.prompt(query, documents, instruction))["input_ids"]])
        with torch.inference_mode():
            hidden = self.model(input_ids=ids).last_hidden_state[0]
            projected = linear(relu(linear(hidden, self.first)), self.second)
        return projected[ids[0] == self.rerank_id][0], projected[ids[0] == self.embed_id]

    def _cut(self, text: str, limit: int) -> str:
        ids = self.tokenizer(text, truncation=True, max_length=limit)["input_ids"]
        decoded: str = self.tokenizer.decode(ids) if len(ids) >= limit else text
        return decoded

    def _sanitized(self, text: str) -> str:
        text = text.replace("<|rerank_token|>", "").replace("<|embed_token|>", "")
        for token in self.tokenizer.get_added_vocab():
            text = text.replace(token, f"{token[0]}\u200b{token[1:]}")
        return text


RECIPES: dict[str, type[Recipe]] = {
    "mxbai-rerank-v2": Mxbai,
    "zerank": Zerank,
    "bge-reranker-gemma": BgeGemma,
    "nemotron-rerank": Nemotron,
    "ctxl-rerank-v2": Ctxl,
    "published": Published,
    "qwen3-reranker": Qwen3SequenceClassifier,
    "cross-encoder": CrossEncoder,
    "jina-reranker-m0": JinaM0,
}


def without_control_tokens(folder: Path) -> Any:
    """The model's `tokenizers.Tokenizer`, changed to encode `<|im_end|>` as ordinary characters."""
    from tokenizers import Tokenizer

    spec = json.loads((folder / "tokenizer.json").read_text())
    kept = [token for token in spec["added_tokens"] if TEXT_SYMBOL.fullmatch(token["content"])]
    return Tokenizer.from_str(json.dumps({**spec, "added_tokens": kept, "post_processor": None}))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
