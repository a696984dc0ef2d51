"""Makes the stored items of a call from LiveKit's. No I/O."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from livekit.agents import FunctionToolsExecutedEvent, llm

from agent.receipts import receipt_of
from llm_router.integrations.livekit import ROUTE
from llm_router.routing.events import ReplyEvent
from llm_router.voice.calls import INTERRUPTED_BY, CallItem

_METRICS = ("e2e_latency", "tts_node_ttfb", "transcription_delay", "end_of_turn_delay")
"""LiveKit's times (s) of a turn that a receipt has."""


def said_item(
    message: llm.ChatMessage, reply: ReplyEvent | None, epoch: int, *, by_caller: bool = False
) -> CallItem | None:
    """Returns the item of a message; None for one that is neither the caller's nor the agent's.

    LiveKit's history holds of an interrupted reply only what was voiced. `by_caller`: the caller
    has interrupted it, so that no later agent goes on with it.
    """
    if message.role not in {"user", "assistant"}:
        return None
    text = message.text_content or ""
    return CallItem(
        id=message.id,
        role="user" if message.role == "user" else "assistant",
        text=text,
        interrupted_at=len(text.split()) if message.interrupted else None,
        receipt={**_receipt(message, reply), **({INTERRUPTED_BY: "caller"} if by_caller else {})},
        epoch=epoch,
        created_at=_time(message.created_at),
    )


def tools_item(event: FunctionToolsExecutedEvent, epoch: int) -> CallItem | None:
    """Returns the item of the tools that a reply has called, with their results."""
    pairs = event.zipped()
    if not pairs:
        return None
    return CallItem(
        id=pairs[0][0].id,
        role="tool",
        tool_calls=[_tool(call, output) for call, output in pairs],
        epoch=epoch,
        created_at=_time(event.created_at),
    )


def reply_id_of(message: llm.ChatMessage) -> str:
    """Returns the id of the router's reply that a message is made of; empty: it is of none."""
    route = message.extra.get(ROUTE)
    reply_id = route.get("reply_id") if isinstance(route, dict) else None
    return reply_id if isinstance(reply_id, str) else ""


def _tool(call: llm.FunctionCall, output: llm.FunctionCallOutput | None) -> Mapping[str, Any]:
    result = {"output": output.output, "is_error": output.is_error} if output else {}
    asked = {"call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    return {**asked, **result}


def _receipt(message: llm.ChatMessage, reply: ReplyEvent | None) -> Mapping[str, Any]:
    times = {n: round(v, 3) for n in _METRICS if isinstance(v := message.metrics.get(n), float)}
    return {**({"times": times} if times else {}), **(receipt_of(reply) if reply else {})}


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
