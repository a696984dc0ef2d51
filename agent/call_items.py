"""Makes the stored items of a call from LiveKit's. No I/O."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from livekit.agents import FunctionToolsExecutedEvent, llm

from agent.budget import spent_on
from llm_router.integrations.livekit import ROUTE
from llm_router.routing.events import AttemptEvent, ReplyEvent
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
    receipt: dict[str, Any] = {"times": times} if times else {}
    if reply is None:
        return receipt
    tokens, cost = spent_on(reply)
    return receipt | {
        "reply_id": reply.reply_id,
        "connection": reply.connection,
        "model": reply.model,
        "first_word": _rounded(reply.first_word),
        "duration": _rounded(reply.duration),
        "took_over_from": list(reply.took_over_from),
        "last_resort": reply.last_resort,
        "tokens": tokens,
        "cost": cost,
        "attempts": [_attempt(attempt, reply) for attempt in _ordered(reply.tries)],
    }


def _ordered(attempts: Sequence[AttemptEvent]) -> Sequence[AttemptEvent]:
    return sorted(attempts, key=lambda attempt: attempt.started_at)


def _attempt(attempt: AttemptEvent, reply: ReplyEvent) -> Mapping[str, Any]:
    return {
        "connection": attempt.connection,
        "model": attempt.model,
        "role": attempt.role,
        "outcome": attempt.outcome,
        "started": _rounded(attempt.started_at - reply.started_at),
        "first_word": _rounded(attempt.first_word),
        "duration": _rounded(attempt.duration),
        "delivered": attempt.delivered,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
