"""Says how a reply came about, in the form in which calls are stored. No I/O."""

from collections.abc import Mapping, Sequence
from typing import Any

from agent.budget import spent_on
from llm_router.routing.events import AttemptEvent, ReplyEvent


def receipt_of(reply: ReplyEvent) -> Mapping[str, Any]:
    """Returns the connection, the times and the attempts of a reply, and what it cost."""
    tokens, cost = spent_on(reply)
    return {
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
        "connection_id": attempt.connection_id,
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
