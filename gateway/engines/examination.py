"""The examination of an engine: a wrong server, flag or prompt answers with status 200 too, and must be found out."""

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence

from msgspec import Struct

from gateway.domain import Blob, Mixed, Pair, Refused, ScoringOptions
from gateway.engines.identity import tolerance
from gateway.engines.probes import served_by, tokenize, version_of
from gateway.engines.vllm import VllmEngine
from gateway.engines.wires import WIRES, ModelsReply, PromptRefused
from gateway.errors import EngineBadResponse, RerankError
from gateway.families.base import Flags, MultimodalPrompt, Prompt, Rendered, relevance
from gateway.media.vision import Prepared

# bf16 engines move a score by up to 0.0165 with the batch (measured against float32); more is another prompt.
STABLE_WITHIN = 0.03
# A reranker puts the related text far above; one served without its override or its template does not.
SEPARATES_BY = 0.1
# Cosines, as half of 1 + cosine, lie closer together.
LISTS_SEPARATE_BY = 0.02
QUERY = "what is the capital of France"
RELATED = Pair(QUERY, "Paris is the capital and the largest city of France.")
UNRELATED = Pair(QUERY, "Add two eggs and the flour, then stir until smooth.")
CHINESE = Pair("如何重置密码？", "打开设置，选择安全，然后点击重置。")
CODE = Pair("read a csv file", "with open(path) as file:\n    rows = list(csv.reader(file))")
PAIRS = (RELATED, UNRELATED, CHINESE, CODE)
BATCHES = (PAIRS, (CODE, UNRELATED, RELATED), (RELATED,), (CHINESE, UNRELATED, UNRELATED))
PICTURE_QUERY = "a red picture"
# `rerank engine` gives its engine one more name: the family whose flags it has, and a digest of them.
MARKER = "recipe:"


class Check(Struct, frozen=True):
    """A condition of trust in an engine's scores; `detail` says in words what was found."""

    check: str
    passed: bool
    detail: str


class Examination:
    """One engine, examined once.

    checks: the findings. fault: the error of the first check that failed. noise: the largest difference between two
    measurements of one logit.
    """

    def __init__(self, engine: VllmEngine) -> None:
        self.checks: list[Check] = []
        self.fault: RerankError | None = None
        self.logits: list[float] = []
        self.noise = 0.0
        self._engine = engine
        self._version_told: str | None = None
        self._served = ModelsReply()

    async def run(self) -> None:
        """Makes every check, also after one that failed. Never raises."""
        await self._check("version", self._version())
        await self._check("start", self._start())
        await self._check("token ids", self._token_ids())
        await self._check("scores", self._scores())
        await self._check("activation", self._activation())
        if self._engine.preprocessor:
            await self._check("pictures", self._pictures())

    @property
    def described(self) -> str:
        """All that is told of the engine: by the operator, by the recipe and by the engine itself."""
        served = sorted((model.id, model.root or "") for model in self._served.data)
        return repr((self._engine.names, self._version_told, served))

    async def _check(self, name: str, run: Awaitable[str]) -> None:
        try:
            self.checks.append(Check(name, True, await run))
        except RerankError as error:
            self.fault = self.fault or error
            self.checks.append(Check(name, False, str(error)))

    async def _version(self) -> str:
        self._version_told = version = await version_of(self._engine.client)
        least = max(WIRES[wire].min_version for wire in self._engine.family.wire.values())
        numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version or "")
        if numbers and tuple(map(int, numbers.groups())) < least:
            needed = ".".join(map(str, least))
            raise EngineBadResponse(f"vLLM {version} cannot read this family's prompts: it takes {needed} or newer")
        return version or "not told"

    async def _start(self) -> str:
        """Flags decide about the logits, and for most families nothing in the logits tells a wrong flag."""
        self._served = await served_by(self._engine.client)
        markers = [model.id for model in self._served.data if model.id.startswith(MARKER)]
        model = self._engine.settings
        if any(marker.split(":")[1] == model.family for marker in markers):
            return "started with this family's flags"
        if markers:
            raise EngineBadResponse(f"it was started for the family {markers[0].split(':')[1]}, not {model.family}")
        flags = self._engine.family.flags
        if flags is Flags.UNSEEN or (flags is Flags.SEEN and model.hub is None):
            raise EngineBadResponse(
                "nothing tells with which flags it was started, and wrong ones answer wrong scores: start it with "
                f"`rerank engine`, or as `rerank engine --dry-run` prints, with the name {MARKER}{model.family}:..."
            )
        return "not told, and no flag matters" if flags is Flags.NONE else "not told: known pairs must separate"

    async def _token_ids(self) -> str:
        probe = self._engine.family.probe
        if probe is None:
            return "the engine writes this model's prompt"
        reply, sent = await tokenize(self._engine.client, probe.text), self._engine.settings.max_tokens
        if reply.tokens != probe.ids:
            raise EngineBadResponse("the engine's tokenizer is not the gateway's: set tokenizer to the served model's")
        if reply.max_model_len is not None and reply.max_model_len < sent:
            raise EngineBadResponse(
                f"the engine reads {reply.max_model_len} tokens (--max-model-len), max_tokens says {sent}"
            )
        return f"{len(probe.ids)} of a rendered prompt are equal"

    async def _scores(self) -> str:
        measured: dict[Pair, list[float]] = {pair: [] for pair in PAIRS}
        for batch in BATCHES:
            for pair, logit in zip(batch, await self._logits(batch), strict=True):
                measured[pair].append(logit)
        self.logits = [values[0] for values in measured.values()]
        self.noise = max(max(values) - min(values) for values in measured.values())
        scores = {pair: self._engine.family.calibrate(values) for pair, values in measured.items()}
        spread = max(max(values) - min(values) for values in scores.values())
        if spread > STABLE_WITHIN:
            raise EngineBadResponse(f"the same pair's score moves by {spread:.3f} with its place in a batch")
        margin = scores[RELATED][0] - scores[UNRELATED][0]
        # Without a hub id nobody knows what the weights should find relevant.
        least = LISTS_SEPARATE_BY if self._engine.listwise else SEPARATES_BY
        if self._engine.settings.hub is not None and margin < least:
            raise EngineBadResponse(
                f"a related text scores {margin:.3f} above an unrelated one, not {least} or more: "
                "wrong weights, classification override or template"
            )
        return f"stable within {spread:.4f}, related above unrelated by {margin:.3f}"

    async def _activation(self) -> str:
        """Raw logits are what the family calibrates, and `use_activation` must switch off a last sigmoid, if any.

        A server that does not know it gives scores, whose sigmoids would be wrong. vLLM before 0.31 switches off layers
        inside the heads of some classes too (vllm#57664), so that its logits are not those behind its own scores.
        """
        if self._engine.listwise:
            return "the engine gives cosines, and applies nothing"
        if not self.logits:
            raise EngineBadResponse("not measured, since no plain pair was scored")
        activated = await self._logits(PAIRS, activated=True)
        pairs = list(zip(self.logits, activated, strict=True))
        if all(abs(logit - other) <= tolerance(self.noise) for logit, other in pairs):
            if all(0 <= logit <= 1 for logit in self.logits):
                raise EngineBadResponse("the engine was asked for logits and gives scores: it ignores use_activation")
            return "the logits are raw, and the engine applies nothing to them"
        scores = relevance(self.logits)
        if any(abs(score - other) > STABLE_WITHIN for score, (_, other) in zip(scores, pairs, strict=True)):
            raise EngineBadResponse("the engine's own scores are not the sigmoids of its logits")
        return "the logits are raw, and the engine's own scores their sigmoids"

    async def _logits(self, pairs: Sequence[Pair], *, activated: bool = False) -> list[float]:
        if self._engine.listwise and len(pairs) > 1:  # each in a list of its own
            return [number for pair in pairs for number in await self._logits([pair], activated=activated)]
        prompts: list[Prompt] = []
        for rendered in await self._engine.family.render(pairs, {}, self._engine.canonical(ScoringOptions())):
            if isinstance(rendered, Refused):
                raise EngineBadResponse(f"a plain pair of sentences: {rendered.reason}")
            prompts += rendered.prompts
        try:
            return (await self._engine.logits(prompts, activated=activated))[0]
        except PromptRefused as refusal:
            raise EngineBadResponse(f"a plain pair of sentences: {refusal}") from None

    async def _pictures(self) -> str:
        """Other limits of pixels or frames than the gateway's give other scores, and show in the tokens."""
        from gateway.media.examples import examples

        profile = self._engine.family.multimodal
        assert profile is not None
        counted = [await self._count(prepared) for prepared in await asyncio.to_thread(examples, profile)]
        for ours, engines, _ in counted:
            if engines not in (ours, ours - profile.video_marks):
                raise EngineBadResponse(
                    f"the engine reads {engines} tokens where a picture or video and its prompt have {ours}: "
                    "start it with `rerank engine`, whose flags and template the scores depend on"
                )
        (_, _, red), (_, _, blue), *_rest = counted
        if red == blue:
            raise EngineBadResponse("a red picture and a blue one score alike: the engine does not see them")
        return f"tokens of {len(counted)} pictures and videos are equal"

    async def _count(self, prepared: Mapping[Blob, Prepared]) -> tuple[int, int, float]:
        """Tokens of an example as the gateway counts them and as the engine does, and its logit."""
        pair = Pair(PICTURE_QUERY, Mixed("", tuple(prepared)))
        (rendered,) = await self._engine.family.render([pair], prepared, ScoringOptions())
        assert isinstance(rendered, Rendered)
        try:
            (logit,), usage = await self._engine.ask(rendered.prompts)
        except PromptRefused as refusal:
            raise EngineBadResponse(f"a plain picture: {refusal}") from None
        ours = sum(prompt.tokens for prompt in rendered.prompts if isinstance(prompt, MultimodalPrompt))
        return ours, (usage.prompt_tokens or 0) if usage else 0, logit
