"""Reads the body of a message to be created, and makes the router's request of it. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from llm_router.catalog.prices import estimate_usage
from llm_router.gateway.completions.body import call_of, read_body, session_of
from llm_router.gateway.completions.call import Call
from llm_router.gateway.completions.problems import invalid
from llm_router.gateway.completions.request import stops
from llm_router.gateway.messages.blocks import read_conversation
from llm_router.gateway.messages.frames import MessageForm
from llm_router.gateway.messages.tools import read_tools
from llm_router.gateway.schemas.messages import MessageCreate, TokenCountCreate
from llm_router.routing.eligibility import prompt_characters
from llm_router.types import ChatRequest

_NOT_SERVED = ("container", "mcp_servers")


def read_message_call(body: bytes, key_id: str) -> Call:
    """Reads a body. Raises ChatProblem (400) for one that is no request, naming the field.

    `key_id` tells apart sessions of API keys.
    """
    fields = read_body(body, MessageCreate)
    for name in _NOT_SERVED:
        if getattr(fields, name):
            raise invalid(name, "is not served", "unsupported_parameter")
    tools = read_tools(fields.tools or (), fields.tool_choice)
    user = (fields.metadata or {}).get("user_id")
    request = ChatRequest(
        messages=read_conversation(fields.messages, fields.system),
        tools=tools.offered,
        tool_choice=tools.choice,
        parallel_tool_calls=tools.parallel,
        response_format=_format(fields.output_config),
        temperature=fields.temperature,
        top_p=fields.top_p,
        max_tokens=fields.max_tokens,
        stop=stops(fields.stop_sequences),
        extra_body=_passed_on(fields, user),
        session_id=session_of(key_id, user),
    )
    return call_of(fields, request, MessageForm(request.stop))


def count_tokens(fields: TokenCountCreate) -> int:
    """Estimates the tokens of a conversation and its tools. Raises ChatProblem (400)."""
    request = ChatRequest(messages=read_conversation(fields.messages, fields.system))
    tools = read_tools(fields.tools or (), fields.tool_choice).offered
    written = len(json.dumps(tools)) if tools else 0
    return estimate_usage(prompt_characters(request) + written, 0).prompt_tokens


def _format(config: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Returns the format in the form of chat completions, where a schema has a name."""
    given = (config or {}).get("format")
    if given is None:
        return None
    if not isinstance(given, Mapping) or given.get("type") != "json_schema":
        raise invalid("output_config.format.type", "must be json_schema")
    if not isinstance(given.get("schema"), Mapping):
        raise invalid("output_config.format.schema", "is missing")
    schema = {"name": "reply", "schema": given["schema"], "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def _passed_on(fields: MessageCreate, user: Any) -> dict[str, Any]:
    effort = (fields.output_config or {}).get("effort")
    given = {"top_k": fields.top_k, "reasoning_effort": effort, "user": user}
    return {name: value for name, value in given.items() if value is not None}
