"""What can be peculiar to a server that speaks the chat-completions wire."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from llm_router.connections.record import Continuation


def body(**fields: Any) -> Mapping[str, Any]:
    """Fields of a request's body."""
    return MappingProxyType(fields)


_CONTINUE = body(continue_final_message=True, add_generation_prompt=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What to know before asking a server; the defaults are OpenAI's own ways."""

    name: str
    title: str
    """What people call it."""
    source: str
    """The document that this row was checked against."""

    # Where it stands, and how it knows who asks.
    hosts: tuple[str, ...] = ()
    """`api.x.com`; `.x.com` for all below it; `api.x.com/beta` where the path matters."""
    port: int | None = None
    """Its usual port. Two rows with one port: the port tells nothing."""
    provider: str = "openai_compatible"
    """Who speaks to it best, where a record does not say; another name is one of its own API."""
    path: str = "/v1"
    """Where the API stands when the address does not say."""
    native_path: str = ""
    """The path of its own API, which people give in place of `path`."""
    deployment_path: str = ""
    """In place of `path` for a connection with a dated `api_version`, which goes into the query."""
    keep_alive: bool = True
    """Whether a connection can be used for another question. One that closes unannounced would be
    taken for one that is not there."""
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    organization_header: str = ""
    list_headers: Mapping[str, str] = field(default_factory=dict)
    """What the list of models is asked with in place of the key's header; `{key}` is the key."""

    # What it takes.
    rejects: frozenset[str] = frozenset()
    """Fields of the body that it refuses or does not understand: never sent."""
    accepts_strict_tools: bool = False
    """Whether `strict` may stand in a tool. Many servers refuse what they do not know."""
    accepts_names: bool = True
    """Whether a message may say who speaks, in `name`."""
    strict_order: bool = False
    """System messages stand at the head alone, and after a tool's result comes the assistant."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    max_tokens: int | None = None
    """Asked for where nobody says, since its own default would cut a spoken answer short."""
    seed_field: str = "seed"
    empty_content: str | None = None
    """What an assistant message that only calls tools has for content."""
    short_call_ids: bool = False
    """Ids of tool calls must be nine letters and digits."""

    queue_paths: tuple[str, ...] = ()
    """Where its own routes tell how busy it is; the first that does."""

    # How it goes on with another's words, and keeps its thoughts to itself.
    continuation: Continuation = "words"
    continue_body: Mapping[str, Any] = field(default_factory=lambda: _CONTINUE)
    """What `flags` puts into the body."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Keeps a model from thinking at length before it speaks; the connection's own goes on top."""
    by_model: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The same for models whose name holds this pattern, where others would refuse it; the first
    that fits."""

    def no_thinking_fields(self, model: str) -> Mapping[str, Any]:
        """What to send so that this model speaks without thinking at length."""
        fits = (said for part, said in self.by_model.items() if re.search(part, model.lower()))
        return {**self.extra_body, **next(fits, {})}
