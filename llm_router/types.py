"""The data types that every module of the router shares: requests, chunks, usage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Message = Mapping[str, Any]
"""A chat message in OpenAI form. It, and each of its tool calls, may have `extras`."""

Extras = Mapping[str, Any]
"""Fields that only the vendor of a reply understands, and wants back with the history.

`origin` names the family of models that they are returned to, `call` holds fields of a tool call,
`message` those of the message around it. JSON; only a provider reads it.
"""

Integration = Literal["livekit", "mcp", "automation"]

_NOT_OF_THE_CALLER = frozenset({"tool", "function", "system", "developer"})
"""Roles of messages that a program wrote, and that may ask for an empty reply."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A complete tool call. `arguments` is the JSON text of an object, already parsed once."""

    id: str
    name: str
    arguments: str
    extras: Extras | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the server counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Part of the prompt's tokens."""
    cache_creation_tokens: int = 0
    """Tokens of the prompt that were put into the cache."""
    reasoning_tokens: int = 0
    """Part of the completion's tokens."""


class Chunk(NamedTuple):
    """A step of a reply. Any field may be empty.

    `reasoning` is the model's reasoning text, which is never spoken. `connection` names the
    connection that gave the chunk; providers leave it empty, the router fills it in. A tuple,
    because creating one takes a third of the time of a frozen dataclass, and each word needs two.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    connection: str = ""
    loading: bool = False
    """The model is being loaded: words come after that, and the wait counts against no endpoint."""
    extras: Extras | None = None
    """Returned to the vendor with these words; tool calls have their own."""
    request_id: str = ""
    """The server's own name for the request, by which its operator finds it."""
    calling: bool = False
    """More of a tool call has come; it is given whole in a later chunk, or lost with the stream."""
    logprobs: tuple[Mapping[str, Any], ...] = ()
    """How likely each token of `text` was, in OpenAI's form. Empty where the server does not say,
    and where the text is not as it sent it."""
    stop_sequence: str = ""
    """The text of `ChatRequest.stop` that the server says it met."""

    @property
    def useful(self) -> bool:
        """True if it holds words that can be spoken, or a complete tool call.

        A role, reasoning, white space, usage and keep-alives are not progress.
        """
        return bool(self.tool_calls) or (bool(self.text) and not self.text.isspace())

    def given_out(self, text: str, connection: str) -> "Chunk":
        """Returns a copy with other text and the name of its connection."""
        own, reasoning, calls, reason, usage, _, _, extras, request_id, _, logprobs, met = self
        if text != own:
            logprobs = ()
        return Chunk(
            text, reasoning, calls, reason, usage, connection, False, extras, request_id, False,
            logprobs, met,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The features that a connection has, or that a request needs."""

    tools: bool = True
    images: bool = False
    json: bool = True
    context_length: int | None = None
    """Tokens; None: unknown (of a connection) or not stated (of a request)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat request to the router, independent of the endpoint that will answer it.

    Deadlines are in seconds from the call of `Router.stream`; None leaves them to the router's
    options. Only the router sets `prefix`: the words given out already, which the endpoint is to
    continue.
    """

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    strict_tools: Sequence[Mapping[str, Any]] = ()
    """The same tools in OpenAI's strict form, for servers that accept it; empty: `tools` alone."""
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    """Whether one reply may call several tools; None: the server's own default."""
    response_format: Mapping[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the body, for servers of the chat-completions wire. A connection's own
    `extra_body` takes precedence."""
    speech: bool = False
    """True: a voice says the words at talking speed; False: they are read as text."""
    silence_is_answer: bool | None = None
    """Whether an empty reply is an answer; None: `may_be_silent` judges by the last message."""
    language: str = "en"
    session_id: str = ""
    integration: Integration | None = None
    api_key_id: str = ""
    """API key or site that its tokens and its cost are counted for; empty: none."""
    assistant: str = ""
    """Assistant that asks, in a call or in writing; empty: none."""
    pool: str | None = None
    among: frozenset[str] | None = None
    """Names of the connections that may be asked; for this request there are no others. None:
    every one."""
    preferred: str = ""
    """Name of the connection whose words are wanted. It is asked first and alone; others are asked
    when it fails, rests, or is silent for `PatienceOptions.preferred`. Empty: any will do."""
    first_word_deadline: float | None = None
    total_deadline: float | None = None
    prefix: str = ""
    voiced: str = ""
    """Words of this very reply that a voice has said before the request, as another process did
    that is gone. The reply continues them, and does not repeat them."""
    livekit_context: Any = None
    """The `livekit.agents.llm.ChatContext` of the messages, for providers that use it."""
    livekit_tools: Sequence[Any] = ()

    @property
    def may_be_silent(self) -> bool:
        """True if an empty reply is an answer, because the last message is not the caller's.

        A tool's result or an instruction of the application may ask for no words at all. A caller's
        question never does.
        """
        if self.prefix or not self.messages:
            return False
        if self.silence_is_answer is not None:
            return self.silence_is_answer
        return self.messages[-1]["role"] in _NOT_OF_THE_CALLER
