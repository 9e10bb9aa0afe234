"""A user of Cohere's own client gets `relevant_spans` from the embedded engine."""

import asyncio

import cohere
import yaml

from gateway import app
from gateway.settings import load
from tests.embedded.engine_process import Engine
from tests.gateway.serving import LocalServer

DOCUMENT = (
    "The office is open from nine to five. Coffee is free for everyone. 🚗 Parking costs two francs an hour. "
    "To reset your password, open the settings and click on Forgot password. The canteen serves soup on Mondays."
)


async def test_coheres_client_gets_the_sentence_that_answers(engine: Engine) -> None:
    settings = {"models": {"small": {"family": "cross-encoder", "engine": engine.url, "max_tokens": 512}}}
    server = LocalServer(app.build(load(yaml.safe_dump(settings), {})))
    await server.start()
    try:
        wish = cohere.RerankRelevantSpans(mode="enabled", threshold=0.5, max_spans=1)
        async with cohere.AsyncClientV2("none", base_url=server.url, timeout=30) as client:
            async with asyncio.timeout(30):
                answer = await client.rerank(
                    model="small",
                    query="How do I reset my password?",
                    documents=["Bern is the capital.", DOCUMENT],
                    relevant_spans=wish,
                )
    finally:
        await server.stop()
    best, other = answer.results
    assert best.relevant_spans
    (span,) = best.relevant_spans
    assert DOCUMENT[span.start : span.end] == "To reset your password, open the settings and click on Forgot password."
    assert span.score > best.relevance_score
    assert other.relevant_spans is None
