"""Says how the reply of a stored chat came about, in the form in which it is stored. No I/O."""

from collections.abc import Mapping
from typing import Any

from llm_router.routing.events import AttemptEvent, ReplyEvent, total_cost


def route_of(
    reply_id: str, event: ReplyEvent, at_first: ReplyEvent | None = None
) -> Mapping[str, Any]:
    """Returns the way a reply took: its connection, times (s), tokens, cost and attempts.

    `event` is that of its end, `at_first` that of its first word: they name the connection where
    the end names none.
    """
    speaker = event if event.connection else at_first or event
    tries = [_attempt(each, event) for each in sorted(event.tries, key=_started)]
    return {
        "reply_id": reply_id,
        "connection": speaker.connection,
        "model": speaker.model,
        "first_word": event.first_word,
        "duration": event.duration,
        "attempts": event.attempts,
        "tokens_in": sum(each["tokens_in"] for each in tries),
        "tokens_out": sum(each["tokens_out"] for each in tries),
        "cost": total_cost(each["cost"] for each in tries),
        "tries": tries,
        "unasked": [{"connection": name, "reason": reason} for name, reason in event.unasked],
    }


def _started(attempt: AttemptEvent) -> float:
    return attempt.started_at


def _attempt(attempt: AttemptEvent, reply: ReplyEvent) -> dict[str, Any]:
    tokens, cost = attempt.charged(reply.prompt_characters)
    return {
        "connection": attempt.connection,
        "model": attempt.model,
        "role": attempt.role,
        "outcome": attempt.outcome,
        "started": attempt.started_at - reply.started_at,
        "first_word": attempt.first_word,
        "duration": attempt.duration,
        "delivered": attempt.delivered,
        "tokens_in": tokens.prompt_tokens,
        "tokens_out": tokens.completion_tokens,
        "cost": cost,
    }
