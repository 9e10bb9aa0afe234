"""Questions to a server beside scoring: its health, its version, its tokenizer."""

import msgspec

from gateway.engines.client import EngineClient
from gateway.engines.wires import PromptRefused, TokenizeReply, VersionReply, decoding, post
from gateway.errors import EngineUnavailable, Field, Unreadable


async def check_health(client: EngineClient) -> None:
    """Raises EngineUnavailable unless the server says that it is well."""
    reply = await client.get("/health")
    if reply.status_code != 200:
        raise EngineUnavailable(f"the engine is not ready (health: {reply.status_code})")


async def version_of(client: EngineClient) -> str | None:
    """The server's version; None when it does not tell."""
    reply = await client.get("/version")
    try:
        return msgspec.json.decode(reply.content, type=VersionReply).version
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


async def tokenize(client: EngineClient, text: str) -> TokenizeReply:
    """The text as the engine's own tokenizer reads it. Raises Unreadable."""
    body = {"prompt": text, "add_special_tokens": False, "return_token_strs": True}
    try:
        content = await post(client, "/tokenize", body)
    except PromptRefused as refusal:
        raise Unreadable(str(refusal), field=Field("text")) from None
    with decoding():
        return msgspec.json.decode(content, type=TokenizeReply)
