"""Defines a request as its client sent it, and the form that it asked the reply to have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llm_router.gateway.errors import Problem
from llm_router.types import ChatRequest, Chunk, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class Head:
    """Names a reply that has begun."""

    id: str
    """Without the prefix that ids of each API have."""
    created: int
    """Seconds since 1970."""
    model: str
    prompt_tokens: int
    """Estimated: servers count at the end."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The account of a reply that has ended."""

    ended: int
    """Seconds since 1970."""
    usage: Usage
    receipt: Mapping[str, Any] | None
    """The attempts behind the reply, if its client asked for them."""


@dataclass(frozen=True, slots=True)
class WholeReply:
    """A reply in one piece; `reason` says why it ended, in the words of chat completions."""

    text: str
    calls: Sequence[ToolCall]
    reason: str
    ending: Ending
    logprobs: Sequence[Mapping[str, Any]] = ()
    """How likely each token of the text was; empty unless that is known of all of them."""
    stop_sequence: str = ""
    """The text of the request at which the reply stopped, if the server says so."""


class FrameWriter(Protocol):
    """Writes the server-sent events of one reply. Each method returns them, or an empty text."""

    def opening(self) -> str: ...

    def of(self, chunk: Chunk) -> str: ...

    def ending(self, ending: Ending) -> str: ...

    def error(self, problem: Problem) -> str:
        """Returns what ends a stream that broke off; nothing follows it."""
        ...


class ReplyForm(Protocol):
    """Writes a reply in the form of one API, with the options of one request."""

    @property
    def id_headers(self) -> Sequence[str]:
        """The headers that name the reply."""
        ...

    def writer(self, head: Head) -> FrameWriter: ...

    def whole(self, head: Head, reply: WholeReply) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as its client sent it: the router's part, and the form of the answer."""

    model: str
    request: ChatRequest
    form: ReplyForm
    is_streamed: bool
    include_receipt: bool
    provider: str = ""
    """Connection that alone may answer, or the first words of several names; empty: any."""
