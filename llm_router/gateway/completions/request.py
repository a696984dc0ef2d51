"""Reads the body of a chat completion, and makes the router's request of it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_router.gateway.completions.body import call_of, is_set, read_body, session_of
from llm_router.gateway.completions.call import Call
from llm_router.gateway.completions.fields import object_at, require_offered
from llm_router.gateway.completions.frames import ChatForm
from llm_router.gateway.completions.messages import clean_messages, clean_tools
from llm_router.gateway.completions.problems import invalid
from llm_router.gateway.schemas.chat import ChatCompletionCreate
from llm_router.types import ChatRequest

Tool = Mapping[str, Any]

_FORMATS = ("json_object", "json_schema")
_CHOICES = frozenset({"none", "auto", "required"})
_REPLACED = {"functions": "tools", "function_call": "tool_choice"}
"""Fields of an older form of the API, whose replies no endpoint gives any more."""
_NOT_PASSED_ON = frozenset({
    # Of the form of the reply, which is the router's own.
    "modalities", "audio", "best_of", "echo", "use_beam_search",
    # Where a gateway behind ours would send the request, and with which keys: connections say so.
    "api_base", "base_url", "api_key", "api_type", "api_version", "organization", "headers",
    "extra_headers", "extra_query", "extra_body", "custom_llm_provider", "proxy", "fallbacks",
    "mock_response", "deployment_id",
    # A program in a language of templates, which the server would run.
    "chat_template",
    # A tensor, which a server may read as a program.
    "prompt_embeds",
})  # fmt: skip
_PREFIXES_NOT_PASSED_ON = ("aws_", "azure_", "vertex_", "litellm_")


def read_chat_call(body: bytes, key_id: str) -> Call:
    """Reads a body. Raises ChatProblem (400) for one that is no request, naming the field.

    Fields that are unknown here are passed on, but for those that would change where a request
    goes or which form its reply has; they are dropped. `key_id` tells apart sessions of API keys.
    """
    return chat_call(read_body(body, ChatCompletionCreate), key_id)


def chat_call(fields: ChatCompletionCreate, key_id: str) -> Call:
    """Returns the call that valid fields make. Raises ChatProblem (400), as `read_chat_call`."""
    given = fields.model_extra or {}
    for name, replacement in _REPLACED.items():
        if given.get(name) is not None:
            raise invalid(name, f"is no longer served; use {replacement}", "unsupported_parameter")
    tools, choice = _choice_of(clean_tools(fields.tools or ()), fields.tool_choice)
    request = ChatRequest(
        messages=clean_messages(fields.messages),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=fields.parallel_tool_calls,
        response_format=_format(fields.response_format),
        temperature=fields.temperature,
        top_p=fields.top_p,
        max_tokens=fields.max_completion_tokens or fields.max_tokens,
        stop=stops(fields.stop),
        seed=fields.seed,
        extra_body={**passed_on(given, fields.user), **_logprobs(fields)},
        session_id=session_of(key_id, fields.user or given.get("prompt_cache_key")),
    )
    form = ChatForm(
        include_usage=is_set(fields.stream_options, "include_usage"),
        include_logprobs=bool(fields.logprobs),
    )
    return call_of(fields, request, form)


def stops(given: str | Sequence[str] | None) -> Sequence[str]:
    """Returns the texts at which a reply ends. Every reply holds an empty one, so that is none."""
    return [text for text in ([given] if isinstance(given, str) else given or ()) if text]


def _choice_of(
    tools: Sequence[Tool], choice: str | Mapping[str, Any] | None
) -> tuple[Sequence[Tool], str | Mapping[str, Any] | None]:
    """Returns the tools that the model may call, and which of them it must."""
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        allowed = object_at(choice, "allowed_tools", "tool_choice")
        named = allowed.get("tools")
        if not isinstance(named, list):
            raise invalid("tool_choice.allowed_tools.tools", "must be a list")
        names = [_name_of(each) for each in named]
        tools = [tool for tool in tools if tool["function"]["name"] in names]
        mode = allowed.get("mode", "auto")
        choice = mode if isinstance(mode, str) else ""
    if not tools:
        return (), None
    if isinstance(choice, Mapping):
        require_offered(_name_of(choice), tools, "tool_choice")
    elif choice is not None and choice not in _CHOICES:
        raise invalid("tool_choice", "must be none, auto, required, or name a function")
    return tools, choice


def _name_of(value: Any) -> str:
    function = value.get("function") if isinstance(value, Mapping) else None
    if not (isinstance(function, Mapping) and isinstance(function.get("name"), str)):
        raise invalid("tool_choice", 'must look like {"type": "function", "function": {"name"}}')
    return str(function["name"])


def _logprobs(fields: ChatCompletionCreate) -> dict[str, Any]:
    if not fields.logprobs:
        return {}
    given = {"logprobs": True, "top_logprobs": fields.top_logprobs}
    return {name: value for name, value in given.items() if value is not None}


def _format(given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if given is None or given.get("type") == "text":
        return None
    if given.get("type") not in _FORMATS:
        raise invalid("response_format", "type must be text, json_object or json_schema")
    if given["type"] == "json_schema" and not isinstance(given.get("json_schema"), Mapping):
        raise invalid("response_format", "json_schema is missing")
    return given


def passed_on(given: Mapping[str, Any], user: str | None) -> dict[str, Any]:
    """Returns the further fields of a body for servers that speak chat completions."""
    passed = {
        name: value
        for name, value in given.items()
        if value is not None
        and name not in _NOT_PASSED_ON
        and not name.startswith(_PREFIXES_NOT_PASSED_ON)
    }
    return passed if user is None else {**passed, "user": user}
