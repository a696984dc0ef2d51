"""The words every module of the router speaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Message = Mapping[str, Any]
"""One chat message in OpenAI form."""

Integration = Literal["livekit", "mcp", "automation"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A whole call: `arguments` is the JSON text of an object, already checked to parse."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the server counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class Chunk(NamedTuple):
    """One step of a reply. Any field may be empty.

    `reasoning` is what a model thinks aloud; it is never spoken. `connection` names who gave the
    chunk; providers leave it empty, the router fills it in. A tuple, because that is made in a
    third of the time that a frozen dataclass takes, and two are made for every word.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    connection: str = ""
    loading: bool = False
    """The model is being loaded: the words come after that, and the wait is nobody's fault."""

    @property
    def useful(self) -> bool:
        """Whether a caller gets anything from it: words that can be said, or a complete tool call.

        A role, reasoning, white space, usage and keep-alives are not progress.
        """
        return bool(self.tool_calls) or (bool(self.text) and not self.text.isspace())

    def given_out(self, text: str, connection: str) -> "Chunk":
        """The same with these words, by this connection."""
        _, reasoning, tool_calls, finish_reason, usage, *_ = self
        return Chunk(text, reasoning, tool_calls, finish_reason, usage, connection)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a connection can do, or what a request needs."""

    tools: bool = True
    images: bool = False
    json: bool = True
    context_length: int | None = None
    """Tokens; None: not known (of a connection) or not stated (of a request)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What is asked of the router, whoever answers it.

    Deadlines are in seconds from the call of `Router.stream`; None leaves them to the router's
    options. `prefix` is set by the router alone, when it asks an endpoint to go on with words that
    another one has already given out.
    """

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    response_format: Mapping[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    speech: bool = False
    """A voice says the words at talking speed; False for readers of text."""
    language: str = "en"
    session_id: str = ""
    integration: Integration | None = None
    pool: str | None = None
    first_word_deadline: float | None = None
    total_deadline: float | None = None
    prefix: str = ""
    livekit_context: Any = None
    """The `livekit.agents.llm.ChatContext` the messages came from, for providers that want it."""
    livekit_tools: Sequence[Any] = ()
