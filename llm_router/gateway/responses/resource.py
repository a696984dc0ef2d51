"""Makes the objects of a response: its items, its options, and the response itself. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_router.gateway.completions.call import Ending, Head
from llm_router.gateway.errors import Problem
from llm_router.gateway.responses.tools import is_function
from llm_router.gateway.schemas.responses import ResponseCreate
from llm_router.types import ToolCall, Usage

Item = Mapping[str, Any]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Reasons of an incomplete response, by the reasons of chat completions."""
_TOOL_FIELDS = ("name", "description", "parameters", "strict")


def repeated_options(fields: ResponseCreate) -> dict[str, Any]:
    """Returns the options of a request that its response repeats, with the usual ones filled in."""
    reasoning, text = fields.reasoning or {}, fields.text or {}
    return {
        "instructions": fields.instructions,
        "tools": [_tool(tool) for tool in fields.tools or () if is_function(tool)],
        "tool_choice": fields.tool_choice or "auto",
        "truncation": fields.truncation if fields.truncation == "auto" else "disabled",
        "parallel_tool_calls": fields.parallel_tool_calls is not False,
        "text": {**text, "format": _format(text.get("format"))},
        "top_p": _or(fields.top_p, 1.0),
        "presence_penalty": _or(fields.presence_penalty, 0.0),
        "frequency_penalty": _or(fields.frequency_penalty, 0.0),
        "top_logprobs": fields.top_logprobs or 0,
        "temperature": _or(fields.temperature, 1.0),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "max_output_tokens": fields.max_output_tokens,
        "max_tool_calls": fields.max_tool_calls,
        "store": False,
        "background": False,
        "service_tier": fields.service_tier or "default",
        "metadata": fields.metadata or {},
        "safety_identifier": fields.safety_identifier,
        "prompt_cache_key": fields.prompt_cache_key,
        "user": fields.user,
        "previous_response_id": None,
    }


class Resource:
    """The response that one request has, as it stands at the moment of its writing."""

    def __init__(self, head: Head, options: Mapping[str, Any]) -> None:
        self._start = {
            "id": f"resp_{head.id}",
            "object": "response",
            "created_at": head.created,
            "model": head.model,
        }
        self._options = options

    def begun(self) -> dict[str, Any]:
        return self._object("in_progress", ())

    def ended(self, output: Sequence[Item], reason: str, ending: Ending) -> dict[str, Any]:
        """Returns the response at its end; `reason` is one of chat completions."""
        cut = _INCOMPLETE.get(reason)
        return self._object(
            "incomplete" if cut else "completed",
            output,
            completed_at=None if cut else ending.ended,
            incomplete_details={"reason": cut} if cut else None,
            usage=usage_object(ending.usage),
        )

    def failed(self, output: Sequence[Item], problem: Problem) -> dict[str, Any]:
        error = problem.error_object
        said = {"code": error["code"] or error["type"], "message": error["message"]}
        return self._object("failed", output, error=said)

    def _object(self, status: str, output: Sequence[Item], **more: Any) -> dict[str, Any]:
        unset = {"completed_at": None, "incomplete_details": None, "error": None, "usage": None}
        given = {"status": status, "output": list(output), **unset, **more}
        return {**self._start, **given, **self._options}


def is_cut(reason: str) -> bool:
    """Returns whether a reply that ended for this reason is incomplete."""
    return reason in _INCOMPLETE


def text_content(text: str, logprobs: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Returns a text with the probabilities of its tokens, where they are known."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": [*logprobs]}


def message_item(item_id: str, status: str, content: Sequence[Mapping[str, Any]]) -> Item:
    return {
        "type": "message",
        "id": item_id,
        "status": status,
        "role": "assistant",
        "content": list(content),
    }


def call_item(item_id: str, status: str, call: ToolCall, arguments: str) -> Item:
    return {
        "type": "function_call",
        "id": item_id,
        "status": status,
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments,
    }


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", **{name: tool.get(name) for name in _TOOL_FIELDS}}


def _format(given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if given is None:
        return {"type": "text"}
    if given["type"] != "json_schema":
        return given
    return {"description": None, "strict": False, **given}


def _or(given: float | None, usual: float) -> float:
    return usual if given is None else given
