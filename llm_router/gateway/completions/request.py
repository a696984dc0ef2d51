"""Reads the body of a chat completion, and makes the router's request of it. Pure."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Never

from pydantic import ValidationError

from llm_router.connections.json_shape import is_within
from llm_router.gateway.completions.messages import clean_messages, clean_tools
from llm_router.gateway.completions.problems import ChatProblem, invalid
from llm_router.gateway.schemas.chat import ChatCompletionCreate
from llm_router.providers._wire.characters import mend
from llm_router.types import ChatRequest

_MOST_MARKS = 100_000
"""Commas and opening brackets of a body, each of which may begin a value: what is parsed holds up
all other requests."""
_MOST_VALUES = 50_000
_MOST_LEVELS = 64
_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_FORMATS = frozenset({"json_object", "json_schema"})
_CHOICES = frozenset({"none", "auto", "required"})
_REPLACED = {"functions": "tools", "function_call": "tool_choice"}
"""Fields of an older form of the API, whose replies no endpoint gives any more."""
_NOT_PASSED_ON = frozenset({
    # Of the form of the reply, which is the router's own.
    "logprobs", "top_logprobs", "modalities", "audio", "best_of", "echo", "use_beam_search",
    # Where a gateway behind ours would send the request, and with which keys: connections say so.
    "api_base", "base_url", "api_key", "api_type", "api_version", "organization", "headers",
    "extra_headers", "extra_query", "extra_body", "custom_llm_provider", "proxy", "fallbacks",
    "mock_response", "deployment_id",
})  # fmt: skip
_PREFIXES_NOT_PASSED_ON = ("aws_", "azure_", "vertex_", "litellm_")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """A request as its client sent it: the router's part, and the form of the answer."""

    model: str
    request: ChatRequest
    is_streamed: bool
    include_usage: bool
    include_receipt: bool


def read_chat_call(body: bytes, key_id: str) -> ChatCall:
    """Reads a body. Raises ChatProblem (400) for one that is no request, naming the field.

    Fields that are unknown here are passed on, but for those that would change where a request
    goes or which form its reply has; they are dropped. `key_id` tells apart sessions of API keys.
    """
    fields = _validated(_parsed(body))
    given = fields.model_extra or {}
    for name, replacement in _REPLACED.items():
        if given.get(name) is not None:
            raise invalid(name, f"is no longer served; use {replacement}", "unsupported_parameter")
    tools = clean_tools(fields.tools or ())
    request = ChatRequest(
        messages=clean_messages(fields.messages),
        tools=tools,
        tool_choice=_tool_choice(fields.tool_choice) if tools else None,
        parallel_tool_calls=fields.parallel_tool_calls,
        response_format=_format(fields.response_format),
        temperature=fields.temperature,
        top_p=fields.top_p,
        max_tokens=fields.max_completion_tokens or fields.max_tokens,
        stop=[fields.stop] if isinstance(fields.stop, str) else fields.stop or (),
        seed=fields.seed,
        extra_body=_passed_on(given, fields.user),
        session_id=_session(key_id, fields.user or given.get("prompt_cache_key")),
        integration="automation",
    )
    return ChatCall(
        model=fields.model,
        request=request,
        is_streamed=bool(fields.stream),
        include_usage=_is_set(fields.stream_options, "include_usage"),
        include_receipt=_is_set(fields.patchbay, "receipt"),
    )


def _parsed(body: bytes) -> Any:
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_MARKS:
        raise _too_many_values()
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        raise _too_many_values() from None
    except ValueError:
        raise ChatProblem(400, "invalid_json", "the body is not JSON") from None
    if not is_within(value, values=_MOST_VALUES, levels=_MOST_LEVELS):
        raise _too_many_values()
    return _mended(value) if _LONE_SURROGATE.search(body) else value


def _no_constant(name: str) -> Never:
    raise ValueError(name)  # NaN and Infinity, which are no JSON


def _too_many_values() -> ChatProblem:
    return ChatProblem(
        400,
        "body_too_complex",
        f"the body must hold at most {_MOST_VALUES:,} values in {_MOST_LEVELS} levels",
    )


def _mended(value: Any) -> Any:
    """Returns the value with halves of characters replaced, which no server could be sent."""
    if isinstance(value, str):
        return mend(value)
    if isinstance(value, list):
        return [_mended(each) for each in value]
    if isinstance(value, dict):
        return {mend(name): _mended(each) for name, each in value.items()}
    return value


def _validated(value: Any) -> ChatCompletionCreate:
    if not isinstance(value, dict):
        raise ChatProblem(400, "invalid_value", "the body must be an object")
    try:
        return ChatCompletionCreate.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = str(first["loc"][0]) if first["loc"] else "body"
        code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
        raise invalid(place, first["msg"], code) from None


def _tool_choice(choice: str | Mapping[str, Any] | None) -> str | Mapping[str, Any] | None:
    if isinstance(choice, str) and choice not in _CHOICES:
        raise invalid("tool_choice", "must be none, auto, required, or name a function")
    if isinstance(choice, Mapping):
        function = choice.get("function")
        if not (isinstance(function, Mapping) and isinstance(function.get("name"), str)):
            raise invalid(
                "tool_choice", 'must look like {"type": "function", "function": {"name"}}'
            )
    return choice


def _format(given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if given is None or given.get("type") == "text":
        return None
    if given.get("type") not in _FORMATS:
        raise invalid("response_format", "type must be text, json_object or json_schema")
    if given["type"] == "json_schema" and not isinstance(given.get("json_schema"), Mapping):
        raise invalid("response_format", "json_schema is missing")
    return given


def _passed_on(given: Mapping[str, Any], user: str | None) -> dict[str, Any]:
    passed = {
        name: value
        for name, value in given.items()
        if value is not None
        and name not in _NOT_PASSED_ON
        and not name.startswith(_PREFIXES_NOT_PASSED_ON)
    }
    return passed if user is None else {**passed, "user": user}


def _session(key_id: str, name: Any) -> str:
    """Returns a pseudonym of the client's own session, whose endpoint has its prompt in a cache."""
    if not (isinstance(name, str) and name):
        return ""
    return "v1-" + hashlib.sha256(f"{key_id} {name}".encode()).hexdigest()[:24]


def _is_set(options: Mapping[str, Any] | None, name: str) -> bool:
    return options is not None and options.get(name) is True
