"""Reads the body of a response to be created, and makes the router's request of it. Pure."""

from collections.abc import Mapping
from typing import Any

from llm_router.gateway.completions.body import call_of, read_body, session_of
from llm_router.gateway.completions.call import Call
from llm_router.gateway.completions.problems import ChatProblem, invalid
from llm_router.gateway.responses.frames import ResponseForm
from llm_router.gateway.responses.items import read_input
from llm_router.gateway.responses.tools import read_tools
from llm_router.gateway.schemas.responses import ResponseCreate
from llm_router.types import ChatRequest

_NOT_SERVED = {
    "conversation": "responses are not stored here; send the earlier turns in `input`",
    "prompt": "no prompts are stored here; send the text itself",
}
_PASSED_ON = ("presence_penalty", "frequency_penalty", "service_tier", "prompt_cache_key",
              "safety_identifier", "user")  # fmt: skip
"""Fields that chat completions have as well."""
_FORMATS = ("text", "json_object", "json_schema")


def read_response_call(body: bytes, key_id: str) -> Call:
    """Reads a body. Raises ChatProblem (400) for one that is no request, naming the field.

    `key_id` tells apart sessions of API keys.
    """
    fields = read_body(body, ResponseCreate)
    _refuse_not_served(fields)
    tools = read_tools(fields.tools or (), fields.tool_choice)
    request = ChatRequest(
        messages=read_input(fields.input, fields.instructions),
        tools=tools.offered,
        tool_choice=tools.choice,
        parallel_tool_calls=fields.parallel_tool_calls,
        response_format=_format(fields.text),
        temperature=fields.temperature,
        top_p=fields.top_p,
        max_tokens=fields.max_output_tokens,
        extra_body=_passed_on(fields),
        session_id=session_of(key_id, fields.user or fields.prompt_cache_key),
    )
    return call_of(fields, request, ResponseForm(fields))


def not_stored(name: str) -> ChatProblem:
    """Returns the 404 for a response by its id, or for a part of it."""
    return ChatProblem(
        404,
        "response_not_found",
        f"no response {name!r}: they are neither stored nor compacted here; POST /v1/responses"
        " answers each request by itself, with the earlier turns in `input`",
    )


def _refuse_not_served(fields: ResponseCreate) -> None:
    if fields.previous_response_id is not None:
        raise invalid(
            "previous_response_id",
            "responses are not stored here; send the earlier turns in `input`",
            "previous_response_not_found",
        )
    if fields.background:
        raise invalid("background", "is not served", "unsupported_parameter")
    for name, reason in _NOT_SERVED.items():
        if getattr(fields, name) is not None:
            raise invalid(name, f"is not served: {reason}", "unsupported_parameter")


def _format(text: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Returns the format in the form of chat completions, where a schema has a level of its own."""
    given = (text or {}).get("format")
    if given is None:
        return None
    if not isinstance(given, Mapping) or given.get("type") not in _FORMATS:
        raise invalid("text.format", "type must be text, json_object or json_schema")
    if given["type"] == "text":
        return None
    if given["type"] == "json_object":
        return {"type": "json_object"}
    if not isinstance(given.get("schema"), Mapping):
        raise invalid("text.format.schema", "is missing")
    if not isinstance(given.get("name"), str):
        raise invalid("text.format.name", "must be a text")
    named = ("name", "description", "schema", "strict")
    schema = {name: given[name] for name in named if given.get(name) is not None}
    return {"type": "json_schema", "json_schema": schema}


def _passed_on(fields: ResponseCreate) -> dict[str, Any]:
    given = {name: getattr(fields, name) for name in _PASSED_ON}
    if fields.wants_logprobs:
        given |= {"logprobs": True, "top_logprobs": fields.top_logprobs}
    given["reasoning_effort"] = (fields.reasoning or {}).get("effort")
    given["verbosity"] = (fields.text or {}).get("verbosity")
    return {name: value for name, value in given.items() if value is not None}
