"""Defines the properties in which servers that speak chat completions differ."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from llm_router.connections.record import Continuation


def body(**fields: Any) -> Mapping[str, Any]:
    """Returns fields of a request's body, read-only."""
    return MappingProxyType(fields)


_CONTINUE = body(continue_final_message=True, add_generation_prompt=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Describes one kind of server; the defaults describe OpenAI's own."""

    name: str
    title: str
    """The name in texts for people."""
    source: str
    """The document that this row was checked against."""

    # Address and authentication.
    hosts: tuple[str, ...] = ()
    """`api.x.com`; `.x.com` for all its subdomains; `api.x.com/beta` where the path matters."""
    port: int | None = None
    """The usual port. A port that several rows share identifies none of them."""
    provider: str = "openai_compatible"
    """The provider to use unless the connection names one; a different one speaks a native API."""
    path: str = "/v1"
    """The path of the API if the connection's address has none."""
    native_path: str = ""
    """The path of the server's native API, which people may give instead of `path`."""
    deployment_path: str = ""
    """Replaces `path` for a connection with a dated `api_version`, which goes into the query."""
    keep_alive: bool = True
    """Whether a TCP connection can be reused. A server that closes one unannounced would be taken
    for an unreachable one."""
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    organization_header: str = ""
    list_headers: Mapping[str, str] = field(default_factory=dict)
    """Headers that replace the key's header in requests for the list of models; `{key}` is the
    key."""

    # The request's body.
    rejects: frozenset[str] = frozenset()
    """Fields of the body that the server refuses or does not understand; never sent."""
    accepts_strict_tools: bool = False
    """Whether a tool may have the field `strict`. Many servers refuse unknown fields."""
    accepts_names: bool = True
    """Whether a message may name its speaker, in `name`."""
    strict_order: bool = False
    """Whether system messages must come first and an assistant message must follow each tool
    result."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    max_tokens: int | None = None
    """Sent where neither request nor connection sets a limit: the server's own default would cut
    a spoken reply short."""
    seed_field: str = "seed"
    empty_content: str | None = None
    """The content of an assistant message that only calls tools."""
    short_call_ids: bool = False
    """Whether ids of tool calls must be nine letters and digits."""

    queue_paths: tuple[str, ...] = ()
    """Routes that report the server's load; the first one that answers is used."""

    # Continuation of a partial reply, and reasoning.
    continuation: Continuation = "words"
    continue_body: Mapping[str, Any] = field(default_factory=lambda: _CONTINUE)
    """Fields that the continuation `flags` adds to the body."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Fields that switch long reasoning off; the connection's own `extra_body` takes precedence."""
    by_model: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The same for models whose name matches a pattern, where other models would refuse the
    fields; the first match counts."""

    def no_thinking_fields(self, model: str) -> Mapping[str, Any]:
        """Returns the fields that make this model answer without long reasoning."""
        matches = (
            fields for part, fields in self.by_model.items() if re.search(part, model.lower())
        )
        return {**self.extra_body, **next(matches, {})}
