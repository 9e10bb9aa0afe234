"""The text that `rerank up` prints when everything is ready: requests that work as printed."""

from launch.gateway_config import GatewayAddress


def introduction(address: GatewayAddress, model: str, page: str = "") -> str:
    """Requests with curl and Python for `model`, and the studio's `page` if there is one.

    A configured key is never printed. The requests take it from the shell's RERANK_API_KEY.
    """
    key = 'os.environ["RERANK_API_KEY"]' if address.needs_key else '"any-key-will-do"'
    return _INTRODUCTION.format(
        url=address.url,
        model=model,
        needs=", with RERANK_API_KEY set to one of your keys" if address.needs_key else "",
        header='\\\n  -H "Authorization: Bearer $RERANK_API_KEY" ' if address.needs_key else "",
        imports="import os\n\nimport cohere" if address.needs_key else "import cohere",
        key=key,
        studio=f"The studio, in a browser: {page}\n" if page else "",
    )


_INTRODUCTION = """
{model} answers at {url} (Cohere's Rerank API; docs at {url}/docs). Try it{needs}:

curl -s {url}/v2/rerank {header}-H "Content-Type: application/json" \\
  -d '{{"query": "How do I reset my password?", "documents": ["Our office is closed on Sundays.",
       "Open Settings, choose Security and click on Forgot password.", "The soup of the day is tomato."]}}'

Python (pip install cohere):

{imports}

documents = [
    "Our office is closed on Sundays.",
    "Open Settings, choose Security and click on Forgot password.",
    "The soup of the day is tomato.",
]
client = cohere.ClientV2(api_key={key}, base_url="{url}")
answer = client.rerank(model="{model}", query="How do I reset my password?", documents=documents)
for result in answer.results:
    print(f"{{result.relevance_score:.3f}}  {{documents[result.index]}}")

{studio}Ctrl-C ends it.
"""
