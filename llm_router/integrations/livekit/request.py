"""Translates the arguments of `LLM.chat` into a ChatRequest."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from livekit.agents import APIConnectOptions, llm, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr

from llm_router.integrations.livekit.history import messages_of, silence_is_answer, unfinished
from llm_router.types import ChatRequest

_logger = logging.getLogger("llm_router")

ResponseFormat = type | dict[str, Any]

_NAMES = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
}
"""Other vendors' names for a field of a ChatRequest."""
_FIELDS = frozenset(
    {"temperature", "top_p", "max_tokens", "stop", "seed", "tool_choice", "parallel_tool_calls"}
)
_NOT_FOR_A_SERVER = frozenset(
    {"extra_headers", "extra_query", "timeout", "stream", "stream_options", "n", "model"}
    | {"messages", "tools"}
)
"""Options of one client library, or the router's own to decide."""
_FORMATS = frozenset({"text", "json_object", "json_schema"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The arguments of one `LLM.chat`, as they were given."""

    chat_ctx: llm.ChatContext
    tools: Sequence[llm.Tool] = ()
    conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN
    tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN
    response_format: NotGivenOr[ResponseFormat] = NOT_GIVEN
    extra_kwargs: Mapping[str, Any] = field(default_factory=dict)
    pool: str | None = None
    """Pool of the connections that may answer; None: every pool."""
    among: frozenset[str] | None = None
    """Names of the connections that may answer; None: any."""
    account: str = ""
    """API key or site that its use is counted for; empty: none."""
    assistant: str = ""

    @property
    def timeout(self) -> float | None:
        """The stated time limit (s) of a first word; None: LiveKit's default."""
        timeout = self.conn_options.timeout
        return None if timeout == DEFAULT_API_CONNECT_OPTIONS.timeout else timeout

    @property
    def format(self) -> ResponseFormat | None:
        """The form that the answer must have, given as an argument or among the options."""
        given = self.response_format or self.extra_kwargs.get("response_format")
        return given if utils.is_given(given) else None


def chat_request(
    asked: Asked, *, speech: bool, language: str = "en", session_id: str = ""
) -> ChatRequest:
    """Returns the request; its fields are each connection's to send, rename or leave out.

    Raises TypeError for a form of the answer that is neither a class nor a dict of OpenAI's.
    """
    history, voiced = unfinished(asked.chat_ctx)
    messages, context = messages_of(history)
    options, rest = _options(asked)
    schemas = _schemas(asked.tools)
    return ChatRequest(
        messages=messages,
        tools=[plain for plain, _ in schemas],
        strict_tools=[strict for _, strict in schemas],
        response_format=response_format(asked.format),
        extra_body=rest,
        speech=speech,
        silence_is_answer=silence_is_answer(history),
        voiced=voiced,
        language=language,
        session_id=session_id,
        integration="livekit",
        pool=asked.pool,
        among=asked.among,
        api_key_id=asked.account,
        assistant=asked.assistant,
        first_word_deadline=None if speech else asked.timeout,
        livekit_context=context,
        livekit_tools=list(asked.tools),
        **options,
    )


def response_format(given: ResponseFormat | None) -> Mapping[str, Any] | None:
    """Returns the form in OpenAI's words; a class stands for its JSON schema."""
    if not isinstance(given, dict):
        return None if given is None else llm.utils.to_openai_response_format(given)
    if given.get("type") not in _FORMATS:
        raise TypeError(f"response_format: type must be one of {', '.join(sorted(_FORMATS))}")
    return given


def _options(asked: Asked) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the options that are fields of a ChatRequest, and the rest, for the body."""
    named = {
        "tool_choice": asked.tool_choice,
        "parallel_tool_calls": asked.parallel_tool_calls,
    }
    options: dict[str, Any] = {}
    rest: dict[str, Any] = dict(asked.extra_kwargs.get("extra_body") or {})
    for name, value in {**asked.extra_kwargs, **_given(named)}.items():
        field_name = _NAMES.get(name, name)
        if value is None or not utils.is_given(value) or name in {"extra_body", "response_format"}:
            continue
        if field_name in _FIELDS:
            options[field_name] = value
        elif name in _NOT_FOR_A_SERVER:
            _logger.debug("extra_kwargs: %s is not passed on; a connection sets it", name)
        else:
            rest[name] = value
    if isinstance(stop := options.get("stop"), str):
        options["stop"] = (stop,)
    return options, rest


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if utils.is_given(value)}


# ── Tools ────────────────────────────────────────────────────────────────────────────────────────

_Schemas = tuple[Mapping[str, Any], Mapping[str, Any]]
_known = WeakKeyDictionary[llm.FunctionTool[..., Any], _Schemas]()
"""Schemas of the tools seen so far: making one takes longer than all the rest of a request."""


def _schemas(tools: Sequence[llm.Tool]) -> Sequence[_Schemas]:
    """Returns each tool's schema, plain and in OpenAI's strict form."""
    if not tools:  # making a ToolContext costs a fifth of the router's overhead in a turn
        return ()
    return [_schema(tool) for tool in llm.ToolContext(list(tools)).function_tools.values()]


def _schema(tool: llm.FunctionTool[..., Any] | llm.RawFunctionTool[..., Any]) -> _Schemas:
    if not isinstance(tool, llm.FunctionTool):
        raw = {"type": "function", "function": tool.info.raw_schema}
        return raw, raw
    if (known := _known.get(tool)) is None:
        plain = llm.utils.build_legacy_openai_schema(tool)
        try:
            strict = llm.utils.build_strict_openai_schema(tool)
        except Exception as error:  # noqa: BLE001  not every argument has a strict form
            _logger.debug("a tool has no strict schema (%s)", type(error).__name__)
            strict = plain
        known = _known[tool] = (plain, strict)
    return known
